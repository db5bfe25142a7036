"""A rollout: sampled responses as one batch [B,T], and the numbers that the frozen models and the value model add.

    prompts ─► generate ─► Batch ─► log-probabilities of the reference, values, scores

What the updates need again is computed here once, without gradients. The old log-probabilities are those of the
sampling; the rest takes one pass. The vocabulary is projected at response tokens only, and the last block finished: in
a small model both are a large part of the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.data import length_mask, pad_sequences
from minigpt.generate import sampling_logprobs
from minigpt.model import GPT
from minigpt.runs.errors import UserError
from minigpt.runs.seeds import epoch_order
from minigpt.scale.decoding import generate_together
from minigpt.scale.distributed import all_reduce_sum, matched_calls, share_of_rows
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, decode_response
from rlhf.stage2_reward.network import RewardModel, ValueModel

# Any Python function can be the reward: texts of prompts and of responses in, one number for each out.
RewardFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Batch:
    """B prompts with one sampled response each, as rows of a language model. The shift by one is in this class alone:

        ids      <|user|>  Cow?           <|assistant|>  Grass  .        <|end|>    [B,T+1]
        inputs   <|user|>  Cow?           <|assistant|>  Grass  .                   [B,T], ids without the last column
        targets  Cow?      <|assistant|>  Grass          .      <|end|>             [B,T], ids without the first column
        mask     False     False          True           True   True                [B,T], the target is of the response

    Column t of every [B,T] tensor is about the step at which the model has read inputs[:, : t + 1] and writes
    targets[:, t]: the log-probability of that token, the value of the state before it, its reward and its advantage.

    prompts         [B] int64, which prompt of the set
    ids             [B,T+1] int64, prompt and response together, padded on the right
    prompt_lengths  [B] int64
    lengths         [B] int64, of the response, its end token included
    ended           [B] bool, the policy wrote the end token itself
    logprobs        [B,T] nats, of the distribution the response was sampled from; 0 outside of the mask, like all below
    ref_logprobs    [B,T] nats, of the reference
    values          [B,T] of the value model at the time of the rollout
    advantages      [B,T]
    returns         [B,T] what the value model learns
    """

    prompts: Tensor
    ids: Tensor
    prompt_lengths: Tensor
    lengths: Tensor
    ended: Tensor
    logprobs: Tensor
    # of the later stages of an iteration; `dataclasses.replace` adds them
    ref_logprobs: Tensor | None = None
    values: Tensor | None = None
    advantages: Tensor | None = None
    returns: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """[B,T], what the model reads."""
        return self.ids[:, :-1]

    @property
    def targets(self) -> Tensor:
        """[B,T], what it should write after each input."""
        return self.ids[:, 1:]

    @property
    def mask(self) -> Tensor:
        """[B,T], True where the target is a response token; from lengths, never from comparing ids with the pad id."""
        column = torch.arange(self.ids.shape[1] - 1, device=self.ids.device)  # [T]
        first = (self.prompt_lengths - 1)[:, None]  # [B,1], the prompt's last token is where the response is predicted
        return (column >= first) & (column < first + self.lengths[:, None])  # [B,T]

    @property
    def total_lengths(self) -> Tensor:
        """[B], prompt and response together."""
        return self.prompt_lengths + self.lengths

    @property
    def tokens(self) -> int:
        """The response tokens of all rows; of a minibatch, what the losses of its micro-batches are divided by."""
        return int(self.lengths.sum())

    def select(self, rows: Tensor) -> Batch:
        """Some of the rows, without the columns that only longer ones need."""
        tokens = int(self.total_lengths[rows].max())
        part = {field.name: getattr(self, field.name) for field in fields(self)}
        part = {name: None if tensor is None else tensor[rows] for name, tensor in part.items()}
        for name in ("logprobs", "ref_logprobs", "values", "advantages", "returns"):
            part[name] = None if part[name] is None else part[name][:, : tokens - 1]  # [b,t]
        return Batch(**part | {"ids": part["ids"][:, :tokens]})

    def responses(self) -> list[list[int]]:
        """The ids of each response, with the end token of those that ended."""
        spans = zip(self.ids.tolist(), self.prompt_lengths.tolist(), self.total_lengths.tolist(), strict=True)
        return [ids[start:end] for ids, start, end in spans]

    def texts(self, tokenizer: Tokenizer) -> list[str]:
        """The responses as texts, without end token."""
        return [decode_response(tokenizer, ids) for ids in self.responses()]


# ---- Sampling ------------------------------------------------------------------------------------------------------


def prompt_rows(n: int, batch_size: int, seed: int, iteration: int) -> list[int]:
    """The numbers of the prompts of an iteration: all n in a random order, then all in another. A pure function."""
    places = range(iteration * batch_size, (iteration + 1) * batch_size)
    orders = {epoch: epoch_order(n, seed, epoch).tolist() for epoch in {place // n for place in places}}
    return [orders[place // n][place % n] for place in places]


def answers_per_prompt(rows: Sequence[int]) -> int:
    """K if every prompt stands K times side by side in rows, so that it can be read once for its K answers; else 1."""
    K = next((place for place, row in enumerate(rows) if row != rows[0]), len(rows)) or 1
    return K if list(rows) == [row for row in rows[::K] for _ in range(K)] else 1


def sample_responses(
    policy: GPT,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    tokenizer: Tokenizer,
    *,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> Batch:
    """A batch with one response to each prompts[row], cut after max_new_tokens if it does not end before.

    No top-k and no top-p: PPO's log-probabilities must be those of what was sampled, and a token that truncation
    forbids has none. Raises UserError for a prompt that fills the context.
    """
    chosen = [list(prompts[row]) for row in rows]
    K = answers_per_prompt(rows)
    generation = generate_together(
        policy,
        chosen[::K],
        samples_per_prompt=K,
        max_new_tokens=max_new_tokens,
        stop_tokens=[tokenizer.end_id],
        pad_id=tokenizer.pad_id,
        temperature=temperature,
        generator=generator,
        want_logprobs=True,
    )
    device, lengths = generation.tokens.device, generation.lengths
    ids, prompt_lengths = (part.to(device) for part in pad_sequences(chosen, tokenizer.pad_id))  # [B,P], [B]
    tokens = int((prompt_lengths + lengths).max())  # T+1
    batch = Batch(
        prompts=torch.tensor(list(rows), device=device),
        ids=F.pad(ids, (0, tokens - ids.shape[1]), value=tokenizer.pad_id),
        prompt_lengths=prompt_lengths,
        lengths=lengths,
        ended=generation.ended,
        logprobs=torch.zeros(len(chosen), tokens - 1, device=device),
    )
    written = length_mask(lengths, generation.tokens.shape[1])  # [B,N]
    batch.targets[batch.mask] = generation.tokens[written]
    batch.logprobs[batch.mask] = generation.logprobs[written]
    return batch


def rows_in_parts(batch: Batch, size: int) -> list[Tensor]:
    """Row numbers in groups of `size`, in order: answers to the same prompt stay side by side and share it, see
    `minigpt.flat`."""
    return list(torch.arange(len(batch.lengths), device=batch.ids.device).split(size))


def micro_batches(minibatch: Batch, size: int) -> list[Batch]:
    """The minibatch in parts of `size` rows; of several processes each gets parts of other rows."""
    rows = torch.arange(len(minibatch.lengths), device=minibatch.ids.device)[share_of_rows(len(minibatch.lengths))]
    mine = minibatch.select(rows)
    return [mine.select(part) for part in rows_in_parts(mine, size)]


# ---- What a model says about the responses -------------------------------------------------------------------------


def response_logprobs(model: nn.Module, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """log π(y_t | x, y_<t) of the response tokens and the entropy of π there, both [B,T] in nats, 0 elsewhere.

    Divided by the temperature like the sampling. `model` is a GPT, or one that `replicate` has made of it.
    """
    mask = batch.mask  # [B,T], M of its places are True
    distribution = sampling_logprobs(model(batch.inputs, at=mask), temperature)  # [M,V]
    chosen = distribution.gather(1, batch.targets[mask][:, None]).squeeze(1)  # [M]
    entropy = -(distribution.detach().exp() * distribution.detach()).sum(dim=1)  # [M]
    zeros = torch.zeros(mask.shape, device=mask.device)  # [B,T]
    return zeros.masked_scatter(mask, chosen), zeros.masked_scatter(mask, entropy)


def response_values(model: nn.Module, batch: Batch) -> Tensor:
    """V of the state before each response token, [B,T], 0 elsewhere. `model` is a ValueModel or a replicated one."""
    mask = batch.mask  # [B,T]
    values = model(batch.inputs, at=mask)  # [M]
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values)


@torch.no_grad()
def reference_logprobs(reference: GPT, batch: Batch, temperature: float, size: int) -> Tensor:
    """log π_ref of the response tokens [B,T] in nats, `size` rows at a time, without gradients."""
    found = torch.zeros_like(batch.logprobs)  # [B,T]
    for rows, mine in matched_calls(rows_in_parts(batch, size)):
        logprobs, _ = response_logprobs(reference, batch.select(rows), temperature)  # [b,t]
        if mine:
            found[rows, : logprobs.shape[1]] = logprobs
    return all_reduce_sum(found)


@torch.no_grad()
def rollout_values(value_model: ValueModel, batch: Batch, size: int) -> Tensor:
    """V before each response token [B,T], `size` rows at a time, without gradients."""
    found = torch.zeros_like(batch.logprobs)  # [B,T]
    for rows, mine in matched_calls(rows_in_parts(batch, size)):
        values = response_values(value_model, batch.select(rows))  # [b,t]
        if mine:
            found[rows, : values.shape[1]] = values
    return all_reduce_sum(found)


# ---- Scores --------------------------------------------------------------------------------------------------------


def score_responses(
    reward_fn: RewardModel | RewardFunction,
    batch: Batch,
    prompts: Sequence[str],
    tokenizer: Tokenizer,
    size: int,
) -> Tensor:
    """Scores [B] of a reward model or of any Python function; `prompts` are the texts of the whole prompt set."""
    if isinstance(reward_fn, RewardModel):
        return score_with_model(reward_fn, batch, size)
    return score_with_function(reward_fn, batch, prompts, tokenizer)


@torch.no_grad()
def score_with_model(model: RewardModel, batch: Batch, size: int) -> Tensor:
    """Scores [B] of a reward model, on the very ids that were sampled: text would have to be tokenized again."""
    model.eval()  # no dropout: an answer has one score
    scores = torch.zeros(len(batch.lengths), device=batch.ids.device)  # [B]
    for rows, mine in matched_calls(rows_in_parts(batch, size)):
        part = batch.select(rows)
        numbers = model(part.ids, part.total_lengths)  # [b], read at the last token of the response
        if mine:
            scores[rows] = numbers
    return all_reduce_sum(scores)


def score_with_function(
    reward_fn: RewardFunction, batch: Batch, prompts: Sequence[str], tokenizer: Tokenizer
) -> Tensor:
    """Scores [B] of any Python function. Raises UserError unless it returns one finite number for each response."""
    asked, responses = [prompts[index] for index in batch.prompts.tolist()], batch.texts(tokenizer)
    scores = [float(score) for score in reward_fn(asked, responses)]
    if len(scores) != len(asked):
        raise UserError(
            f"the reward function returned {len(scores)} scores for {len(asked)} responses; one each is needed"
        )
    for score, response in zip(scores, responses, strict=True):
        if not math.isfinite(score):
            raise UserError(
                f"the reward function returned {score} for the response {response!r}; scores must be finite"
            )
    return torch.tensor(scores, device=batch.ids.device)  # [B]


def prompt_text(turns: Sequence[Turn]) -> str:
    """The prompt as a reward function gets it: the text of its turns, one a line."""
    return "\n".join(turn.text for turn in turns)
