"""Wrong solutions of chapter 18 (18.1, 18.2), and right ones that look unlike ours."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 18.1 ----------------------------------------------------------------------------------------------------------


def said(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """log π of the token that follows each column: [B,T]."""
    return (logits / temperature).log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)


def columns(logits: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """True in `count` columns from `first` on: [B,T]."""
    place = torch.arange(logits.shape[1])
    return (place >= first[:, None]) & (place < (first + count)[:, None])


def of_what_was_read(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """The input's token in place of the target's."""
    read = (logits / temperature).log_softmax(-1).gather(2, ids[:, :-1, None]).squeeze(2)
    return torch.where(columns(logits, prompts - 1, lengths), read, 0.0)


def probabilities(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    return torch.where(columns(logits, prompts - 1, lengths), said(logits, ids, temperature).exp(), 0.0)


def bare_logits(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    picked = (logits / temperature).gather(2, ids[:, 1:, None]).squeeze(2)
    return torch.where(columns(logits, prompts - 1, lengths), picked, 0.0)


def one_too_late(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    one = torch.minimum(prompts, torch.tensor(logits.shape[1] - 1))  # so that a single column is still read
    return torch.where(columns(logits, one, lengths), said(logits, ids, temperature), 0.0)


def late_out_of_the_row(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """The same without that care: of a single column nothing is left."""
    return torch.where(columns(logits, prompts, lengths), said(logits, ids, temperature), 0.0)


def without_the_end(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    count = torch.where(lengths > 1, lengths - 1, lengths)
    return torch.where(columns(logits, prompts - 1, count), said(logits, ids, temperature), 0.0)


def with_the_prompt(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    return torch.where(columns(logits, prompts * 0, prompts - 1 + lengths), said(logits, ids, temperature), 0.0)


def everything(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    return said(logits, ids, temperature)


def no_temperature(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    return torch.where(columns(logits, prompts - 1, lengths), said(logits, ids), 0.0)


def divided_after(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    return torch.where(columns(logits, prompts - 1, lengths), said(logits, ids) / temperature, 0.0)


def by_the_pad_token(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """What is token 0 is taken for padding."""
    mine = (torch.arange(logits.shape[1]) >= prompts[:, None] - 1) & (ids[:, 1:] != 0)
    return torch.where(mine, said(logits, ids, temperature), 0.0)


def times_the_mask(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """0 · NaN."""
    return columns(logits, prompts - 1, lengths) * said(logits, ids, temperature)


def detached(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    return torch.where(columns(logits, prompts - 1, lengths), said(logits.detach(), ids, temperature), 0.0)


def thirty_two_columns(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """Right when small: what lies beyond column 32 is 0."""
    mask = columns(logits, prompts - 1, lengths)
    mask[:, 32:] = False
    return torch.where(mask, said(logits, ids, temperature), 0.0)


def sixty_four_rows(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """Right when small."""
    mask = columns(logits, prompts - 1, lengths)
    mask[64:] = False
    return torch.where(mask, said(logits, ids, temperature), 0.0)


def hundred_tokens(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """Right when small: the softmax runs over the first 128 tokens of the vocabulary."""
    few = logits[..., :128]
    picked = (few / temperature).log_softmax(-1).gather(2, ids[:, 1:, None].clamp(max=127)).squeeze(2)
    return torch.where(columns(logits, prompts - 1, lengths), picked, 0.0)


ONE, ANSWER, HOT = "one_token_after_one_token", "the_answer_and_nothing_else", "the_temperature_of_the_sampling"

LOGPROBS = (
    Wrong("18.1", "of what was read", ONE, of_what_was_read, says="READ"),
    Wrong("18.1", "probabilities", ONE, probabilities, says="take its logarithm"),
    Wrong("18.1", "bare logits", ONE, bare_logits, says="that is a logit"),
    Wrong("18.1", "one too late", ANSWER, one_too_late, says="one column too late"),
    Wrong("18.1", "late, out of the row", ONE, late_out_of_the_row, says="one column too late"),
    Wrong("18.1", "without the end", ANSWER, without_the_end, says="the end token belongs to it"),
    Wrong("18.1", "with the prompt", ANSWER, with_the_prompt, says="the prompt is counted"),
    Wrong("18.1", "everything", ANSWER, everything, says="nothing is left out"),
    Wrong("18.1", "no temperature", HOT, no_temperature, says="not used"),
    Wrong("18.1", "divided after", HOT, divided_after, says="divide the logits"),
    Wrong("18.1", "by the pad token", "the_pad_token_may_be_said", by_the_pad_token, says="lengths say"),
    Wrong("18.1", "times the mask", "garbage_in_other_columns", times_the_mask, says="do not multiply"),
    Wrong("18.1", "detached", "logprob_gradients_flow", detached),
    Wrong("18.1", "32 columns", "a_whole_batch", thirty_two_columns, says="the small cases are right"),
    Wrong("18.1", "64 rows", "a_whole_batch", sixty_four_rows, says="the small cases are right"),
    Wrong("18.1", "128 kinds of token", "a_whole_batch", hundred_tokens, says="the small cases are right"),
    Wrong(
        "18.1",
        "calls the package",
        "can_be_checked",
        says="write that yourself",
        edits=(("import torch\n", "import torch\n\nfrom minigpt.model import token_logprobs\n"),),
    ),
)


# ---- 18.2 ----------------------------------------------------------------------------------------------------------


def spread(scores: Tensor) -> Tensor:
    return scores.var(unbiased=False)


def forgets(memory: Tensor, scores: Tensor) -> Tensor:
    count = memory[0] + len(scores)
    return torch.stack([count, scores.mean(), spread(scores)])


def deviation(memory: Tensor, scores: Tensor) -> Tensor:
    """The standard deviation is remembered."""
    count, mean, variance = right(torch.stack([memory[0], memory[1], memory[2] ** 2]), scores)
    return torch.stack([count, mean, variance.sqrt()])


def one_less(memory: Tensor, scores: Tensor) -> Tensor:
    count, mean, variance = right(memory, scores)
    return torch.stack([count, mean, variance * count / (count - 1)])


def variances_averaged(memory: Tensor, scores: Tensor) -> Tensor:
    count, mean, _ = right(memory, scores)
    return torch.stack([count, mean, (memory[0] * memory[2] + len(scores) * spread(scores)) / count])


def batches_alike(memory: Tensor, scores: Tensor) -> Tensor:
    """The old and the new count the same, however many they are."""
    if memory[0] == 0:
        return right(memory, scores)
    gap = scores.mean() - memory[1]
    mean, variance = memory[1] + gap / 2, (memory[2] + spread(scores)) / 2 + gap**2 / 4
    return torch.stack([memory[0] + len(scores), mean, variance])


def mean_of_squares(memory: Tensor, scores: Tensor) -> Tensor:
    """E[x²] − E[x]², in float32."""
    old, new = memory[0], len(scores)
    total = old + new
    squares = (old * (memory[2] + memory[1] ** 2) + scores.square().sum()) / total
    mean = (old * memory[1] + scores.sum()) / total
    return torch.stack([total, mean, squares - mean**2])


def hundred_scores(memory: Tensor, scores: Tensor) -> Tensor:
    """Right when small: the memory counts to a hundred."""
    _, mean, variance = right(torch.cat([memory[:1].clamp(max=100), memory[1:]]), scores)
    return torch.stack([memory[0] + len(scores), mean, variance])


def right(memory: Tensor, scores: Tensor) -> Tensor:
    """Right: one score at a time (Welford)."""
    count, mean, variance = memory
    squares = count * variance
    for score in scores:
        count = count + 1
        before = score - mean
        mean = mean + before / count
        squares = squares + before * (score - mean)
    return torch.stack([count, mean, squares / count])


FIRST, DIFFER = "the_first_scores", "the_means_differ"

MEMORY = (
    Wrong("18.2", "forgets", DIFFER, forgets, says="forgotten"),
    Wrong("18.2", "standard deviation", FIRST, deviation, says="remember the variance"),
    Wrong("18.2", "count − 1", FIRST, one_less, says="divided by the count"),
    Wrong("18.2", "variances averaged", DIFFER, variances_averaged, says="the distance between the means"),
    Wrong("18.2", "batches alike", "many_before_and_few_now", batches_alike, says="count the same"),
    Wrong("18.2", "mean of squares", "far_from_zero", mean_of_squares, says="seven digits"),
    Wrong("18.2", "a hundred scores", "batch_after_batch", hundred_scores, says="the small cases are right"),
)

WRONG = (*LOGPROBS, *MEMORY)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def row_by_row(logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, temperature: float) -> Tensor:
    """One row at a time, with slices."""
    rows = torch.zeros(logits.shape[:2], dtype=logits.dtype)
    for b, (prompt, length) in enumerate(zip(prompts.tolist(), lengths.tolist(), strict=True)):
        where = slice(prompt - 1, prompt - 1 + length)
        scores = logits[b, where] / temperature
        picked = scores.gather(1, ids[b, prompt : prompt + length, None]).squeeze(1)
        rows[b, where] = picked - scores.logsumexp(dim=1)
    return rows


ALSO_RIGHT = (("18.1", row_by_row), ("18.2", right))
