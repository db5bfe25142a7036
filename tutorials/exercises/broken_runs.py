"""The curves that exercise 18.3 reads: what tutorials/numbers/make/broken_runs.py has recorded."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tutorials.exercises.registry import ROOT

PATIENCE = 3
# the broken runs of the exercise, and the fields of the log that are watched
ALARMS = dict.fromkeys(("beta_0", "paid_at_the_pad", "critic_cold"), ("score", "kl", "ended", "explained"))


@cache
def recorded() -> dict[str, Any]:
    """The curves by run, seed and field."""
    text = (ROOT / "tutorials" / "numbers" / "broken-runs.json").read_text(encoding="utf-8")
    return json.loads(text)["curves"]


def curves(run: str, field: str) -> tuple[Tensor, Tensor]:
    """One field of a broken run of the first seed [T], and of all healthy runs [S,T]."""
    curve = torch.tensor(recorded()[run][0][field])  # [T]
    return curve, torch.tensor([log[field] for log in recorded()["healthy"]])  # [S,T]
