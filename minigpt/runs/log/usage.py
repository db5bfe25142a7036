"""The cost of a stage: wall-clock seconds and peak memory, written to usage.json beside its results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt.runs.files import write_json


def peak_rss_mb() -> float | None:
    """The peak memory of this process, in MB (10^6 bytes); None on Windows, which has no `resource` module."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


@contextmanager
def measure_usage(stage_dir: Path) -> Iterator[None]:
    """Writes usage.json when the block ends without an error. A resumed stage counts its last session only."""
    started = time.monotonic()
    yield
    write_json(stage_dir / "usage.json", {"seconds": time.monotonic() - started, "peak_rss_mb": peak_rss_mb()})
