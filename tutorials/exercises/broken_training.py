"""The loss curves that exercise 7.3 reads: what tutorials/numbers/make/broken_training.py has recorded."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tutorials.exercises.registry import ROOT

CURVES = ("healthy", "no_warmup", "rate_x100", "bad_init")  # the recorded runs that the exercise asks for


@cache
def recorded() -> dict[str, Any]:
    """The logs by run, seed and field."""
    text = (ROOT / "tutorials" / "numbers" / "broken-training.json").read_text(encoding="utf-8")
    return json.loads(text)["curves"]


def curve(run: str, field: str = "loss") -> Tensor:
    """One field of a run of the first seed, a number for each step [N]."""
    return torch.tensor(recorded()[run][0][field])
