"""Documents -> one stream of tokens -> batches of next-token examples.

Every batch is a pure function of (seed, step). The position in the data is then just the step number, and a run that
stops after any step and resumes sees exactly the batches it would have seen.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minigpt.runs.errors import UserError

if TYPE_CHECKING:
    from minigpt.tokenizer import Tokenizer

IGNORE = -100  # the target that F.cross_entropy skips by default
END_OF_TEXT = "<|endoftext|>"
SEPARATOR_LINE = re.compile(rf"^{re.escape(END_OF_TEXT)}[ \t]*$\n?", flags=re.MULTILINE)
PIECE_CHARACTERS = 4000  # how long a piece of an undivided corpus is, about ten contexts of the small preset


# ---- Documents ---------------------------------------------------------------------------------------------------


def read_corpus(path: str | Path) -> list[str]:
    """The documents of a user's UTF-8 text file.

    Lines that consist of <|endoftext|> separate documents. A file without such a line is cut into pieces, each at
    the first blank line after PIECE_CHARACTERS or, where there is none for as long again, at the next line end: the
    context still reaches across paragraphs, or across the speeches of a play. A byte-order mark is dropped, and
    Windows line ends become "\\n". Raises UserError for a file that is missing, empty or not text.
    """
    text = _read_text(Path(path))
    documents = SEPARATOR_LINE.split(text) if SEPARATOR_LINE.search(text) else _cut_into_pieces(text)
    documents = [document.strip("\n") for document in documents if document.strip()]
    if not documents:
        raise UserError(f"{path} holds no text; give a UTF-8 text file, the longer the better")
    return documents


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the path of a UTF-8 text file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a UTF-8 text file") from None
    if b"\0" in data:
        raise UserError(f"{path} is not a text file: byte {data.index(0)} is NUL; save it as UTF-8 text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} (0x{data[error.start]:02x}) does not begin a valid character"
        raise UserError(f"{path} is not UTF-8 text: {where}; save it as UTF-8") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _cut_into_pieces(text: str) -> list[str]:
    pieces: list[str] = []
    lines: list[str] = []
    size = 0
    for line in text.split("\n"):
        lines.append(line)
        size += len(line) + 1
        blank = not line.strip()
        if (blank and size >= PIECE_CHARACTERS) or size >= 2 * PIECE_CHARACTERS:
            pieces.append("\n".join(lines))
            lines, size = [], 0
    return pieces + ["\n".join(lines)]


def split_documents(documents: Sequence[str], validation_fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Deal whole documents into (training, validation), each kept in its original order.

    Whole documents, because a document cut in two would have its own beginning in the training set: the validation
    loss would then measure memory. At least one document goes to each side; with fewer than two that is impossible,
    and a UserError says so.
    """
    if not 0 < validation_fraction < 1:
        raise UserError(f"the validation fraction must lie between 0 and 1, got {validation_fraction}")
    if len(documents) < 2:
        raise UserError(
            f"the corpus is too short to hold back a validation part: {len(documents)} document; give at least two "
            f"documents (separated by lines of {END_OF_TEXT}), or more than {2 * PIECE_CHARACTERS} characters"
        )
    count = min(max(1, round(validation_fraction * len(documents))), len(documents) - 1)
    held_back = set(epoch_order(len(documents), seed, epoch=0)[:count].tolist())
    training = [document for index, document in enumerate(documents) if index not in held_back]
    validation = [document for index, document in enumerate(documents) if index in held_back]
    return training, validation


def tokenize_documents(tokenizer: "Tokenizer", documents: Sequence[str]) -> Tensor:
    """All documents as one stream [N] of int64 ids, <|endoftext|> before each of them and after the last.

    Beginning with the separator gives a model that samples from scratch a token to start from.
    """
    stream = [tokenizer.end_of_text_id]
    for ids in tokenizer.encode_batch(documents):
        stream.extend(ids)
        stream.append(tokenizer.end_of_text_id)
    return torch.tensor(stream, dtype=torch.int64)  # [N]


# ---- Batches of a token stream -----------------------------------------------------------------------------------


def seeded_generator(*numbers: int) -> torch.Generator:
    """A CPU generator that is a function of several integers, such as (seed, epoch).

    seed + epoch would not do: epoch 1 of seed 0 would then be epoch 0 of seed 1, and two "different" runs would
    share their data.
    """
    digest = hashlib.sha256(repr(numbers).encode()).digest()  # not hash(), which may change between Python versions
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """The order [n] in which this epoch visits n examples: a permutation of 0..n-1."""
    return torch.randperm(n, generator=seeded_generator(seed, epoch))  # [n]


class TokenStream:
    """Training windows of a token stream: inputs [B, T] and the same windows one token later as targets [B, T].

    An epoch starts at a random offset below T, cuts the stream into windows from there, and visits them in random
    order without replacement. Windows drawn independently would miss 1/e of the stream in every epoch; a fixed offset
    would show each token with the same left context for ever.
    """

    def __init__(self, tokens: Tensor, *, context: int, batch_size: int, seed: int) -> None:
        """tokens [N]; context is T, batch_size is B. Raises UserError if N is too short for one batch of windows."""
        # The last offset, T - 1, must still leave a window for each row, and every window needs one token more.
        shortest = batch_size * context + context
        if len(tokens) < shortest:
            raise UserError(
                f"the corpus is too short: it has {len(tokens)} tokens, and batches of {batch_size} windows of "
                f"{context} tokens need at least {shortest}; give more text, or a smaller batch or context"
            )
        self.tokens, self.context, self.batch_size, self.seed = tokens, context, batch_size, seed
        self.windows_per_epoch = (len(tokens) - context) // context  # the same whatever the offset
        self.batches_per_epoch = self.windows_per_epoch // batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs [B, T] and targets [B, T] of this step, a pure function of (seed, step)."""
        epoch, batch = divmod(step, self.batches_per_epoch)
        generator = seeded_generator(self.seed, epoch)
        offset = torch.randint(self.context, (), generator=generator)
        order = torch.randperm(self.windows_per_epoch, generator=generator)  # [windows]
        chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]  # [B]
        starts = offset + chosen * self.context  # [B]
        positions = starts[:, None] + torch.arange(self.context + 1)  # [B, T+1]
        windows = self.tokens[positions]  # [B, T+1]
        return windows[:, :-1], windows[:, 1:]


def validation_batches(tokens: Tensor, *, context: int, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """The whole of tokens [N] in order: inputs [<=B, T], and targets [<=B, T] with every token but the first, once.

    No sampling, so that two losses differ only because two models do. The end of the last window is padding: input 0,
    target IGNORE. Raises UserError if there is nothing to predict.
    """
    if len(tokens) < 2:
        raise UserError(f"the validation part has {len(tokens)} tokens and predicting one needs two; give more text")
    windows = math.ceil((len(tokens) - 1) / context)
    inputs = torch.zeros(windows * context, dtype=torch.int64)  # [windows*T]
    targets = torch.full((windows * context,), IGNORE, dtype=torch.int64)  # [windows*T]
    inputs[: len(tokens) - 1] = tokens[:-1]
    targets[: len(tokens) - 1] = tokens[1:]
    inputs, targets = inputs.view(windows, context), targets.view(windows, context)  # [windows, T]
    return list(zip(inputs.split(batch_size), targets.split(batch_size), strict=True))


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
    """Which sequences share a row of `capacity` tokens: their numbers, row by row.

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
