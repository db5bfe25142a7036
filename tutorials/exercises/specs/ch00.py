"""Chapter 00 in plain loops."""

import math


def loss_of_a_guess(vocab_size: int) -> float:
    """The mean of −log p over all tokens that may come next, each of which was given p = 1/V; in nats."""
    total = 0.0
    for _ in range(vocab_size):
        total += -math.log(1 / vocab_size) / vocab_size
    return total
