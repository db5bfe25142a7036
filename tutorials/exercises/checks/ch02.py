"""Checks of chapter 02: learning merges (2.1), and text that is shown while it is written (2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutorials.exercises.judging import CheckError, Draw, expect_unchanged
from tutorials.exercises.specs.ch02 import learn_merges, pair_counts, stream_text
from tutorials.exercises.subject import Subject

Corpus = tuple[list[str], list[int]]  # different words, and how often each occurs


def as_lists(value: Any) -> Any:
    """Tuples as lists: what a student's code sends back has no tuples."""
    return [as_lists(part) for part in value] if isinstance(value, (list, tuple)) else value


def expect_same(
    got: Any,
    expected: Any,
    what: str,
    *,
    likely: str = "",
    given: Mapping[str, Any] | None = None,
    mistakes: Mapping[str, Any] | None = None,
) -> None:
    """`got` is `expected`, a list of texts or of pairs. `mistakes` as in judging.expect_close."""
    expected = as_lists(expected)
    if type(got) is type(expected) and got == expected:
        return
    for mistake, value in (mistakes or {}).items():
        if as_lists(value) == got:
            likely = f"{mistake} (that gives exactly your result)"
            break
    raise CheckError(what, expected=expected, got=got, likely=likely, given=given)


def expect_same_when_long(got: Any, expected: Any, what: str, *, likely: str) -> None:
    """The same for long lists: the message shows the first place that differs."""
    expected = as_lists(expected)
    if got == expected:
        return
    if not isinstance(got, list) or len(got) != len(expected):
        length = len(got) if isinstance(got, list) else repr(got)
        raise CheckError(f"{what}: the length of the list", expected=len(expected), got=length, likely=likely)
    at = next(place for place, (mine, right) in enumerate(zip(got, expected, strict=True)) if mine != right)
    raise CheckError(
        f"{what}; the first that differs is number {at}", expected=expected[at], got=got[at], likely=likely
    )


# ---- 2.1 -----------------------------------------------------------------------------------------------------------


def draw_corpus(draw: Draw, words: int, letters: str = "abcd", longest: int = 6) -> Corpus:
    """Different words of a few letters, with counts."""
    found: dict[str, int] = {}
    while len(found) < words:
        word = "".join(draw.random.choice(letters) for _ in range(draw.size(2, longest)))
        found[word] = draw.size(1, 9)
    return list(found), list(found.values())


def once_and_for_all(words: list[str], counts: list[int], merge_count: int) -> list[tuple[str, str]]:
    """The most frequent pairs of the first count: what comes of never counting again."""
    found = pair_counts([list(word) for word in words], counts)
    return sorted(found, key=lambda pair: (found[pair], pair), reverse=True)[:merge_count]


def a_list_of_pairs(subject: Subject, draw: Draw) -> None:
    """The result is a list of as many pairs of strings as there are merges."""
    words, counts = draw_corpus(draw, 6)
    got = subject(words, counts, 3)
    pairs = isinstance(got, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(piece, str) for piece in pair) for pair in got
    )
    if not pairs or len(got) != 3:
        raise CheckError(
            "the merges are a list of pairs (left piece, right piece)",
            expected="three pairs of strings",
            got=got,
            likely="pieces that are joined already, or numbers in place of them, or one list too many",
        )


def words_and_counts_stay(subject: Subject, draw: Draw) -> None:
    """words and counts are left as they are."""
    expect_unchanged(subject, *draw_corpus(draw, 6), 3, names="words counts merge_count")


def the_most_frequent_pair(subject: Subject, draw: Draw) -> None:
    """One merge: the pair with the highest count, each word as often as it occurs."""
    often = draw.size(5, 9)
    words, counts = ["xab", "cd", "cde", "cdf"], [often, 1, 1, 1]  # ab and xa: `often` times; cd: three times
    expect_same(
        subject(words, counts, 1),
        [("x", "a")],
        f"'xa' and 'ab' occur {often} times, 'cd' three times; of the two the greater pair is taken",
        given={"words": words, "counts": counts},
        likely="count each pair of neighbours, times the count of its word",
        mistakes={
            "every word is counted once, whatever its count": [("c", "d")],
            "among equally frequent pairs the smallest is taken, or the first": [("a", "b")],
            "the left and the right piece have changed places": [("a", "x")],
        },
    )


def no_pair_crosses_a_word(subject: Subject, draw: Draw) -> None:
    """The last piece of a word and the first of the next are no neighbours."""
    words = [f"b{letter}a" for letter in draw.random.sample("pqrstuvw", 4)] + ["cd"]
    counts = [1, 1, 1, 1, 2]
    expect_same(
        subject(words, counts, 1),
        [("c", "d")],
        "'cd' occurs twice, and every other pair inside a word once",
        given={"words": words, "counts": counts},
        likely="each word stands alone",
        mistakes={"the words are joined to one text before pairs are counted": [("a", "b")]},
    )


def a_merge_makes_a_new_piece(subject: Subject, draw: Draw) -> None:
    """The second merge starts from what the first one has made."""
    often, seldom = draw.size(6, 9), draw.size(2, 4)
    words, counts = ["abc", "ab", "cd"], [often, 1, seldom]
    expect_same(
        subject(words, counts, 2),
        [("a", "b"), ("ab", "c")],
        "'ab' is joined first; its right neighbour 'c' now stands beside 'ab'",
        given={"words": words, "counts": counts},
        likely="after a merge the pieces are others, and the pairs are counted again",
        mistakes={
            "pairs are counted once at the beginning and never again": once_and_for_all(words, counts, 2),
            "both pieces of a pair are used up by the join: the right one must not stay behind": [
                ("a", "b"),
                ("ab", "b"),
            ],
        },
    )
    words, counts = ["dab", "da", "ab"], [1, often, seldom]
    expect_same(
        subject(words, counts, 3),
        [("d", "a"), ("a", "b"), ("da", "b")],
        "'dab' is 'da' 'b' after the first merge: the second one, 'a' + 'b', does not touch it, the third one does",
        given={"words": words, "counts": counts},
        likely="after a merge the pieces are others, and the pairs are counted again",
        mistakes={
            "'a b' is found inside 'da b' as well, by replace: compare whole pieces": [("d", "a"), ("a", "b")],
        },
    )


def equal_counts(subject: Subject, draw: Draw) -> None:
    """Equally frequent pairs: the greatest one, as Python compares pairs of strings."""
    words = draw.random.sample(["fa", "ga", "gb", "ef"], 4)
    expect_same(
        subject(words, [2, 2, 2, 2], 4),
        [("g", "b"), ("g", "a"), ("f", "a"), ("e", "f")],
        "four pairs are equally frequent: first the greatest",
        given={"words": words},
        likely="max() over pairs with equal counts takes the first that it meets: compare (count, pair)",
        mistakes={"the smallest comes first": [("e", "f"), ("f", "a"), ("g", "a"), ("g", "b")]},
    )


def of_aaa_the_first_two(subject: Subject, draw: Draw) -> None:
    """A pair that occurs twice in a word is joined twice, and letters that repeat themselves from left to right."""
    count = draw.size(3, 6)
    expect_same(
        subject(["abcab"], [count], 2),
        [("a", "b"), ("c", "ab")],
        "in 'abcab' the pair 'a' + 'b' is joined in both places: 'ab' 'c' 'ab'",
        likely="a merge goes through the whole word, to its end",
        mistakes={"only the first occurrence in a word is joined": [("a", "b"), ("c", "a")]},
    )
    words, counts = ["aaab", "aaa"], [count, 1]
    expect_same(
        subject(words, counts, 3),
        learn_merges(words, counts, 3),
        "'aaab' becomes 'aa' 'a' 'b', and 'aaa' becomes 'aa' 'a'",
        given={"words": words, "counts": counts},
        likely="an occurrence that begins inside the one just joined is no neighbour any more; go from left to right",
    )


def when_no_pair_is_left(subject: Subject, draw: Draw) -> None:
    """A word that is one piece has no pairs: there are fewer merges than asked for."""
    count = draw.size(1, 5)
    expect_same(
        subject(["ab", "c"], [count, 3], 5),
        [("a", "b")],
        "after one merge every word is a single piece",
        likely="max() of nothing: stop when no pair is left",
    )
    expect_same(subject(["c"], [count], 2), [], "a single letter has no pairs", likely="stop when no pair is left")


def merges_of_a_large_corpus(subject: Subject, draw: Draw) -> None:
    """A hundred words and more, of many letters, and dozens of merges: the loops in specs/ch02.py."""
    for words, letters, longest, merge_count in (
        (draw.size(8, 12), "abc", 5, 8),
        (draw.size(90, 120), "abcdefghij", 14, 70),
    ):
        corpus = draw_corpus(draw, words, letters, longest)
        expect_same_when_long(
            subject(*corpus, merge_count),
            learn_merges(*corpus, merge_count),
            f"{words} words, {merge_count} merges: they must be those of specs/ch02.py",
            likely="right for short words or few merges only: is there a limit in it, or a count that is not renewed?",
        )


# ---- 2.2 -----------------------------------------------------------------------------------------------------------

CHARACTERS = "aZ .é߷牛월🐮🌙"  # of one to four bytes


def spread(text: str, cuts: list[int]) -> list[list[int]]:
    """The bytes of a text in tokens that end at these places."""
    data = list(text.encode("utf-8"))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def draw_tokens(draw: Draw, length: int, most: int = 6) -> list[list[int]]:
    """A text of characters of all lengths, cut at random places."""
    text = "".join(draw.random.choice(CHARACTERS) for _ in range(length))
    places = range(1, len(text.encode("utf-8")))
    return spread(text, sorted(draw.random.sample(places, min(len(places), max(1, len(places) * 3 // most)))))


def one_text_for_each_token(subject: Subject, draw: Draw) -> None:
    """A list of strings, one for each token; plain letters are shown at once."""
    word = "".join(draw.random.choice("abcdef") for _ in range(6))
    tokens = spread(word, [2, 3])
    expect_same(
        subject(tokens),
        [word[:2], word[2:3], word[3:]],
        "letters of one byte are complete at once",
        given={"tokens": tokens},
        likely="a list with what each token adds, not one text",
        mistakes={
            "each text repeats all that was shown before": [word[:2], word[:3], word],
            "everything is shown at the end": ["", "", word],
        },
    )


def tokens_stay(subject: Subject, draw: Draw) -> None:
    """The tokens are left as they are."""
    expect_unchanged(subject, draw_tokens(draw, 6), names="tokens")


def a_character_in_two_tokens(subject: Subject, draw: Draw) -> None:
    """A character whose bytes come in two tokens is shown with the second one."""
    character = draw.random.choice("é牛")
    tokens = spread(character, [1])
    half = "\ufffd"
    first, second = (bytes(token).decode("utf-8", errors="replace") for token in tokens)
    expect_same(
        subject(tokens),
        ["", character],
        f"the first byte of {character!r} is no character yet: nothing is shown until the last one has come",
        given={"tokens": tokens},
        likely="keep the bytes that are not complete for the next token",
        mistakes={
            f"each token is decoded by itself, and half a character becomes {half!r}": [first, second],
            "each token is decoded by itself, and half a character is lost": ["", ""],
            "a byte is taken for a character": [bytes(token).decode("latin-1") for token in tokens],
        },
    )


def characters_of_every_length(subject: Subject, draw: Draw) -> None:
    """One to four bytes a character, a byte a token."""
    text = "".join(draw.random.sample("aé牛🐮", 4))
    data = text.encode("utf-8")
    tokens = spread(text, list(range(1, len(data))))
    expect_same(
        subject(tokens),
        stream_text(tokens),
        f"{text!r}, one byte a token: each character is shown with its last byte",
        given={"tokens": tokens},
        likely="the first byte tells how many: one below 128, two from 192 on, three from 224 on, four from 240 on",
    )


def one_ends_and_another_begins(subject: Subject, draw: Draw) -> None:
    """A token that completes a character and begins the next one: the first of them is shown."""
    first, second = draw.random.sample("牛월月", 2)
    tokens = spread(first + second, [1, 4])
    expect_same(
        subject(tokens),
        ["", first, second],
        f"the second token completes {first!r} and begins {second!r}",
        given={"tokens": tokens},
        likely="show what is complete, even where more bytes follow that are not",
        mistakes={"nothing is shown until all bytes so far are complete": ["", "", first + second]},
    )


def what_never_ends_is_not_shown(subject: Subject, draw: Draw) -> None:
    """The last character is cut off: it is not shown; and an empty token shows nothing."""
    character = draw.random.choice("牛🐮")
    tokens = [[97], [], *spread(character, [1])[:1]]
    expect_same(
        subject(tokens),
        ["a", "", ""],
        f"'a', an empty token, and the first byte of {character!r}",
        given={"tokens": tokens},
        likely="an incomplete end is neither shown nor an error",
    )


def long_texts(subject: Subject, draw: Draw) -> None:
    """A few hundred characters, cut anywhere: the loops in specs/ch02.py."""
    for length in (draw.size(8, 12), draw.size(260, 320)):
        tokens = draw_tokens(draw, length)
        expect_same_when_long(
            subject(tokens),
            stream_text(tokens),
            f"{length} characters in {len(tokens)} tokens must be shown as in specs/ch02.py",
            likely="right for short texts only, or a byte is lost where two tokens meet",
        )


CHECKS = {
    "2.1": (
        a_list_of_pairs, words_and_counts_stay, the_most_frequent_pair, no_pair_crosses_a_word,
        a_merge_makes_a_new_piece, equal_counts, of_aaa_the_first_two, when_no_pair_is_left, merges_of_a_large_corpus,
    ),
    "2.2": (
        one_text_for_each_token, tokens_stay, a_character_in_two_tokens, characters_of_every_length,
        one_ends_and_another_begins, what_never_ends_is_not_shown, long_texts,
    ),
}  # fmt: skip
