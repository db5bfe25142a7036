"""Chapter 00, exercise 0.1: a red check turns green.

    python -m tutorials.exercises check 0.1

Run it first. It is red: the function below has a mistake. Read what the check says, change the function, save, and run
the check again.
"""

import math

# ---- 0.1 A red check turns green ---------------------------------------------------------------------------------


def loss_of_a_guess(vocab_size: int) -> float:
    """The loss, in nats per token, of a model that knows nothing and gives each of `vocab_size` tokens the same
    probability 1/V: −log(1/V).

    Every training run of this course starts near this number, because a model without training knows nothing. A run
    that starts elsewhere has a mistake in it before the first step.
    """
    return math.log2(vocab_size)
