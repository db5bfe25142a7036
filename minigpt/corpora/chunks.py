"""Long text in parts: cut where the tokens of the parts are the tokens of the whole."""

from collections.abc import Iterable, Iterator

import regex

CHUNK_CHARACTERS = 100_000  # a part is about as long; a longer run without any border in it is cut in the middle

# A pre-token holds white space at its beginning or nowhere else. So one ends before every blank or line end that
# follows something visible, whatever stands around it. (U+001C to U+001F are blanks for Python and not for tiktoken.)
BORDER = regex.compile(r"(?r)(?<=[^\s\x1c-\x1f])[ \n]")  # searched from the end


def whole_pretokens(texts: Iterable[str], pattern: str) -> Iterator[str]:
    """The texts joined, and cut again between pre-tokens of `pattern`: encoded part by part they give the same ids.

    No more of them is held than about two parts. What cannot be cut well is a run of more than CHUNK_CHARACTERS
    letters, digits, marks or blanks without anything else in it; it is cut all the same.
    """
    held = ""
    for text in texts:
        for start in range(0, len(text), CHUNK_CHARACTERS):
            held += text[start : start + CHUNK_CHARACTERS]
            while len(held) >= CHUNK_CHARACTERS:
                cut = _last_border(held, pattern)
                yield held[:cut]
                held = held[cut:]
    if held:
        yield held


def _last_border(text: str, pattern: str) -> int:
    """The place of the cut, above 0: before a blank or, in a script that has none, before the last two pre-tokens.

    These may become others when the text continues ("'", "l" and another "l" are one).
    """
    found = BORDER.search(text)
    if found is not None and found.start():
        return found.start()
    starts = [match.start() for match in regex.finditer(pattern, text)][-2:]
    return starts[0] if len(starts) == 2 and starts[0] else len(text)
