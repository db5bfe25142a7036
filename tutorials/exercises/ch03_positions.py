"""Chapter 03: positions. Exercises 3.1, 3.2 and 3.3 are written into this file; 3.4 is in bugs/ch03_beside_others.py.

    python -m tutorials.exercises check 3.1      # run the checks of one exercise
    python -m tutorials.exercises hint 3.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 3.1       # once it is green: train a model on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch03.py: slow, and right.

Shapes: B batch · H heads · T tokens · D head size · C channels.
"""

import math

import torch
from torch import Tensor

# ---- 3.1 Sinusoidal positions ------------------------------------------------------------------------------------


def sinusoids(positions: Tensor, channels: int) -> Tensor:
    """The sinusoidal vectors of some places: positions [T] int64, channels even -> [T,C] float32.

    Pair i of the channels, 2i and 2i+1, holds the sine and the cosine of position / 10000^(2i/C). Positions come in any
    order, and may be any whole numbers from 0.
    """
    raise NotImplementedError("3.1")


# ---- 3.2 Rotate neighbours ---------------------------------------------------------------------------------------


def rotate_neighbours(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Rotary positions as Su et al. write them: channel 2i is turned together with its neighbour 2i+1.

    x [B,H,T,D] queries or keys, positions [T] int64 -> [B,H,T,D]. The pair (x_{2i}, x_{2i+1}) of the token at place p
    is turned by the angle p · base^(-2i/D), counter-clockwise: (1, 0) becomes (cos, sin). The package turns channel i
    together with channel i + D/2 instead: other numbers, from the same idea.
    """
    raise NotImplementedError("3.2")


# ---- 3.3 How far does a match reach? -----------------------------------------------------------------------------


def kept_score(distance: int, head_size: int, base: float) -> float:
    """What rotary positions leave of a perfect match: the score at this distance, divided by the score at distance 0.

    Query and key are equal, all of their `head_size` numbers are 1. The key stands `distance` tokens before the query,
    and both are turned for their places. A pair of channels with the angle a between the two gives 2 cos a. The base is
    that of the angles p · base^(-2i/D).

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 3.3` measure, and write down what it printed.
    """
    raise NotImplementedError("3.3")
