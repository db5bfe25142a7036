"""Checks of chapter 16: the loss of REINFORCE (16.1), and the leave-one-out baseline (16.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.judging import CheckError, Draw, expect_close, expect_tensor, expect_unchanged
from tutorials.exercises.specs.ch16 import leave_one_out, reinforce_loss
from tutorials.exercises.subject import Subject

Sampled = tuple[Tensor, Tensor, float, Tensor]  # logprobs [B,N], scores [B], baseline, mask [B,N]


# ---- 16.1 ----------------------------------------------------------------------------------------------------------


def draw_answers(draw: Draw, B: int, N: int) -> Sampled:
    """Answers of different lengths, the first of them full, with numbers in their padding."""
    lengths = torch.tensor([N, *(draw.size(1, N) for _ in range(B - 1))])  # [B]
    mask = torch.arange(N) < lengths[:, None]  # [B,N]
    return -draw.normal(B, N).abs(), draw.normal(B), draw.size(1, 4) / 4, mask


def small_answers(draw: Draw) -> Sampled:
    """A few answers, with as many tokens as there are no answers."""
    B, N = draw.sizes(2, 3, 6)
    return draw_answers(draw, B, N)


def the_loss_is_a_scalar(subject: Subject, draw: Draw) -> None:
    """A tensor without axes, of the type of the log-probabilities."""
    got = subject(*small_answers(draw))
    expect_tensor(got, (), "", torch.float32, "the loss")


def what_was_sampled_stays(subject: Subject, draw: Draw) -> None:
    """logprobs, scores and mask are left as they are."""
    expect_unchanged(subject, *small_answers(draw), names="logprobs scores baseline mask")


def one_token_by_hand(subject: Subject, draw: Draw) -> None:
    """One answer of one token: −(score − baseline) · log π."""
    logprob, score, baseline = -float(draw.size(1, 3)), float(draw.size(4, 6)), float(draw.size(1, 3))
    expected = -(score - baseline) * logprob
    arguments = (torch.tensor([[logprob]]), torch.tensor([score]), baseline, torch.tensor([[True]]))
    expect_close(
        subject(*arguments), torch.tensor(expected),
        f"log π = {logprob:.0f}, score {score:.0f}, baseline {baseline:.0f}: the loss is −({score:.0f} − "
        f"{baseline:.0f}) · ({logprob:.0f})",
        likely="the score minus the baseline, times log π, with a minus before it",
        mistakes={
            "the sign: an optimiser makes the loss small, and it must make the reward large": torch.tensor(-expected),
            "nothing is left: masked_fill replaces where the mask is True, and True is what to keep; or the mean of "
            "the scores was taken in place of `baseline`": torch.tensor(0.0),
            "the baseline is missing": torch.tensor(-score * logprob),
            "the baseline is added; it is subtracted": torch.tensor(-(score + baseline) * logprob),
        },
    )  # fmt: skip


def tokens_of_an_answer_add_up(subject: Subject, draw: Draw) -> None:
    """One answer of several tokens: log π of the answer is the SUM over its tokens."""
    N, score = draw.size(3, 6), float(draw.size(2, 5))
    logprobs = -draw.whole(1, N, low=1, high=4)  # [1,N]
    total = float(logprobs.sum())
    expect_close(
        subject(logprobs, torch.tensor([score]), 1.0, torch.ones(1, N, dtype=torch.bool)),
        torch.tensor(-(score - 1) * total),
        f"one answer of {N} tokens: its probability is their product, so its log is their sum",
        given={"logprobs": logprobs}, likely="every token of the answer counts, and counts once",
        mistakes={
            "the tokens are averaged, so a long answer counts as much as a short one": torch.tensor(
                -(score - 1) * total / N
            ),
            "only the last token is pushed": torch.tensor(-(score - 1) * float(logprobs[0, -1])),
        },
    )  # fmt: skip


def answers_are_averaged(subject: Subject, draw: Draw) -> None:
    """Several answers of different lengths: divide by the number of answers B, not by the number of tokens."""
    B = draw.size(3, 5)
    mask = torch.arange(B) <= torch.arange(B)[:, None]  # [B,N]: lengths 1 … B
    logprobs = torch.full((B, B), -1.0)  # [B,N]
    scores = torch.arange(1.0, B + 1)  # [B]
    total = float((scores - 0.5) @ mask.sum(1).float())
    tokens = int(mask.sum())
    expect_close(
        subject(logprobs, scores, 0.5, mask), torch.tensor(total / B),
        f"{B} answers of 1 to {B} tokens, log π = −1 everywhere: the sum is {total:.1f}, divided by {B} answers",
        given={"scores": scores}, likely="add up all tokens of all answers, then divide by the number of answers",
        mistakes={
            "divided by the number of tokens": torch.tensor(total / tokens),
            "divided by B·N, padding included": torch.tensor(total / B**2),
            "the answers are added up; divide by their number": torch.tensor(total),
            "[B,1] times [B] is [B,B]: every answer is multiplied by every score": (scores - 0.5).mean()
            * mask.sum(1).float().mean(),
            "each answer is averaged over its tokens": torch.tensor(float((scores - 0.5).mean())),
            "the mask is not used": torch.tensor(float((scores - 0.5).sum())),
        },
    )  # fmt: skip


def padding_changes_nothing(subject: Subject, draw: Draw) -> None:
    """Garbage in the padding, even NaN, changes neither the loss nor a gradient."""
    logprobs, scores, baseline, mask = small_answers(draw)
    mask[-1, 1:] = False
    expected = reinforce_loss(logprobs, scores, baseline, mask)
    for name, garbage in (("1000", 1000.0), ("−inf", -torch.inf), ("NaN", torch.nan)):
        dirty = logprobs.masked_fill(~mask, garbage)
        expect_close(
            subject(dirty, scores, baseline, mask), expected,
            f"where the mask is False, logprobs holds {name}, and the loss must be the same",
            likely="the padding is counted, or what it holds is",
            not_finite="0 times NaN is NaN, so multiplying by the mask is not enough: replace what is in the padding",
            mistakes={"the padding is counted": reinforce_loss(dirty, scores, baseline, torch.ones_like(mask))},
        )  # fmt: skip
    got = subject.gradients(logprobs.masked_fill(~mask, torch.nan), scores, baseline, mask)
    if isinstance(got, list) and not bool((got[0][~mask] == 0).all()):
        raise CheckError("the gradient at a padded place must be 0", likely="replace the padding before you multiply")


def the_push_on_each_token(subject: Subject, draw: Draw) -> None:
    """The gradient: each token of answer b is pushed by −(score − baseline)/B, a token of the padding by 0."""
    logprobs, scores, baseline, mask = small_answers(draw)
    got = subject.gradients(logprobs, scores, baseline, mask)
    if not isinstance(got, list):
        what = "a gradient must flow through the result, or nothing is learned"
        raise CheckError(what, likely="detach, item, no_grad, or a tensor made of numbers")
    expected = -(scores - baseline)[:, None] / len(scores) * mask  # [B,N]
    expect_close(
        got[0], expected, "∂loss/∂log π of a token is −(its answer's score − baseline)/B",
        given={"scores": scores, "mask": mask.int()}, likely="logprobs are detached, or used more than once",
    )  # fmt: skip


def many_answers(subject: Subject, draw: Draw) -> None:
    """Some hundred answers of up to forty tokens: the loops in specs/ch16.py."""
    arguments = draw_answers(draw, draw.size(90, 130), draw.size(33, 45))
    expect_close(
        subject(*arguments), reinforce_loss(*arguments),
        "the loss of a large batch must be that of specs/ch16.py",
        likely="right for a few short answers only: is there a size, a limit or a clamp in it?", rtol=1e-3, atol=1e-4,
    )  # fmt: skip


# ---- 16.2 ----------------------------------------------------------------------------------------------------------

NO_OTHERS = "0 divided by 0, or an empty mean: a prompt with one answer has no others"


def draw_groups(draw: Draw, prompts: int, most: int) -> tuple[Tensor, Tensor]:
    """Scores [B] and groups [B], in mixed order; one prompt has a single answer."""
    counts = [1, most, *(draw.size(2, most) for _ in range(prompts - 2))]
    group = torch.tensor([prompt for prompt, k in enumerate(counts) for _ in range(k)])
    group = group[torch.randperm(len(group), generator=draw.generator)]  # [B]
    return draw.normal(len(group)), group


def one_advantage_an_answer(subject: Subject, draw: Draw) -> None:
    """The advantages are [B], of the type of the scores."""
    scores, group = draw_groups(draw, 2, 4)  # five answers: no two groups of one size
    got = subject(scores, group)
    expect_tensor(got, scores.shape, "B", torch.float32, "the advantages")


def scores_and_groups_stay(subject: Subject, draw: Draw) -> None:
    """scores and group are left as they are."""
    expect_unchanged(subject, *draw_groups(draw, 3, 4), names="scores group")


def two_answers_by_hand(subject: Subject, draw: Draw) -> None:
    """Two answers to one prompt: each is the other's baseline."""
    gap = float(draw.size(1, 5))
    scores, group = torch.tensor([gap, 0.0]), torch.tensor([0, 0])
    expected = torch.tensor([gap, -gap])
    expect_close(
        subject(scores, group), expected,
        f"scores {gap:.0f} and 0: the other one's score is the baseline of each", given={"scores": scores},
        mistakes={
            "the mean includes the answer itself, so the advantage is half as long": expected / 2,
            "the sign: the advantage is the score MINUS the others' mean": -expected,
            "divided by the standard deviation as well": expected / scores.std(),
        },
        likely="subtract the mean of the others",
    )  # fmt: skip


def three_answers_by_hand(subject: Subject, draw: Draw) -> None:
    """Three answers: the mean of the other TWO."""
    scores = torch.tensor([float(draw.size(4, 6)), 2.0, 0.0])
    total = scores.sum()
    expected = scores - (total - scores) / 2
    expect_close(
        subject(scores, torch.zeros(3, dtype=torch.long)), expected,
        "three answers to one prompt: the baseline of each is the mean of the other two", given={"scores": scores},
        mistakes={
            "the mean includes the answer itself": scores - scores.mean(),
            "the sum of the others is subtracted, not their mean": scores - (total - scores),
            "the sum of the others is divided by K, not by K − 1": scores - (total - scores) / 3,
            "the best of the others is subtracted": scores - torch.stack([scores[[1, 2]].max(), *[scores[0]] * 2]),
        },
        likely="which answers are averaged?",
    )  # fmt: skip


def only_the_same_prompt(subject: Subject, draw: Draw) -> None:
    """Scores of another prompt change nothing."""
    scores, group = draw_groups(draw, 4, 4)
    scores, group = scores[group > 0], group[group > 0] - 1  # nobody is alone: that is the next check
    # the first answer and the last are to prompt 2: answers cut from the batch by their number always meet one of them
    ours = torch.nonzero(group == 2).flatten()
    order = torch.cat((ours[:1], torch.nonzero(group != 2).flatten(), ours[1:]))
    scores, group = scores[order], group[order]
    shifted = scores + 5.0 * (group == 2)
    expect_close(
        subject(shifted, group), subject(scores, group),
        "5 was added to the scores of all answers to prompt 2, and no advantage may change", given={"group": group},
        likely="answers to different prompts are compared, or prompts are cut from the batch in the wrong places",
        not_finite=NO_OTHERS,
    )  # fmt: skip


def alone_means_zero(subject: Subject, draw: Draw) -> None:
    """An answer without others gets 0."""
    scores, group = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0, 1, 0])
    expect_close(
        subject(scores, group), torch.tensor([1.0, 0.0, -1.0]),
        "answer 1 is the only one to its prompt", given={"scores": scores, "group": group},
        mistakes={"an answer alone keeps its whole score": torch.tensor([1.0, 1.0, -1.0])},
        likely="a prompt with one answer", not_finite=NO_OTHERS,
    )  # fmt: skip


def groups_of_any_size(subject: Subject, draw: Draw) -> None:
    """Many prompts, up to a dozen answers each, in mixed order: the loops in specs/ch16.py."""
    for prompts, most in ((3, 4), (draw.size(40, 60), draw.size(9, 12))):
        inputs = draw_groups(draw, prompts, most)
        expect_close(
            subject(*inputs), leave_one_out(*inputs),
            f"{prompts} prompts with 1 to {most} answers: the advantages must be those of specs/ch16.py",
            likely="the answers to a prompt need not stand side by side, nor be equally many; prompts may be many",
        )  # fmt: skip


CHECKS = {
    "16.1": (
        the_loss_is_a_scalar, what_was_sampled_stays, one_token_by_hand, tokens_of_an_answer_add_up,
        answers_are_averaged, padding_changes_nothing, the_push_on_each_token, many_answers,
    ),
    "16.2": (
        one_advantage_an_answer, scores_and_groups_stay, two_answers_by_hand, three_answers_by_hand,
        only_the_same_prompt, alone_means_zero, groups_of_any_size,
    ),
}  # fmt: skip
