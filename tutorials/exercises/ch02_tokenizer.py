"""Chapter 02: the tokenizer. Exercises 2.1 to 2.3 are written into this file; 2.4 is in bugs/ch02_who_said_that.py.

    python -m tutorials.exercises check 2.1      # run the checks of one exercise
    python -m tutorials.exercises hint 2.1       # one hint; ask again for the next one
    python -m tutorials.exercises plug 2.1       # once it is green: the toy world's merges, learned by your function

Replace `raise NotImplementedError(...)` by your own lines. Python alone is enough. What each function must do is also
written as plain loops in specs/ch02.py: slow, and right.

A piece of text is a string here, one character for each byte, so that it can be printed and compared.
"""

from collections import Counter
from itertools import pairwise

# ---- 2.1 Learn the merges ----------------------------------------------------------------------------------------


def learn_merges(words: list[str], counts: list[int], merge_count: int) -> list[tuple[str, str]]:
    """The first `merge_count` merges, in the order they are learned: pairs (left piece, right piece).

    words: different words, of which word i occurs counts[i] times in the corpus. At first each character is a piece.
    Again and again the most frequent pair of neighbours is joined to one piece, everywhere, from left to right: of
    "aaa" the first two. Among pairs that are equally frequent the greatest is taken, as Python compares pairs of
    strings. No pair crosses the end of a word. Where no pair is left, there are fewer merges.
    """
    raise NotImplementedError("2.1")


# ---- 2.2 Show the text while it is written -----------------------------------------------------------------------


def stream_text(tokens: list[list[int]]) -> list[str]:
    """What can be shown after each token: the characters that this token has completed, "" if there are none.

    A model writes one token after another, and each token is a list of byte values. The bytes of all tokens together
    are UTF-8, but a character may be spread over several tokens, and one token may complete a character and begin the
    next. If the last character never becomes complete, it is not shown.
    """
    raise NotImplementedError("2.2")


# ---- 2.3 Four times as many merges -------------------------------------------------------------------------------


def tokens_of(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """The tokens of a word: its characters, joined by the merges, each of them everywhere, in the order learned.

    `merges` is what 2.1 returns. A merge joins from left to right, like there; a word may be one that the corpus never
    had.

    FIRST write your prediction into answers.toml; then this function; then let
    `python -m tutorials.exercises plug 2.3` measure, and write down what it printed.
    """
    raise NotImplementedError("2.3")
