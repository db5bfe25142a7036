"""Attention, three times, with the same numbers: as loops, by heads, fused. Then the cache that makes generation fast.

    Attention(Q, K, V) = softmax(Q Kᵀ / √D) V            (Vaswani et al. 2017, eq. 1)

Each token asks a question (its query); each token it may look at offers a label (its key) and a content (its value).
The answer is the mean of the contents, weighted by how well the labels fit the question. A language model is *causal*:
token t looks at tokens 0 … t, never at what comes after, or training would be copying.

All three take queries [B,H,T,D], keys and values [B,H,S,D] and a mask [B,1,T,S] (or anything that broadcasts to
[B,H,T,S]), True where query t may look at key s. `mask=None` means causal and needs S = T. Every query must be allowed
at least one key: a softmax over nothing is NaN. They return [B,H,T,D].

`attention_loops` is the specification, and far too slow to use. `attention_by_heads` is what the loops become when each
becomes an axis of a tensor; it is fastest for one query at a time. `attention_fused` never stores the [B,H,T,S] scores
(FlashAttention, Dao et al. 2022); it is fastest for long sequences. tests/minigpt/test_attention.py holds them equal,
gradients included.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.positions import positions_from_mask, positions_in_documents


def causal_mask(tokens: int, device: torch.device) -> Tensor:
    """[T,T] bool: row t is True at columns 0 … t."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()  # [T,T]


def padded_causal_mask(mask: Tensor) -> Tensor:
    """mask [B,T] bool, True at real tokens -> [B,1,T,T]: token t looks at the real tokens among 0 … t.

    A token may always look at itself, padding too: left padding would otherwise have nothing to look at, and its NaN
    would spread to its neighbours through 0 · NaN = NaN.
    """
    tokens = mask.shape[1]
    itself = torch.eye(tokens, dtype=torch.bool, device=mask.device)  # [T,T]
    allowed = causal_mask(tokens, mask.device) & (mask[:, None, :] | itself)  # [B,T,T]
    return allowed[:, None]  # [B,1,T,T]


def document_mask(documents: Tensor) -> Tensor:
    """documents [B,T], which document each token belongs to -> [B,1,T,T]: t looks at those of its own among 0 … t.

    For rows that hold several documents. Causal attention alone would let each read the ones before it, which have
    nothing to do with it: such a row teaches something else than its documents in rows of their own. Padding is a
    document like any other: it looks at itself, and no NaN arises.
    """
    same = documents[:, :, None] == documents[:, None, :]  # [B,T,T]
    return (causal_mask(documents.shape[1], documents.device) & same)[:, None]  # [B,1,T,T]


def attention_loops(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """The definition, one number at a time: for each query, score the keys it may see, softmax, average the values."""
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
    """All queries of all heads at once, with the scores in plain sight."""
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
    """PyTorch's kernel. `dropout` drops attention weights: pass 0 outside training, the function cannot know."""
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=mask is None
    )  # [B,H,T,D]


class KVCache:
    """Keys and values of the tokens already read, so that a new token costs one token and not the whole sequence.

    `keys` and `values` are [L,B,H,S,D], allocated once. Slot s of a row holds its token at position s, and `lengths`
    [B] says how many slots of each row are real: rows of different lengths live side by side without padding between
    their tokens. Prompts arrive padded on the *right*. What the padding wrote lies beyond the row's length; the mask
    hides it, and the row's next tokens overwrite it.

    Slots start as zeros, not as uninitialised memory: a hidden slot has weight 0, but 0 · NaN is NaN.
    """

    def __init__(self, layers: int, batch: int, heads: int, slots: int, head_size: int, like: Tensor) -> None:
        """`like` is any tensor with the model's compute_dtype and device."""
        self.keys = like.new_zeros(layers, batch, heads, slots, head_size)  # [L,B,H,S,D]
        self.values = torch.zeros_like(self.keys)  # [L,B,H,S,D]
        self.lengths = torch.zeros(batch, dtype=torch.long, device=like.device)  # [B]
        self.positions = self.lengths[:, None]  # [B,T], where the tokens now being read go
        self.used = 0  # no row is longer; a plain number, so that asking for it does not make a GPU wait

    @property
    def slots(self) -> int:
        return self.keys.shape[3]

    def begin(self, tokens: int) -> Tensor:
        """Before the first layer: the positions [B,T] of each row's next T tokens. ValueError when there is no room."""
        if self.used + tokens > self.slots:
            self.used = int(self.lengths.max())  # rows that stand still made `used` too large
        if self.used + tokens > self.slots:
            raise ValueError(f"the cache has {self.slots} slots, {self.used} are used, and {tokens} more are needed")
        self.positions = self.lengths[:, None] + torch.arange(tokens, device=self.lengths.device)  # [B,T]
        return self.positions

    def mask(self) -> Tensor | None:
        """Which slots may the new tokens see? Their own and those before: [B,1,T,S], S slots in use.

        None (plain causal attention among the new tokens) while the cache is empty.
        """
        if self.used == 0:
            return None
        slot = torch.arange(self.used + self.positions.shape[1], device=self.positions.device)  # [S]
        return (slot <= self.positions[:, :, None])[:, None]  # [B,1,T,S]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens' keys and values [B,H,T,D]; return all that this layer has in use, [B,H,S,D] each."""
        row = torch.arange(self.positions.shape[0], device=self.positions.device)[:, None]  # [B,1]
        self.keys[layer, row, :, self.positions] = keys.transpose(1, 2).to(self.keys.dtype)  # [B,T,H,D]
        self.values[layer, row, :, self.positions] = values.transpose(1, 2).to(self.values.dtype)  # [B,T,H,D]
        used = self.used + self.positions.shape[1]
        return self.keys[layer, :, :, :used], self.values[layer, :, :, :used]  # [B,H,S,D] each

    def advance(self, tokens: int, mask: Tensor | None) -> None:
        """After the last layer: T tokens were written, of which those in mask [B,T] are real (None: all)."""
        self.used += tokens
        self.lengths = self.lengths + (tokens if mask is None else mask.sum(dim=1))  # [B]

    def expand(self, copies: int) -> None:
        """Each row becomes `copies` rows, side by side: a prompt is read once and answered K times."""
        layers, batch, heads, slots, head_size = self.keys.shape
        for name in ("keys", "values"):
            old = getattr(self, name)  # [L,B,H,S,D]
            new = old.new_zeros(layers, batch * copies, heads, slots, head_size)  # [L,B·K,H,S,D]
            new[:, :, :, : self.used] = old[:, :, :, : self.used].repeat_interleave(copies, dim=1)
            setattr(self, name, new)
        self.lengths = self.lengths.repeat_interleave(copies)  # [B·K]

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows ([R] indices, in their new order): what is finished costs nothing more. Only rows whose
        number changes are copied."""
        count = rows.shape[0]
        moved = (rows != torch.arange(count, device=rows.device)).nonzero().squeeze(1)  # [moved]
        for name in ("keys", "values"):
            old = getattr(self, name)  # [L,B,H,S,D]
            old[:, moved, :, : self.used] = old[:, rows[moved], :, : self.used]  # the right side is a copy
            setattr(self, name, old[:, :count])  # [L,R,H,S,D]
        self.lengths = self.lengths[rows]  # [R]
        self.used = int(self.lengths.max())


def positions_and_mask(
    ids: Tensor, positions: Tensor | None, mask: Tensor | None, cache: KVCache | None, documents: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Where the tokens of ids [B,T] are, [T] or [B,T], and whom they may look at, [B,1,T,S], or None for plain causal.

    The ways to say it are those of GPT.hidden. Raises ValueError for two of them that contradict each other.
    """
    tokens = ids.shape[1]
    if cache is not None:
        if positions is not None or documents is not None:
            raise ValueError("positions come from the cache, and packed documents are read without one; pass one alone")
        if mask is not None and tokens > 1 and (mask[:, 1:] & ~mask[:, :-1]).any():
            raise ValueError("with a cache padding must be on the right, but a real token follows padding")
        return cache.begin(tokens), cache.mask()
    if documents is not None:
        if mask is not None:
            raise ValueError("documents say what is padding; pass no mask beside them")
        return positions_in_documents(documents) if positions is None else positions, document_mask(documents)
    if mask is not None:
        return positions_from_mask(mask) if positions is None else positions, padded_causal_mask(mask)
    return torch.arange(tokens, device=ids.device) if positions is None else positions, None
