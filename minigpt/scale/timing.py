"""Speed: the seconds of a piece of work, and the rate of this machine's matrix products to compare them with.

A rate in FLOP/s says nothing by itself: the same program is ten times faster on another machine. What can be compared
is the share that it reaches of the rate of one large matrix product on the same device, measured in the same minute.
Papers call that share model FLOPs utilisation, MFU (Chowdhery et al. 2022, appendix B), and take the rate from the
data sheet of the chip; a CPU has none, and a shared one not even the same rate for long.
"""

import time
from collections.abc import Callable
from statistics import median

import torch

REPEATS = 5  # the median of five does not mind that two of them were disturbed
PRODUCT_SIDES = {"cpu": 2048, "mps": 4096, "cuda": 8192}  # large enough for the full rate: 17 GFLOP to 1.1 TFLOP


def synchronize(device: torch.device) -> None:
    """Wait until the device has computed all that was started. A call on a GPU returns at once, before its result is
    there, and a clock read then measures only how fast work is started."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """The median of several calls, after one that is not counted: the first one allocates, and may compile."""
    work()
    return median(seconds_of(work, device) for _ in range(repeats))


def matrix_product_rate(device: torch.device, dtype: torch.dtype, side: int = 0) -> float:
    """FLOP/s of A·B for square A and B of `side` rows: side³ multiplications and as many additions. Side 0 takes one
    that is large enough for the full rate of the device."""
    side = side or PRODUCT_SIDES[device.type]
    A, B = torch.randn(2, side, side, device=device).to(dtype)  # [side,side] each
    with torch.inference_mode():
        return 2 * side**3 / median_seconds(lambda: A @ B, device)
