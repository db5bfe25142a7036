"""A setting of a config: its default, its help, and the values that it may have.

A value is a bool, int, float or str, a tuple of one of these (written 0.9,0.95), or any of them "| None" (written
none). Its type is the annotation of the field. `option` says which choices or limits it has besides.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minigpt.runs.errors import UserError, did_you_mean

# ---- Choices and limits ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """The numbers that a setting may have: low <= x <= high, above < x < below; None is no limit on that side."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        # NaN fails every one of these comparisons
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """As in "0 or more and below 1"."""
        words = {"{} or more": self.low, "more than {}": self.above, "{} or less": self.high, "below {}": self.below}
        return " and ".join(text.format(limit) for text, limit in words.items() if limit is not None)


def option(
    default: object,
    help: str,
    *,
    choices: Sequence[object] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field that is also a flag: its default, one line of help, and the values that it may have.

    A number may be low or more, high or less, more than `above` and less than `below`; of a tuple, each element.
    """
    metadata = {"help": help, "choices": tuple(choices), "limits": Limits(low, high, above, below)}
    return dataclasses.field(default=default, metadata=metadata)


def flag_of(name: str) -> str:
    """The flag of a setting: "learning_rate" -> "--learning-rate"."""
    return "--" + name.replace("_", "-")


def check_option(field: dataclasses.Field[Any], value: object) -> None:
    """Raises UserError, naming the flag, for a value that is no choice of this field or outside its limits."""
    choices, limits = field.metadata["choices"], field.metadata["limits"]
    for element in value if isinstance(value, tuple) else (value,):
        if element is None:
            continue
        if choices and element not in choices:
            names = [str(choice) for choice in choices]
            hint = did_you_mean(str(element), names)
            raise UserError(f"{flag_of(field.name)}: {element!r} is not one of {', '.join(names)}{hint}")
        if limits != Limits() and element not in limits:
            raise UserError(f"{flag_of(field.name)}: expected {limits}, got {element}")


# ---- Types: from text, from JSON, in words -----------------------------------------------------------------------

ONE = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
MANY = {bool: "true or false", int: "whole numbers", float: "numbers", str: "texts"}
ANY_LENGTH = -1


@dataclass(frozen=True)
class ValueType:
    """The type of a setting: `element | None`, or a tuple of `length` elements."""

    element: type
    length: int | None  # None: not a tuple; ANY_LENGTH: a tuple of any length
    optional: bool

    def __str__(self) -> str:
        """As in "a number or none"."""
        words = ONE[self.element]
        if self.length is not None:
            count = "" if self.length == ANY_LENGTH else f"{self.length} "
            words = f"{count}{MANY[self.element]} separated by commas"
        return f"{words} or none" if self.optional else words

    def read(self, text: str) -> Any:
        """The value that was typed after a flag. Raises ValueError, saying what was expected."""
        if self.optional and text.lower() == "none":
            return None
        parts = text.split(",") if text.strip() else []
        try:
            return self.check(
                self.element(text) if self.length is None else [self.element(part.strip()) for part in parts]
            )
        except ValueError:
            raise ValueError(f"expected {self}, got {text!r}") from None

    def check(self, value: object) -> Any:
        """A value from JSON or a preset, lists as tuples. Raises ValueError, saying what was expected."""
        if self.optional and value is None:
            return None
        is_list = isinstance(value, (list, tuple))
        elements = value if is_list else [value]
        right_length = self.length in (ANY_LENGTH, len(elements)) if is_list else self.length is None
        if not right_length or not all(self._is_element(element) for element in elements):
            raise ValueError(f"expected {self}, got {value!r}")
        return tuple(map(self.element, elements)) if is_list else self.element(value)

    def _is_element(self, value: object) -> bool:
        if isinstance(value, bool):  # to Python, True is an int as well
            return self.element is bool
        if self.element is float:  # "nan" and "inf" are floats to Python, but no setting means anything with them
            return isinstance(value, (int, float)) and math.isfinite(value)
        return isinstance(value, self.element)


def value_type(annotation: Any) -> ValueType:
    """The type that the annotation of a field stands for. Raises ValueError for one that no setting may have."""
    members, element, length = typing.get_args(annotation), annotation, None
    optional = isinstance(annotation, types.UnionType) and members[1:] == (types.NoneType,)
    if optional:
        element = members[0]
    if typing.get_origin(element) is tuple:
        element, *rest = typing.get_args(element)
        length = ANY_LENGTH if rest == [Ellipsis] else 1 + len(rest)
        if length != ANY_LENGTH and set(rest) - {element}:
            raise ValueError(f"the elements of a setting must have one type, but it is {annotation}")
    if element not in ONE:
        raise ValueError(f"a setting cannot be of type {annotation}")
    return ValueType(element, length, optional)


def show(value: object) -> str:
    """A value as it is typed after its flag."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(show(part) for part in value) or "(empty)"
    return "none" if value is None else str(value) or "(empty)"
