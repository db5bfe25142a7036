"""The inside of a forward pass: the attention weights of every head, and what is lost when some heads are silent.

The model itself computes attention by a fused kernel, which never stores the weights. Here the same blocks are run with
attention written out, as in `attention.attention_by_heads`. A head is *silent* if zeros take the place of its output;
what it looked at is known, what it was good for is the difference (Michel et al. 2019, section 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.attention import causal_layout, causal_mask
from minigpt.model import GPT, Attention, Rotary
from minigpt.positions import rotate
from minigpt.runs.errors import UserError

Head = tuple[int, int]  # (layer, head), both counted from 0


@dataclass(frozen=True)
class Inside:
    """logits [T,V], and weights [L,H,T,T]: how much head h of layer l gives token s when it reads for token t."""

    logits: Tensor
    weights: Tensor


def look_inside(model: GPT, ids: list[int], silent: Collection[Head] = ()) -> Inside:
    """One sequence through the model in evaluation mode, with the weights of its heads and without those in `silent`.

    Raises UserError for a head that does not exist and for a sequence that is empty or longer than the context.
    """
    layers, heads, context = model.config.layers, model.config.heads, model.config.context
    if not 1 <= len(ids) <= context:
        raise UserError(f"the text has {len(ids)} tokens; this model reads 1 to {context}")
    for layer, head in silent:
        if not (0 <= layer < layers and 0 <= head < heads):
            raise UserError(f"there is no head {layer}.{head}: this model has {layers} layers of {heads} heads")
    batch = torch.tensor([ids], device=model.token_embedding.weight.device)  # [1,T]
    with torch.no_grad():
        x, rotary = model.embed(batch, causal_layout(batch).positions)  # [1,T,C]
        weights = []
        for layer, block in enumerate(model.blocks):
            quiet = [head for at, head in silent if at == layer]
            mixed, looked = attention_and_weights(block.attention, block.attention_norm(x), rotary, quiet)
            x = x + mixed  # [1,T,C]
            x = x + block.mlp(block.mlp_norm(x))  # [1,T,C]
            weights.append(looked[0])  # [H,T,T]
        logits = model.logits(model.final_norm(x))[0]  # [T,V]
    return Inside(logits, torch.stack(weights))  # [L,H,T,T]


def attention_and_weights(
    attention: Attention, x: Tensor, rotary: Rotary | None, silent: Collection[int] = ()
) -> tuple[Tensor, Tensor]:
    """The output of `model.Attention` for x [B,T,C], causal and without dropout, [B,T,C], and its weights [B,H,T,T]."""
    B, T, C = x.shape
    qkv = attention.qkv(x).view(B, T, 3, attention.heads, C // attention.heads)  # [B,T,3,H,D]
    queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # [B,H,T,D] each
    if rotary is not None:
        queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)  # [B,H,T,D] each
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # [B,H,T,T]
    weights = scores.masked_fill(~causal_mask(T, x.device), -torch.inf).softmax(dim=-1)  # [B,H,T,T]
    mixed = weights @ values  # [B,H,T,D]
    for head in silent:
        mixed[:, head] = 0
    return attention.projection(mixed.transpose(1, 2).reshape(B, T, C)), weights  # [B,T,C]
