"""Writing: sample the next token, append it, repeat; for many prompts at once.

What makes it fast: a cache of keys and values; all rows in one batch; a prompt read once and answered K times; rows
that have stopped leave the computation; the vocabulary is scored at one position of each row.

What makes it right: a row's position is its own count of tokens, not a column of the batch; the log-probabilities are
those of the distribution that was sampled, after temperature and truncation; and row b draws from its own row of a
table of random numbers, so what one row writes does not depend on when another row stops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from minigpt.attention import KVCache
from minigpt.model import GPT
from minigpt.runs.errors import DivergedError, UserError
from minigpt.scale.decoding import Decoder, GraphDecoder, decoder_for
from minigpt.scale.distributed import add_up, gathered, share_of_rows, world_size


@dataclass(frozen=True)
class Generation:
    """Responses, one a row, without their prompts. N is the length of the longest.

    tokens    [B,N] int64; `pad_id` after the end. Use `lengths` to find the end: a prompt may hold pads of its own.
    lengths   [B] int64; the stop token, if there is one, is counted.
    ended     [B] bool; True when a stop token was written, False when the row was cut at max_new_tokens or the context.
    logprobs  [B,N] float32 nats, 0 after the end; None unless asked for. All 0 at temperature 0: the choice is sure.
    """

    tokens: Tensor
    lengths: Tensor
    ended: Tensor
    logprobs: Tensor | None


def restrict_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest logits [...,V], the others become -inf (Fan et al. 2018). Exactly k, ties or not."""
    best = logits.topk(min(k, logits.shape[-1]), dim=-1).indices  # [...,k]
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, best, True)  # [...,V]
    return logits.masked_fill(~kept, -torch.inf)  # [...,V]


def restrict_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of tokens [...,V] whose probability reaches p ("nucleus", Holtzman et al. 2020).

    The most probable token always stays, however small p is.
    """
    order = logits.argsort(dim=-1, descending=True, stable=True)  # [...,V]
    probabilities = logits.gather(-1, order).softmax(dim=-1)  # [...,V], falling
    before = probabilities.cumsum(dim=-1) - probabilities  # [...,V], what the better tokens have together
    kept_in_order = before < p  # [...,V]
    kept_in_order[..., 0] = True
    kept = torch.zeros_like(kept_in_order).scatter(-1, order, kept_in_order)  # [...,V]
    return logits.masked_fill(~kept, -torch.inf)  # [...,V]


def sampling_logprobs(logits: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """The distribution that `generate` samples from: logits [...,V] -> log-probabilities [...,V], float32.

    First the temperature, then top-k (0: off), then top-p (1: off), then renormalise. Temperature 0 puts all
    probability on the largest logit, the limit of small temperatures.

    Whoever compares log-probabilities with those of a `Generation` has to compute them with the same three numbers.
    A PPO ratio that does not start at 1 is most often this.
    """
    logits = logits.float()  # [...,V]
    if temperature == 0:
        return restrict_top_k(logits, 1).log_softmax(dim=-1)  # [...,V]
    logits = logits / temperature
    if top_k > 0:
        logits = restrict_top_k(logits, top_k)
    if top_p < 1:
        logits = restrict_top_p(logits, top_p)
    return logits.log_softmax(dim=-1)  # [...,V]


def choose(logprobs: Tensor, uniforms: Tensor) -> Tensor:
    """Turn uniform numbers in [0, 1) into tokens: logprobs [B,V], uniforms [B] -> ids [B].

    Lay the probabilities end to end on a line of length 1; the token is the one that the number falls on. The line's
    true length is 1 up to rounding, so the number is scaled to it. A token of probability 0 has no piece of the line,
    and `right=True` keeps a number on a border out of it.
    """
    ends = logprobs.exp().cumsum(dim=-1)  # [B,V]
    where = uniforms[:, None] * ends[:, -1:]  # [B,1]; below the last end even in float32, as uniforms ≤ 1 - 2⁻²⁴
    return torch.searchsorted(ends, where, right=True).squeeze(1)  # [B]


def generate(
    model: GPT,
    prompts: list[list[int]],
    *,
    max_new_tokens: int,
    stop_tokens: Sequence[int],
    pad_id: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    uniforms: Tensor | None = None,
    samples_per_prompt: int = 1,
    want_logprobs: bool = False,
) -> Generation:
    """Continue each prompt `samples_per_prompt` (K) times: the first K rows answer prompt 0, the next K prompt 1, ….

    A row ends with the first stop token *it writes*; stop tokens in the prompt are ordinary tokens. It is cut at
    `max_new_tokens`, or where prompt and response fill the context. `generator` is needed unless temperature is 0; it
    gives B · max_new_tokens numbers, whatever is written; `uniforms` [B,max_new_tokens] are such numbers, drawn before.
    Dropout is off while writing.

    Raises UserError for an empty prompt, one that leaves no room to answer, and settings that mean nothing;
    DivergedError for a model that has no finite logits.
    """
    check_settings(max_new_tokens, temperature, top_k, top_p, samples_per_prompt)
    check_prompts(prompts, model.config.context)
    rows = len(prompts) * samples_per_prompt
    if temperature == 0:
        uniforms = torch.zeros(rows, max_new_tokens)  # [B,N]; one token has all the probability, any number finds it
    elif uniforms is None and generator is not None:
        uniforms = torch.rand(rows, max_new_tokens, generator=generator, device=generator.device)  # [B,N]
    elif uniforms is None:
        raise ValueError("sampling needs a generator: pass torch.Generator().manual_seed(...), or temperature=0")

    distribution = partial(sampling_logprobs, temperature=temperature, top_k=top_k, top_p=top_p)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits, cache = read_prompts(model, prompts, max_new_tokens, samples_per_prompt)
            stops = torch.tensor(list(stop_tokens), dtype=torch.long, device=logits.device)
            room = model.config.context - cache.lengths  # [B]
            decoder = decoder_for(model, cache)
            written = write_responses(decoder, logits, room, uniforms.to(logits.device), stops, pad_id, distribution)
    finally:
        model.train(was_training)
    # a tensor born in inference mode may not take part in a backward pass; its clone may
    tokens, lengths, ended, logprobs = (tensor.clone() for tensor in written)
    longest = int(lengths.max())
    return Generation(tokens[:, :longest], lengths, ended, logprobs[:, :longest] if want_logprobs else None)


def generate_together(
    model: GPT,
    prompts: list[list[int]],
    *,
    max_new_tokens: int,
    pad_id: int,
    generator: torch.Generator,
    samples_per_prompt: int = 1,
    **settings: Any,
) -> Generation:
    """generate(), with the prompts divided among the processes of a run; every process gets all responses.

    Each draws the numbers of all rows and uses those of its own, so the responses are those of one process.
    """
    if world_size() == 1:
        return generate(
            model,
            prompts,
            max_new_tokens=max_new_tokens,
            pad_id=pad_id,
            generator=generator,
            samples_per_prompt=samples_per_prompt,
            **settings,
        )
    total = len(prompts) * samples_per_prompt
    uniforms = torch.rand(total, max_new_tokens, generator=generator, device=generator.device)  # [B,N]
    device = model.token_embedding.weight.device
    tokens = torch.zeros(total, max_new_tokens, dtype=torch.int64, device=device)  # [B,N]
    logprobs = torch.zeros(total, max_new_tokens, device=device)  # [B,N]
    lengths, ended = torch.zeros(2, total, dtype=torch.int64, device=device)  # [B] each
    asked = share_of_rows(len(prompts))
    rows = slice(asked.start * samples_per_prompt, asked.stop * samples_per_prompt)
    with gathered(model):
        if prompts[asked]:
            part = generate(
                model,
                prompts[asked],
                max_new_tokens=max_new_tokens,
                pad_id=pad_id,
                uniforms=uniforms[rows],
                samples_per_prompt=samples_per_prompt,
                **(settings | {"want_logprobs": True}),
            )
            width = part.tokens.shape[1]
            tokens[rows], lengths[rows], ended[rows] = pad_id, part.lengths, part.ended.long()
            tokens[rows, :width], logprobs[rows, :width] = part.tokens, part.logprobs
    for whole in (tokens, logprobs, lengths, ended):
        add_up(whole)  # every other process has zeros where this one has its rows
    longest = int(lengths.max())
    wanted = logprobs[:, :longest] if settings.get("want_logprobs") else None
    return Generation(tokens[:, :longest], lengths, ended.bool(), wanted)


def read_prompts(model: GPT, prompts: list[list[int]], max_new_tokens: int, copies: int) -> tuple[Tensor, KVCache]:
    """Read all prompts in one forward pass -> logits of each row's first new token [B,V], and the cache for B rows."""
    device = model.token_embedding.weight.device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)  # [B/K]
    # any id does for the padding: it is on the right, so no token looks at it
    ids = pad_sequence([torch.tensor(prompt) for prompt in prompts], batch_first=True).to(device)  # [B/K,T]
    prompt_tokens = ids.shape[1]
    cache = model.new_cache(len(prompts), min(model.config.context, prompt_tokens + max_new_tokens))
    real = torch.arange(prompt_tokens, device=device) < lengths[:, None]  # [B/K,T]
    last = (torch.arange(len(prompts), device=device), lengths - 1)  # [B/K] each
    logits = model.logits(model.hidden(ids, mask=real, cache=cache, read=last))  # [B/K,V]
    cache.expand(copies)
    return logits.repeat_interleave(copies, dim=0), cache  # [B,V]


def write_responses(
    decoder: Decoder | GraphDecoder,
    logits: Tensor,
    room: Tensor,
    uniforms: Tensor,
    stops: Tensor,
    pad_id: int,
    distribution: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loop: logits [B,V], room [B], uniforms [B,N] -> tokens [B,N], lengths [B], ended [B], logprobs [B,N].

    `room` is how many tokens still fit into the context of each row.
    The R rows of the computation are a shrinking selection of the B rows of the result; `rows` [R] says which.
    """
    B, N = uniforms.shape
    tokens = torch.full((B, N), pad_id, device=logits.device)  # [B,N]
    logprobs = torch.zeros(B, N, device=logits.device)  # [B,N]
    lengths = torch.zeros(B, dtype=torch.long, device=logits.device)  # [B]
    ended = torch.zeros(B, dtype=torch.bool, device=logits.device)  # [B]
    room = room.clamp(max=N)  # [B], how many tokens each row may write
    rows = torch.arange(B, device=logits.device)  # [R]
    live = torch.ones(B, dtype=torch.bool, device=logits.device)  # [R]
    for step in range(N):
        if not logits.sum().isfinite():  # a single one that is not makes the sum so
            raise DivergedError("the model's logits are not finite numbers, so that no token can be chosen")
        sampled = distribution(logits)  # [R,V]
        chosen = choose(sampled, uniforms[rows, step])  # [R]
        writing = rows[live]  # rows that have stopped but are still in the computation write nothing
        tokens[writing, step] = chosen[live]
        logprobs[writing, step] = sampled.gather(1, chosen[:, None])[live, 0]
        lengths[writing] = step + 1
        stopped = torch.isin(chosen, stops)  # [R]
        ended[writing] = stopped[live]
        live = live & ~stopped & (step + 1 < room[rows])  # [R]
        remaining = int(live.sum())
        if remaining == 0:
            break
        if decoder.should_shrink(len(rows), remaining):
            kept = compaction(live, remaining)  # [R], R is smaller from here on
            decoder.keep(kept)
            rows, chosen, live = rows[kept], chosen[kept], live[kept]
        logits = decoder.step(chosen, live)  # [R,V]
    return tokens, lengths, ended, logprobs


def compaction(live: Tensor, count: int) -> Tensor:
    """The `count` rows that are live [R], in the order that moves fewest of them: who stands among the first `count`
    stays there, and the others fill the gaps -> row numbers [count]. Moving a row is copying its part of the cache."""
    rows = torch.arange(count, device=live.device)  # [count]
    rows[~live[:count]] = live[count:].nonzero().squeeze(1) + count
    return rows


def check_settings(max_new_tokens: int, temperature: float, top_k: int, top_p: float, samples_per_prompt: int) -> None:
    """Raises UserError naming the first setting that means nothing."""
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {max_new_tokens}, but must be at least 1")
    if samples_per_prompt < 1:
        raise UserError(f"samples_per_prompt is {samples_per_prompt}, but must be at least 1")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature is {temperature}, but must be 0 (always the most probable token) or positive")
    if top_k < 0:
        raise UserError(f"top_k is {top_k}, but must be 0 (off) or the number of tokens to choose from")
    if not 0 < top_p <= 1:
        raise UserError(f"top_p is {top_p}, but must be above 0 and at most 1 (off)")


def check_prompts(prompts: list[list[int]], context: int) -> None:
    """Raises UserError if there is no prompt, or one is empty or leaves no room for a single new token."""
    if not prompts:
        raise UserError("there is no prompt to continue, give at least one")
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise UserError(f"prompt {number} is empty, give it at least one token")
        if len(prompt) >= context:
            raise UserError(
                f"prompt {number} has {len(prompt)} tokens, but the model's context of {context} has room for "
                f"{context - 1} and one to answer: shorten the prompt"
            )
