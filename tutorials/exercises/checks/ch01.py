"""Checks of chapter 01: a smoothed bigram (1.1), and a model with a cache (1.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutorials.exercises.judging import Draw, expect_close, expect_close_when_large, expect_tensor, expect_unchanged
from tutorials.exercises.specs.ch01 import smoothed_bigram, with_cache
from tutorials.exercises.subject import Subject

# ---- 1.1 -----------------------------------------------------------------------------------------------------------


def draw_text(draw: Draw, length: int, vocab_size: int) -> Tensor:
    """A text [N] that uses no word beyond the last but one, and some words more often than others."""
    weights = torch.arange(vocab_size - 1, 0, -1).float() ** 2  # [V-1]
    return torch.multinomial(weights, length, replacement=True, generator=draw.generator)


def plain_shares(ids: Tensor, vocab_size: int) -> Tensor:
    """[V]: how often each word occurs, instead of after how many different words."""
    return torch.bincount(ids[1:], minlength=vocab_size) / (len(ids) - 1)


def a_row_for_each_word(subject: Subject, draw: Draw) -> None:
    """The table is [V,V], of floats."""
    V = draw.size(4, 6)
    got = subject(draw_text(draw, 12, V), V, 0.5)
    expect_tensor(got, (V, V), "V V", torch.float32, "the table")


def the_text_stays(subject: Subject, draw: Draw) -> None:
    """ids are left as they are."""
    expect_unchanged(subject, draw_text(draw, 12, 5), 5, 0.5, names="ids vocab_size discount")


def without_discount_plain_shares(subject: Subject, draw: Draw) -> None:
    """Discount 0: what followed a word, divided by how often anything did."""
    n = draw.size(2, 4)
    ids = torch.tensor([0, 1] * n + [0, 2, 1, 0])  # 0 is followed by 1 n times and by 2 once
    expected = torch.tensor([0.0, n / (n + 1), 1 / (n + 1)])
    expect_close(
        subject(ids, 3, 0.0)[0],
        expected,
        f"word 0 is followed {n} times by word 1 and once by word 2; nothing is taken off",
        given={"ids": ids},
        likely="c(h w) / c(h): a row is the word before, a column the word after",
        mistakes={
            "every pair is counted once": torch.tensor([0.0, 0.5, 0.5]),
            "the row is what came BEFORE the word": torch.tensor([0.0, 1.0, 0.0]),
            "each COLUMN is divided by a c(h): the column of sums needs an axis of its own, keepdim=True": torch.tensor(
                [0.0, n / (n + 1), 1.0]
            ),
            "divided by the length of the text": torch.tensor([0.0, n, 1.0]) / len(ids),
            "divided by how often word 0 occurs, its last place included, after which nothing follows": torch.tensor(
                [0.0, n, 1.0]
            )
            / (n + 2),
        },
    )


def the_discount_by_hand(subject: Subject, draw: Draw) -> None:
    """One word with two followers: what is taken off each, and where it goes."""
    n, discount = draw.size(3, 5), draw.size(1, 3) / 4
    ids = torch.tensor([0, 1] * n + [0, 2, 0])  # the different pairs are 01, 10, 02 and 20
    expected = smoothed_bigram(ids, 3, discount)[0]
    counts = torch.tensor([0.0, float(n), 1.0])  # [V]
    kept = (counts - discount).clamp(min=0) / (n + 1)  # [V]
    taken = 2 * discount / (n + 1)
    given_back = expected - kept  # [V]
    expect_close(
        subject(ids, 3, discount)[0],
        expected,
        f"after word 0 came word 1 {n} times and word 2 once; {discount} is taken off each, and shared out by p(w)",
        given={"ids": ids},
        likely="the share taken off is discount times the number of DIFFERENT followers, divided by c(h)",
        mistakes={
            "what was taken off is not given to anybody: a row must add up to 1": kept,
            "p(w) is the share of the word; count different words before it": kept + taken * plain_shares(ids, 3),
            "only one discount is shared out, whatever the number of followers": kept
            + taken / 2 * (expected - kept) / taken,
            "what was taken off is shared out equally": kept + taken / 3,
            "something is taken off pairs that never occurred: max(…, 0)": (counts - discount) / (n + 1) + given_back,
            "nothing is taken off the counts, and yet something is given": counts / (n + 1) + given_back,
            "N(h ·) counts what FOLLOWS h: a sum along the row, not along the column": kept
            + given_back * torch.tensor([2.0, 1.0, 1.0]) / 2,
        },
    )


def every_row_adds_up(subject: Subject, draw: Draw) -> None:
    """Each row is a distribution: not below 0, and with the sum 1."""
    V = draw.size(5, 7)
    ids = draw_text(draw, 30, V)
    for discount in (0.25, 1.0):
        got = subject(ids, V, discount)
        expect_tensor(got, (V, V), "V V", torch.float32, "the table")
        expect_close(
            got.sum(dim=1),
            torch.ones(V),
            f"with discount {discount} every row adds up to 1",
            likely="what is taken off must be what is given; or a row of a word that nothing follows",
            not_finite="0 divided by 0: what is p(w | h) where nothing ever followed h?",
        )


def a_word_that_nothing_follows(subject: Subject, draw: Draw) -> None:
    """A word that is not in the text, or only at its end: p(w)."""
    ids = torch.tensor([0, 1, 0, 1, 0, 2])  # nothing follows 2, and 3 is not there; pairs 01, 10, 02
    expected = torch.tensor([1.0, 1.0, 1.0, 0.0]) / 3
    for word in (2, 3):
        expect_close(
            subject(ids, 4, 0.5)[word],
            expected,
            f"nothing follows word {word}: its row is p(w); words 0, 1 and 2 each have one different word before",
            given={"ids": ids},
            likely="c(h) is 0 there, and p(w | h) is p(w)",
            not_finite="0 divided by 0: what is p(w | h) where nothing ever followed h?",
            mistakes={
                "all words are equally likely there": torch.full((4,), 0.25),
                "the row stays 0": torch.zeros(4),
                "that is how many different words stand AFTER each word; p(w) counts those before it": torch.tensor(
                    [2 / 3, 1 / 3, 0.0, 0.0]
                ),
                "that is how often each word occurs; p(w) counts different words before it": plain_shares(ids, 4),
            },
        )


def a_long_text(subject: Subject, draw: Draw) -> None:
    """Random texts, short and long, few words and many: the loops in specs/ch01.py."""
    for length, V in ((draw.size(8, 14), 5), (draw.size(300, 360), draw.size(40, 46))):
        ids, discount = draw_text(draw, length, V), draw.size(1, 9) / 10
        expect_close_when_large(
            subject(ids, V, discount), smoothed_bigram(ids, V, discount), "V V", f"{length} words of {V} kinds"
        )


# ---- 1.2 -----------------------------------------------------------------------------------------------------------


def draw_predictions(draw: Draw, T: int, V: int) -> tuple[Tensor, Tensor]:
    """A model's predictions [T,V] and a text [T]."""
    ids = torch.tensor([draw.size(0, V - 1) for _ in range(T)])
    return draw.normal(T, V).softmax(dim=1), ids


def a_prediction_for_each_word(subject: Subject, draw: Draw) -> None:
    """The result is [T,V], of the type of the probabilities."""
    T, V = draw.sizes(2, 3, 7)
    got = subject(*draw_predictions(draw, T, V), 0.5)
    expect_tensor(got, (T, V), "T V", torch.float32, "the result")


def predictions_and_text_stay(subject: Subject, draw: Draw) -> None:
    """probabilities and ids are left as they are."""
    expect_unchanged(subject, *draw_predictions(draw, 4, 6), 0.5, names="probabilities ids weight")


def the_first_word_has_no_cache(subject: Subject, draw: Draw) -> None:
    """Before the first word nothing was said: the model alone."""
    V = draw.size(3, 5)
    probabilities, ids = draw_predictions(draw, 1, V)
    expect_close(
        subject(probabilities, ids, 0.5),
        probabilities,
        "a text of one word: the model's prediction comes back",
        likely="the cache is empty before the first word",
        not_finite="0 divided by 0: the cache is empty before the first word",
        mistakes={
            "the prediction is made smaller and nothing is added": 0.5 * probabilities,
            "the word itself is in the cache already": 0.5 * probabilities
            + 0.5 * torch.nn.functional.one_hot(ids, V).float(),
        },
    )


def the_words_before_and_no_others(subject: Subject, draw: Draw) -> None:
    """The cache alone (weight 1): shares among the words before."""
    a, b, c = draw.random.sample(range(4), 3)
    ids = torch.tensor([a, a, b, c])
    first = torch.full((4,), 0.25)
    rows = [first, *(torch.zeros(4) for _ in range(3))]
    rows[1][a] = rows[2][a] = 1.0
    rows[3][a], rows[3][b] = 2 / 3, 1 / 3
    one_hot = torch.nn.functional.one_hot(ids, 4).float()  # [T,V]
    place = torch.arange(1.0, 5)[:, None]  # [T,1], the number of words up to each place
    so_far = one_hot.cumsum(0) / place  # [T,V]
    said = one_hot.cumsum(0) - one_hot  # [T,V], counts of the words before

    def below(rows: Tensor) -> Tensor:
        """These rows, but the first one right."""
        return torch.cat([first[None], rows[1:]])

    expect_close(
        subject(torch.full((4, 4), 0.25), ids, 1.0),
        torch.stack(rows),
        f"the text is {ids.tolist()}, and with weight 1 only the cache counts: before word 3 stand {a}, {a} and {b}",
        given={"ids": ids},
        likely="row t counts the words 0 … t − 1",
        mistakes={
            "row t counts word t as well, which is the one to be predicted": so_far,
            "row t counts word t as well, which is the one to be predicted; row 0 is right": torch.cat(
                [first[None], so_far[1:]]
            ),
            "the whole text is in the cache, what comes later too": torch.cat(
                [first[None], one_hot.mean(0).expand(3, 4)]
            ),
            "only the last word is in the cache": torch.cat([first[None], one_hot[:-1]]),
            "those are counts: divide row t by t, the number of words before": below(said),
            "row t is divided by t + 1, and before word t stand t words": below(said / place),
            "row t counts word t as well, and is divided by the number of words before it": below(
                one_hot.cumsum(0) / (place - 1)
            ),
            "the sum runs over the vocabulary, not over the text": below((one_hot.cumsum(1) - one_hot) / (place - 1)),
            "the weight belongs to the cache, and 1 − weight to the model": torch.full((4, 4), 0.25),
            "every word counts once, however often it was said": torch.stack([*rows[:3], (rows[3] > 0).float() / 2]),
        },
    )


def the_two_are_mixed(subject: Subject, draw: Draw) -> None:
    """Weights 0, ¼ and ¾."""
    probabilities, ids = draw_predictions(draw, 4, 5)
    for weight in (0.0, 0.25, 0.75):
        expected = with_cache(probabilities, ids, weight)
        expect_close(
            subject(probabilities, ids, weight),
            expected,
            f"weight {weight}: (1 − {weight}) times the model and {weight} times the cache",
            likely="which of the two is multiplied by the weight?",
            mistakes={
                "model and cache have changed places": with_cache(probabilities, ids, 1 - weight),
                "the two are multiplied, not added": probabilities * with_cache(probabilities, ids, 1.0),
            },
        )


def nothing_of_the_future(subject: Subject, draw: Draw) -> None:
    """Another last word changes no prediction."""
    probabilities, ids = draw_predictions(draw, 5, 6)
    other = ids.clone()
    other[-1] = (other[-1] + 1) % 6
    expect_close(
        subject(probabilities, other, 0.5),
        subject(probabilities, ids, 0.5),
        "the last word was changed; it is the one to be predicted last, so no row may change",
        likely="row t has seen word t",
    )


def a_long_cache(subject: Subject, draw: Draw) -> None:
    """Long texts with many words: the loops in specs/ch01.py."""
    for T, V in (draw.sizes(2, 4, 9), (draw.size(140, 180), draw.size(50, 60))):
        probabilities, ids = draw_predictions(draw, T, V)
        expected = with_cache(probabilities, ids, 0.3)
        expect_close_when_large(subject(probabilities, ids, 0.3), expected, "T V", f"T = {T} words, V = {V}")


CHECKS = {
    "1.1": (
        a_row_for_each_word, the_text_stays, without_discount_plain_shares, the_discount_by_hand, every_row_adds_up,
        a_word_that_nothing_follows, a_long_text,
    ),
    "1.2": (
        a_prediction_for_each_word, predictions_and_text_stay, the_first_word_has_no_cache,
        the_words_before_and_no_others, the_two_are_mixed, nothing_of_the_future, a_long_cache,
    ),
}  # fmt: skip
