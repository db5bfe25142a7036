"""Byte-level byte-pair encoding: text <-> token ids, trained here by hand.

Training (Sennrich, Haddow & Birch 2016, section 3.2, on bytes as in GPT-2, Radford et al. 2019, section 2.2): cut the
corpus into pre-tokens (roughly words), spell each as single bytes, then again and again make the most frequent pair of
neighbours into a new token. Encoding replays the merges in the order they were learned. It runs in tiktoken, which
does the same thing in Rust; `show_merges` does it in Python and shows its work.

Ids: 0..255 are the bytes in order, then the merges in the order learned, then the special tokens. GPT-2's own tokenizer
differs in nothing but the order of its bytes, which is that of the table PRINTABLE; `hf_tokenizer` reads its files.
"""

import hashlib
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import regex
import tiktoken

from minigpt.chunks import whole_pretokens
from minigpt.runs.checkpoint import write_json
from minigpt.runs.errors import UserError

# GPT-2's pattern. A merge never crosses a pre-token, so "dog" followed by "." or "!" stays one token "dog". The space
# belongs to the word after it, which is why most tokens of running text begin with a space. `regex` reads the pattern
# in training and tiktoken in encoding, and their Unicode tables may be years apart: beside a letter that only one of
# them knows, a merge may be learned that encoding never reaches.
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
SPECIAL_TOKENS = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")
BYTES = tuple(bytes([value]) for value in range(256))
BYTE_ORDER = bytes(range(256))  # the byte of each of the first 256 ids
FORMAT = 1

Pair = tuple[bytes, bytes]


# ---- Encoding one pre-token --------------------------------------------------------------------------------------


def merge_steps(pieces: Sequence[bytes], ranks: dict[bytes, int]) -> Iterator[tuple[Pair, list[bytes]]]:
    """Join neighbours whose concatenation is a token: lowest rank first, leftmost first, until none is left.

    Yields (the pair joined, the pieces after it) for every join. `ranks` gives each token's id.
    """
    pieces = list(pieces)
    while True:
        known = [(ranks[a + b], at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in ranks]
        if not known:
            return
        _, at = min(known)
        pair = (pieces[at], pieces[at + 1])
        pieces[at : at + 2] = [pair[0] + pair[1]]
        yield pair, list(pieces)


# ---- Training ----------------------------------------------------------------------------------------------------


class PairIndex:
    """The corpus as distinct pre-tokens, with the count of every pair of neighbours kept up to date.

    A pre-token is stored once with its multiplicity (English repeats itself), and a merge touches only the pre-tokens
    that contain the pair. Recounting the corpus after each merge gives the same tokens and takes hours.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        pretokens: Counter[str] = Counter()
        for text in texts:
            pretokens.update(regex.findall(PATTERN, text))
        self.multiplicity = list(pretokens.values())
        self.words = [[BYTES[value] for value in pretoken.encode("utf-8")] for pretoken in pretokens]
        self.counts: Counter[Pair] = Counter()
        self.containing: defaultdict[Pair, set[int]] = defaultdict(set)  # pair -> the words that it occurs in
        for index, word in enumerate(self.words):
            for pair in pairwise(word):
                self.counts[pair] += self.multiplicity[index]
                self.containing[pair].add(index)
        self.heap = [self._entry(pair) for pair in self.counts]
        heapq.heapify(self.heap)

    def _entry(self, pair: Pair) -> tuple[int, tuple[int, ...], tuple[int, ...], Pair]:
        # A heap yields its least entry, but ties go to the GREATER pair of byte strings, so each byte is negated. The
        # final 1 is above all negated bytes, as the end of a string, which sorts below every byte, has to be.
        left, right = ((*(-value for value in piece), 1) for piece in pair)
        return -self.counts[pair], left, right, pair

    def most_frequent(self) -> Pair | None:
        """The most frequent pair of neighbours, among equals the lexicographically greatest; None if none is left."""
        while self.heap:
            negated_count, _, _, pair = heapq.heappop(self.heap)
            if self.counts[pair] == -negated_count:
                return pair
            # Lazy deletion: an entry outlives the count it was made with, and is corrected only when it surfaces.
            if self.counts[pair] > 0:
                heapq.heappush(self.heap, self._entry(pair))
        return None

    def merge(self, pair: Pair) -> None:
        """Join the pair everywhere, and bring the counts of all pairs next to it up to date."""
        change: Counter[Pair] = Counter()
        for index in list(self.containing[pair]):
            before = self.words[index]
            after = join_everywhere(before, pair)
            for neighbours in pairwise(before):
                change[neighbours] -= self.multiplicity[index]
                self.containing[neighbours].discard(index)
            for neighbours in pairwise(after):
                change[neighbours] += self.multiplicity[index]
                self.containing[neighbours].add(index)
            self.words[index] = after
        for neighbours, difference in change.items():
            self.counts[neighbours] += difference
            if difference > 0:
                heapq.heappush(self.heap, self._entry(neighbours))


def join_everywhere(pieces: Sequence[bytes], pair: Pair) -> list[bytes]:
    """Join every occurrence of the pair, from left to right: in a a a the first two."""
    joined: list[bytes] = []
    at = 0
    while at < len(pieces):
        if tuple(pieces[at : at + 2]) == pair:
            joined.append(pair[0] + pair[1])
            at += 2
        else:
            joined.append(pieces[at])
            at += 1
    return joined


def train_merges(texts: Iterable[str], merge_count: int) -> list[Pair]:
    """Learn `merge_count` merges. Raises UserError if the corpus runs out of pairs before that.

    No two merges spell the same token, so each can be one id. As long as no merge has crossed the ends of a stretch of
    bytes, the merges inside it are the same in every word; so when one word joins a + bc, every other "abc" whose ends
    are uncrossed stands as a bc too, and becomes the same token in the same step.
    """
    index = PairIndex(texts)
    merges: list[Pair] = []
    while len(merges) < merge_count:
        pair = index.most_frequent()
        if pair is None:
            raise UserError(
                f"the corpus allows only {len(merges)} merges and a vocabulary of this size needs {merge_count}; give "
                f"more text, or a vocabulary size of at most {256 + len(merges) + len(SPECIAL_TOKENS)}"
            )
        merges.append(pair)
        index.merge(pair)
    return merges


# ---- Special tokens ----------------------------------------------------------------------------------------------


def check_special_tokens(own: Sequence[str]) -> tuple[str, ...]:
    """The special tokens of one's own, which come after SPECIAL_TOKENS. Raises UserError for one that cannot be one."""
    for number, token in enumerate(own):
        wrong = ""
        if not isinstance(token, str) or not token:
            wrong = "is empty or no text"
        elif token in SPECIAL_TOKENS:
            wrong = "is already one of this project's"
        elif token in own[:number]:
            wrong = "is given twice"
        elif any("\ud800" <= character <= "\udfff" for character in token):
            wrong = "holds half of a surrogate pair, which UTF-8 cannot write"
        if wrong:
            raise UserError(f"the special token {token!r} {wrong}; give each of your own once, as in <|tool|>,<|de|>")
    return tuple(own)


@lru_cache(maxsize=16)
def special_token_pattern(tokens: tuple[str, ...]) -> regex.Pattern:
    """A pattern that splits a text at these tokens and keeps them. Where several begin, the longest is taken: a regular
    expression takes the first of its alternatives, and tiktoken has its own in no order."""
    return regex.compile("(" + "|".join(regex.escape(token) for token in sorted(tokens, key=len, reverse=True)) + ")")


# ---- The tokenizer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MergeStep:
    """One line of show_merges: what a pre-token looks like after a merge (`pair` and `token_id` None: before any)."""

    pair: Pair | None
    token_id: int | None
    pieces: tuple[bytes, ...]

    def __str__(self) -> str:
        pieces = " ".join(map(printable, self.pieces))
        if self.pair is None:
            return f"bytes: {pieces}"
        return f"  {self.token_id}: {printable(self.pair[0])} + {printable(self.pair[1])} -> {pieces}"


class Tokenizer:
    """A trained byte-level BPE. Make one with Tokenizer.train or Tokenizer.load."""

    def __init__(
        self, merges: Sequence[Pair], byte_order: bytes = BYTE_ORDER, special_tokens: Sequence[str] = ()
    ) -> None:
        """`byte_order` lists the 256 bytes in the order of their ids; `special_tokens` are those of one's own. Raises
        ValueError if a byte is missing, or if two merges spell the same token, and UserError for special tokens that
        cannot be."""
        self.merges, self.byte_order = tuple(merges), byte_order
        tokens = [*(BYTES[value] for value in byte_order), *(left + right for left, right in self.merges)]
        if sorted(byte_order) != list(range(256)) or len(set(tokens)) < len(tokens):
            raise ValueError("every byte and every merge must be one token, and no two of them the same")
        self._ranks = {token: rank for rank, token in enumerate(tokens)}
        self.own_special_tokens = check_special_tokens(special_tokens)
        self.special_tokens = (*SPECIAL_TOKENS, *self.own_special_tokens)
        self._special = special = {token: len(tokens) + index for index, token in enumerate(self.special_tokens)}
        self.vocab_size = len(tokens) + len(special)
        self.end_of_text_id, self.user_id, self.assistant_id, self.end_id, self.pad_id = (
            special[token] for token in SPECIAL_TOKENS
        )
        # Built from our own ranks: tiktoken.get_encoding would download somebody else's.
        self._encoding = tiktoken.Encoding(
            "minigpt",
            pat_str=PATTERN,
            mergeable_ranks=self._ranks,
            special_tokens=special,
            explicit_n_vocab=self.vocab_size,
        )
        content = [
            FORMAT,
            PATTERN,
            [[left.hex(), right.hex()] for left, right in self.merges],
            list(self.special_tokens),
        ]
        if byte_order != BYTE_ORDER:  # another order gives the same text other ids: another language
            content.append(byte_order.hex())
        self.fingerprint = hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str] = ()) -> "Tokenizer":
        """Learn a vocabulary of 256 bytes + merges + 5 special tokens + those of one's own. Raises UserError if the
        texts are too few."""
        least = len(BYTES) + len(SPECIAL_TOKENS) + len(special_tokens)
        if vocab_size < least:
            raise UserError(f"vocab_size {vocab_size} is too small: bytes and special tokens alone need {least}")
        return cls(train_merges(texts, vocab_size - least), special_tokens=special_tokens)

    def encode(self, text: str, *, allow_special: bool | Collection[str] = False) -> list[int]:
        """Token ids of a text. A special token's spelling in it is plain text, unless `allow_special` says otherwise:
        True allows all of them, a collection those in it.

        Text from users, or from a model, must never be able to write <|end|>: who can write it can end a turn and
        put words in the other speaker's mouth.
        """
        allowed = self.special_tokens if allow_special is True else tuple(allow_special or ())
        if not allowed:
            return self._encoding.encode_ordinary(text)
        ids: list[int] = []
        for number, part in enumerate(special_token_pattern(allowed).split(text)):
            if number % 2:  # split() gives what lies between, a token, what lies between, ...
                ids.append(self._special[part])
            else:
                ids += self._encoding.encode_ordinary(part)
        return ids

    def encode_batch(self, texts: Sequence[str], *, allow_special: Collection[str] = ()) -> list[list[int]]:
        """encode() of each text, in parallel threads where no special token is allowed."""
        if allow_special:
            return [self.encode(text, allow_special=allow_special) for text in texts]
        return self._encoding.encode_ordinary_batch(list(texts))

    def encode_iterable(self, texts: Iterable[str]) -> Iterator[int]:
        """encode() of the texts joined, id after id, for text that does not fit into memory: the lines of a file."""
        for part in whole_pretokens(texts, PATTERN):
            yield from self._encoding.encode_ordinary(part)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The exact bytes of some ids. Raises KeyError for an id outside the vocabulary."""
        return self._encoding.decode_bytes(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids. A model may stop, or err, inside a character: such bytes become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; a special token has its spelling."""
        return self.decode_bytes([token_id])

    def show_merges(self, text: str) -> list[MergeStep]:
        """Encode as a student would by hand: each pre-token as bytes, then after each merge. Print with

        print(*tokenizer.show_merges("low lower"), sep="\\n")
        """
        steps = []
        for pretoken in regex.findall(PATTERN, text):
            pieces = [BYTES[value] for value in pretoken.encode("utf-8")]
            steps.append(MergeStep(None, None, tuple(pieces)))
            for pair, merged in merge_steps(pieces, self._ranks):
                steps.append(MergeStep(pair, self._ranks[pair[0] + pair[1]], tuple(merged)))
        return steps

    # ---- The file ----

    def save(self, path: str | Path) -> None:
        """Write one JSON file, whole or not at all. Its merges look like those of GPT-2: "Ġ t" is space + t."""
        merges = [f"{printable(left)} {printable(right)}" for left, right in self.merges]
        unusual = {} if self.byte_order == BYTE_ORDER else {"byte_order": printable(self.byte_order)}
        write_json(
            path,
            {
                "format": FORMAT,
                "fingerprint": self.fingerprint,
                "pattern": PATTERN,
                "special_tokens": list(self.special_tokens),
                **unusual,
                "merges": merges,
            },
        )

    @classmethod
    def load(cls, path: str | Path, *, made_by: str = "") -> "Tokenizer":
        """Read what save() wrote. `made_by` is the command that makes the file, for the message when it is missing.

        Raises UserError for a file that is missing, damaged, or made by code with another pattern or special tokens.
        """
        path = Path(path)
        if not path.is_file():
            first = f"; run `{made_by}` first" if made_by else ""
            raise UserError(f"{path} is missing: this command needs a tokenizer{first}")
        damaged = UserError(f"{path} is damaged or not a tokenizer of this project; train it again")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            merges = [tuple(map(unprintable, line.split(" "))) for line in data["merges"]]
            byte_order = unprintable(data["byte_order"]) if "byte_order" in data else BYTE_ORDER
            special = list(data.get("special_tokens", ()))
            tokenizer = cls(merges, byte_order, special[len(SPECIAL_TOKENS) :])
        except (ValueError, LookupError, TypeError, AttributeError, UserError):
            raise damaged from None
        found = {**data, "special_tokens": special[: len(SPECIAL_TOKENS)]}
        expected = {"format": FORMAT, "pattern": PATTERN, "special_tokens": list(SPECIAL_TOKENS)}
        for key, value in expected.items():
            if found.get(key) != value:
                raise UserError(f"{path} was made by other code: its {key} is not {value!r}; train it again")
        if data.get("fingerprint") != tokenizer.fingerprint:
            raise damaged
        return tokenizer


def _printable_bytes() -> dict[int, str]:
    # GPT-2's table: a byte that Latin-1 prints stands for itself, each other one for a letter from 256 on.
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {value: chr(value) for value in plain}
    for value in range(256):
        if value not in table:
            table[value] = chr(256 + len(table) - len(plain))
    return table


PRINTABLE = _printable_bytes()
UNPRINTABLE = {character: value for value, character in PRINTABLE.items()}


def printable(piece: bytes) -> str:
    """A token as visible characters, one a byte, without spaces: b" the" is "Ġthe"."""
    return "".join(PRINTABLE[value] for value in piece)


def unprintable(text: str) -> bytes:
    """The inverse of printable(). Raises KeyError for a character that stands for no byte."""
    return bytes(UNPRINTABLE[character] for character in text)
