"""Chapter 01: counting words. Exercises 1.1 to 1.3 are written into this file; 1.4 is in bugs/ch01_too_sure.py.

    python -m tutorials.exercises check 1.1      # run the checks of one exercise
    python -m tutorials.exercises hint 1.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 1.1       # once it is green: your model reads texts that it has not seen

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch01.py: slow, and right.

Shapes: N words of a text · T words of a text · V words to choose from.
"""

import math

import torch
from torch import Tensor

# ---- 1.1 A smoothed bigram ---------------------------------------------------------------------------------------


def smoothed_bigram(ids: Tensor, vocab_size: int, discount: float) -> Tensor:
    """p(next word | word), a row for each word: [V,V].

    ids [N], the words of the training text in order. With c(h w) the number of times that w follows h, and c(h) the
    number of times that anything follows h:

        p(w | h) = max(c(h w) − discount, 0) / c(h) + discount · N(h ·) / c(h) · p(w)
        p(w)     = N(· w) / N(· ·)

    N(h ·) is how many DIFFERENT words follow h, N(· w) how many different words stand before w, and N(· ·) the number
    of different pairs. Where nothing ever follows h, p(w | h) is p(w).
    """
    # SOLUTION
    pairs = torch.zeros(vocab_size, vocab_size)  # [V,V], c(h w)
    pairs.index_put_((ids[:-1], ids[1:]), torch.ones(len(ids) - 1), accumulate=True)
    seen = pairs > 0  # [V,V]
    lower = seen.sum(dim=0) / seen.sum()  # [V]
    total = pairs.sum(dim=1, keepdim=True)  # [V,1]
    kept = (pairs - discount).clamp(min=0)  # [V,V]
    spread = discount * seen.sum(dim=1, keepdim=True)  # [V,1]
    return torch.where(total > 0, (kept + spread * lower) / total.clamp(min=1), lower)  # [V,V]
    # END SOLUTION


# ---- 1.2 A model with a cache ------------------------------------------------------------------------------------


def with_cache(probabilities: Tensor, ids: Tensor, weight: float) -> Tensor:
    """The predictions of a model, mixed with the words that this text has used so far: [T,V].

    probabilities [T,V]: row t is a model's prediction of word t. ids [T]: the words of the text. The cache's prediction
    of word t is the share of each word among the words 0 … t − 1. The result is

        (1 − weight) · probabilities + weight · cache

    and for word 0, before which nothing was said, the model's prediction alone. (Kuhn and De Mori 1990)
    """
    # SOLUTION
    spoken = torch.nn.functional.one_hot(ids, probabilities.shape[1]).to(probabilities.dtype)  # [T,V]
    before = spoken.cumsum(dim=0) - spoken  # [T,V], counts of the words 0 … t − 1
    places = torch.arange(len(ids), dtype=probabilities.dtype)[:, None]  # [T,1]
    mixed = (1 - weight) * probabilities + weight * before / places.clamp(min=1)  # [T,V]
    return torch.cat([probabilities[:1], mixed[1:]])
    # END SOLUTION


# ---- 1.3 Longer histories ----------------------------------------------------------------------------------------


def perplexity(logprobs: Tensor) -> float:
    """e to the mean loss of a text: logprobs [N], the natural logarithm of the probability of each of its words.

    A model that always chooses among k equally likely words has perplexity k. No words at all: 1.

    FIRST write your prediction into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 1.3` measure, and write down what it printed.
    """
    # SOLUTION
    return math.exp(-logprobs.double().mean()) if len(logprobs) else 1.0
    # END SOLUTION
