"""Exceptions of a student's code in words: the line, what it was given, and the mistake that it usually comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MOST_NUMBERS = 8  # of a tensor that is shown with its numbers


@dataclass(frozen=True)
class Mistake:
    """A mistake and how to recognise it: the exception's type, patterns in its text and in the line of code that
    raised it, and, where only one exercise has it, the beginning of that exercise's number."""

    likely: str
    kind: str = ""
    text: str = ""
    line: str = ""
    exercise: str = ""

    def fits(self, kind: str, text: str, line: str, exercise: str) -> bool:
        return (
            self.kind in ("", kind)
            and re.search(self.text, text) is not None
            and re.search(self.line, line) is not None
            and exercise.startswith(self.exercise)
        )


# A mean or a sum over an axis, without keepdim, with an operator after it or a / before it.
REDUCED = r"\.(?:mean|sum|amax|std|var|norm)\([^()]+\)"
NO_KEEPDIM = rf"^(?!.*keepdim).*(?:{REDUCED}\)*\s[-+*/]|/ ?\w[\w.()\[\]]*{REDUCED})"

# The first that fits is named.
MISTAKES = (
    Mistake(
        "min, max, sort and topk along an axis give two things, the numbers and their places: .values are the numbers",
        text=r"return_types\b",
    ),
    Mistake(
        "several numbers where one is needed: sort() gives two things, the sorted numbers (.values) and their places",
        "ValueError", "only one element", exercise="19.1",
    ),
    Mistake("max() of nothing: stop when no pair is left", "ValueError", "empty", exercise="2.1"),
    Mistake(
        "a length counts from 1 and an index from 0: the last real token of a row with 4 tokens stands in column 3",
        "IndexError", "out of bounds|out of range", exercise="15.2",
    ),
    Mistake(
        "scores are [B] and logprobs [B,N]: scores need an axis for the tokens, or the tokens are summed first",
        "RuntimeError", "must match|size of tensor", exercise="16.1",
    ),
    Mistake("groups may be of any size, and their answers stand in any order", "RuntimeError", exercise="16.2"),
    Mistake("a length of 0: there is no such part, so look before you divide", "ZeroDivisionError", exercise="7.2"),
    Mistake("a target of −1 is none, and the loss must be told so: ignore_index", "IndexError", "Target -1"),
    Mistake(
        "after a transpose or a chunk the numbers do not lie in memory in the order of the view: reshape copies them. "
        "But it lets no axes change places; that must come first",
        "RuntimeError", "view size is not compatible",
    ),
    Mistake(
        "~ turns True and False round, and the mask is made of floats: give it dtype=torch.bool",
        "TypeError", "only implemented on integer and Boolean",
    ),
    Mistake(
        "a list stands where a tensor is needed: torch.stack, torch.tensor", "TypeError", "Tensor, not (list|tuple)"
    ),
    Mistake("a / gives a float, a size must be a whole number: //", "TypeError", "float.*integer|but got float"),
    Mistake(
        "cross_entropy takes a row of scores for each answer: the first axis of the scores is as long as the answers",
        "ValueError", "input batch_size",
    ),
    Mistake(
        "a mean or a sum takes its axis away, and what is left does not broadcast: keepdim=True keeps it",
        "RuntimeError", "must match|size of tensor", NO_KEEPDIM,
    ),
    Mistake(
        "x.T swaps the axes of a matrix, and here there are more than two axes; transpose(-2, -1) swaps the last two",
        line=r"(?<!weight)(?<!up)(?<!down)\.T\b",
    ),
    Mistake(
        "the text is a circle: behind its last word comes the first one again, and a remainder (%) gets there",
        "IndexError", "out of (bound|range)", exercise="9.3",
    ),
    Mistake(
        "the last piece has no right neighbour; and joining makes a list shorter than a range that was counted before",
        "IndexError", "out of (bound|range)", r"\+ ?1\]", exercise="2.",
    ),
    Mistake(
        "these bytes are no whole character: keep them until the last has come. The first tells how many, up to four",
        "UnicodeDecodeError", exercise="2.2",
    ),
    Mistake(
        "a cache may be full, so it has no slot for the new token: put the new key and value BESIDE the cache",
        "IndexError", "out of (bound|range)", exercise="8.1",
    ),
    Mistake(
        "max, min, sort and topk with an axis return two things, the values and their indices: take .values",
        "TypeError", r"return_types|can't multiply sequence", r"\b(max|min|sort|topk|median)\(",
    ),
    Mistake("the logarithm of 0 or of a negative number", "ValueError", "math domain"),
    Mistake(
        "a tensor as the key of a dictionary is found by that very object alone: tolist() makes plain numbers",
        "KeyError", r"tensor\(",
    ),
    Mistake("indices count from 0: the last place of an axis of size n is n − 1", "IndexError", "out of (bound|range)"),
    Mistake("more axes are indexed than the tensor has; write the shape of each tensor behind its line", "IndexError"),
    Mistake(
        "in a product of matrices the last axis of the left one is as long as the last but one of the right one",
        "RuntimeError", r"mat1 and mat2|batch1|batch2|size mismatch|inconsistent tensor size|einsum|subscript",
    ),
    Mistake(
        "two shapes do not fit: write the shape of each tensor behind its line, and look for the axis that differs",
        "RuntimeError", r"must match|not broadcastable|shape|size of tensor|expanded size|dimension",
    ),
    Mistake("two types do not fit: whole numbers or booleans meet floats", "RuntimeError", "type"),
    Mistake("what is returned does not depend on the inputs: detach, item, or a tensor made of numbers", text="grad"),
    Mistake("a tensor of several numbers stands where a single one is needed", text="ambiguous|scalar|single"),
    Mistake("something is None: a function without a return, or a method that works in place", text="NoneType"),
    Mistake("a name that nothing defines: a typing error, or a missing import", "NameError"),
    Mistake("a name that is defined later or in another branch: is it always set?", "UnboundLocalError"),
    Mistake("a tensor, module or list has no such name: look it up in its documentation", "AttributeError"),
    Mistake("0 pairs, 0 tokens or an empty list: what must come out then?", "ZeroDivisionError"),
    Mistake("an assert in your own code failed", "AssertionError"),
    Mistake("a call has other arguments than the function takes", "TypeError"),
)  # fmt: skip


def likely_mistake(kind: str, text: str, line: str, exercise: str) -> str:
    """The mistake that an exception usually comes from; "" if none is known."""
    return next((mistake.likely for mistake in MISTAKES if mistake.fits(kind, text, line, exercise)), "")


def shape_and_numbers(value: Any) -> str:
    """An argument as a message shows it: [3,4,5], or [3] = 2, 4, 1 where the numbers are few."""
    if not isinstance(value, Tensor):
        return "a function" if callable(value) else repr(value)[:60]
    shape = f"[{','.join(map(str, value.shape))}]"
    if value.dim() > 1 or value.numel() > MOST_NUMBERS:
        return shape
    numbers = [f"{number:.4g}" if isinstance(number, float) else str(number) for number in value.flatten().tolist()]
    return f"{shape} = {', '.join(numbers)}"
