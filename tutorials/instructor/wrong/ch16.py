"""Wrong solutions of chapter 16 (16.1, 16.2), and right ones that look unlike ours."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong


def kept(logprobs: Tensor, mask: Tensor) -> Tensor:
    """[B,N] with 0 in the padding."""
    return torch.where(mask, logprobs, 0.0)


# ---- 16.1 ----------------------------------------------------------------------------------------------------------


def no_minus(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return ((scores - baseline) * kept(logprobs, mask).sum(1)).mean()


def baseline_forgotten(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return -(scores * kept(logprobs, mask).sum(1)).mean()


def baseline_added(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return -((scores + baseline) * kept(logprobs, mask).sum(1)).mean()


def mean_of_tokens(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return -((scores - baseline) * kept(logprobs, mask).sum(1) / mask.sum(1)).mean()


def last_token_only(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    last = logprobs[torch.arange(len(scores)), mask.sum(1) - 1]
    return -((scores - baseline) * last).mean()


def divided_by_tokens(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """A mean over all tokens: answers of several tokens are pushed too little."""
    return -((scores - baseline)[:, None] * kept(logprobs, mask)).sum() / mask.sum()


def divided_by_everything(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return -((scores - baseline)[:, None] * kept(logprobs, mask)).mean()


def added_up(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return -((scores - baseline)[:, None] * kept(logprobs, mask)).sum()


def without_mask(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return -((scores - baseline)[:, None] * logprobs).sum() / len(scores)


def times_mask(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """0 · NaN is NaN."""
    return -((scores - baseline) * (logprobs * mask).sum(1)).mean()


def nan_to_num(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """Cleans up NaN and −inf, and counts a large number in the padding."""
    clean = logprobs.nan_to_num(0.0, 0.0, 0.0)
    return -((scores - baseline)[:, None] * clean).sum() / len(scores)


def broadcast_wrong(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """scores [B] against logprobs [B,N]: an error unless B = N, or scores of other answers."""
    return -((scores - baseline) * kept(logprobs, mask)).sum() / len(scores)


def every_score_with_every_answer(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """[B,1] against [B]: every answer is pushed by everybody's scores."""
    return -((scores - baseline)[:, None] * kept(logprobs, mask).sum(1)).mean()


def probabilities(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """π in place of log π."""
    return -((scores - baseline) * kept(logprobs, mask).sum(1).exp()).mean()


def detached(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    return no_minus(logprobs.detach(), scores, baseline, mask) * -1


def short_answers_only(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """Right when small: a context of 32 tokens."""
    return -((scores - baseline) * kept(logprobs, mask)[:, :32].sum(1)).mean()


def few_answers_only(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """Right when small: room for 64 answers."""
    return -((scores - baseline) * kept(logprobs, mask).sum(1))[:64].mean()


TOKENS, ANSWERS, PAD = "tokens_of_an_answer_add_up", "answers_are_averaged", "padding_changes_nothing"
HAND = "one_token_by_hand"

REINFORCE = (
    Wrong("16.1", "no minus", HAND, no_minus, says="the sign"),
    Wrong("16.1", "no baseline", HAND, baseline_forgotten, says="the baseline is missing"),
    Wrong("16.1", "baseline added", HAND, baseline_added, says="is subtracted"),
    Wrong("16.1", "probabilities", HAND, probabilities),
    Wrong("16.1", "mean of the tokens", TOKENS, mean_of_tokens, says="averaged"),
    Wrong("16.1", "last token only", TOKENS, last_token_only, says="only the last token"),
    Wrong("16.1", "divided by tokens", TOKENS, divided_by_tokens, says="averaged"),
    Wrong("16.1", "divided by everything", TOKENS, divided_by_everything),
    Wrong("16.1", "added up", ANSWERS, added_up, says="divide by their number"),
    Wrong("16.1", "without mask", ANSWERS, without_mask, says="the mask is not used"),
    Wrong("16.1", "times mask", PAD, times_mask, says="0 times NaN"),
    Wrong("16.1", "nan to num", ANSWERS, nan_to_num, says="the mask is not used"),
    Wrong("16.1", "broadcast wrong", "the_loss_is_a_scalar", broadcast_wrong, says="need an axis for the tokens"),
    Wrong("16.1", "everybody's scores", ANSWERS, every_score_with_every_answer, says="[B,B]"),
    Wrong("16.1", "detached", "the_push_on_each_token", detached, says="detached"),
    Wrong("16.1", "32 tokens", "many_answers", short_answers_only, says="few short answers only"),
    Wrong("16.1", "64 answers", "many_answers", few_answers_only, says="few short answers only"),
    Wrong(
        "16.1",
        "imports the reference",
        "can_be_checked",
        says="write that yourself",
        edits=(
            ("import torch\n", "import torch\n\nfrom rlhf.stage3_ppo.losses import masked_sum\n"),
            ("    padding = ~mask  # [B,N]\n", "    masked_sum(logprobs, mask)\n    padding = ~mask  # [B,N]\n"),
        ),
    ),
)


# ---- 16.2 ----------------------------------------------------------------------------------------------------------


def same_prompt(group: Tensor) -> Tensor:
    """[B,B] floats."""
    return (group[:, None] == group[None]).float()


def mean_of_all_of_the_group(scores: Tensor, group: Tensor) -> Tensor:
    same = same_prompt(group)
    return scores - same @ scores / same.sum(1)


def mean_of_the_batch(scores: Tensor, group: Tensor) -> Tensor:
    """Everybody else in the batch, whatever they were asked."""
    return scores - (scores.sum() - scores) / (len(scores) - 1)


def sum_of_others(scores: Tensor, group: Tensor) -> Tensor:
    return scores - (same_prompt(group) @ scores - scores)


def divided_by_k(scores: Tensor, group: Tensor) -> Tensor:
    same = same_prompt(group)
    return scores - (same @ scores - scores) / same.sum(1)


def nan_when_alone(scores: Tensor, group: Tensor) -> Tensor:
    same = same_prompt(group)
    return scores - (same @ scores - scores) / (same.sum(1) - 1)


def whole_score_when_alone(scores: Tensor, group: Tensor) -> Tensor:
    same = same_prompt(group)
    return scores - (same @ scores - scores) / (same.sum(1) - 1).clamp(min=1)


def sign(scores: Tensor, group: Tensor) -> Tensor:
    same = same_prompt(group)
    others = (same.sum(1) - 1).clamp(min=1)
    return ((same @ scores - scores) / others - scores) * (same.sum(1) > 1)


def scaled(scores: Tensor, group: Tensor) -> Tensor:
    """GRPO's division by the standard deviation."""
    advantages = -sign(scores, group)
    return advantages / (scores.std() + 1e-4)


def groups_side_by_side(scores: Tensor, group: Tensor) -> Tensor:
    """Cuts the batch by the sizes of the groups, as if their answers stood side by side."""
    result, start = torch.zeros_like(scores), 0
    for prompt in group.unique():
        end = start + int((group == prompt).sum())
        part = scores[start:end]
        if end - start > 1:
            result[start:end] = part - (part.sum() - part) / (len(part) - 1)
        start = end
    return result


def equal_groups(scores: Tensor, group: Tensor) -> Tensor:
    """As the package does it: a view of groups of one size."""
    rows = scores.view(int(group.max()) + 1, -1)
    return (rows - (rows.sum(1, keepdim=True) - rows) / (rows.shape[1] - 1)).flatten()


def eight_at_most(scores: Tensor, group: Tensor) -> Tensor:
    """Right when small: only the first eight answers to a prompt are compared."""
    result = torch.zeros_like(scores)
    for prompt in group.unique():
        rows = (group == prompt).nonzero()[:, 0]
        part = scores[rows][:8]
        if len(rows) > 1:
            mine = scores[rows]
            inside = torch.arange(len(rows)) < 8
            result[rows] = mine - (part.sum() - mine * inside) / (len(part) - inside.float()).clamp(min=1)
    return result


def thirty_two_prompts(scores: Tensor, group: Tensor) -> Tensor:
    """Right when small: room for 32 prompts, later ones share a place."""
    return whole_or_zero(scores, group % 32)


def whole_or_zero(scores: Tensor, group: Tensor) -> Tensor:
    """Right."""
    return -sign(scores, group)


TWO, THREE, OTHER = "two_answers_by_hand", "three_answers_by_hand", "only_the_same_prompt"
ALONE, ANY = "alone_means_zero", "groups_of_any_size"

LEAVE_ONE_OUT = (
    Wrong("16.2", "mean of the group", TWO, mean_of_all_of_the_group, says="includes the answer itself"),
    Wrong("16.2", "mean of the batch", OTHER, mean_of_the_batch, says="different prompts"),
    Wrong("16.2", "sum of the others", THREE, sum_of_others, says="not their mean"),
    Wrong("16.2", "divided by K", TWO, divided_by_k),
    Wrong("16.2", "NaN when alone", ALONE, nan_when_alone, says="0 divided by 0"),
    Wrong("16.2", "whole score when alone", ALONE, whole_score_when_alone, says="keeps its whole score"),
    Wrong("16.2", "sign", TWO, sign, says="the sign"),
    Wrong("16.2", "scaled", TWO, scaled),
    Wrong("16.2", "side by side", OTHER, groups_side_by_side),
    Wrong("16.2", "groups of one size", "one_advantage_an_answer", equal_groups, says="any size"),
    Wrong("16.2", "eight at most", ANY, eight_at_most, says="equally many"),
    Wrong("16.2", "32 prompts", ANY, thirty_two_prompts, says="prompts may be many"),
)

WRONG = (*REINFORCE, *LEAVE_ONE_OUT)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def through_where(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """Token by token, as the chapter writes it."""
    weighted = (scores - baseline)[:, None] * torch.where(mask, logprobs, 0.0)
    return -weighted.sum() / logprobs.shape[0]


def one_by_one(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    rows = zip(logprobs, scores, mask, strict=True)
    return torch.stack([(baseline - score.detach()) * row[real].sum() for row, score, real in rows]).mean()


def in_a_loop(scores: Tensor, group: Tensor) -> Tensor:
    result = torch.zeros_like(scores)
    for prompt in group.unique():
        mine = group == prompt
        k = int(mine.sum())
        if k > 1:
            result[mine] = (scores[mine] - scores[mine].mean()) * k / (k - 1)
    return result


ALSO_RIGHT = (("16.1", through_where), ("16.1", one_by_one), ("16.2", in_a_loop), ("16.2", whole_or_zero))
