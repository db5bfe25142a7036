"""Chapter 09: encoder and decoder. Exercises 9.1 to 9.3 are written into this file; 9.4 is in bugs/ch09_fills_in.py.

    python -m tutorials.exercises check 9.1      # run the checks of one exercise
    python -m tutorials.exercises hint 9.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 9.1       # once it is green: a translator learns with your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch09.py: slow, and right.

Shapes: B batch · T target tokens · S source tokens · C channels · H heads · D head size, C = H·D.
"""

import math

import torch
from torch import Tensor

# ---- 9.1 Cross-attention -----------------------------------------------------------------------------------------


def cross_attention(
    x: Tensor,
    memory: Tensor,
    real: Tensor,
    query_weight: Tensor,
    key_value_weight: Tensor,
    projection_weight: Tensor,
    heads: int,
) -> Tensor:
    """Attention of many heads whose queries come from x, and whose keys and values come from memory.

    x [B,T,C], memory [B,S,C], real [B,S] bool, True at real source tokens, at least one a row -> [B,T,C]. Every token
    of x sees every real token of its row's memory. query_weight [C,C]; key_value_weight [2C,C], whose first C rows make
    the keys and whose last C rows the values; projection_weight [C,C]: each as in nn.Linear, x times the transposed
    weight. Head h has the channels h·D … (h+1)·D − 1 of each. Scores are divided by √D.
    """
    raise NotImplementedError("9.1")


# ---- 9.2 An open source ------------------------------------------------------------------------------------------


def prefix_mask(lengths: Tensor, tokens: int) -> Tensor:
    """The mask of a decoder alone whose source is open: lengths [B], T -> [B,T,T] bool, True where query t sees key s.

    The first lengths[b] tokens of row b are its source. Every token of the row sees all of them, those of the source
    also the later ones. The other tokens are the target: each sees itself and what stands before it, and no token of
    the source sees any of them. lengths[b] may be 0, and it may be T.
    """
    raise NotImplementedError("9.2")


# ---- 9.3 From which side? ----------------------------------------------------------------------------------------


def nats_given(words: Tensor, before: bool, after: bool) -> float:
    """What a word costs for whoever knows its neighbours: the mean of −ln p over all words of a text, in nats.

    words [N] int64. The text is a circle: the last word stands before the first one. The context of a word is the word
    before it (if `before`), the word after it (if `after`), both, or nothing. p is a share that is counted in this very
    text: how often the word occurs in its context, divided by how often the context occurs.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 9.3` measure, and write down what it printed.
    """
    raise NotImplementedError("9.3")
