"""What the likely mistakes of exercise 5.1 give, so that a message can name the one that was made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, past: bool = True, future: bool = False, axis: int = -1
) -> Tensor:
    """Attention of heads [B,H,T,D] by matrix products, fast enough for large cases; the softmax is over `axis`."""
    T, D = queries.shape[-2:]
    scores = queries @ keys.transpose(-2, -1) / D**0.5  # [B,H,T,T]
    place = torch.arange(T)
    ahead = place - place[:, None]  # [T,T]
    hidden = ((ahead < 0) & (not past)) | ((ahead > 0) & (not future))  # [T,T]
    return scores.masked_fill(hidden, -torch.inf).softmax(dim=axis) @ values  # [B,H,T,D]


def cut(x: Tensor, qkv_weight: Tensor, heads: int) -> Tensor:
    """Queries, keys and values of all heads, [3,B,H,T,D]."""
    B, T, C = x.shape
    return (x @ qkv_weight.T).view(B, T, 3, heads, C // heads).permute(2, 0, 3, 1, 4)


def joined(mixed: Tensor) -> Tensor:
    """The heads [B,H,T,D] side by side, [B,T,C]."""
    return mixed.transpose(1, 2).flatten(2)


def at_once(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int, **how: Any) -> Tensor:
    """The right answer for all heads at once, or with another mask or another axis of the softmax."""
    return joined(attend(*cut(x, qkv_weight, heads), **how)) @ projection_weight.T


def split_by_view(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The heads are cut out by a view alone, without changing places with the tokens."""
    B, T, C = x.shape
    parts = [part.reshape(B, heads, T, C // heads) for part in (x @ qkv_weight.T).chunk(3, dim=-1)]
    return attend(*parts).reshape(B, T, C) @ projection_weight.T


def split_by_view_joined_rightly(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The heads are cut out by a view alone, and put together as they should be."""
    B, T, C = x.shape
    parts = [part.reshape(B, heads, T, C // heads) for part in (x @ qkv_weight.T).chunk(3, dim=-1)]
    return joined(attend(*parts)) @ projection_weight.T


def merged_by_view(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The heads are put together by a view alone."""
    return attend(*cut(x, qkv_weight, heads)).reshape(x.shape) @ projection_weight.T


def interleaved(x: Tensor, qkv_weight: Tensor, heads: int) -> Tensor:
    """Every H-th channel to head h, attended: [B,H,T,D]."""
    B, T, C = x.shape
    return attend(*(x @ qkv_weight.T).view(B, T, 3, C // heads, heads).permute(2, 0, 4, 1, 3))


def heads_interleaved(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """Head h has every H-th channel instead of D channels side by side."""
    return interleaved(x, qkv_weight, heads).permute(0, 2, 3, 1).flatten(2) @ projection_weight.T


def cut_interleaved(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """Head h reads every H-th channel, and the outputs stand side by side."""
    return joined(interleaved(x, qkv_weight, heads)) @ projection_weight.T


def heads_first(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The 3C outputs are cut into H parts of queries, keys and values, not into three parts of H heads."""
    B, T, C = x.shape
    parts = (x @ qkv_weight.T).view(B, T, heads, 3, C // heads).permute(3, 0, 2, 1, 4)
    return joined(attend(*parts)) @ projection_weight.T


def as_one_head(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """One head of C numbers, whatever was asked for."""
    return at_once(x, qkv_weight, projection_weight, 1)


def scaled_by_all(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The scores are divided by √C."""
    C = x.shape[-1]
    scaled = torch.cat([qkv_weight[:C] / heads**0.5, qkv_weight[C:]])
    return at_once(x, scaled, projection_weight, heads)


def not_scaled(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The scores are not divided."""
    C = x.shape[-1]
    scaled = torch.cat([qkv_weight[:C] * (C // heads) ** 0.5, qkv_weight[C:]])
    return at_once(x, scaled, projection_weight, heads)


def masked_too_late(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """Weights of later tokens are set to 0 after the softmax has shared out."""
    queries, keys, values = cut(x, qkv_weight, heads)
    weights = (queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5).softmax(dim=-1).tril()  # [B,H,T,T]
    return joined(weights @ values) @ projection_weight.T


def keys_first(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """The first C rows make the keys, the next the queries."""
    queries, keys, values = qkv_weight.chunk(3)
    return at_once(x, torch.cat([keys, queries, values]), projection_weight, heads)


def sees_the_future(*inputs: Any) -> Tensor:
    """Without a mask."""
    return at_once(*inputs, future=True)


def sees_only_the_future(*inputs: Any) -> Tensor:
    """The mask is upside down."""
    return at_once(*inputs, past=False, future=True)


def shares_among_queries(*inputs: Any) -> Tensor:
    """The softmax is over the queries."""
    return at_once(*inputs, axis=-2)


def shares_among_heads(*inputs: Any) -> Tensor:
    """The softmax is over the heads."""
    return at_once(*inputs, axis=1)


MISTAKES = {
    "heads are cut out by a view alone; tokens and heads must change places": split_by_view,
    "heads are cut out by a view alone; cut the last axis, then let tokens and heads change places": (
        split_by_view_joined_rightly
    ),
    "heads are put together by a view alone; tokens and heads must change places back": merged_by_view,
    "head h has every H-th channel; its D channels stand side by side": heads_interleaved,
    "head h reads every H-th channel; its D channels stand side by side": cut_interleaved,
    "the 3C outputs are queries, keys and values of H heads each; you cut the other way round": heads_first,
    "that is one head with all channels": as_one_head,
    "the scores are divided by √C, and not by √D, the size of one head": scaled_by_all,
    "the scores are not divided by √D": not_scaled,
    "the mask comes after the softmax, which has shared out to later tokens as well (chapter 04)": masked_too_late,
    "queries and keys have changed places: the first C rows make the queries": keys_first,
    "there is no mask: a token sees later ones": sees_the_future,
    "the mask is upside down: a token sees itself and EARLIER ones": sees_only_the_future,
    "the softmax runs over the queries; the weights of one query, over its keys, add up to 1": shares_among_queries,
    "the softmax runs over the heads; each head shares out its own weights, over the keys": shares_among_heads,
}  # fmt: skip
