"""torch.compile for training: the many small operations between matrix products become a few kernels on a GPU.

Only the block is compiled, not the whole model. All blocks are one function of their weights, so the first one is
compiled and the others use it, however many there are; the embedding and the logits are single kernels anyway.

- **The last block** ends in another function where only some tokens are read: it is compiled by itself.
- **Lengths vary** in all stages but pretraining. torch compiles for the first shape it sees, at the second one again
  with the sizes that changed as variables, and then for no other (but a batch of one row has a version of its own).
  Pretraining, whose batches are all alike, keeps the faster kernels of a fixed shape.
- **Only for gradients.** Sampling reads a cache that grows with every token, and would compile for each length of it;
  scoring and evaluation are not repeated often enough. They run as they are.
- **Weights keep their names and places.** A block holds the compiled function beside its weights instead of being
  wrapped in one: checkpoints know nothing of it, DDP's and FSDP's hooks run around it, and a copied model computes
  with its own weights.

Compiling takes 20 to 40 seconds on a CPU and pays back little there: `auto` compiles on CUDA alone, and only where
Triton is installed, which writes the kernels and comes with torch on Linux, and the GPU is one that Triton knows.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor, nn

from minigpt.model import Block, Rotary

TRITON_CAPABILITY = (7, 0)  # Volta, 2017; torch's inductor refuses older GPUs


def compile_blocks(model: nn.Module, setting: str, backend: str = "inductor") -> None:
    """Training passes of every Block in `model` are compiled when they first run, if `setting` is on, or auto and the
    model where `pays_back` says so. The tests take a backend that is ready sooner."""
    if setting == "off" or (setting == "auto" and not pays_back(next(model.parameters()).device)):
        return
    compiled = torch.compile(_run_block, backend=backend)
    for module in model.modules():
        if isinstance(module, Block):
            module.compiled = compiled


def pays_back(device: torch.device) -> bool:
    """Whether `auto` compiles for this device: CUDA, and a GPU for which Triton is there to write kernels."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= TRITON_CAPABILITY


def _run_block(block: Block, x: Tensor, rotary: Rotary | None, mask: Tensor | None, read: Tensor | None) -> Tensor:
    return block.add_to_stream(x, rotary, mask, None, read)  # [B,T,C] or [M,C]
