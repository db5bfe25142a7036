"""Checks of the fields that a browser sent: each returns the value, or raises UserError with what was expected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from minigpt.runs.errors import UserError

KEY_LENGTH = 32  # characters of a key under which something is counted once


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body."""
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise UserError("expected a JSON object") from None
    if not isinstance(data, dict):
        raise UserError("expected a JSON object")
    return data


def text(data: Mapping[str, Any], name: str, longest: int, *, what: str = "") -> str:
    """A text that says something, of at most so many characters, without blanks around it."""
    value, what = data.get(name), what or name
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{what} is empty: write something first")
    value = value.strip().replace("\r\n", "\n")
    if len(value) > longest:
        raise UserError(f"{what} has {len(value)} characters, and {longest} is the most")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no file can hold
        raise UserError(f"{what} holds a character that does not exist") from None
    return value


def key(data: Mapping[str, Any]) -> str:
    """The key under which this is counted once, however often it is sent; site.js makes them."""
    value = data.get("key")
    if not isinstance(value, str) or len(value) != KEY_LENGTH or not value.isalnum() or not value.isascii():
        raise UserError("the key is missing: load the page again")
    return value


def choice(data: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """One of some texts."""
    value = data.get(name)
    if value not in choices or not isinstance(value, str):
        raise UserError(f"{name}: expected one of {', '.join(filter(None, choices))}")
    return value


def whole(data: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """A whole number within limits."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name}: expected a whole number from {low} to {high}")
    return value


def wholes(data: Mapping[str, Any], name: str, low: int, high: int, most: int) -> list[int]:
    """A list of at most so many of them."""
    values = data.get(name)
    if not isinstance(values, list) or len(values) > most:
        raise UserError(f"{name}: expected a list of at most {most} numbers")
    return [whole({name: value}, name, low, high) for value in values]


def number(data: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """A number within limits."""
    value = data.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise UserError(f"{name}: expected a number from {low} to {high}")
    return float(value)
