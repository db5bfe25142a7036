"""Positions: how the model is told the order of its tokens.

Attention is a sum over a set: without positions it cannot tell "dog bites man" from "man bites dog". Three methods, in
the order of their publication:

- **sinusoidal** (Vaswani et al. 2017, section 3.5): add a fixed vector of sines and cosines to each token's embedding;
- **learned** (GPT-2; Radford et al. 2019): add a trained vector, one for each position;
- **rotary** (Su et al. 2021, "RoFormer"; LLaMA): add nothing; rotate queries and keys by an angle proportional to their
  position, so that their dot product depends only on the distance between them.

A position counts the real tokens before a token. It is not the column of the batch: with padding on the left the two
differ, and a model that confuses them answers differently when other rows of the batch are longer.
"""

import torch
from torch import Tensor, nn


def positions_from_mask(mask: Tensor) -> Tensor:
    """Positions of padded rows: mask [B,T] bool, True at real tokens -> [B,T] int64, the number of real tokens before.

    Padding gets the position of the token before it: any valid one does, as no real token attends to padding.
    """
    return (mask.long().cumsum(dim=-1) - 1).clamp(min=0)  # [B,T]


def positions_in_documents(documents: Tensor) -> Tensor:
    """Positions of packed rows: documents [B,T], the document of each token -> [B,T] int64, from 0 in each document.

    The tokens of a document stand side by side. If positions counted through the whole row, the third document of a row
    would have positions that only the end of a long document has.
    """
    column = torch.arange(documents.shape[1], device=documents.device)  # [T]
    begins = torch.ones_like(documents, dtype=torch.bool)  # [B,T]
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    first = torch.where(begins, column, 0).cummax(dim=1).values  # [B,T], the first column of the same document
    return column - first  # [B,T]


def sinusoidal_table(context: int, channels: int) -> Tensor:
    """The table [context, C] of Vaswani et al. 2017, section 3.5:

        PE(pos, 2i)   = sin(pos / 10000^(2i/C))
        PE(pos, 2i+1) = cos(pos / 10000^(2i/C))

    Each pair of channels is a point on a circle: the first goes round in 2π tokens, the last in about 62,832.
    """
    position = torch.arange(context, dtype=torch.float64)[:, None]  # [T,1]
    frequency = 10000.0 ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)  # [C/2]
    angle = position * frequency  # [T,C/2]
    table = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)  # [T,C], sines on even channels
    return table.float()


def rotary_tables(context: int, head_size: int, base: float) -> tuple[Tensor, Tensor]:
    """Tables of cos and sin [context, D] of the angles pos · base^(-2i/D), i = 0 … D/2-1 (Su et al. 2021, eq. 15).

    The D/2 angles are written twice, side by side, because channel i is rotated together with channel i + D/2. That is
    LLaMA's convention ("rotate half"); the paper rotates neighbours 2i and 2i+1. Both are the same function after a
    fixed reordering of the channels, but weights trained with one give wrong results with the other.
    """
    position = torch.arange(context, dtype=torch.float64)[:, None]  # [T,1]
    frequency = base ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)  # [D/2]
    angle = (position * frequency).repeat(1, 2)  # [T,D]
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B,H,T,D] with each pair (x_i, x_{i+D/2}) rotated by its angle; cos and sin broadcast to x -> [B,H,T,D].

    A rotation keeps lengths, and ⟨R_m q, R_n k⟩ = ⟨q, R_{n-m} k⟩: the score depends on the distance n - m alone.
    """
    first, second = x.chunk(2, dim=-1)  # [B,H,T,D/2] each
    return x * cos + torch.cat((-second, first), dim=-1) * sin  # [B,H,T,D]


class SinusoidalPositions(nn.Module):
    """Fixed vectors that are added to the embeddings: positions [...,T] -> [...,T,C]."""

    table: Tensor

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        # persistent=False: recomputed from the configuration, so it is not saved in checkpoints
        self.register_buffer("table", sinusoidal_table(context, channels), persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        return self.table[positions]  # [...,T,C]


class LearnedPositions(nn.Embedding):
    """Trained vectors that are added to the embeddings: positions [...,T] -> [...,T,C]. None beyond the context."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__(context, channels)


class RotaryPositions(nn.Module):
    """The rotations of queries and keys: positions [...,T] -> cos, sin [...,1,T,D], where the 1 broadcasts to heads."""

    cos: Tensor
    sin: Tensor

    def __init__(self, context: int, head_size: int, base: float) -> None:
        super().__init__()
        cos, sin = rotary_tables(context, head_size, base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.cos[positions].unsqueeze(-3), self.sin[positions].unsqueeze(-3)  # [...,1,T,D] each
