"""Wrong solutions of 14.3 and 14.4, and right ones that look unlike ours."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 14.3 ----------------------------------------------------------------------------------------------------------


def shares(votes: Tensor) -> Tensor:
    return votes / votes.sum()


def all_tokens_vote(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    """An answer counts with all its tokens."""
    return shares(counts * lengths if kind == "tokens" else counts)


def always_counts(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    return shares(counts)


def losses_exchanged(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    return shares(counts / lengths if kind == "tokens" else counts)


def times_the_length(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    return shares(counts if kind == "tokens" else counts * lengths)


def people_alike(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    """Every answer is one vote, however many gave it."""
    return shares(torch.ones_like(counts) if kind == "tokens" else 1 / lengths)


def not_normalised(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    return counts if kind == "tokens" else counts / lengths


def softmax_of_counts(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    return counts.softmax(0) if kind == "tokens" else (counts / lengths).softmax(0)


def favourite_only(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    """The answer that most people gave, always."""
    votes = counts if kind == "tokens" else counts / lengths
    return (votes == votes.max()).float() / (votes == votes.max()).sum()


def a_hundred_answers(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    """Right when small."""
    votes = (counts if kind == "tokens" else counts / lengths).clone()
    votes[64:] = 0
    return shares(votes)


EQUAL, PART = "answers_of_equal_length", "a_token_where_answers_part"

IMITATED = (
    Wrong("14.3", "all tokens vote", PART, all_tokens_vote, says="only one of them decides"),
    Wrong("14.3", "always the counts", PART, always_counts, says="the other loss"),
    Wrong("14.3", "exchanged", PART, losses_exchanged, says="the other loss"),
    Wrong("14.3", "times the length", PART, times_the_length, says="1/length"),
    Wrong("14.3", "people alike", EQUAL, people_alike, says="all answers are alike"),
    Wrong("14.3", "not normalised", EQUAL, not_normalised, says="add up to 1"),
    Wrong("14.3", "softmax", EQUAL, softmax_of_counts, says="simply counted"),
    Wrong("14.3", "the favourite", EQUAL, favourite_only),
    Wrong("14.3", "64 answers", "answers_of_a_whole_class", a_hundred_answers, says="the small cases are right"),
    Wrong(
        "14.3",
        "no prediction",
        "predictions_for_the_short_answer",
        answers=(("prediction_answers", ""),),
        says="prediction_answers",
    ),
    Wrong("14.3", "another number", "the_shares_are_in_answers", answers=(("tokens_short", 0.857),), says="tokens"),
    Wrong("14.3", "no reason", "the_reason_for_the_shares", answers=(("because", "so it is"),)),
)


# ---- 14.4 ----------------------------------------------------------------------------------------------------------

RIGHT = "    padding = column >= lengths[:, None]  # [B,T-1]\n"
END, ONCE, ROWS = "one_row_with_its_end", "the_end_once_and_no_padding", "many_rows_that_end"


def instead(line: str) -> tuple[tuple[str, str], ...]:
    return ((RIGHT, line),)


NEVER_ENDS = (
    Wrong("14.4", "as handed out", END, edits=instead("    padding = targets == PAD  # [B,T-1]\n")),
    Wrong(
        "14.4",
        "no padding at all",
        ONCE,
        edits=instead("    padding = torch.zeros_like(of_prompt)\n"),
        says="the padding is learned too",
    ),
    Wrong("14.4", "one too early", END, edits=instead("    padding = column >= lengths[:, None] - 1\n")),
    Wrong("14.4", "one too late", ONCE, edits=instead("    padding = column > lengths[:, None]\n")),
    Wrong("14.4", "the longest row's length", ONCE, edits=instead("    padding = column >= lengths.max()\n")),
    Wrong(
        "14.4",
        "the first end",
        ROWS,
        edits=instead("    padding = (ids[:, 1:] == END).cumsum(1) - (ids[:, 1:] == END).long() > 0\n"),
    ),
    Wrong(
        "14.4",
        "after an end comes nothing",
        ROWS,
        edits=instead("    padding = ids[:, :-1] == END\n"),
    ),
    Wrong(
        "14.4",
        "32 tokens",
        ROWS,
        edits=instead("    padding = (column >= lengths[:, None]) | (column > 32)\n"),
    ),
    Wrong(
        "14.4",
        "written anew",
        "the_end_is_mended_in_three_lines",
        edits=(
            (
                RIGHT,
                "    padding = torch.ones_like(of_prompt)\n    for b in range(len(ids)):\n"
                "        for t in range(len(column)):\n            padding[b, t] = column[t] >= lengths[b]\n",
            ),
        ),
    ),
)

WRONG = (*IMITATED, *NEVER_ENDS)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def person_by_person(lengths: Tensor, counts: Tensor, kind: str) -> Tensor:
    people = torch.repeat_interleave(torch.arange(len(counts)), counts.long())
    weight = torch.ones(len(people)) if kind == "tokens" else 1 / lengths[people]
    return torch.zeros(len(counts)).index_add(0, people, weight) / weight.sum()


ALSO_RIGHT = (("14.3", person_by_person),)
