"""Episodes for PPO: sample answers, keep the log-probabilities of what was sampled, score them once.

    prompts ─► generate ─► Episodes ─► reference, value model, reward ─► Rollout

Whatever the update will need again is computed here, once, without gradients: old log-probabilities come free with the
sampling, the rest takes one pass over batches sorted by length, so that little of it is padding. The vocabulary is
projected at response positions only, and the last block finished: in a small model both are a large part of the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.data import epoch_order, length_mask
from minigpt.generate import sampling_logprobs
from minigpt.model import GPT
from minigpt.runs.errors import UserError
from minigpt.scale.decoding import generate_together
from minigpt.scale.distributed import add_up, share_of_calls
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, decode_response
from rlhf.stage2_reward.network import RewardModel, ValueModel

# Any Python function can be the reward: texts of prompts and of responses in, one number for each out.
RewardFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Episodes:
    """B prompts with one sampled response each; N is the length of the longest response.

    prompts         [B] int64, which prompt of the set
    ids             [B,T] prompt and response together, padded on the right
    prompt_lengths  [B] int64
    responses       [B,N] int64, padded on the right
    lengths         [B] int64, of the response, its end token included
    ended           [B] bool, the policy wrote the end token itself
    logprobs        [B,N] nats, of the distribution the response was sampled from
    """

    prompts: Tensor
    ids: Tensor
    prompt_lengths: Tensor
    responses: Tensor
    lengths: Tensor
    ended: Tensor
    logprobs: Tensor

    @property
    def mask(self) -> Tensor:
        """[B,N], True at response tokens; from lengths, never from comparing ids with the pad id."""
        return length_mask(self.lengths, self.responses.shape[1])

    @property
    def total_lengths(self) -> Tensor:
        """[B], prompt and response together."""
        return self.prompt_lengths + self.lengths

    def select(self, rows: Tensor) -> Episodes:
        """Some episodes, without the columns that only longer ones need."""
        total, response = int(self.total_lengths[rows].max()), int(self.lengths[rows].max())
        return Episodes(
            prompts=self.prompts[rows],
            ids=self.ids[rows, :total],
            prompt_lengths=self.prompt_lengths[rows],
            responses=self.responses[rows, :response],
            lengths=self.lengths[rows],
            ended=self.ended[rows],
            logprobs=self.logprobs[rows, :response],
        )

    def texts(self, tokenizer: Tokenizer) -> list[str]:
        """The responses as texts, without end token."""
        pairs = zip(self.responses.tolist(), self.lengths.tolist(), strict=True)
        return [decode_response(tokenizer, ids[:length]) for ids, length in pairs]


@dataclass(frozen=True)
class Rollout:
    """Episodes with everything the update needs: ref_logprobs and values [B,N], and the raw scores [B]."""

    episodes: Episodes
    ref_logprobs: Tensor
    values: Tensor
    scores: Tensor


def prompt_rows(n: int, batch_size: int, seed: int, iteration: int) -> list[int]:
    """Which prompts an iteration asks: all n in a random order, then all in another. A pure function."""
    places = range(iteration * batch_size, (iteration + 1) * batch_size)
    orders = {epoch: epoch_order(n, seed, epoch).tolist() for epoch in {place // n for place in places}}
    return [orders[place // n][place % n] for place in places]


def sample_responses(
    policy: GPT,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    tokenizer: Tokenizer,
    *,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> Episodes:
    """One response to each prompts[row]. No top-k and no top-p: PPO's log-probabilities must be those of what was
    sampled, and a token that truncation forbids has none (P3). Raises UserError for a prompt that fills the context."""
    chosen = [list(prompts[row]) for row in rows]
    generation = generate_together(
        policy,
        chosen,
        max_new_tokens=max_new_tokens,
        stop_tokens=[tokenizer.end_id],
        pad_id=tokenizer.pad_id,
        temperature=temperature,
        generator=generator,
        want_logprobs=True,
    )
    N = int(generation.lengths.max())
    # clone: tensors made under inference_mode may not enter autograd, and these will
    responses, lengths = generation.tokens[:, :N].clone(), generation.lengths.clone()  # [B,N], [B]
    prompt_lengths = torch.tensor([len(prompt) for prompt in chosen], device=responses.device)  # [B]
    T = int((prompt_lengths + lengths).max())
    ids = torch.full((len(chosen), T), tokenizer.pad_id, device=responses.device)  # [B,T]
    for row, prompt in enumerate(chosen):
        ids[row, : len(prompt)] = torch.tensor(prompt, device=ids.device)
    row, column = length_mask(lengths, N).nonzero(as_tuple=True)  # [M] each, M response tokens
    ids[row, prompt_lengths[row] + column] = responses[row, column]
    return Episodes(
        prompts=torch.tensor(list(rows), device=ids.device),
        ids=ids,
        prompt_lengths=prompt_lengths,
        responses=responses,
        lengths=lengths,
        ended=generation.ended.clone(),
        logprobs=generation.logprobs[:, :N].clone(),
    )


def by_length(episodes: Episodes, size: int) -> list[Tensor]:
    """Row numbers in groups of `size`, similar lengths together: less padding, the same result."""
    return list(episodes.total_lengths.argsort(descending=True, stable=True).split(size))


def predicting(episodes: Episodes) -> Tensor:
    """[B,T] bool, True where a response token is predicted: from the prompt's last token to the last but one."""
    column = torch.arange(episodes.ids.shape[1], device=episodes.ids.device)  # [T]
    first = (episodes.prompt_lengths - 1)[:, None]  # [B,1]
    return (column >= first) & (column < first + episodes.lengths[:, None])  # [B,T]


def response_logprobs(model: GPT, episodes: Episodes, temperature: float) -> tuple[Tensor, Tensor]:
    """log π(y_t | x, y_<t) of the response tokens and the entropy of π there, both [B,N] in nats, 0 in padded places.

    Tempered like the sampling. The token in column t of the response is predicted one position earlier, so that the
    first of them is predicted by the last token of the prompt.
    """
    row, column = episodes.mask.nonzero(as_tuple=True)  # [M] each, M response tokens
    distribution = sampling_logprobs(model(episodes.ids, at=predicting(episodes)), temperature)  # [M,V]
    chosen = distribution.gather(1, episodes.responses[row, column][:, None]).squeeze(1)  # [M]
    entropy = -(distribution.detach().exp() * distribution.detach()).sum(dim=1)  # [M]
    empty = torch.zeros(episodes.responses.shape, device=chosen.device)  # [B,N]
    return empty.index_put((row, column), chosen), empty.index_put((row, column), entropy)


def response_values(model: ValueModel, episodes: Episodes) -> Tensor:
    """V of the state before each response token, [B,N]: read where that token is predicted. 0 in padded places."""
    values = model(episodes.ids, at=predicting(episodes))  # [M]
    empty = torch.zeros(episodes.responses.shape, device=values.device)  # [B,N]
    return empty.masked_scatter(episodes.mask, values)


@torch.inference_mode()
def in_parts(measure: Callable[[Episodes], Tensor], episodes: Episodes, size: int) -> Tensor:
    """measure(part) [b,N of the part] of `size` episodes at a time, put together to [B,N], 0 in padded places."""
    with torch.inference_mode(False):  # an ordinary tensor, which autograd may use later
        measured = torch.zeros_like(episodes.logprobs)  # [B,N]
    for rows, mine in share_of_calls(by_length(episodes, size)):
        part = episodes.select(rows)
        numbers = measure(part)  # [b,n]
        if mine:
            measured[rows, : part.responses.shape[1]] = numbers
    return add_up(measured)


def reference_logprobs(reference: GPT, episodes: Episodes, temperature: float, size: int) -> Tensor:
    """log π_ref of the response tokens [B,N] in nats, without gradients, 0 in padded places."""
    return in_parts(lambda part: response_logprobs(reference, part, temperature)[0], episodes, size)


def score_rollout(
    episodes: Episodes,
    scores: Tensor,
    reference: GPT,
    value_model: ValueModel,
    *,
    temperature: float,
    micro_batch_size: int,
) -> Rollout:
    """What the frozen reference and the value model say about the episodes; `scores` [B] are the reward's."""
    ref_logprobs = reference_logprobs(reference, episodes, temperature, micro_batch_size)  # [B,N]
    values = in_parts(lambda part: response_values(value_model, part), episodes, micro_batch_size)  # [B,N]
    return Rollout(episodes, ref_logprobs, values, scores)


# ---- Rewards -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def score_with_model(model: RewardModel, episodes: Episodes, micro_batch_size: int) -> Tensor:
    """Scores [B] of a reward model, on the very ids that were sampled: text would have to be tokenized again."""
    model.eval()  # no dropout: an answer has one score (R8)
    with torch.inference_mode(False):
        scores = torch.zeros(len(episodes.lengths), device=episodes.ids.device)  # [B]
    for rows, mine in share_of_calls(by_length(episodes, micro_batch_size)):
        part = episodes.select(rows)
        numbers = model(part.ids, part.total_lengths)  # [b]
        if mine:
            scores[rows] = numbers
    return add_up(scores)


def score_episodes(
    reward_fn: RewardModel | RewardFunction,
    episodes: Episodes,
    prompts: Sequence[str],
    tokenizer: Tokenizer,
    micro_batch_size: int,
) -> Tensor:
    """Scores [B] of a reward model or of any Python function; `prompts` are the texts of the whole prompt set."""
    if isinstance(reward_fn, RewardModel):
        return score_with_model(reward_fn, episodes, micro_batch_size)
    return score_with_function(reward_fn, episodes, prompts, tokenizer)


def prompt_text(turns: Sequence[Turn]) -> str:
    """What a reward function sees of a prompt: the text of its turns, one a line."""
    return "\n".join(turn.text for turn in turns)


def score_with_function(
    reward_fn: RewardFunction, episodes: Episodes, prompts: Sequence[str], tokenizer: Tokenizer
) -> Tensor:
    """Scores [B] of any Python function. Raises UserError unless it returns one finite number for each response."""
    asked = [prompts[index] for index in episodes.prompts.tolist()]
    scores = [float(score) for score in reward_fn(asked, episodes.texts(tokenizer))]
    if len(scores) != len(asked):
        raise UserError(
            f"the reward function returned {len(scores)} scores for {len(asked)} responses; one each is needed"
        )
    for score, response in zip(scores, episodes.texts(tokenizer), strict=True):
        if not math.isfinite(score):
            raise UserError(
                f"the reward function returned {score} for the response {response!r}; scores must be finite"
            )
    return torch.tensor(scores, device=episodes.ids.device)  # [B]
