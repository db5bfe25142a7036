"""The part of a text that is held back for validation: whole documents, as many as make up a share of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from minigpt.corpora.text import good_cut
from minigpt.runs.errors import UserError
from minigpt.runs.seeds import seeded_generator


@dataclass(frozen=True)
class ValidationText:
    """The validation text: the documents [N] that are True in `whole`, and of document `cut` what follows its first
    `kept` characters; -1 is no document."""

    whole: np.ndarray
    cut: int = -1
    kept: int = 0


def choose_validation(sizes: Sequence[int], fraction: float, seed: int) -> ValidationText:
    """The validation text, a share of all: whole documents of these sizes, in random order, as long as they fit.

    Whole documents, because one cut in two would have its own beginning in the training set: the validation loss would
    then measure memory. Only where no whole document fits, the end of one is taken: of two long texts, otherwise half
    would be lost. Raises UserError for a fraction that is none, or a text too short to be divided.
    """
    if not 0 < fraction < 1:
        raise UserError(f"the validation fraction must lie between 0 and 1, got {fraction}")
    total = sum(sizes)
    if total < 2:
        raise UserError("the corpus is too short to hold back a validation part: it is a single character")
    target, smallest = min(max(1, round(fraction * total)), total - 1), min(sizes)
    order = torch.randperm(len(sizes), generator=seeded_generator(seed, "validation split")).numpy()  # [N]
    whole, held = np.zeros(len(sizes), dtype=bool), 0
    for index in order:
        if held + smallest > target:
            break
        if held + sizes[index] <= target:
            whole[index], held = True, held + sizes[index]
    if held >= 0.9 * target:
        return ValidationText(whole)
    longer = next(int(index) for index in order if not whole[index])
    return ValidationText(whole, longer, sizes[longer] - (target - held))


@dataclass(frozen=True)
class Part:
    """The training documents or the validation documents, read anew whenever they are iterated over."""

    documents: Iterable[str]
    held: ValidationText
    validation: bool

    def __iter__(self) -> Iterator[str]:
        for index, document in enumerate(self.documents):
            if index >= len(self.held.whole):
                raise UserError("the corpus has grown while it was read; run the same command again")
            if index == self.held.cut:
                kept = self.held.kept
                place = good_cut(document, max(1, kept - (len(document) - kept) // 10), kept)
                yield document[place:] if self.validation else document[:place]
            elif self.held.whole[index] == self.validation:
                yield document
