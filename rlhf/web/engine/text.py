"""Tokens to text, a piece at a time: bytes that are no whole character yet wait for the next token."""

from __future__ import annotations

import codecs

from minigpt.tokenizer import Tokenizer


class TextStream:
    """The text of the tokens so far. A character of several bytes, as é or 猫, may be spread over several tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """The characters that this token completes; "" while a character lacks bytes."""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id))

    def end(self) -> str:
        """The rest: U+FFFD for bytes that became no character."""
        return self._decoder.decode(b"", final=True)


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """Each token of the vocabulary as a person can read it. Bytes that are no character are hexadecimal: \\xe7."""
    pieces = (tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size))
    return [piece.decode("utf-8", errors="backslashreplace") for piece in pieces]
