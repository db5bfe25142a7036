"""Training examples of stage 1: demonstrations as ids, and batches in which only response tokens are targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from minigpt.data import IGNORE, pack_best_fit, pad_sequences
from minigpt.tokenizer import Tokenizer
from rlhf.bad_records import BadRecords, TooLongError
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.records import Demonstration


@dataclass(frozen=True)
class Example:
    """One demonstration as ids: the prompt, and the response with its end token."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]


class Batch(NamedTuple):
    """inputs [B,T], targets [B,T] (IGNORE where no response token is predicted), and documents [B,T], the number of the
    example that each token belongs to, if a row holds several examples."""

    inputs: Tensor
    targets: Tensor
    documents: Tensor | None = None


def encode_demonstration(tokenizer: Tokenizer, item: Demonstration, context: int, where: str) -> Example:
    """One demonstration as ids. Raises UserError, naming `where`, if it is longer than the context: cropping would cut
    off the end token."""
    prompt, response = encode_prompt(tokenizer, item.turns), encode_response(tokenizer, item.response)
    if len(prompt) + len(response) > context:
        tokens = len(prompt) + len(response)
        raise TooLongError(
            f"{where}: prompt and answer have {tokens} tokens together, but the model's context is {context}: shorten "
            "one of them, or train a model with a longer context",
            tokens,
            context,
        )
    return Example(tuple(prompt), tuple(response))


def encode_demonstrations(
    tokenizer: Tokenizer, items: Sequence[Demonstration], context: int, bad: BadRecords
) -> tuple[list[Demonstration], list[Example]]:
    """The demonstrations that fit into the context, and the same as ids. Those that do not fit go to `bad`."""
    fitting, examples = [], []
    for number, item in enumerate(items, start=1):
        with bad.tolerated():
            where = item.source or f"demonstration {number}"
            example = encode_demonstration(tokenizer, item, context, where)
            bad.fits(len(example.prompt) + len(example.response))
            examples.append(example)
            fitting.append(item)
    return fitting, examples


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """A batch with one example in each row: only tokens of the response are targets, everything else is IGNORE.

    The mask belongs to the targets, which are shifted by one: the last prompt token predicts the first response token,
    and the last response token predicts the end token. Masking the inputs instead is off by one.
    """
    ids, lengths = pad_sequences([example.prompt + example.response for example in examples], pad_id)  # [B,T+1]
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()  # [B,T]
    first = torch.tensor([len(example.prompt) - 1 for example in examples])  # [B], predicts the first response token
    column = torch.arange(inputs.shape[1])  # [T]
    is_response = (column >= first[:, None]) & (column < lengths[:, None] - 1)  # [B,T]
    return Batch(inputs, targets.masked_fill(~is_response, IGNORE))


def collate_packed(examples: Sequence[Example], pad_id: int, row_tokens: int) -> Batch:
    """A batch with as many examples in a row as fit, [R,T] with R <= B, and the same targets as `collate`.

    The last token of an example is a target and no input, as in a row of its own: it does not predict the beginning of
    the next example. `documents` numbers the examples of a row; padding is -1.
    """
    sequences = [example.prompt + example.response for example in examples]
    supervised = [(IGNORE,) * (len(example.prompt) - 1) + example.response for example in examples]
    rows = pack_best_fit([len(ids) - 1 for ids in sequences], row_tokens)
    inputs = [[token for i in row for token in sequences[i][:-1]] for row in rows]
    targets = [[token for i in row for token in supervised[i]] for row in rows]
    documents = [[number for number, i in enumerate(row) for _ in sequences[i][1:]] for row in rows]
    parts = ((inputs, pad_id), (targets, IGNORE), (documents, -1))
    return Batch(*(pad_sequences(part, filler)[0] for part, filler in parts))  # [R,T] each
