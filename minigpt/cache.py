"""The KV cache: keys and values of earlier tokens are kept, so that a new token costs one, not the whole sequence.

Causal attention makes this possible: the keys and values of a token do not depend on the tokens after it.
"""

import torch
from torch import Tensor

from minigpt.attention import Layout


class KVCache:
    """Keys and values of all layers, [L,B,H,S,D] each. Slot s of a row holds the token at position s of that row.

    One call of the model is cache.begin(T), then cache.write(layer, …) in every layer, then cache.advance():

        layout = cache.begin(tokens, real)              # the next free positions of each row
        logits = model(ids, layout, cache)

    Rows may have different lengths: `lengths` [B] is the number of real tokens of each. Prompts are padded on the
    *right*. The padding is written beyond the row's length, where the mask hides it and the next tokens overwrite it.

    Memory is allocated when it is first needed, with the dtype of the values: rotated keys may be float32 where
    products are bfloat16. Slots start as zeros, not as uninitialised memory: a hidden slot has weight 0, but 0 · NaN is
    NaN.
    """

    keys: Tensor  # [L,B,H,S,D]
    values: Tensor  # [L,B,H,S,D]

    def __init__(self, layers: int, batch: int, slots: int, device: torch.device) -> None:
        self.layers, self.slots = layers, slots
        self.lengths = torch.zeros(batch, dtype=torch.long, device=device)  # [B]
        self.longest = 0  # at least max(lengths); a Python number, because reading a tensor makes a GPU wait
        self.allocated = False
        # of the call between begin() and advance()
        self.positions = self.lengths[:, None]  # [B,T], positions of the new tokens
        self.added = self.lengths  # [B], number of real new tokens

    def begin(self, tokens: int, real: Tensor | None = None) -> Layout:
        """The layout of each row's next T tokens. real [B,T] bool is True at tokens, False at padding; None: all.

        The mask is None (plain causal attention among the new tokens) while the cache is empty. Raises ValueError when
        there is no room, and for a real token after padding.
        """
        if real is not None and tokens > 1 and (real[:, 1:] & ~real[:, :-1]).any():
            raise ValueError("with a cache padding must be on the right, but a real token follows padding")
        if self.longest + tokens > self.slots:
            self.longest = int(self.lengths.max())  # rows to which nothing was added made it too large
        if self.longest + tokens > self.slots:
            raise ValueError(f"the cache has {self.slots} slots, {self.longest} are used, and {tokens} more are needed")
        self.positions = self.lengths[:, None] + torch.arange(tokens, device=self.lengths.device)  # [B,T]
        self.added = torch.full_like(self.lengths, tokens) if real is None else real.sum(dim=1)  # [B]
        if self.longest == 0:
            return Layout(self.positions, None)
        slot = torch.arange(self.longest + tokens, device=self.lengths.device)  # [S], slots in use
        return Layout(self.positions, (slot <= self.positions[:, :, None])[:, None])  # mask [B,1,T,S]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the new tokens' keys and values [B,H,T,D]; returns all that are in use in this layer, [B,H,S,D]."""
        self._allocate(values)
        row = torch.arange(len(self.lengths), device=self.lengths.device)[:, None]  # [B,1]
        self.keys[layer, row, :, self.positions] = keys.transpose(1, 2).to(self.keys.dtype)  # [B,T,H,D]
        self.values[layer, row, :, self.positions] = values.transpose(1, 2)  # [B,T,H,D]
        used = self.longest + self.positions.shape[1]
        return self.keys[layer, :, :, :used], self.values[layer, :, :, :used]  # [B,H,S,D] each

    def advance(self) -> None:
        """Ends a call, after the last layer: the real new tokens become part of their rows."""
        self.longest += self.positions.shape[1]
        self.lengths = self.lengths + self.added  # [B]

    def put(self, rows: Tensor, other: "KVCache") -> None:
        """Copies the rows of another cache to the rows of these numbers, rows [R] int64."""
        self._allocate(other.values)
        self.keys[:, rows, :, : other.longest] = other.keys[:, :, :, : other.longest]
        self.values[:, rows, :, : other.longest] = other.values[:, :, :, : other.longest]
        self.lengths[rows] = other.lengths
        self.longest = max(self.longest, other.longest)

    def keep(self, rows: Tensor) -> None:
        """Keeps these rows alone, rows [R] int64, in this order. Only rows whose number changes are copied."""
        count = rows.shape[0]
        moved = (rows != torch.arange(count, device=rows.device)).nonzero().squeeze(1)  # [moved]
        for name in ("keys", "values"):
            old = getattr(self, name)  # [L,B,H,S,D]
            old[:, moved, :, : self.longest] = old[:, rows[moved], :, : self.longest]  # the right side is a copy
            setattr(self, name, old[:, :count])  # [L,R,H,S,D]
        self.lengths = self.lengths[rows]  # [R]
        self.longest = int(self.lengths.max())

    def _allocate(self, like: Tensor) -> None:
        """Makes keys and values of zeros, if there are none yet, with the H, D and dtype of `like` [...,H,_,D]."""
        if not self.allocated:
            heads, _, head_size = like.shape[-3:]
            self.keys = like.new_zeros(self.layers, len(self.lengths), heads, self.slots, head_size)  # [L,B,H,S,D]
            self.values = torch.zeros_like(self.keys)  # [L,B,H,S,D]
            self.allocated = True
