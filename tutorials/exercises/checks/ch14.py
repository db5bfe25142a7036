"""Checks of chapter 14: the loss on responses (14.1), and the answers of a conversation (14.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutorials.exercises.judging import (
    CheckError,
    Draw,
    expect_close,
    expect_close_when_large,
    expect_gradients,
    expect_tensor,
    expect_unchanged,
)
from tutorials.exercises.specs.ch14 import IGNORE, answers_as_targets, sft_loss
from tutorials.exercises.subject import Subject

Demonstrated = tuple[Tensor, Tensor, Tensor, Tensor]  # logits [B,T,V], ids [B,T], prompt_lengths [B], lengths [B]
GARBAGE = {"1000": 1000.0, "inf": torch.inf, "NaN": torch.nan}


def demonstrated(draw: Draw, B: int, T: int, V: int) -> Demonstrated:
    """Random logits and ids; the first row is full, the last has a response of one token."""
    lengths = [T, *(draw.size(3, T) for _ in range(B - 2)), draw.size(2, T)]
    prompts = [*(draw.size(1, length - 1) for length in lengths[:-1]), lengths[-1] - 1]
    ids = torch.randint(V, (B, T), generator=draw.generator)
    return draw.normal(B, T, V), ids, torch.tensor(prompts), torch.tensor(lengths)


# ---- 14.1 ----------------------------------------------------------------------------------------------------------


def the_sft_loss_is_a_scalar(subject: Subject, draw: Draw) -> None:
    """A tensor without axes, of the type of the logits."""
    B, T, V = draw.sizes(3, 3, 7)
    expect_tensor(subject(*demonstrated(draw, B, T, V)), (), "", torch.float32, "the loss")


def the_demonstrations_stay(subject: Subject, draw: Draw) -> None:
    """logits, ids and both lengths are left as they are."""
    B, T, V = draw.sizes(3, 3, 7)
    expect_unchanged(subject, *demonstrated(draw, B, T, V), names="logits ids prompt_lengths lengths")


def knowing_nothing_costs_ln_v(subject: Subject, draw: Draw) -> None:
    """All logits are equal: every token costs ln V, and so does their mean."""
    B, T, V = draw.sizes(3, 3, 7)
    _, ids, prompts, lengths = demonstrated(draw, B, T, V)
    count = int((lengths - prompts).sum())
    expect_close(
        subject(torch.zeros(B, T, V), ids, prompts, lengths), torch.tensor(math.log(V)),
        f"all {V} tokens are equally probable, so each of {count} response tokens costs ln {V}",
        given={"prompt_lengths": prompts, "lengths": lengths},
        likely="the mean over response tokens of −log p",
        mistakes={
            "the tokens are added up; divide by their number": torch.tensor(count * math.log(V)),
            "divided by all places of the batch, prompts and padding included": torch.tensor(
                count / (B * (T - 1)) * math.log(V)
            ),
            "divided by the number of demonstrations, not of tokens": torch.tensor(count / B * math.log(V)),
            "the sign: the loss is MINUS the log": torch.tensor(-math.log(V)),
            "bits, not nats": torch.tensor(math.log2(V)),
        },
    )  # fmt: skip


def six_tokens_by_hand(subject: Subject, draw: Draw) -> None:
    """The chapter's six tokens: three of them are learned, one of which is the end."""
    ids = torch.tensor([[1, 4, 2, 5, 6, 3]])  # <|user|> Hungry? <|assistant|> The monkey <|end|>
    halvings = (draw.size(3, 4), 1, draw.size(1, 2), draw.size(3, 4), draw.size(5, 6))  # p of the next token is 2^−h
    logits = torch.zeros(1, 6, 8)
    for place, h in enumerate(halvings):
        p = 0.5**h
        logits[0, place] = math.log((1 - p) / 7)
        logits[0, place, ids[0, place + 1]] = math.log(p)
    cost = [h * math.log(2) for h in halvings]

    def mean(costs: list[float]) -> Tensor:
        return torch.tensor(sum(costs) / len(costs))

    unmoved = -logits[0].log_softmax(-1)[torch.arange(6), ids[0]]  # [T], what each token costs where it stands itself
    expect_close(
        subject(logits, ids, torch.tensor([3]), torch.tensor([6])), mean(cost[2:]),
        f"<|user|> Hungry? <|assistant|> The monkey <|end|>: the next tokens have probabilities 1/2 to the power of "
        f"{', '.join(map(str, halvings))}, and the last three of them are learned",
        likely="which of the six tokens are learned, and after which token is each of them predicted?",
        mistakes={
            "the prompt is in the loss": mean(cost),
            "the end token is not in the loss": mean(cost[2:-1]),
            "the first token of the response is not in the loss: the LAST prompt token predicts it": mean(cost[3:]),
            "<|assistant|> is in the loss: it belongs to the prompt": mean(cost[1:]),
            "logits[b, t] is compared with ids[b, t]: it predicts the NEXT token": unmoved[3:].mean(),
        },
    )  # fmt: skip


def every_token_counts_alike(subject: Subject, draw: Draw) -> None:
    """A long and a short response: the mean runs over tokens, not over responses."""
    ids = torch.ones(2, 6, dtype=torch.long)
    cheap, dear = draw.size(1, 2), draw.size(4, 6)
    logits = torch.zeros(2, 6, 2)
    logits[0, :, 0] = math.log(2.0**cheap - 1)  # token 1 costs `cheap` · ln 2 in the first row
    logits[1, :, 0] = math.log(2.0**dear - 1)
    n, m = draw.size(4, 5), 1  # tokens of the two responses
    expect_close(
        subject(logits, ids, torch.tensor([6 - n, 1]), torch.tensor([6, 2])),
        torch.tensor((n * cheap + m * dear) / (n + m) * math.log(2)),
        f"a response of {n} tokens costs {cheap} ln 2 a token, one of a single token costs {dear} ln 2",
        likely="add up over the whole batch, then divide by all of its response tokens",
        mistakes={
            "each response is averaged first, so tokens of short ones weigh more": torch.tensor(
                (cheap + dear) / 2 * math.log(2)
            ),
        },
    )  # fmt: skip


def whatever_is_in_the_padding(subject: Subject, draw: Draw) -> None:
    """Garbage in logits and ids of the padding, and in the logits of the last real token, changes nothing."""
    B, T, V = 4, draw.size(6, 8), draw.size(4, 6)
    logits, ids, prompts, lengths = demonstrated(draw, B, T, V)
    expected = sft_loss(logits, ids, prompts, lengths)
    place = torch.arange(T)
    end = ids[torch.arange(B), lengths - 1]  # [B]
    for pad in (end[:, None], 0):
        expect_close(
            subject(logits, torch.where(place < lengths[:, None], ids, pad), prompts, lengths), expected,
            "the padding holds another token, in one case the same that ends the row", given={"lengths": lengths},
            likely="padding is recognised by its id; it is where the length says",
        )  # fmt: skip
    for name, garbage in GARBAGE.items():
        dirty = logits.masked_fill((place >= lengths[:, None] - 1)[..., None], garbage)
        expect_close(
            subject(dirty, ids, prompts, lengths), expected,
            f"logits from each row's last real token on are {name}: they predict nothing", given={"lengths": lengths},
            likely="the last real token has no next token, and the padding has none either",
            not_finite="0 times NaN is NaN: choose the response's places first, then compute",
        )  # fmt: skip


def logits_get_their_gradients(subject: Subject, draw: Draw) -> None:
    """The gradient of the logits is that of the specification, 0 where nothing is learned."""
    B, T, V = draw.sizes(3, 3, 7)
    expect_gradients(
        subject, demonstrated(draw, B, T, V), sft_loss, "logits", likely="detach, item, or a tensor made of numbers"
    )


def many_long_demonstrations(subject: Subject, draw: Draw) -> None:
    """Dozens of rows, long rows, a large vocabulary: the loops in specs/ch14.py."""
    for B, T, V in (
        (draw.size(70, 80), 9, 5),
        (3, draw.size(140, 160), 4),
        (3, 6, draw.size(1100, 1300)),
    ):
        inputs = demonstrated(draw, B, T, V)
        expect_close_when_large(subject(*inputs), sft_loss(*inputs), "", f"B = {B}, T = {T}, V = {V}")


# ---- 14.2 ----------------------------------------------------------------------------------------------------------

USER, ASSISTANT, END, FIRST_WORD = 1, 2, 3, 4  # token ids
ROLES = {"assistant_id": ASSISTANT, "end_id": END}


def conversation(draw: Draw, turns: int, most: int = 3) -> list[int]:
    """Questions and answers of a few words each."""
    row: list[int] = []
    for _ in range(turns):
        question, answer = ([draw.size(FIRST_WORD, 9) for _ in range(draw.size(1, most))] for _ in range(2))
        row += [USER, *question, ASSISTANT, *answer, END]
    return row


def padded(draw: Draw, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """ids [B,T] with any id in the padding, special ones too, and lengths [B]."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.randint(0, 10, (len(rows), int(lengths.max())), generator=draw.generator)
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor(row)
    return ids, lengths


def targets_are_shorter_by_one(subject: Subject, draw: Draw) -> None:
    """Targets [B,T-1] of whole numbers: the last token has no next one."""
    ids, lengths = padded(draw, [conversation(draw, 1), conversation(draw, 2)])
    shape = (2, ids.shape[1] - 1)
    expect_tensor(subject(ids, lengths, ASSISTANT, END), shape, "B T-1", torch.int64, "the targets")


def ids_and_lengths_stay(subject: Subject, draw: Draw) -> None:
    """ids and lengths are left as they are."""
    inputs = (*padded(draw, [conversation(draw, 1), conversation(draw, 2)]), ASSISTANT, END)
    expect_unchanged(subject, *inputs, names="ids lengths assistant_id end_id")


def one_answer_by_hand(subject: Subject, draw: Draw) -> None:
    """<|user|> q <|assistant|> a b <|end|>: the targets are _ _ a b <|end|>."""
    q, a, b = draw.random.sample(range(FIRST_WORD, 10), 3)
    ids = torch.tensor([[USER, q, ASSISTANT, a, b, END]])
    expected = torch.tensor([[IGNORE, IGNORE, a, b, END]])
    expect_close(
        subject(ids, torch.tensor([6]), ASSISTANT, END), expected,
        f"<|user|> {q} <|assistant|> {a} {b} <|end|>: after <|assistant|> the target is {a}, then {b}, then <|end|>",
        given={"ids": ids, **ROLES}, likely="a target belongs to the input BEFORE it",
        mistakes={
            "<|end|> is not learned": torch.tensor([[IGNORE, IGNORE, a, b, IGNORE]]),
            "the first token is not learned: <|assistant|> predicts it": torch.tensor([[IGNORE] * 3 + [b, END]]),
            "<|assistant|> is learned: the user's side writes it": torch.tensor([[IGNORE, ASSISTANT, a, b, END]]),
            "the question is learned as well": ids[:, 1:],
            "the targets are not moved: that are the inputs": torch.tensor([[IGNORE] * 3 + [a, b]]),
        },
    )  # fmt: skip


def both_answers_by_hand(subject: Subject, draw: Draw) -> None:
    """Two questions and two answers: both answers are learned, and no question."""
    a, b = draw.random.sample(range(FIRST_WORD, 10), 2)
    ids = torch.tensor([[USER, 7, ASSISTANT, a, END, USER, 8, ASSISTANT, b, END]])
    nothing = [IGNORE] * 3
    expect_close(
        subject(ids, torch.tensor([10]), ASSISTANT, END),
        torch.tensor([[IGNORE, IGNORE, a, END, *nothing, b, END]]),
        "two answers of one word each, and their ends", given={"ids": ids, **ROLES},
        likely="an answer begins after EVERY <|assistant|> and stops at the next <|end|>",
        mistakes={
            "only the last answer is learned": torch.tensor([[IGNORE] * 7 + [b, END]]),
            "only the first answer is learned": torch.tensor([[IGNORE, IGNORE, a, END] + [IGNORE] * 5]),
            "everything after the first <|assistant|> is learned, the second question too": torch.tensor(
                [[IGNORE, IGNORE, a, END, USER, 8, ASSISTANT, b, END]]
            ),
        },
    )  # fmt: skip


def padding_is_no_answer(subject: Subject, draw: Draw) -> None:
    """Special tokens in the padding start no answer; an answer that was cut off stops at the row's length."""
    whole, cut = conversation(draw, 1), conversation(draw, 1)[:-1]
    longest = len(whole) + 4
    ids, lengths = torch.full((2, longest), ASSISTANT), torch.tensor([len(whole), len(cut)])
    ids[0, : len(whole)], ids[1, : len(cut)] = torch.tensor(whole), torch.tensor(cut)
    expect_close(
        subject(ids, lengths, ASSISTANT, END), answers_as_targets(ids, lengths, ASSISTANT, END),
        "the padding is full of <|assistant|>, and the second row was cut off before its <|end|>",
        given={"ids": ids, "lengths": lengths, **ROLES}, likely="lengths says where a row stops, and nothing else does",
    )  # fmt: skip


def many_conversations(subject: Subject, draw: Draw) -> None:
    """A few conversations and dozens, short ones and long ones, other ids: the loops in specs/ch14.py."""
    cases = ((draw.size(3, 5), 3), (draw.size(70, 80), 2), (3, draw.size(25, 30)))
    for B, turns in cases:
        ids, lengths = padded(
            draw, [conversation(draw, turns), *(conversation(draw, draw.size(1, turns)) for _ in range(B - 1))]
        )
        for shift in (0, 1000):
            arguments = (ids + shift, lengths, ASSISTANT + shift, END + shift)
            got, expected = subject(*arguments), answers_as_targets(*arguments)
            expect_tensor(got, expected.shape, "B T-1", torch.int64, "the targets")
            if not torch.equal(got, expected):
                b, t = (got != expected).nonzero()[0].tolist()
                raise CheckError(
                    f"{B} conversations of up to {turns} questions, ids from {shift}: the first wrong target is at "
                    f"b = {b}, t = {t}",
                    expected=int(expected[b, t]), got=int(got[b, t]), given={"row": ids[b] + shift, **ROLES},
                    likely="right for two answers, two rows or small ids only",
                )  # fmt: skip


CHECKS = {
    "14.1": (
        the_sft_loss_is_a_scalar, the_demonstrations_stay, knowing_nothing_costs_ln_v, six_tokens_by_hand,
        every_token_counts_alike, whatever_is_in_the_padding, logits_get_their_gradients, many_long_demonstrations,
    ),
    "14.2": (
        targets_are_shorter_by_one, ids_and_lengths_stay, one_answer_by_hand, both_answers_by_hand,
        padding_is_no_answer, many_conversations,
    ),
}  # fmt: skip
