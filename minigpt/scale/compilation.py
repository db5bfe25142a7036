"""torch.compile for training: the many small operations between matrix products become a few kernels on a GPU.

Only the block is compiled, not the whole model. All blocks are one function of their weights, so the first one is
compiled and the others use it, however many there are; the embedding and the logits are single kernels anyway.

- **The last block** with `at` is compiled in two parts: the number of selected tokens is known only when it runs.
- **Lengths vary** in all stages but pretraining. torch compiles for the first shape it sees, at the second one again
  with the sizes that changed as variables (of flat tokens first their number, later that of the rows), and then for no
  other (but a batch of one row has a version of its own).
  Pretraining, whose batches are all alike, keeps the faster kernels of a fixed shape.
- **Only for gradients.** Generation has a cache that grows with every token, and would compile for each length of it;
  scoring and evaluation are not repeated often enough. They run uncompiled.
- **Weights keep their names and places.** Only the method `forward` of each block is replaced: checkpoints stay as they
  are, the hooks of DDP and FSDP run around it, and a copied model computes with its own weights.

Compiling takes 20 to 40 seconds on a CPU and pays back little there: `auto` compiles on CUDA alone, and only where
Triton is installed, which writes the kernels and comes with torch on Linux, and the GPU is one that Triton supports.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import MethodType

import torch
from torch import Tensor, nn

from minigpt.cache import KVCache
from minigpt.model import Block, Rotary

TRITON_CAPABILITY = (7, 0)  # Volta, 2017; torch's inductor refuses older GPUs


def compile_blocks(model: nn.Module, setting: str, backend: str = "inductor") -> None:
    """Compiles the training passes of every Block in `model`, if `setting` is on, or auto and `pays_back` is True.

    Compiling happens at the first pass. Tests pass another backend, which needs no compiler.
    """
    if setting == "off" or (setting == "auto" and not pays_back(next(model.parameters()).device)):
        return
    compiled = torch.compile(Block.forward, backend=backend)

    def forward(
        block: Block, x: Tensor, rotary: Rotary | None, mask: Tensor | None, cache: KVCache | None, at: Tensor | None
    ) -> Tensor:
        if cache is None and torch.is_grad_enabled():
            return compiled(block, x, rotary, mask, None, at)  # [B,T,C] or [M,C]
        return Block.forward(block, x, rotary, mask, cache, at)  # [B,T,C] or [M,C]

    for module in model.modules():
        if isinstance(module, Block):
            module.forward = MethodType(forward, module)  # a bound method: a deep copy binds its own block


def pays_back(device: torch.device) -> bool:
    """True where `auto` compiles: on CUDA, with a GPU for which Triton can write kernels."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= TRITON_CAPABILITY
