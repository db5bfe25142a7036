"""Documents -> one stream of tokens -> batches of next-token examples.

Every batch is a pure function of (seed, step). The position in the data is then just the step number, and a run that
stops after any step and resumes sees exactly the batches it would have seen.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from minigpt.corpora.permutation import keyed_permutation
from minigpt.corpora.token_file import token_dtype
from minigpt.runs.errors import UserError
from minigpt.runs.seeds import seeded_generator

if TYPE_CHECKING:
    from minigpt.tokenizer import Tokenizer

IGNORE = -100  # the target that F.cross_entropy skips by default
ENCODED_AT_ONCE = 1_000_000  # characters
DIGESTED_AT_ONCE = 1 << 22  # tokens
SHUFFLED_AT_ONCE = 1 << 20  # windows; the order of more is computed where it is needed


# ---- Documents to tokens -----------------------------------------------------------------------------------------


def encode_documents(tokenizer: "Tokenizer", documents: Iterable[str]) -> Iterator[np.ndarray]:
    """All documents as one stream, in blocks [n] of uint16 or uint32: <|endoftext|> before each of them and after the
    last.

    Beginning with the separator gives a model that samples from scratch a token to start from. Special tokens of one's
    own are read where a document spells them; those of the chat format are not.
    """
    dtype, end = token_dtype(tokenizer.vocab_size), tokenizer.end_of_text_id
    yield np.array([end], dtype)
    waiting: list[str] = []
    size = 0
    for document in documents:
        waiting.append(document)
        size += len(document)
        if size >= ENCODED_AT_ONCE:
            yield _encode_all(tokenizer, waiting, dtype)
            waiting, size = [], 0
    if waiting:
        yield _encode_all(tokenizer, waiting, dtype)


def _encode_all(tokenizer: "Tokenizer", documents: Sequence[str], dtype: np.dtype) -> np.ndarray:
    encoded = tokenizer.encode_batch(documents, allow_special=tokenizer.own_special_tokens)
    return np.concatenate([np.array([*ids, tokenizer.end_of_text_id], dtype) for ids in encoded])  # [n]


def tokenize_documents(tokenizer: "Tokenizer", documents: Iterable[str]) -> np.ndarray:
    """The stream of encode_documents as one array [N], in memory."""
    return np.concatenate(list(encode_documents(tokenizer, documents)))


# ---- Batches of a token stream -----------------------------------------------------------------------------------


class TokenStream:
    """Training windows of a token stream: inputs [B, T] and the same windows one token later as targets [B, T].

    An epoch starts at a random offset below T, cuts the stream into windows from there, and visits them in random
    order without replacement. Windows drawn independently would miss 1/e of the stream in every epoch; a fixed offset
    would show each token with the same left context for ever.

    With `begin_with`, the token before each document, a window is moved right to where the first document in it begins.
    Cut out anywhere, a window begins within a document, and the rest of that has to be predicted without its beginning:
    a quarter of all tokens where documents have 55 tokens and windows 128. Moved windows overlap or leave gaps, other
    ones in every epoch, and the ends of long documents are seen less often than their beginnings. A window in which no
    document begins stays where it is. (nanochat's rows begin with documents too; it packs them by best fit.)
    """

    def __init__(
        self,
        tokens: Tensor | np.ndarray,
        *,
        context: int,
        batch_size: int,
        seed: int,
        begin_with: int | None = None,
    ) -> None:
        """tokens [N], in memory or in a file (`token_file`); context is T, batch_size is B. Raises UserError if N is
        too short for one batch of windows."""
        # The last offset, T - 1, must still leave a window for each row, and every window needs one token more.
        shortest = batch_size * context + context
        if len(tokens) < shortest:
            raise UserError(
                f"the corpus is too short: it has {len(tokens)} tokens, and batches of {batch_size} windows of "
                f"{context} tokens need at least {shortest}; give more text, or a smaller batch or context"
            )
        self.tokens = tokens.numpy() if isinstance(tokens, Tensor) else tokens
        self.context, self.batch_size, self.seed, self.begin_with = context, batch_size, seed, begin_with
        self.windows_per_epoch = (len(tokens) - context) // context  # the same whatever the offset
        self.batches_per_epoch = self.windows_per_epoch // batch_size
        self._shuffled: tuple[int, Tensor] = (-1, torch.empty(0))  # an epoch and its order

    def digest(self) -> str:
        """SHA-256 of all tokens, read a part at a time."""
        digest = hashlib.sha256()
        for start in range(0, len(self.tokens), DIGESTED_AT_ONCE):
            digest.update(np.ascontiguousarray(self.tokens[start : start + DIGESTED_AT_ONCE]))
        return digest.hexdigest()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs [B, T] and targets [B, T] of this step, a pure function of (seed, step)."""
        epoch, batch = divmod(step, self.batches_per_epoch)
        generator = seeded_generator(self.seed, "token windows", epoch)
        offset = torch.randint(self.context, (), generator=generator)
        places = torch.arange(batch * self.batch_size, (batch + 1) * self.batch_size)  # [B]
        chosen = self._order(epoch, places, generator)  # [B]
        starts = (offset + chosen * self.context).numpy()  # [B]
        if self.begin_with is not None:
            starts = self._moved(starts)  # [B]
        windows = torch.from_numpy(self._windows(starts, self.context + 1).astype(np.int64))  # [B, T+1]
        return windows[:, :-1], windows[:, 1:]

    def _windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """The tokens from each start on, starts [B] -> [B, length]."""
        return self.tokens[starts[:, None] + np.arange(length)]  # [B, length]

    def _moved(self, starts: np.ndarray) -> np.ndarray:
        """The place of the first `begin_with` in each window, or its own start [B] if there is none, or no room."""
        distance = (self._windows(starts, self.context) == self.begin_with).argmax(axis=1)  # [B]; 0 if there is none
        moved = starts + distance  # [B]
        return np.where(moved + self.context < len(self.tokens), moved, starts)  # [B]

    def _order(self, epoch: int, places: Tensor, generator: torch.Generator) -> Tensor:
        """The windows [B] at these places [B] of the epoch's order. No step may cost more for a longer text: the order
        of an epoch is drawn once or, where it would be long itself, computed place by place."""
        if self.windows_per_epoch > SHUFFLED_AT_ONCE:
            return keyed_permutation(places, self.windows_per_epoch, generator)
        if self._shuffled[0] != epoch:
            self._shuffled = epoch, torch.randperm(self.windows_per_epoch, generator=generator)  # [windows]
        return self._shuffled[1][places]


def validation_batches(
    tokens: Tensor | np.ndarray,
    *,
    context: int,
    batch_size: int,
    most_tokens: int | None = None,
    begin_with: int | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """The whole of tokens [N] in order: inputs [<=B, T], and targets [<=B, T] with every token but the first, once.

    No sampling, so that two losses differ only because two models do. The end of the last window is padding: input 0,
    target IGNORE. With `most_tokens`, of a longer text only so many, in windows at equal distances. `begin_with`: as in
    TokenStream, see `windows_from_documents`. Raises UserError if there is nothing to predict.
    """
    if len(tokens) < 2:
        raise UserError(f"the validation part has {len(tokens)} tokens and predicting one needs two; give more text")
    if begin_with is None:
        windows = [(start, start) for start in range(0, len(tokens) - 1, context)]
    else:
        windows = windows_from_documents(np.flatnonzero(np.asarray(tokens) == begin_with), len(tokens), context)
    used = len(windows) if most_tokens is None else min(len(windows), max(1, most_tokens // context))
    inputs = torch.zeros(used, context, dtype=torch.int64)  # [windows, T]
    targets = torch.full((used, context), IGNORE, dtype=torch.int64)  # [windows, T]
    for row in range(used):
        start, done = windows[row * len(windows) // used]
        window = torch.as_tensor(np.asarray(tokens[start : start + context + 1], dtype=np.int64))  # [<=T+1]
        inputs[row, : len(window) - 1] = window[:-1]
        targets[row, done - start : len(window) - 1] = window[1 + done - start :]
    return list(zip(inputs.split(batch_size), targets.split(batch_size), strict=True))


def windows_from_documents(starts: np.ndarray, count: int, context: int) -> list[tuple[int, int]]:
    """Windows that begin where documents do and predict each of `count` tokens but the first once: (start, done) of
    each, where the tokens up to `done` are the targets of windows before it.

    starts [documents]: the places where documents begin, in order. A document that a window cuts is read again from
    its beginning by the next one, unless it is longer than a window.
    """
    windows, start, done = [], 0, 0
    while done < count - 1:
        windows.append((start, done))
        done = min(start + context, count - 1)
        begun = int(np.searchsorted(starts, done, side="right"))  # documents that begin at `done` or before
        beginning = int(starts[begun - 1]) if begun else 0
        start = beginning if beginning > start else done
    return windows


def byte_count(tokenizer: "Tokenizer", batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """The UTF-8 bytes of all targets that are predicted; a special token of this project stands for no text."""
    sizes = [len(tokenizer.token_bytes(token)) for token in range(tokenizer.end_of_text_id)]
    sizes += [0] * (tokenizer.vocab_size - len(sizes) - len(tokenizer.own_special_tokens))
    sizes += [len(token.encode("utf-8")) for token in tokenizer.own_special_tokens]
    table = torch.tensor(sizes)  # [V]
    return sum(int(table[targets[targets != IGNORE]].sum()) for _, targets in batches)


def bits_per_byte(nats: float, byte_count: int) -> float:
    """Total loss in nats over the UTF-8 bytes it predicts, in bits: comparable between tokenizers, as loss is not."""
    return nats / (math.log(2) * byte_count)


# ---- Ragged batches ----------------------------------------------------------------------------------------------


def pad_sequences(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Sequences of different lengths as ids [B, T], padded on the right, and their lengths [B].

    Keep the lengths: what is padding is read from them, never by comparing ids with pad_id, for a real token may be
    pad_id. Right padding needs no mask in causal attention, as no real token looks right.
    """
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)  # [B]
    ids = torch.full((len(sequences), int(lengths.max())), pad_id, dtype=torch.int64)  # [B, T]
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.int64)
    return ids, lengths


def pack_best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """The sequences that share a row of `capacity` tokens: their numbers, row by row.

    Best fit, the longest first: each goes into the fullest row that still has room for it. That takes at most 11/9 of
    the fewest rows possible and a few more (Johnson et al. 1974). What is left of a row is padding; nothing is cropped,
    as that would cut off the ends, and the end is what a response must learn. Raises ValueError for a sequence that is
    longer than a row.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length = lengths[number]
        if length > capacity:
            raise ValueError(f"a sequence of {length} tokens does not fit into a row of {capacity}")
        fitting = [row for row in range(len(rows)) if room[row] >= length]
        if not fitting:
            rows.append([])
            room.append(capacity)
            fitting = [len(rows) - 1]
        fullest = min(fitting, key=lambda row: room[row])
        rows[fullest].append(number)
        room[fullest] -= length
    return rows


def length_mask(lengths: Tensor, T: int) -> Tensor:
    """lengths [B] -> mask [B, T], True where a position holds a real token of a right-padded row."""
    return torch.arange(T, device=lengths.device) < lengths[:, None]  # [B, T]
