"""Values as one would write them on paper: what the messages of the checks show."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

WIDTH = 100  # of a line of numbers
ROWS, COLUMNS = 8, 8  # of a matrix that is shown; more of it is cut off


def beside(label: str, name: str, text: str) -> str:
    """`text` behind a label, its further lines below its first one."""
    return (label + name + text).replace("\n", "\n" + " " * len(label + name))


def first_difference(expected: Any, got: Any) -> int:
    """The number of the first matrix in which two tensors of one shape differ, counted from 0; 0 for all else."""
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor) or expected.shape != got.shape:
        return 0
    if expected.dim() <= 2 or not expected.numel():
        return 0
    same = torch.isclose(expected.double(), got.double(), rtol=1e-4, atol=1e-5).flatten(0, -3).all(-1).all(-1)
    return 0 if same.all() else int((~same).nonzero()[0])


def show(value: Any, matrix: int = 0) -> str:
    """A value as one would write it on paper: a matrix row by row, of several matrices that with this number, and no
    more than fits into a few lines."""
    if isinstance(value, Tensor) and value.dim() and value.numel():
        while value.dim() > 2 and value.shape[0] == 1:
            value = value[0]  # a batch of one and a single head say nothing
        if value.dim() <= 2:
            return show_matrix(torch.atleast_2d(value))
        others = math.prod(value.shape[:-2])
        which = f"number {matrix + 1}" if matrix else "the first"
        title = f"[{','.join(map(str, value.shape))}], {which} of its {others} matrices:"
        return f"{title}\n{show_matrix(value.flatten(0, -3)[matrix])}"
    if isinstance(value, Tensor):
        value = value.tolist()
    text = number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 2] + " …"


def show_matrix(matrix: Tensor) -> str:
    """[R,C] row by row, with … where rows or columns are left out."""
    cells = [[number(cell) for cell in row] for row in matrix[:ROWS, :COLUMNS].tolist()]
    width = max(len(cell) for row in cells for cell in row)
    cut = "  …" if matrix.shape[1] > COLUMNS else ""
    lines = ["[" + "  ".join(cell.rjust(width) for cell in row) + cut + "]" for row in cells]
    return "\n".join([*lines, "…"] if matrix.shape[0] > ROWS else lines)


def number(value: Any) -> str:
    """Up to four decimals: 2, −0.5, 0.6931, nan."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
