"""The number format a model computes in: float32 throughout, or matrix products in bfloat16.

A GPU multiplies bfloat16 about fifteen times faster than float32. The format has float32's range, so gradients need no
scaling, but only 8 bits of precision, less than three decimal digits. So it is used where it is safe (Micikevicius et
al. 2018, "Mixed precision training"; torch.autocast):

    matrix products, attention            bfloat16; both sum up in float32
    weights, gradients, moments           float32, the "master weights": an update of 1 in 1,000 would be rounded away
    residual stream, norms, losses        float32
    logits of whole sequences             bfloat16: model(ids), whose loss is a mean over thousands of tokens
    logits at chosen positions, Muon      float32, in TF32 on a GPU (11 of the 24 bits): model(ids, at=…), generation

The difference between the last two decides whether RL works. The ratio and the KL of PPO and the rewards of DPO compare
two log-probabilities of one token, and a logit of 12 in bfloat16 is a multiple of 1/16 (MiniMax 2025, arXiv 2506.13585,
section 3.2, found the same: with an output layer in float32, sampling and training agreed).

`set_precision` wraps the methods `hidden` and `forward` of a model from outside. Each call enters autocast for itself.
Autocast keeps the bfloat16 copies of weights until the outermost call ends, so they are never those of the step before,
and none that was made in inference mode is left for training.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from minigpt.runs.errors import UserError

Model = TypeVar("Model", bound=nn.Module)


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype that `precision` means on this device.

    Raises UserError for bfloat16 on a GPU without hardware for it, and on mps, where it is untested.
    """
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bfloat16" and device.type == "cuda" and not has_bfloat16:
        raise UserError("--precision bfloat16: this GPU has none (compute capability 8.0 has), use float32 or auto")
    if precision == "bfloat16" and device.type == "mps":
        raise UserError("--precision bfloat16: not tried on mps, use float32 or auto, which is float32 there")
    if precision == "auto":  # on a CPU without matrix units for it, bfloat16 is several times slower than float32
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def dtype_name(dtype: torch.dtype) -> str:
    """torch.bfloat16 -> "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def set_precision(model: Model, dtype: torch.dtype) -> Model:
    """Makes every GPT in `model` compute in `dtype`, and returns `model`. Copies made of it compute in `dtype` too.

    Beside bfloat16, the products that stay in float32 (compared logits, Muon) may use the GPU's TF32, which has 3 bits
    more than bfloat16; with float32 they may not. That switch is torch's, for the whole process; on a CPU it is not
    touched. With float32 the methods are left unwrapped, so that a model made float64 computes in float64.
    """
    for module in model.modules():
        if not hasattr(module, "new_cache"):  # a GPT; `model` and its configuration import this file, so not the class
            continue
        module.compute_dtype = dtype
        if next(module.parameters()).device.type == "cuda":
            torch.set_float32_matmul_precision("highest" if dtype == torch.float32 else "high")
        for name, wrapped in (("hidden", autocast_hidden), ("forward", autocast_forward)):
            if dtype == torch.float32:
                vars(module).pop(name, None)
            else:
                setattr(module, name, MethodType(wrapped, module))  # a bound method: a deep copy binds its own
    return model


def dtype_of(model: nn.Module) -> torch.dtype:
    """The dtype that `set_precision` gave to the GPT that `model` is, or contains; float32 if it was never called."""
    found = (module.compute_dtype for module in model.modules() if hasattr(module, "compute_dtype"))
    return next(found, torch.float32)


def autocast_hidden(self: Any, ids: Tensor, *arguments: Any, **named: Any) -> Tensor:
    """GPT.hidden with matrix products in self.compute_dtype -> [B,T,C] or [M,C] float32."""
    with torch.autocast(ids.device.type, self.compute_dtype):
        return type(self).hidden(self, ids, *arguments, **named).float()


def autocast_forward(self: Any, ids: Tensor, layout: Any = None, cache: Any = None, at: Tensor | None = None) -> Tensor:
    """GPT.forward -> logits float32; with `at` computed in float32, else in self.compute_dtype."""
    with torch.autocast(ids.device.type, self.compute_dtype, enabled=at is None):
        return type(self).forward(self, ids, layout, cache, at).float()
