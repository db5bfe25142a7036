"""The inputs of the measurements that exercises of type C make, the same for everybody."""

from __future__ import annotations

import torch
from torch import Tensor

HEAD_SIZES = (4, 16, 64, 256)
QUERIES, KEYS = 100, 50


def random_rows(head_size: int) -> tuple[Tensor, Tensor]:
    """Queries [100,D] and keys [50,D], drawn from N(0, 1)."""
    generator = torch.Generator().manual_seed(head_size)
    return (
        torch.randn(QUERIES, head_size, generator=generator),
        torch.randn(KEYS, head_size, generator=generator),
    )
