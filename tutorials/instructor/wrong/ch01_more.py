"""Wrong solutions of 1.3 and 1.4, and right ones that look unlike ours."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

from torch import Tensor

from tutorials.instructor.wrong import Wrong

# ---- 1.3 -----------------------------------------------------------------------------------------------------------


def no_minus(logprobs: Tensor) -> float:
    return math.exp(logprobs.mean())


def only_the_loss(logprobs: Tensor) -> float:
    return float(-logprobs.mean())


def powers_of_two(logprobs: Tensor) -> float:
    return float(2 ** -logprobs.mean())


def summed(logprobs: Tensor) -> float:
    return math.exp(min(-float(logprobs.sum()), 700.0))


def mean_of_perplexities(logprobs: Tensor) -> float:
    return float((-logprobs).exp().mean())


def mean_of_probabilities(logprobs: Tensor) -> float:
    return 1 / float(logprobs.exp().mean())


def product(logprobs: Tensor) -> float:
    """The N-th root of one over the product of the probabilities, which is 0 for a long text."""
    whole = float(logprobs.exp().prod())
    return whole ** (-1 / len(logprobs)) if len(logprobs) and whole > 0 else float("inf") if len(logprobs) else 1.0


def nan_for_nothing(logprobs: Tensor) -> float:
    return math.exp(-logprobs.mean())


def a_tensor(logprobs: Tensor) -> Tensor:
    return (-logprobs.mean()).exp()


def first_thousand(logprobs: Tensor) -> float:
    """Right when small: of a long text only the first thousand words count."""
    return math.exp(-logprobs[:1000].mean()) if len(logprobs) else 1.0


EQUAL, DIFFERENT, EMPTY = "equally_likely_words", "different_words", "a_text_without_words"
LONG, MEASURED = "long_texts_do_not_overflow", "the_perplexities_are_in_answers"

PERPLEXITY = (
    Wrong("1.3", "no minus", EQUAL, no_minus, says="the minus is missing"),
    Wrong("1.3", "only the loss", EQUAL, only_the_loss, says="not e to it"),
    Wrong("1.3", "powers of two", EQUAL, powers_of_two, says="natural ones"),
    Wrong("1.3", "summed", EQUAL, summed, says="added up"),
    Wrong("1.3", "mean of perplexities", DIFFERENT, mean_of_perplexities, says="that is 5"),
    Wrong("1.3", "mean of probabilities", DIFFERENT, mean_of_probabilities, says="probabilities are averaged"),
    Wrong("1.3", "product", LONG, product, says="too small for a computer"),
    Wrong("1.3", "NaN for nothing", EMPTY, nan_for_nothing, says="NaN"),
    Wrong("1.3", "a tensor", EQUAL, a_tensor),
    Wrong("1.3", "first thousand", LONG, first_thousand, says="are all words counted?"),
    Wrong(
        "1.3",
        "no prediction",
        "predictions_for_the_orders",
        answers=(("prediction_other", ""),),
        says="prediction_other",
    ),
    Wrong("1.3", "another number", MEASURED, answers=(("other_5", 1.764),), says="other_5"),
    Wrong("1.3", "no reason", "the_reason_for_the_perplexities", answers=(("because", "so it is"),)),
)


# ---- 1.4 -----------------------------------------------------------------------------------------------------------

RIGHT = "    pairs = list(pairwise(words))\n"
NEVER, NOTHING, COSTS = "a_pair_that_was_never_seen_counts", "nothing_was_ever_seen", "another_text_costs_more"
LOSSES = "    losses = [-math.log(probability(counts, vocabulary, before, word)) for before, word in pairs]\n"
MEAN = "    return sum(losses) / max(len(losses), 1)\n"


def instead(lines: str) -> tuple[tuple[str, str], ...]:
    return ((RIGHT, lines),)


LEFT_OUT = (
    Wrong(
        "1.4",
        "as handed out",
        NEVER,
        edits=instead("    pairs = [pair for pair in pairwise(words) if pair in counts]\n"),
        says="is left out",
    ),
    Wrong(
        "1.4",
        "only in the number",
        NEVER,
        edits=(
            (RIGHT, "    pairs = [pair for pair in pairwise(words) if pair in counts]\n"),
            (MEAN, "    return sum(losses) / max(len(words) - 1, 1)\n"),
        ),
        says="not in the sum",
    ),
    Wrong(
        "1.4",
        "words that were seen",
        NOTHING,
        edits=instead("    pairs = [pair for pair in pairwise(words) if pair[0] in learned]\n"),
        says="costs nothing",
    ),
    Wrong(
        "1.4",
        "learned from both",
        NEVER,
        edits=(("    counts = count_pairs(learned)\n", "    counts = count_pairs(learned + words)\n"),),
    ),
    Wrong("1.4", "each pair once", COSTS, edits=instead("    pairs = list(dict.fromkeys(pairwise(words)))\n")),
    Wrong("1.4", "a hundred words", COSTS, edits=instead("    pairs = list(pairwise(words))[:100]\n")),
    Wrong("1.4", "the learned text", NEVER, edits=instead("    pairs = list(pairwise(learned))\n")),
    Wrong(
        "1.4",
        "written anew",
        "the_loss_is_mended_in_three_lines",
        edits=(
            (RIGHT, ""),
            (
                LOSSES,
                "    losses = []\n    before = words[0]\n    for word in words[1:]:\n"
                "        p = probability(counts, vocabulary, before, word)\n"
                "        losses.append(-math.log(p))\n        before = word\n",
            ),
        ),
    ),
)

WRONG = (*PERPLEXITY, *LEFT_OUT)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def word_by_word(logprobs: Tensor) -> float:
    total = sum(logprobs.tolist())
    return math.e ** (-total / max(len(logprobs), 1))


def with_a_loop(learned: list[str], words: list[str], vocabulary: int) -> float:
    counts, before = Counter(pairwise(learned)), Counter(learned[:-1])
    losses = [-math.log((counts[h, w] + 1) / (before[h] + vocabulary)) for h, w in pairwise(words)]
    return sum(losses) / max(len(losses), 1)


ALSO_RIGHT = (("1.3", word_by_word), ("1.4", with_a_loop))
