"""Attention, three times, with the same numbers: as loops, by heads, fused. Then the masks and layouts of a batch.

    Attention(Q, K, V) = softmax(Q Kᵀ / √D) V            (Vaswani et al. 2017, eq. 1)

Each token has a query, a key and a value. The output of a token is the mean of the values of the tokens it attends to,
weighted by how well their keys match its query. A language model is *causal*: token t attends to tokens 0 … t, never
to later ones, because the next token is what it must predict.

All three take queries [B,H,T,D], keys and values [B,H,S,D] and a mask [B,1,T,S] (or anything that broadcasts to
[B,H,T,S]), True where query t may attend to key s. They return [B,H,T,D]. `mask=None` means causal and needs S = T.
Every query must have at least one key: a softmax over nothing is NaN. In self-attention keys and values come from the
same sequence as the queries; in cross-attention they come from another one, with a mask of its real tokens.

`attention_loops` is the definition, and far too slow to use. `attention_by_heads` is what the loops become when each
becomes an axis of a tensor. `attention_fused` is what the model uses: it never stores the [B,H,T,S] scores
(FlashAttention, Dao et al. 2022). tests/minigpt/test_attention.py holds them equal, gradients included.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.positions import positions_from_mask, positions_in_documents


def causal_mask(tokens: int, device: torch.device) -> Tensor:
    """The mask of causal attention, [T,T] bool: row t is True at columns 0 … t."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()  # [T,T]


def padded_causal_mask(mask: Tensor) -> Tensor:
    """The mask of padded rows: mask [B,T] bool, True at real tokens -> [B,1,T,T].

    Token t attends to the real tokens among 0 … t.

    Every token may attend to itself, padding too: padding on the left would otherwise attend to nothing, and its NaN
    would reach other tokens through 0 · NaN = NaN.
    """
    tokens = mask.shape[1]
    itself = torch.eye(tokens, dtype=torch.bool, device=mask.device)  # [T,T]
    allowed = causal_mask(tokens, mask.device) & (mask[:, None, :] | itself)  # [B,T,T]
    return allowed[:, None]  # [B,1,T,T]


def document_mask(documents: Tensor) -> Tensor:
    """The mask of rows that hold several documents: documents [B,T], the document of each token -> [B,1,T,T].

    Token t attends to the tokens of its own document among 0 … t. Causal attention alone would let it attend to the
    documents before, which have nothing to do with it. Padding is a document like any other, so that no NaN arises.
    """
    same = documents[:, :, None] == documents[:, None, :]  # [B,T,T]
    return (causal_mask(documents.shape[1], documents.device) & same)[:, None]  # [B,1,T,T]


def attention_loops(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """The output of each query, by the definition: score its keys, take the softmax, average the values."""
    batch, heads, tokens, head_size = queries.shape
    if mask is None:
        mask = causal_mask(tokens, queries.device)
    mask = mask.expand(batch, heads, tokens, keys.shape[2])  # [B,H,T,S]
    rows = []
    for b in range(batch):
        for h in range(heads):
            for t in range(tokens):
                visible = [s for s in range(keys.shape[2]) if mask[b, h, t, s]]
                scores = [queries[b, h, t] @ keys[b, h, s] / math.sqrt(head_size) for s in visible]
                highest = max(score.item() for score in scores)  # exp() of a large score would overflow
                weights = [torch.exp(score - highest) for score in scores]
                total = sum(weights)
                rows.append(sum(weight / total * values[b, h, s] for weight, s in zip(weights, visible, strict=True)))
    return torch.stack(rows).view(batch, heads, tokens, head_size)  # [B,H,T,D]


def attention_by_heads(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """The same outputs for all queries of all heads at once: each loop has become an axis of a tensor."""
    if mask is None:
        mask = causal_mask(queries.shape[2], queries.device)
    # without √D the scores grow with the head size, and the softmax saturates (Vaswani et al. 2017, section 3.2.1)
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # [B,H,T,S]
    scores = scores.masked_fill(~mask, -torch.inf)  # [B,H,T,S]
    weights = scores.softmax(dim=-1)  # [B,H,T,S]
    return weights @ values  # [B,H,T,D]


def attention_fused(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """The same outputs from PyTorch's fused kernel. `dropout` drops attention weights: outside training it is 0."""
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=mask is None
    )  # [B,H,T,D]


# ---- Layouts: positions and mask of a batch -------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """The positions of the tokens of a batch, and the tokens they may attend to. It is made before the model is called.

    positions  [T] or [B,T] int64
    mask       [B,1,T,S] bool, True where query t may attend to key s; None is plain causal attention (S = T)
    """

    positions: Tensor
    mask: Tensor | None


def causal_layout(ids: Tensor) -> Layout:
    """The layout of rows ids [B,T] that all begin in column 0. Padding on the right needs no mask: it comes later."""
    return Layout(torch.arange(ids.shape[1], device=ids.device), None)


def padded_layout(mask: Tensor) -> Layout:
    """The layout of rows with padding on the left (or anywhere): mask [B,T] bool, True at real tokens."""
    return Layout(positions_from_mask(mask), padded_causal_mask(mask))


def packed_layout(documents: Tensor) -> Layout:
    """The layout of rows that hold several documents: documents [B,T] int64, the document of each token.

    A token attends to its own document alone, whose positions begin at 0. Padding is a document of its own.
    """
    return Layout(positions_in_documents(documents), document_mask(documents))
