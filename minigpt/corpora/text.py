"""A user's text as documents, read as a stream: a corpus may be larger than memory.

    my.txt, my.txt.gz       UTF-8 text. Lines that consist of <|endoftext|> separate documents; a file without such a
                            line is cut into pieces
    my.jsonl, my.jsonl.gz   {"text": "..."} a line, one document each
    folder/                 all of these files below it, in the order of their names

Token ids that another program has written (train.bin) are no text; `token_file` reads them.
"""

import codecs
import gzip
import hashlib
import io
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import regex

from minigpt.corpora.json_lines import numbered_lines, open_file, parse_object, text_field
from minigpt.runs.errors import UserError

END_OF_TEXT = "<|endoftext|>"
PIECE_CHARACTERS = 4000  # the least length of a piece of an undivided text, about ten contexts of the small preset
LONGEST_DOCUMENT = 1_000_000  # characters; a longer one is cut, so that it never has to be in memory as a whole
BLOCK_BYTES = 1 << 20  # how much of a file is read at once

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".txt", ".text", ".md", *JSON_LINES)  # of the files of a folder that are read, also with .gz after them

REST_OF_SEPARATOR = regex.compile(r"[ \t]*(?:\n|\Z)")
BLANK_LINE = regex.compile(r"\n[^\S\n]*\n")
SENTENCE_END = regex.compile(r"""(?r)[.!?]["')\]]*(?=\s)|[。！？]["”’」』]*""")  # searched from the end
BLANK = regex.compile(r"(?r)(?<=\S)\s")


# ---- Files -------------------------------------------------------------------------------------------------------


class Corpus:
    """The documents of a file or folder, read anew whenever they are iterated over. Each has text, no two are alike
    for being empty, and none has line ends around it."""

    def __init__(self, path: str | Path) -> None:
        """Raises UserError for a path that is missing, or a folder without a file of text."""
        self.path = Path(path)
        self.files = corpus_files(self.path)
        # path -> True if the text has separator lines: to know that, all of it is read
        self._divided: dict[Path, bool] = {}

    def __iter__(self) -> Iterator[str]:
        """Raises UserError, naming the file and the place, for what is no text, and if there is no document at all."""
        empty = True
        for file in self.files:
            for document in self._documents(file):
                document = document.strip("\n")
                if document.strip():
                    empty = False
                    yield document
        if empty:
            raise UserError(f"{self.path} holds no text; give a UTF-8 text file, the longer the better")

    def _documents(self, file: Path) -> Iterable[str]:
        if is_json_lines(file):
            return json_texts(file)
        if file not in self._divided:
            self._divided[file] = has_separators(text_blocks(file))
        return cut_documents(text_blocks(file), self._divided[file])


def corpus_files(path: Path) -> list[Path]:
    """The file itself, or the files of text below a folder; what is hidden or of another kind is left out."""
    if not path.exists():
        raise UserError(f"{path} does not exist; give the path of a UTF-8 text file, or of a folder of them")
    if not path.is_dir():
        return [path]
    below = (file for file in path.rglob("*") if not any(part[0] == "." for part in file.relative_to(path).parts))
    files = [file for file in below if file.is_file() and file.name.removesuffix(".gz").endswith(SUFFIXES)]
    if not files:
        known = ", ".join(SUFFIXES)
        raise UserError(f"{path} is a folder without a file of text; expected names that end with {known}, or .gz more")
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def is_json_lines(file: Path) -> bool:
    """True if a file is JSON lines, by its name: text may begin with a brace as well."""
    return file.name.removesuffix(".gz").endswith(JSON_LINES)


def json_texts(file: Path) -> Iterator[str]:
    """The "text" of each line. Raises UserError, naming the line, if there is none."""
    for where, line in numbered_lines(file):
        text = text_field(parse_object(line, where), "text", where)
        yield text.replace("\r\n", "\n").replace("\r", "\n")


# ---- Bytes to text -----------------------------------------------------------------------------------------------


def text_blocks(path: Path) -> Iterator[str]:
    """The text of a file, about BLOCK_BYTES at a time, without a byte-order mark, with "\\n" for Windows line ends.

    Raises UserError, naming the byte, for what is not UTF-8 text.
    """
    decoder, line_ends = codecs.getincrementaldecoder("utf-8")(), io.IncrementalNewlineDecoder(None, translate=True)
    begins, place = True, 0  # place: of the next byte in the file
    try:
        with open_file(path) as file:
            while True:
                block = file.read(BLOCK_BYTES)
                if begins and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise UserError(f"{path} is UTF-16 text, which Windows calls Unicode; save it as UTF-8")
                if b"\0" in block:
                    nul = place + block.index(0)
                    raise UserError(f"{path} is not a text file: byte {nul} is NUL; save it as UTF-8 text")
                text = line_ends.decode(_decoded(decoder, block, place, path), final=not block)
                if text:
                    yield text.removeprefix("\ufeff") if begins else text
                    begins = False
                if not block:
                    return
                place += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: the compressed data is truncated or damaged ({error}); fetch the file again"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a UTF-8 text file") from None


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, place: int, path: Path) -> str:
    pending = len(decoder.getstate()[0])  # the bytes of a character that the block before has begun
    try:
        return decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        byte = f"byte {place - pending + error.start} (0x{error.object[error.start]:02x})"
        raise UserError(
            f"{path} is not UTF-8 text: {byte} does not begin a valid character; save it as UTF-8"
        ) from None


# ---- Text to documents -------------------------------------------------------------------------------------------


def find_separator(text: str, start: int) -> tuple[int, int] | None:
    """The start and end of the next line that consists of <|endoftext|>, line end included; None if there is none."""
    while (found := text.find(END_OF_TEXT, start)) >= 0:
        if found == 0 or text[found - 1] == "\n":
            rest = REST_OF_SEPARATOR.match(text, found + len(END_OF_TEXT))
            if rest is not None:
                return found, rest.end()
        start = found + 1
    return None


def has_separators(blocks: Iterable[str]) -> bool:
    """True if a separator line divides the text into documents."""
    line = ""  # the beginning of a line that has not ended yet
    for block in blocks:
        text = line + block
        found = find_separator(text, 0)
        if found is not None and text[found[1] - 1] == "\n":  # otherwise its line may yet go on
            return True
        line = text[text.rfind("\n") + 1 :][: 10 * len(END_OF_TEXT)]  # of a longer line the beginning decides
    return find_separator(line, 0) is not None


def cut_documents(blocks: Iterable[str], divided: bool) -> Iterator[str]:
    """The documents of a text: what lies between separator lines or, of an undivided text, pieces of it.

    A piece has from PIECE_CHARACTERS to twice as many, and ends at a blank line or, where there is none, at another
    line end, a sentence end, a blank, or anywhere: the context still reaches across paragraphs, or across the speeches
    of a play, and a file may be one long line. A document longer than LONGEST_DOCUMENT is cut in the same way.
    """
    longest = LONGEST_DOCUMENT if divided else 2 * PIECE_CHARACTERS
    text, start = "", 0
    for block in blocks:
        text, start = text[start:] + block, 0
        while (ends := _document_end(text, start, divided, longest)) is not None:
            yield text[start : ends[0]]
            start = ends[1]
    rest = text[start:]
    found = find_separator(rest, 0) if divided else None  # one that ends with the file
    yield rest if found is None else rest[: found[0]]


def _document_end(text: str, start: int, divided: bool, longest: int) -> tuple[int, int] | None:
    """The end of the document that begins at `start`, and the start of the next; None if more must be read."""
    found = find_separator(text, start) if divided else None
    if found is not None and text[found[1] - 1] == "\n" and found[0] - start <= longest:
        return found
    if len(text) - start > longest:
        cut = good_cut(text, start + longest // 2, start + longest)
        return cut, cut
    return None


def good_cut(text: str, low: int, high: int) -> int:
    """The place between two others at which to cut a text: the best kind of end that it has there. No text is lost."""
    blank_line = BLANK_LINE.search(text, low, high)
    if blank_line is not None:
        return blank_line.end()
    line_end = text.rfind("\n", low, high)
    if line_end >= 0:
        return line_end + 1
    sentence = SENTENCE_END.search(text, low, high)
    if sentence is not None:
        return sentence.end()
    blank = BLANK.search(text, low + 1, high)
    return high if blank is None else blank.start()


# ---- What is known of all documents before the first is used -----------------------------------------------------


@dataclass(frozen=True)
class Survey:
    """sizes: characters of each document, in order. digest: SHA-256 of all of them."""

    sizes: array
    digest: str


def survey(documents: Iterable[str]) -> Survey:
    """One pass over the documents: a corpus that was edited between two sessions is not mistaken for the same one."""
    sizes, digest = array("I"), hashlib.sha256()
    for document in documents:
        data = document.encode("utf-8")
        digest.update(len(data).to_bytes(8, "little") + data)
        sizes.append(len(document))
    return Survey(sizes, digest.hexdigest())
