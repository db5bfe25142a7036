"""Text generation: sample the next token, append it, repeat; for many prompts at once.

What makes it fast: a cache of keys and values; all rows in one batch; prompts read with others of like length, once for
K answers; rows that have ended are dropped from the batch; logits are computed at one position of each row.

What makes it correct: a row's position is its own count of tokens, not a column of the batch; the log-probabilities are
those of the distribution that was sampled, after temperature and truncation; and row b draws from its own row of a
table of random numbers, so its response does not depend on when another row ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from minigpt.cache import KVCache
from minigpt.flat import GROUPS, LEAST_SAVING
from minigpt.model import GPT
from minigpt.runs.errors import DivergedError, UserError

SMALLEST_GROUP = 16  # prompts: reading few costs almost as much time as reading many


@dataclass(frozen=True)
class Generation:
    """The responses of `generate`, one a row, without their prompts. N is the length of the longest.

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
    """Logits [...,V] with all but the k largest set to -inf (Fan et al. 2018). Exactly k, ties or not."""
    best = logits.topk(min(k, logits.shape[-1]), dim=-1).indices  # [...,k]
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, best, True)  # [...,V]
    return logits.masked_fill(~kept, -torch.inf)  # [...,V]


def restrict_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits [...,V] of the smallest set of tokens whose probability reaches p, the others -inf (Holtzman et al. 2020).

    The most probable token always stays, however small p is.
    """
    order = logits.argsort(dim=-1, descending=True, stable=True)  # [...,V]
    probabilities = logits.gather(-1, order).softmax(dim=-1)  # [...,V], falling
    before = probabilities.cumsum(dim=-1) - probabilities  # [...,V], the sum over more probable tokens
    kept_in_order = before < p  # [...,V]
    kept_in_order[..., 0] = True
    kept = torch.zeros_like(kept_in_order).scatter(-1, order, kept_in_order)  # [...,V]
    return logits.masked_fill(~kept, -torch.inf)  # [...,V]


def sampling_logprobs(logits: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Log-probabilities [...,V] float32 of the distribution that `generate` samples from; logits [...,V].

    First the temperature, then top-k (0: off), then top-p (1: off), then renormalise. Temperature 0 puts all
    probability on the largest logit, the limit of small temperatures.

    Log-probabilities that are compared with those of a `Generation` must be computed with the same three numbers. If
    they are not, the ratio of PPO does not start at 1.
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


def inverse_cdf_sample(logprobs: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens sampled by the inverse of the cumulative distribution: logprobs [B,V], uniforms [B] in [0, 1) -> ids [B].

    The token is the first whose cumulative probability exceeds the uniform number. Cumulative sums end at 1 only up to
    rounding, so the number is scaled by the last of them. A token of probability 0 adds nothing to the sum, and
    `right=True` excludes it also where the number equals the sum.
    """
    cumulative = logprobs.exp().cumsum(dim=-1)  # [B,V]
    scaled = uniforms[:, None] * cumulative[:, -1:]  # [B,1]; below the last sum in float32 too, as uniforms ≤ 1 - 2⁻²⁴
    return torch.searchsorted(cumulative, scaled, right=True).squeeze(1)  # [B]


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
    """K = samples_per_prompt responses to each prompt: the first K rows answer prompt 0, the next K prompt 1, ….

    A row ends with the first stop token *it writes*; stop tokens in the prompt are ordinary tokens. It is cut at
    `max_new_tokens`, or where prompt and response fill the context. `generator` is needed unless temperature is 0;
    B · max_new_tokens numbers are drawn from it, whatever is written; `uniforms` [B,max_new_tokens] are such numbers,
    drawn before. Dropout is off.

    Raises UserError for an empty prompt, one that leaves no room to answer, and settings out of range; DivergedError
    for a model whose logits are not finite.
    """
    check_settings(max_new_tokens, temperature, top_k, top_p, samples_per_prompt)
    check_prompts(prompts, model.config.context)
    rows = len(prompts) * samples_per_prompt
    if temperature == 0:
        uniforms = torch.zeros(rows, max_new_tokens)  # [B,N]; the most probable token has probability 1
    elif uniforms is None and generator is not None:
        uniforms = torch.rand(rows, max_new_tokens, generator=generator, device=generator.device)  # [B,N]
    elif uniforms is None:
        raise ValueError("sampling needs a generator: pass torch.Generator().manual_seed(...), or temperature=0")

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits, cache = read_prompts(model, prompts, max_new_tokens, samples_per_prompt)
            uniforms = uniforms.to(logits.device)  # [B,N]
            written = write_responses(model, cache, logits, uniforms, stop_tokens, pad_id, temperature, top_k, top_p)
    finally:
        model.train(was_training)
    # a tensor made in inference mode may not take part in a backward pass; its clone may
    tokens, lengths, ended, logprobs = (tensor.clone() for tensor in written)
    longest = int(lengths.max())
    return Generation(tokens[:, :longest], lengths, ended, logprobs[:, :longest] if want_logprobs else None)


def read_prompts(model: GPT, prompts: list[list[int]], max_new_tokens: int, copies: int) -> tuple[Tensor, KVCache]:
    """Logits of each row's first new token [B,V] and the cache for B rows; each prompt is read once for its K rows."""
    device = model.token_embedding.weight.device
    lengths = torch.tensor([len(prompt) for prompt in prompts])  # [B/K]
    slots = min(model.config.context, int(lengths.max()) + max_new_tokens)
    cache = model.new_cache(len(prompts) * copies, slots)
    groups, logits = groups_of_like_length(lengths), []
    for group in groups:  # [R], numbers of R of the prompts
        # any id does for the padding: it is on the right, so no token attends to it
        ids = pad_sequence([torch.tensor(prompts[number]) for number in group.tolist()], batch_first=True)  # [R,T]
        column, length = torch.arange(ids.shape[1]), lengths[group][:, None]  # [T], [R,1]
        read = model.new_cache(*ids.shape)
        layout = read.begin(ids.shape[1], real=(column < length).to(device))
        logits.append(model(ids.to(device), layout, read, at=(column == length - 1).to(device)))  # [R,V]
        for copy in range(copies):
            cache.put((group * copies + copy).to(device), read)
    order = torch.cat(groups).argsort().repeat_interleave(copies)  # [B], where the logits of each row stand
    return torch.cat(logits)[order.to(device)], cache  # [B,V]


def groups_of_like_length(lengths: Tensor) -> tuple[Tensor, ...]:
    """The numbers of the prompts of these lengths [B/K], in groups that are each padded to their longest prompt; one
    group if several would save less than LEAST_SAVING of the places."""
    count = len(lengths)
    groups = lengths.argsort(stable=True).chunk(min(GROUPS, max(1, count // SMALLEST_GROUP)))
    places = sum(len(group) * int(lengths[group].max()) for group in groups)
    return groups if places < (1 - LEAST_SAVING) * count * int(lengths.max()) else (torch.arange(count),)


def write_responses(
    model: GPT,
    cache: KVCache,
    logits: Tensor,
    uniforms: Tensor,
    stop_tokens: Sequence[int],
    pad_id: int,
    temperature: float,
    top_k: int,
    top_p: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The tokens [B,N], lengths [B], ended [B] and logprobs [B,N] that follow the prompts in the cache.

    logits: [B,V], of the first new token. uniforms: [B,N], the random numbers. The R rows of the computation are those
    of the B rows that have not ended, and a few that have; `rows` [R] are their numbers.
    """
    B, N = uniforms.shape
    tokens = torch.full((B, N), pad_id, device=logits.device)  # [B,N]
    logprobs = torch.zeros(B, N, device=logits.device)  # [B,N]
    lengths = torch.zeros(B, dtype=torch.long, device=logits.device)  # [B]
    ended = torch.zeros(B, dtype=torch.bool, device=logits.device)  # [B]
    room = (model.config.context - cache.lengths).clamp(max=N)  # [B], how many tokens each row may write
    stops = torch.tensor(list(stop_tokens), dtype=torch.long, device=logits.device)
    rows = torch.arange(B, device=logits.device)  # [R]
    live = torch.ones(B, dtype=torch.bool, device=logits.device)  # [R]
    for step in range(N):
        if not logits.sum().isfinite():  # one logit that is not finite makes the sum so
            raise DivergedError("the model's logits are not finite numbers, so that no token can be chosen")
        distribution = sampling_logprobs(logits, temperature, top_k, top_p)  # [R,V]
        chosen = inverse_cdf_sample(distribution, uniforms[rows, step])  # [R]
        writing = rows[live]  # rows that have ended but are still in the computation write nothing
        tokens[writing, step] = chosen[live]
        logprobs[writing, step] = distribution.gather(1, chosen[:, None])[live, 0]
        lengths[writing] = step + 1
        stopped = torch.isin(chosen, stops)  # [R]
        ended[writing] = stopped[live]
        live = live & ~stopped & (step + 1 < room[rows])  # [R]
        remaining = int(live.sum())
        if remaining == 0:
            break
        if len(rows) - remaining >= max(1, len(rows) // 16):  # dropping rows copies parts of the cache: not every step
            kept = compaction(live, remaining)  # [R], R is smaller from here on
            cache.keep(kept)
            rows, chosen, live = rows[kept], chosen[kept], live[kept]
        # to a row that has ended nothing is added: it must not run past the end of the cache
        layout = cache.begin(1, real=live[:, None])
        logits = model.logits(model.hidden(chosen[:, None], layout, cache)[:, 0])  # [R,V]
    return tokens, lengths, ended, logprobs


def compaction(live: Tensor, count: int) -> Tensor:
    """The numbers [count] of the rows that are live [R], in the order that moves fewest of them.

    A live row among the first `count` keeps its number; the others fill the gaps. Moving a row copies its part of the
    cache.
    """
    rows = torch.arange(count, device=live.device)  # [count]
    rows[~live[:count]] = live[count:].nonzero().squeeze(1) + count
    return rows


def check_settings(max_new_tokens: int, temperature: float, top_k: int, top_p: float, samples_per_prompt: int) -> None:
    """Raises UserError for the first setting that is out of range."""
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
