"""The data of pretraining as two streams of token ids: from the toy world, a user's text, or a file of tokens.

Text is divided into training and validation, a tokenizer is trained on the training part, and both are encoded. The
ids are kept in files, runs/<preset>/tokens/, which the later stages read; those of a text too long for memory are
encoded into them, once for all processes.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigpt.corpora.division import Part, choose_validation
from minigpt.corpora.text import Corpus, survey
from minigpt.corpora.token_file import check_tokens, map_tokens, write_tokens
from minigpt.data import TokenStream, encode_documents, tokenize_documents
from minigpt.runs.config import RunConfig, option
from minigpt.runs.errors import UserError
from minigpt.runs.log.progress import Progress
from minigpt.scale.distributed import barrier, is_main
from minigpt.tokenizer import Tokenizer, check_special_tokens
from minigpt.toyworld.documents import documents

IN_MEMORY = 64_000_000  # characters; the ids of a longer text are encoded into a file and read from there
TOKENIZER_CHARACTERS = (
    32_000_000  # on how much of a longer text the tokenizer is trained: it would learn no other words
)
TOKENS = "tokens"  # the folder in runs/<preset>/
TOKEN_FILE = ".bin"  # how the name of a file of token ids ends


@dataclass(frozen=True)
class DataConfig(RunConfig):
    """Settings of the data: the text or tokens, their division and their encoding."""

    corpus: str | None = option(
        None,
        "what to learn from: a UTF-8 text, .jsonl, a folder of these, or .bin with token ids; none is the toy world",
    )
    documents: int = option(6000, "documents the toy world writes; unused with --corpus", low=2)
    validation_fraction: float = option(0.04, "share of the text held back to measure the loss on", above=0, below=1)
    row_start: str = option(
        "anywhere",
        "where a row of text begins: anywhere, or where a document does (a row in which none begins: anywhere)",
        choices=("anywhere", "document"),
    )
    special_tokens: tuple[str, ...] = option((), "tokens of your own beside those of the chat, as in <|tool|>,<|de|>")
    tokenizer: str | None = option(None, "a tokenizer.json to use as it is; none trains one on the text")

    def check_fields(self) -> None:
        if self.tokenizer is not None and self.special_tokens:
            raise UserError("--special-tokens: those of --tokenizer are fixed; leave one of the two out")
        check_special_tokens(self.special_tokens)

    def begin_with(self, tokenizer: Tokenizer) -> int | None:
        """The token that rows begin with, or None for anywhere; see data.TokenStream."""
        return tokenizer.end_of_text_id if self.row_start == "document" else None


@dataclass(frozen=True)
class Text:
    """Documents for training and for validation, their length in characters, and a digest of all of them."""

    training: Iterable[str]
    validation: Iterable[str]
    characters: int
    digest: str
    division: str  # what decides which document is where
    learned: str  # how many documents are for training, in words
    divided: str  # how many are for validation, in words


@dataclass(frozen=True)
class PretrainingData:
    """The tokenizer, and the ids of the training and of the validation part [N] in its language."""

    tokenizer: Tokenizer
    training: np.ndarray
    validation: np.ndarray
    digest: str
    learned: str = ""
    divided: str = ""
    begin_with: int | None = None  # the token that rows begin with, see DataConfig.row_start
    files: tuple[Path, ...] = ()  # where this project keeps the ids; of a short text only after `keep_tokens`

    def stream(self, *, context: int, batch_size: int, seed: int) -> TokenStream:
        """Rows of the training part, which begin as those of the base model did."""
        return TokenStream(self.training, context=context, batch_size=batch_size, seed=seed, begin_with=self.begin_with)


# ---- Text --------------------------------------------------------------------------------------------------------


def pretraining_text(config: DataConfig) -> Text:
    """The toy world's documents, of which each counts alike, or those of the user, which may differ in length much."""
    if config.corpus is None:
        source: Iterable[str] = documents(config.documents, config.seed)
        found = survey(source)
        sizes, unit = array("B", [1]) * len(found.sizes), "documents"
    else:
        source = Corpus(config.corpus)
        found = survey(source)
        sizes, unit = found.sizes, "characters"
    held = choose_validation(sizes, config.validation_fraction, config.seed)
    whole = int(held.whole.sum())
    size = sum(itertools.compress(sizes, held.whole)) + (sizes[held.cut] - held.kept if held.cut >= 0 else 0)
    end = "" if held.cut < 0 else " and the end of one" if whole else "the end of one"
    divided = (
        f"held back for validation: {f'{whole:,}' if whole else ''}{end} of {len(sizes):,} documents, "
        f"{100 * size / sum(sizes):.1f} % of all {unit}"
    )
    training, validation = (Part(source, held, validation=each) for each in (False, True))
    learned = f"{len(sizes) - whole} documents, "
    return Text(training, validation, sum(found.sizes), found.digest, division_of(config), learned, divided)


def division_of(config: DataConfig) -> str:
    """The settings that, together with the text, decide which documents are for validation."""
    return f"{config.validation_fraction} of seed {config.seed}"


def corpus_digest(path: str) -> str:
    """SHA-256 of what a corpus holds, whatever it is called. Raises UserError for one that pretraining would refuse."""
    if path.endswith(TOKEN_FILE):
        map_tokens(Path(path), 1 << 16)  # raises UserError for what cannot be one
        return check_tokens(Path(path), 1 << 16)
    return survey(Corpus(path)).digest


def train_tokenizer(text: Text, vocab_size: int, special_tokens: tuple[str, ...]) -> Tokenizer:
    """A tokenizer of the training part; of a long one, every n-th document is enough. Trained anew each time: it takes
    seconds, depends on the text alone, and an old one can never be used by mistake."""
    every = -(-text.characters // TOKENIZER_CHARACTERS)
    sample = itertools.islice(text.training, 0, None, max(1, every))
    return Tokenizer.train(sample, vocab_size, special_tokens)


# ---- Tokens ------------------------------------------------------------------------------------------------------


def prepare(config: DataConfig, vocab_size: int, least_tokens: int = 0) -> PretrainingData:
    """All that pretraining learns from and is measured on. Raises UserError for text or tokens that do not serve, also
    for a text that cannot give `least_tokens`."""
    given = None if config.tokenizer is None else Tokenizer.load(config.tokenizer)
    if config.corpus is not None and config.corpus.endswith(TOKEN_FILE):
        return read_token_file(config, given)
    text = pretraining_text(config)
    if 5 * text.characters < least_tokens:  # a character is four bytes at most, and a document has one token more
        raise UserError(
            f"the corpus is too short: it has {text.characters} characters, and the batches asked for need "
            f"{least_tokens} tokens; give more text, or a smaller batch or context"
        )
    tokenizer = given or train_tokenizer(text, vocab_size, config.special_tokens)
    return encode(text, tokenizer, config.run_dir / TOKENS, config.begin_with(tokenizer))


def read_token_file(config: DataConfig, tokenizer: Tokenizer | None) -> PretrainingData:
    """Ids that another program has written, such as nanoGPT's train.bin; val.bin beside it is the validation part.
    Without that, the end of the ids is. Raises UserError without the tokenizer whose ids they are."""
    path = Path(config.corpus)
    if tokenizer is None:
        raise UserError(
            f"{path} holds token ids and no text: name the tokenizer that made them with --tokenizer, a tokenizer.json "
            "as `python -m minigpt.hf.convert --from-hf gpt2/` leaves it in the folder of its run"
        )
    tokens = map_tokens(path, tokenizer.vocab_size)
    digest = check_tokens(path, tokenizer.vocab_size)
    beside = path.with_name("val.bin")
    if path.name == "train.bin" and beside.is_file():
        validation = map_tokens(beside, tokenizer.vocab_size)
        digest += check_tokens(beside, tokenizer.vocab_size)
        divided = f"{beside} is held back for validation: {len(validation):,} tokens"
    else:
        fraction = config.validation_fraction
        kept = len(tokens) - max(2, round(fraction * len(tokens)))
        tokens, validation = tokens[: max(0, kept)], tokens[max(0, kept) :]
        divided = f"held back for validation: the last {len(validation):,} tokens, {fraction:.1%} of all"
    return PretrainingData(tokenizer, tokens, validation, digest, "", divided, config.begin_with(tokenizer))


def encode(text: Text, tokenizer: Tokenizer, folder: Path, begin_with: int | None) -> PretrainingData:
    """The text as ids: in memory or, if it is long, in files of `folder`, which are used again if they are there."""
    paths = token_files(folder, tokenizer, text.digest, text.division)
    if text.characters <= IN_MEMORY:
        streams = [tokenize_documents(tokenizer, part) for part in (text.training, text.validation)]
    else:
        if is_main():
            with Progress("encoding", text.characters // 1_000_000, unit="MB") as progress:
                for path, part in zip(paths, (text.training, text.validation), strict=True):
                    if not path.is_file():
                        write_tokens(path, encode_documents(tokenizer, with_progress(part, progress)))
        barrier()
        streams = [map_tokens(path, tokenizer.vocab_size) for path in paths]
    return PretrainingData(
        tokenizer, streams[0], streams[1], text.digest, text.learned, text.divided, begin_with, paths
    )


def token_files(folder: Path, tokenizer: Tokenizer, digest: str, division: str) -> tuple[Path, Path]:
    """The files of a text's ids. All that decides the ids is in the names: a file that is there has the right ones."""
    key = hashlib.sha256(f"{tokenizer.fingerprint} {digest} {division}".encode()).hexdigest()[:16]
    return folder / f"{key}-train.bin", folder / f"{key}-validation.bin"


def keep_tokens(data: PretrainingData, folder: Path) -> None:
    """Writes the ids into their files unless they are there: the later stages of the run then need not write, divide
    and encode the text again. Deletes the ids of texts and tokenizers that the run is no longer about."""
    if not is_main():
        return
    for path, ids in zip(data.files, (data.training, data.validation), strict=False):  # none of a user's own tokens
        if not path.is_file():
            write_tokens(path, [ids])
    for path in folder.glob("*.bin"):
        if path not in data.files:
            path.unlink(missing_ok=True)


def with_progress(part: Iterable[str], progress: Progress) -> Iterator[str]:
    """The same documents; the progress bar moves by one for each million characters of them."""
    characters = 0
    for document in part:
        before, characters = characters, characters + len(document)
        if characters // 1_000_000 > before // 1_000_000:
            progress.update(count=characters // 1_000_000 - before // 1_000_000)
        yield document


def data_again(config: DataConfig, digest: str, tokenizer: Tokenizer, folder: Path) -> PretrainingData:
    """The data of a finished run, read again. Raises UserError if they are no longer the same: the validation text of
    then may be what was learned from, and the loss on it would measure memory."""
    changed = UserError(
        f"{config.corpus or 'the toy world'} has changed since the base model was trained on it; run "
        "`make pretrain` again"
    )
    if config.corpus is not None and config.corpus.endswith(TOKEN_FILE):
        data = read_token_file(config, tokenizer)
        if data.digest != digest:
            raise changed
        return data
    begin_with = config.begin_with(tokenizer)
    paths = token_files(folder, tokenizer, digest, division_of(config))
    if all(path.is_file() for path in paths):
        training, validation = (map_tokens(path, tokenizer.vocab_size) for path in paths)
        return PretrainingData(tokenizer, training, validation, digest, begin_with=begin_with)
    text = pretraining_text(config)
    if text.digest != digest:
        raise changed
    return encode(text, tokenizer, folder, begin_with)
