"""Chapter 05: many heads. Exercises 5.1, 5.2 and 5.4 are written into this file; 5.3 is in bugs/ch05_four_heads.py.

    python -m tutorials.exercises check 5.1      # run the checks of one exercise
    python -m tutorials.exercises hint 5.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 5.1       # once it is green: train a model on your function

Replace `raise NotImplementedError(...)` by your own lines. torch and math are enough. What each function must do is
also written as plain loops in specs/ch05.py: slow, and right.

Shapes: B batch · T tokens · C channels · H heads · D head size, C = H·D · K heads of keys and values · V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# ---- 5.1 Attention with many heads -------------------------------------------------------------------------------


def multi_head_attention(x: Tensor, qkv_weight: Tensor, projection_weight: Tensor, heads: int) -> Tensor:
    """Causal attention of many heads, from the residual stream and back to it.

    x [B,T,C], qkv_weight [3C,C], projection_weight [C,C] -> [B,T,C]. The first C rows of qkv_weight make the queries,
    the next C the keys, the last C the values: as nn.Linear does, x times the transposed weight. Head h has the
    channels h·D … (h+1)·D − 1 of each. The outputs of the heads stand side by side in this order, and are projected.
    """
    # SOLUTION
    T, C = x.shape[1:]
    parts = F.linear(x, qkv_weight).split(C, dim=-1)  # three times [B,T,C]
    queries, keys, values = (part.unflatten(-1, (heads, C // heads)).transpose(1, 2) for part in parts)  # [B,H,T,D]
    scores = torch.einsum("bhtd,bhsd->bhts", queries, keys) * (C // heads) ** -0.5  # [B,H,T,T]
    later = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)  # [T,T]
    mixed = torch.einsum("bhts,bhsd->bthd", scores.masked_fill(later, -math.inf).softmax(-1), values)  # [B,T,H,D]
    return F.linear(mixed.flatten(-2), projection_weight)  # [B,T,C]
    # END SOLUTION


# ---- 5.2 Grouped queries -----------------------------------------------------------------------------------------


def grouped_query_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention in which several heads of queries share one head of keys and values.

    queries [B,H,T,D], keys and values [B,K,T,D], H a multiple of K -> [B,H,T,D]. The first H/K heads of queries use
    head 0 of keys and values, the next H/K use head 1, and so on. With K = H this is chapter 04's attention; with K = 1
    all share one. LLaMA 2 and 3 use it: fewer keys and values have to be kept while a text is written.
    """
    # SOLUTION
    B, H, T, D = queries.shape
    groups = keys.shape[1]
    grouped = queries.reshape(B, groups, H // groups, T, D)  # [B,K,H/K,T,D]
    scores = torch.einsum("bkgtd,bksd->bkgts", grouped, keys) / math.sqrt(D)  # [B,K,H/K,T,T]
    hidden = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)  # [T,T]
    weights = torch.softmax(scores.masked_fill(hidden, -math.inf), dim=-1)
    return torch.einsum("bkgts,bksd->bkgtd", weights, values).reshape(B, H, T, D)
    # END SOLUTION


# ---- 5.4 Two heads that do the same ------------------------------------------------------------------------------


def damage(parts: Tensor, answers: Tensor, silent: list[int]) -> float:
    """What it costs to silence some heads: the rise of the mean loss, in nats.

    parts [H,B,V] float: what each head adds to the scores of each of V answers, for B questions. The scores of the
    whole model are their sum over all heads; silent heads add nothing. answers [B] int64. The loss of a question is
    minus the log-probability of its answer, by a softmax over the V scores. The result is the mean loss without the
    silent heads, minus the mean loss with all of them.

    FIRST write your predictions into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 5.4` measure, and write down what it printed.
    """
    # SOLUTION
    sounding = [head for head in range(len(parts)) if head not in silent]
    with_all = F.cross_entropy(parts.sum(dim=0), answers)
    return (F.cross_entropy(parts[sounding].sum(dim=0), answers) - with_all).item()
    # END SOLUTION
