"""In what numbers a model computes: float32 throughout, or matrix products in bfloat16.

A GPU multiplies bfloat16 about fifteen times faster than float32. The number has float32's range, so gradients need no
scaling, but only 8 bits of it: three digits of decimal precision at best. So it is used where it is safe and nowhere
else (Micikevicius et al. 2018, "Mixed precision training"; torch.autocast):

    matrix products, attention        bfloat16; both sum up in float32
    weights, gradients, moments       float32, the "master weights": an update of 1 in 1,000 would be rounded away
    residual stream, norms, losses    float32
    logits that are compared, Muon    float32, in TF32 on a GPU (set_precision), 11 of the 24 bits: `GPT.logits`,
                                      which writes, and scores what was written
    logits of whole texts             bfloat16: `GPT.forward`, whose loss is a mean over thousands of tokens

The difference between the last two decides whether RL works. PPO's ratio, its KL and DPO's rewards compare two
log-probabilities of one token, and a logit of 12 in bfloat16 is a multiple of 1/16 (MiniMax 2025, arXiv 2506.13585,
section 3.2, found the same: their output layer in float32 made sampling and training agree).

A model holds the choice in `compute_dtype`, float32 unless `set_precision` says otherwise. Each call enters autocast
for itself. Autocast keeps the bfloat16 copies of weights until the outermost call ends, so they are never those of the
step before, and none that was made in inference mode is left over for training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from minigpt.runs.errors import UserError

Model = TypeVar("Model", bound=nn.Module)

PRECISIONS = ("auto", "float32", "bfloat16")


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What `precision` means on this device. Raises UserError for bfloat16 on a GPU that has to imitate it, or on which
    nobody has tried it."""
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bfloat16" and device.type == "cuda" and not has_bfloat16:
        raise UserError("--precision bfloat16: this GPU has none (compute capability 8.0 has), use float32 or auto")
    if precision == "bfloat16" and device.type == "mps":
        raise UserError("--precision bfloat16: not tried on mps, use float32 or auto, which is float32 there")
    if precision == "auto":  # on a CPU without matrix units for it, bfloat16 is several times slower than float32
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def in_words(dtype: torch.dtype) -> str:
    """torch.bfloat16 -> "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def set_precision(model: Model, dtype: torch.dtype) -> Model:
    """Every GPT in `model` computes in `dtype` from here on; so do the copies that are made of it.

    The products that stay in float32 beside bfloat16 (logits, Muon) may take the GPU's TF32, which has 3 bits more
    than bfloat16. Whoever asks for float32 gets float32: TF32 has 11 bits of its 24. The switch is torch's, for the
    process; on a CPU it is left alone.
    """
    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = dtype
            if next(module.parameters()).device.type == "cuda":
                torch.set_float32_matmul_precision("highest" if dtype == torch.float32 else "high")
    return model


def dtype_of(model: nn.Module) -> torch.dtype:
    """The compute_dtype of the GPT that `model` is, or has inside; float32 if there is none."""
    found = (module.compute_dtype for module in model.modules() if hasattr(module, "compute_dtype"))
    return next(found, torch.float32)


def in_compute_dtype(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A method (self, ids, …) -> Tensor that computes in self.compute_dtype and returns float32. With float32 it is the
    method as it was, so that a model made float64 computes in float64."""

    @functools.wraps(method)
    def call(self: Any, ids: Tensor, *arguments: Any, **named: Any) -> Tensor:
        if self.compute_dtype == torch.float32:
            return method(self, ids, *arguments, **named)
        with torch.autocast(ids.device.type, self.compute_dtype):
            return method(self, ids, *arguments, **named).float()

    return call
