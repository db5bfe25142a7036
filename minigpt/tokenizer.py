"""Byte-level byte-pair encoding: text <-> token ids. A worked example stands at the end of this file.

`bpe` learns the merges. Encoding runs in tiktoken, which does the same in Rust; `show_merges` does it in Python and
shows every step.

Ids: 0..255 are the bytes in order, then the merges in the order they were learned, then the special tokens. GPT-2's own
tokenizer differs only in the order of its bytes, which is that of the table PRINTABLE; `hf.tokenizer` reads its files.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import regex
import tiktoken

from minigpt.bpe import BYTES, PATTERN, Pair, merge_steps, train_merges
from minigpt.corpora.chunks import whole_pretokens
from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json

SPECIAL_TOKENS = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")
BYTE_ORDER = bytes(range(256))  # the byte of each of the first 256 ids
FORMAT = 1


# ---- Special tokens ----------------------------------------------------------------------------------------------


def check_special_tokens(own: Sequence[str]) -> tuple[str, ...]:
    """The user's own special tokens, which follow SPECIAL_TOKENS. Raises UserError for one that is not valid."""
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
    """A pattern that splits a text at these tokens and keeps them. Where several match, the longest is taken.

    A regular expression takes the first of its alternatives; tiktoken's own are in no order.
    """
    return regex.compile("(" + "|".join(regex.escape(token) for token in sorted(tokens, key=len, reverse=True)) + ")")


# ---- The tokenizer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MergeStep:
    """One line of show_merges: a pre-token after a merge (`pair` and `token_id` None: before the first one)."""

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
        """byte_order: the 256 bytes in the order of their ids. special_tokens: the user's own, after SPECIAL_TOKENS.

        Raises ValueError if a byte is missing or two merges give the same token, UserError for a special token that is
        not valid.
        """
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
        # built from our own ranks; tiktoken.get_encoding would download those of OpenAI
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
        if byte_order != BYTE_ORDER:  # another order gives the same text other ids
            content.append(byte_order.hex())
        self.fingerprint = hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str] = ()) -> "Tokenizer":
        """A tokenizer with a vocabulary of 256 bytes, merges learned from the texts, 5 special tokens, the user's own.

        Raises UserError if the texts have too few pairs for it.
        """
        least = len(BYTES) + len(SPECIAL_TOKENS) + len(special_tokens)
        if vocab_size < least:
            raise UserError(f"vocab_size {vocab_size} is too small: bytes and special tokens alone need {least}")
        return cls(train_merges(texts, vocab_size - least, least), special_tokens=special_tokens)

    def encode(self, text: str, *, allow_special: bool | Collection[str] = False) -> list[int]:
        """Token ids of a text. The spelling of a special token in it is plain text, unless `allow_special` allows it.

        True allows all special tokens, a collection those in it. Text from users, or from a model, must never become
        <|end|>: it would end the turn, and the rest of the text would count as the other speaker's.
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
        """The ids of each text, as encode() gives them; in parallel threads if no special token is allowed."""
        if allow_special:
            return [self.encode(text, allow_special=allow_special) for text in texts]
        return self._encoding.encode_ordinary_batch(list(texts))

    def encode_iterable(self, texts: Iterable[str]) -> Iterator[int]:
        """The ids of the texts joined, one after another, for text that does not fit into memory: lines of a file."""
        for part in whole_pretokens(texts, PATTERN):
            yield from self._encoding.encode_ordinary(part)

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The exact bytes of some ids. Raises KeyError for an id outside the vocabulary."""
        return self._encoding.decode_bytes(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids. Bytes that are no complete UTF-8 character, as a model may write, become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; of a special token, its spelling."""
        return self.decode_bytes([token_id])

    def show_merges(self, text: str) -> list[MergeStep]:
        """The steps of encoding a text: each pre-token as bytes, then after each merge. See the example below."""
        steps = []
        for pretoken in regex.findall(PATTERN, text):
            pieces = [BYTES[value] for value in pretoken.encode("utf-8")]
            steps.append(MergeStep(None, None, tuple(pieces)))
            for pair, merged in merge_steps(pieces, self._ranks):
                steps.append(MergeStep(pair, self._ranks[pair[0] + pair[1]], tuple(merged)))
        return steps

    # ---- The file ----

    def save(self, path: str | Path) -> None:
        """Writes one JSON file, whole or not at all. Its merges look like those of GPT-2: "Ġ t" is space + t."""
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
        """The tokenizer that save() wrote. made_by: the command that makes the file, for the message if it is missing.

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
    # GPT-2's table: a byte that is a visible Latin-1 character is that character; the others are numbered from 256 on
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {value: chr(value) for value in plain}
    for value in range(256):
        if value not in table:
            table[value] = chr(256 + len(table) - len(plain))
    return table


PRINTABLE = _printable_bytes()
UNPRINTABLE = {character: value for value, character in PRINTABLE.items()}


def printable(piece: bytes) -> str:
    """A token as visible characters, one for each byte: b" the" is "Ġthe"."""
    return "".join(PRINTABLE[value] for value in piece)


def unprintable(text: str) -> bytes:
    """The bytes of a token that printable() wrote. Raises KeyError for a character that is not in the table."""
    return bytes(UNPRINTABLE[character] for character in text)


# ---- A worked example --------------------------------------------------------------------------------------------
#
# The corpus of Sennrich et al. 2016, section 3.2, and a word that does not occur in it:
#
#     >>> text = " ".join(["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3)
#     >>> tokenizer = Tokenizer.train([text], vocab_size=256 + 6 + 5)
#     >>> tokenizer.merges
#     ((b's', b't'), (b'e', b'st'), (b'o', b'w'), (b'l', b'ow'), (b'w', b'est'), (b'n', b'e'))
#
# "es" and "st" are the most frequent pairs, nine times each, and "st" is the greater. Then "e" + "st" is the most
# frequent, again nine times. The pre-token "lowest" takes these merges in the order they were learned:
#
#     >>> print(*tokenizer.show_merges("lowest"), sep="\n")
#     bytes: l o w e s t
#       256: s + t -> l o w e st
#       257: e + st -> l o w est
#       258: o + w -> l ow est
#       259: l + ow -> low est
#     >>> tokenizer.encode("lowest")
#     [259, 257]
#     >>> tokenizer.decode([259, 257])
#     'lowest'
#
# w + est is a merge too (260), but it was learned later than o + w, which has taken the w. The space before a word is
# part of its pre-token, and shows as "Ġ":
#
#     >>> print(*tokenizer.show_merges("a new"), sep="\n")
#     bytes: a
#     bytes: Ġ n e w
#       261: n + e -> Ġ ne w
