"""Flat tokens: padded rows computed as one row of the tokens that are needed, each of them once.

    rows    a b c d      the same in one row    a b c d e f g    [1,M], M = 7
            a b e .      attention sees         a b c d | a b e | f g
            f g . .

Embedding, norms, projections and the MLP work on each token alone, so they see these M tokens and no padding. A row
that begins like the row above it (the answers to one prompt stand side by side) shares that beginning: causal attention
makes this exact, because the keys and values of a token do not depend on what comes after it, as in a KV cache.
Attention alone needs rows. It gathers them by index, in a few groups of rows of like length, and puts its outputs back.
Dropout, if there is any, is drawn once for a shared beginning.

The specification is `hidden(ids)[at]`, computed on padded rows; tests/minigpt/test_flat.py holds both equal,
gradients included.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from minigpt.attention import Layout, attention_fused

GROUPS = 4  # of rows of like length: each is padded to its longest row
LEAST_SAVING = 0.1  # of the tokens: attention's gathering costs more than a smaller one


class FlatRows(NamedTuple):
    """The rows of a flat batch, in place of a mask.

    groups  for each group of R rows [R,T] int64, the places of their tokens in the flat row; 0 at padding, which stands
            on the right, where causal attention does not look
    back    [M] int64, the place of each flat token among the tokens of all groups
    """

    groups: tuple[Tensor, ...]
    back: Tensor


class Flat(NamedTuple):
    """A batch as flat tokens: ids [1,M], their layout, at [1,M] bool, the tokens to return, and index [N]: which of
    these is at each of the N True places of the padded `at`, row by row."""

    ids: Tensor
    layout: Layout
    at: Tensor
    index: Tensor


def flatten(ids: Tensor, at: Tensor) -> Flat | None:
    """The flat tokens of ids [B,T], padded on the right, of which those at the N True places of at [B,T] are read.

    A row ends with the last token that is read: nothing after it changes what is read. None if fewer than LEAST_SAVING
    of the B·T places are left out, so that padded rows are computed faster.
    """
    row, column = (torch.arange(size, device=ids.device) for size in ids.shape)  # [B], [T]
    lengths = torch.where(at, column + 1, 1).amax(dim=1)  # [B]
    real = column < lengths[:, None]  # [B,T]
    same = torch.zeros_like(real)
    same[1:] = (ids[1:] == ids[:-1]) & real[1:] & real[:-1]
    own = real & ~same.long().cumprod(dim=1).bool()  # [B,T], not in a beginning shared with the row above
    count = int(own.sum())  # M
    if count > (1 - LEAST_SAVING) * own.numel():
        return None
    number = own.flatten().cumsum(0).view(ids.shape) - 1  # [B,T], where own tokens stand in the flat row
    owner = torch.where(own, row[:, None], 0).cummax(dim=0).values  # [B,T], the row that a shared token belongs to
    place = number.gather(0, owner).masked_fill(~real, 0)  # [B,T]

    groups, back, start = [], torch.zeros_like(place), 0
    for rows in lengths.argsort(stable=True).chunk(GROUPS):
        longest = int(lengths[rows].max())
        groups.append(place[rows, :longest])  # [R,T]
        back[rows, :longest] = torch.arange(start, start + groups[-1].numel(), device=ids.device).view(-1, longest)
        start += groups[-1].numel()

    read = torch.zeros(count, dtype=torch.bool, device=ids.device)  # [M]
    read[place[at]] = True
    positions = column.expand(ids.shape)[own]  # [M]
    layout = Layout(positions[None], FlatRows(tuple(groups), back[own]))
    return Flat(ids[own][None], layout, read[None], (read.cumsum(0) - 1)[place[at]])


def attention_flat(queries: Tensor, keys: Tensor, values: Tensor, rows: FlatRows, dropout: float = 0.0) -> Tensor:
    """Causal attention within each row: queries, keys, values [1,H,M,D] -> [1,H,M,D]."""
    flat = [x[0].transpose(0, 1) for x in (queries, keys, values)]  # [M,H,D] each
    outputs = []
    for group in rows.groups:
        in_rows = (x.index_select(0, group.flatten()).unflatten(0, group.shape).transpose(1, 2) for x in flat)
        mixed = attention_fused(*in_rows, None, dropout)  # [R,H,T,D]
        outputs.append(mixed.transpose(1, 2).flatten(0, 1))  # [R·T,H,D]
    return torch.cat(outputs).index_select(0, rows.back).transpose(0, 1)[None]  # [1,H,M,D]
