"""Exercise 1.4, a bug hunt: the less the model knows, the better it looks.

    python -m tutorials.exercises.bugs.ch01_too_sure      # a second: the loss on what was learned, and on another text
    python -m tutorials.exercises check 1.4

A small bigram model, whole and working, counts pairs of words, with one count added to every pair so that no
probability is 0. Its loss is printed for the text that it has learned from, and for one that it has not. The other text
is easier, it seems: its loss is lower. That cannot be. One idea in this file is wrong. Find it, and change three
lines at most.
"""

import math
from collections import Counter
from itertools import pairwise

LEARNED = "a cow eats grass . a cow eats hay . a fox eats mice . a cow sees a fox . a fox sees a cow ."
OTHER = "a cow likes hay . a cow likes grass . a cow hears a horse . a cow likes mice ."


def count_pairs(words: list[str]) -> Counter:
    """How often each pair of neighbours occurs."""
    return Counter(pairwise(words))


def probability(counts: Counter, vocabulary: int, before: str, word: str) -> float:
    """p(word | before) with one count added to every pair."""
    followed = sum(count for (first, _), count in counts.items() if first == before)
    return (counts[before, word] + 1) / (followed + vocabulary)


def loss_of(learned: list[str], words: list[str], vocabulary: int) -> float:
    """The mean loss in nats a word of `words`, after the first one, by a model that has counted `learned`."""
    counts = count_pairs(learned)
    # SOLUTION
    pairs = list(pairwise(words))
    # STUB
    # pairs = [pair for pair in pairwise(words) if pair in counts]
    # END SOLUTION
    losses = [-math.log(probability(counts, vocabulary, before, word)) for before, word in pairs]
    return sum(losses) / max(len(losses), 1)


if __name__ == "__main__":
    known = LEARNED.split()
    size = len(set(known) | set(OTHER.split()))
    print(f"a guess among {size} words costs {math.log(size):.2f} nats a word")
    print(f"the learned text                {loss_of(known, known, size):.2f}")
    print(f"another text                    {loss_of(known, OTHER.split(), size):.2f}")
