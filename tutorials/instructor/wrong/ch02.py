"""Wrong solutions of chapter 02 (2.1, 2.2), and right ones that look unlike ours."""

from __future__ import annotations

from tutorials.exercises.specs.ch02 import Pair, joined, pair_counts
from tutorials.exercises.specs.ch02 import learn_merges as loops
from tutorials.exercises.specs.ch02 import stream_text as stream_loops
from tutorials.instructor.wrong import Wrong

Words, Counts, Merges, Tokens = list[str], list[int], list[Pair], list[list[int]]


# ---- 2.1 -----------------------------------------------------------------------------------------------------------


def ignores_counts(words: Words, counts: Counts, merge_count: int) -> Merges:
    return loops(words, [1] * len(words), merge_count)


def first_of_equals(words: Words, counts: Counts, merge_count: int) -> Merges:
    """max() by the count alone: of equals, the pair that was met first."""
    pieces, merges = [list(word) for word in words], []
    while len(merges) < merge_count and (found := pair_counts(pieces, counts)):
        merges.append(max(found, key=lambda pair: found[pair]))
        pieces = [joined(word, merges[-1]) for word in pieces]
    return merges


def smallest_of_equals(words: Words, counts: Counts, merge_count: int) -> Merges:
    pieces, merges = [list(word) for word in words], []
    while len(merges) < merge_count and (found := pair_counts(pieces, counts)):
        merges.append(min(found, key=lambda pair: (-found[pair], pair)))
        pieces = [joined(word, merges[-1]) for word in pieces]
    return merges


def never_counts_again(words: Words, counts: Counts, merge_count: int) -> Merges:
    found = pair_counts([list(word) for word in words], counts)
    return sorted(found, key=lambda pair: (found[pair], pair), reverse=True)[:merge_count]


def one_long_word(words: Words, counts: Counts, merge_count: int) -> Merges:
    """The corpus as one string: pairs cross from word to word."""
    text = "".join(word * count for word, count in zip(words, counts, strict=True))
    return loops([text], [1], merge_count)


def from_the_right(words: Words, counts: Counts, merge_count: int) -> Merges:
    """Joins from right to left: of aaa the last two."""
    pieces, merges = [list(word) for word in words], []
    while len(merges) < merge_count and (found := pair_counts(pieces, counts)):
        pair = max(found, key=lambda pair: (found[pair], pair))
        merges.append(pair)
        pieces = [joined_from_the_right(word, pair) for word in pieces]
    return merges


def joined_from_the_right(pieces: Words, pair: Pair) -> Words:
    result, at = [], len(pieces)
    while at > 0:
        if at > 1 and (pieces[at - 2], pieces[at - 1]) == pair:
            result.insert(0, "".join(pair))
            at -= 2
        else:
            result.insert(0, pieces[at - 1])
            at -= 1
    return result


def first_occurrence_only(words: Words, counts: Counts, merge_count: int) -> Merges:
    """Joins the pair once in each word."""
    pieces, merges = [list(word) for word in words], []
    while len(merges) < merge_count and (found := pair_counts(pieces, counts)):
        pair = max(found, key=lambda pair: (found[pair], pair))
        if pair not in merges:
            merges.append(pair)
        for word in pieces:
            at = next((n for n in range(len(word) - 1) if (word[n], word[n + 1]) == pair), None)
            if at is not None:
                word[at : at + 2] = ["".join(pair)]
    return merges


def replaced_as_text(words: Words, counts: Counts, merge_count: int) -> Merges:
    """Pieces with blanks between them, joined by str.replace: 'a b' is found in 'da b'."""
    spaced, merges = [" ".join(word) for word in words], []
    while len(merges) < merge_count and (found := pair_counts([text.split() for text in spaced], counts)):
        merges.append(max(found, key=lambda pair: (found[pair], pair)))
        spaced = [text.replace(" ".join(merges[-1]), "".join(merges[-1])) for text in spaced]
    return merges


def right_piece_stays(words: Words, counts: Counts, merge_count: int) -> Merges:
    """After a join it goes on with the right piece of the pair."""
    pieces, merges = [list(word) for word in words], []
    while len(merges) < merge_count and (found := pair_counts(pieces, counts)):
        merges.append(max(found, key=lambda pair: (found[pair], pair)))
        pieces = [
            ["".join(merges[-1]) if tuple(word[n : n + 2]) == merges[-1] else word[n] for n in range(len(word))]
            for word in pieces
        ]
    return merges


def raises_at_the_end(words: Words, counts: Counts, merge_count: int) -> Merges:
    """max() of an empty dictionary."""
    pieces, merges = [list(word) for word in words], []
    for _ in range(merge_count):
        found = pair_counts(pieces, counts)
        pair = max(found, key=lambda pair: (found[pair], pair))
        merges.append(pair)
        pieces = [joined(word, pair) for word in pieces]
    return merges


def joined_strings(words: Words, counts: Counts, merge_count: int) -> Words:
    return [left + right for left, right in loops(words, counts, merge_count)]


def eight_letters(words: Words, counts: Counts, merge_count: int) -> Merges:
    """Right when small: what stands behind the eighth letter of a word is not read."""
    return loops([word[:8] for word in words], counts, merge_count)


def sixty_four_words(words: Words, counts: Counts, merge_count: int) -> Merges:
    """Right when small: room for 64 words."""
    return loops(words[:64], counts[:64], merge_count)


FREQUENT, CROSS, NEW = "the_most_frequent_pair", "no_pair_crosses_a_word", "a_merge_makes_a_new_piece"
EQUAL, AAA, LEFT, LARGE = "equal_counts", "of_aaa_the_first_two", "when_no_pair_is_left", "merges_of_a_large_corpus"

LEARN = (
    Wrong("2.1", "counts ignored", FREQUENT, ignores_counts, says="counted once, whatever its count"),
    Wrong("2.1", "smallest of equals", FREQUENT, smallest_of_equals, says="the smallest"),
    Wrong("2.1", "first of equals", EQUAL, first_of_equals, says="takes the first that it meets"),
    Wrong("2.1", "never counts again", NEW, never_counts_again, says="never again"),
    Wrong("2.1", "one long word", CROSS, one_long_word, says="joined to one text"),
    Wrong("2.1", "from the right", AAA, from_the_right, says="from left to right"),
    Wrong("2.1", "first occurrence only", AAA, first_occurrence_only, says="only the first occurrence"),
    Wrong("2.1", "replaced as text", NEW, replaced_as_text, says="compare whole pieces"),
    Wrong("2.1", "the right piece stays", NEW, right_piece_stays, says="used up"),
    Wrong("2.1", "raises at the end", LEFT, raises_at_the_end, says="max() of nothing"),
    Wrong("2.1", "joined strings", "a_list_of_pairs", joined_strings, says="joined already"),
    Wrong("2.1", "eight letters", LARGE, eight_letters, says="short words"),
    Wrong("2.1", "64 words", LARGE, sixty_four_words, says="few merges only"),
    Wrong(
        "2.1",
        "imports the reference",
        "can_be_checked",
        says="write that yourself",
        edits=(("from itertools import pairwise\n", "from itertools import pairwise\n\nimport minigpt.bpe\n"),),
    ),
)


# ---- 2.2 -----------------------------------------------------------------------------------------------------------


def each_alone(tokens: Tokens) -> list[str]:
    return [bytes(token).decode("utf-8", errors="replace") for token in tokens]


def each_alone_and_ignores(tokens: Tokens) -> list[str]:
    return [bytes(token).decode("utf-8", errors="ignore") for token in tokens]


def bytes_for_characters(tokens: Tokens) -> list[str]:
    return ["".join(map(chr, token)) for token in tokens]


def repeats_everything(tokens: Tokens) -> list[str]:
    shown = stream_loops(tokens)
    return ["".join(shown[: n + 1]) for n in range(len(shown))]


def all_at_the_end(tokens: Tokens) -> list[str]:
    whole = "".join(stream_loops(tokens))
    return [""] * (len(tokens) - 1) + [whole]


def waits_until_all_is_complete(tokens: Tokens) -> list[str]:
    """Tries to decode everything that waits, and shows nothing while that fails."""
    shown, waiting = [], b""
    for token in tokens:
        waiting += bytes(token)
        try:
            shown.append(waiting.decode("utf-8"))
            waiting = b""
        except UnicodeDecodeError:
            shown.append("")
    return shown


def no_emoji(tokens: Tokens) -> list[str]:
    """One, two or three bytes, never four."""
    shown, waiting = [], bytearray()
    for token in tokens:
        text = ""
        for value in token:
            waiting.append(value)
            if len(waiting) == 1 + (waiting[0] >= 0xC0) + (waiting[0] >= 0xE0):
                text += waiting.decode("utf-8", errors="replace")
                waiting.clear()
        shown.append(text)
    return shown


def shows_the_rest(tokens: Tokens) -> list[str]:
    """What is left at the end is shown as a replacement character."""
    shown = stream_loops(tokens)
    whole = b"".join(map(bytes, tokens))
    rest = whole[len("".join(shown).encode("utf-8")) :]
    return [*shown[:-1], shown[-1] + rest.decode("utf-8", errors="replace")]


def skips_empty_tokens(tokens: Tokens) -> list[str]:
    return stream_loops([token for token in tokens if token])


def changes_the_tokens(tokens: Tokens) -> list[str]:
    """Hands bytes on to the next token, in place."""
    shown = stream_loops(tokens)
    for token in tokens:
        token.clear()
    return shown


def sixty_four_tokens(tokens: Tokens) -> list[str]:
    """Right when small: later tokens show nothing."""
    return [text if n < 64 else "" for n, text in enumerate(stream_loops(tokens))]


ALONE, TWO, LENGTHS = "one_text_for_each_token", "a_character_in_two_tokens", "characters_of_every_length"
BEGINS, NEVER, LONG = "one_ends_and_another_begins", "what_never_ends_is_not_shown", "long_texts"

STREAM = (
    Wrong("2.2", "each alone", TWO, each_alone, says="decoded by itself"),
    Wrong("2.2", "each alone, ignoring", TWO, each_alone_and_ignores, says="is lost"),
    Wrong("2.2", "bytes for characters", TWO, bytes_for_characters, says="taken for a character"),
    Wrong("2.2", "repeats everything", ALONE, repeats_everything, says="repeats"),
    Wrong("2.2", "all at the end", ALONE, all_at_the_end, says="at the end"),
    Wrong("2.2", "waits for all", BEGINS, waits_until_all_is_complete, says="until all bytes so far are complete"),
    Wrong("2.2", "no emoji", LENGTHS, no_emoji, says="four"),
    Wrong("2.2", "shows the rest", NEVER, shows_the_rest, says="neither shown nor an error"),
    Wrong("2.2", "skips empty tokens", NEVER, skips_empty_tokens),
    Wrong("2.2", "changes the tokens", "tokens_stay", changes_the_tokens, says="must stay as it was"),
    Wrong("2.2", "64 tokens", LONG, sixty_four_tokens, says="short texts only"),
)

WRONG = (*LEARN, *STREAM)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def with_a_string(words: Words, counts: Counts, merge_count: int) -> Merges:
    """Sorted pairs, and new lists instead of changed ones."""
    pieces, merges = [list(word) for word in words], []
    while len(merges) < merge_count:
        found = pair_counts(pieces, counts)
        if not found:
            break
        merges.append(sorted(found, key=lambda pair: (found[pair], pair))[-1])
        pieces = [joined(word, merges[-1]) for word in pieces]
    return merges


def by_trying(tokens: Tokens) -> list[str]:
    """Byte by byte: whatever can be decoded is shown."""
    shown, waiting = [], b""
    for token in tokens:
        text = ""
        for value in token:
            waiting += bytes([value])
            if decoded := waiting.decode("utf-8", errors="ignore"):
                text, waiting = text + decoded, b""
        shown.append(text)
    return shown


ALSO_RIGHT = (("2.1", with_a_string), ("2.2", by_trying))
