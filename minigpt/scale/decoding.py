"""One more token for every row: the step that `generate` repeats, plainly, and as a CUDA graph.

A step of a small model is a few hundred tiny kernels, and a GPU computes them faster than Python can order them. A CUDA
graph records the order once and gives it again as a whole. It repeats the very same kernels on the very same memory, so
whatever changes from step to step must stand in buffers on the device, and nothing may ask the device for a number:

    plain                                       as a graph
    the slots in use, one more in each step     all slots, those not in use hidden by the mask
    rows that stopped leave                     they stay, standing still, until half of the batch is enough
    lengths counted in Python                   lengths on the device, raised in place

The batch sizes are powers of two, each with its own graph. Graphs and buffers are kept from one call to the next, as a
rollout of PPO is one of many; the weights are read where they lie, which is why an optimiser's updates are seen. The
price is memory, as long as the model lives: for R rows 4·L·R·S·C numbers, keys and values of S slots for R, R/2, R/4, …
rows. Of medium with 512 rows and 256 slots that is 4.3 GB in bfloat16, for each model that has written.

Between two steps `generate` still waits for the device: whether the logits are finite, how many rows are live, and
which of them a token goes to are questions of Python's. The graph spares the many orders of a step, not these waits.

The numbers are the plain ones up to rounding (tests/minigpt/scale/test_decoding.py, which replays a recorded step on
the CPU). Capturing itself has not been run: there was no GPU.
"""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from minigpt.attention import KVCache
from minigpt.model import GPT

SLOTS_TOGETHER = 128  # slots are rounded up to this, so that prompts of other lengths find the same graphs


class Decoder:
    """The plain step, over a cache that grows."""

    def __init__(self, model: GPT, cache: KVCache) -> None:
        self.model, self.cache = model, cache

    def should_shrink(self, rows: int, live: int) -> bool:
        """Dropping rows copies a part of the cache, so wait until a sixteenth of them has stopped."""
        return live <= rows - max(1, rows // 16)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [R] only."""
        self.cache.keep(rows)

    def step(self, ids: Tensor, live: Tensor) -> Tensor:
        """Read ids [R] of the rows that are live [R] -> logits of each row's next token [R,V]."""
        # a stopped row is masked out: it stands still in the cache instead of running past its end
        hidden = self.model.hidden(ids[:, None], mask=live[:, None], cache=self.cache)  # [R,1,C]
        return self.model.logits(hidden[:, 0])  # [R,V]


class StaticCache(KVCache):
    """A KVCache of which all slots are always read, and whose tensors never move: a step is the same operations on the
    same memory, whatever it holds. Nothing counts in Python, so there is no check that a slot is free."""

    def begin(self, tokens: int) -> Tensor:
        self.positions = self.lengths[:, None] + torch.arange(tokens, device=self.lengths.device)  # [R,T]
        return self.positions

    def mask(self) -> Tensor:
        slot = torch.arange(self.slots, device=self.positions.device)  # [S]
        return (slot <= self.positions[:, :, None])[:, None]  # [R,1,T,S]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        super().write(layer, keys, values)
        return self.keys[layer], self.values[layer]  # [R,H,S,D] each

    def advance(self, tokens: int, mask: Tensor | None) -> None:
        self.lengths += tokens if mask is None else mask.sum(dim=1)  # [R], in place

    def load(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        """Take over r <= R rows: keys, values [L,r,H,s,D] with s <= S, lengths [r]. The other rows are empty."""
        rows, slots = keys.shape[1], min(keys.shape[3], self.slots)
        self.lengths.zero_()
        self.lengths[:rows] = lengths
        self.keys[:, :rows, :, :slots] = keys[:, :, :, :slots]
        self.values[:, :rows, :, :slots] = values[:, :, :, :slots]


class StaticStep:
    """A step for R rows over buffers of its own: ids [R], live [R], the cache, and the logits [R,V] it leaves."""

    def __init__(self, model: GPT, rows: int, slots: int) -> None:
        config, weight = model.config, model.token_embedding.weight
        like = model.new_cache(0, 0).keys  # on the model's device, in what its products give
        self.cache = StaticCache(config.layers, rows, config.heads, slots, config.head_size, like=like)
        self.ids = torch.zeros(rows, dtype=torch.long, device=weight.device)  # [R]
        self.live = torch.zeros(rows, dtype=torch.bool, device=weight.device)  # [R]
        self.logits = weight.new_zeros(rows, config.vocab_size)  # [R,V]
        self.graph: torch.cuda.CUDAGraph | None = None
        if weight.device.type == "cuda":
            self._capture(model)

    def compute(self, model: GPT) -> None:
        """From buffers to buffers."""
        hidden = model.hidden(self.ids[:, None], mask=self.live[:, None], cache=self.cache)  # [R,1,C]
        self.logits.copy_(model.logits(hidden[:, 0]))

    def _capture(self, model: GPT) -> None:
        # First a few times as usual, beside the main stream: libraries choose kernels and allocate when first called,
        # which must not be recorded. No row is live yet, so the lengths stay 0.
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.compute(model)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads do meanwhile (NCCL watches its queue) is no part of this step and no error
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.compute(model)

    def run(self, model: GPT) -> None:
        """`compute`, or its recording."""
        if self.graph is None:
            self.compute(model)
        else:
            self.graph.replay()


# Of each model that has written: where its weights lay and how it computed, and the steps by their number of rows.
_STEPS: WeakKeyDictionary[GPT, tuple[tuple[object, ...], dict[int, StaticStep]]] = WeakKeyDictionary()


def steps_of(model: GPT, slots: int) -> dict[int, StaticStep]:
    """The steps kept for this model with this many slots; none if it has moved or computes otherwise since."""
    now = (slots, model.compute_dtype, *(parameter.data_ptr() for parameter in model.parameters()))
    before, steps = _STEPS.get(model, (None, {}))
    if before != now:
        steps = {}
        _STEPS[model] = (now, steps)
    return steps


class GraphDecoder:
    """The step as a graph, behind the methods of Decoder. On a CPU the same buffers without a graph, for the tests."""

    def __init__(self, model: GPT, cache: KVCache) -> None:
        """Takes over what `cache` holds."""
        self.model = model
        slots = min(model.config.context, math.ceil(cache.slots / SLOTS_TOGETHER) * SLOTS_TOGETHER)
        self.steps = steps_of(model, slots)
        self.slots = slots
        self._load(cache.keys, cache.values, cache.lengths)

    def _load(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        rows = power_of_two(len(lengths))
        if rows not in self.steps:
            self.steps[rows] = StaticStep(self.model, rows, self.slots)
        self.now = self.steps[rows]
        self.now.cache.load(keys, values, lengths)

    def should_shrink(self, rows: int, live: int) -> bool:
        """Only where fewer rows are another graph."""
        return power_of_two(live) < power_of_two(rows)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [R] only, in the buffers of a smaller step."""
        cache = self.now.cache
        self._load(cache.keys[:, rows], cache.values[:, rows], cache.lengths[rows])

    def step(self, ids: Tensor, live: Tensor) -> Tensor:
        """Decoder.step. The logits are overwritten by the next step."""
        rows = len(ids)
        self.now.ids[:rows] = ids
        self.now.live.zero_()  # rows that only fill the batch up are never live
        self.now.live[:rows] = live
        self.now.run(self.model)
        return self.now.logits[:rows]  # [R,V]


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()


def decoder_for(model: GPT, cache: KVCache) -> Decoder | GraphDecoder:
    """A graph on CUDA, unless the weights are slices that are put together anew for every rollout: they move."""
    graph = model.token_embedding.weight.device.type == "cuda" and not isinstance(model, FSDPModule)
    return GraphDecoder(model, cache) if graph else Decoder(model, cache)
