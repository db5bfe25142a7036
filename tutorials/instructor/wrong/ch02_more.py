"""Wrong solutions of 2.3 and 2.4, and right ones that look unlike ours."""

from __future__ import annotations

from tutorials.exercises.specs.ch02 import Pair, joined
from tutorials.exercises.specs.ch02 import tokens_of as loops
from tutorials.instructor.wrong import Wrong

Merges = list[Pair]


# ---- 2.3 -----------------------------------------------------------------------------------------------------------


def longest_first(word: str, merges: Merges) -> list[str]:
    """Cuts off the longest token that the word begins with, again and again."""
    known, tokens = {left + right for left, right in merges}, []
    while word:
        length = max((n for n in range(1, len(word) + 1) if word[:n] in known), default=1)
        tokens.append(word[:length])
        word = word[length:]
    return tokens


def leftmost_first(word: str, merges: Merges) -> list[str]:
    """Joins the first pair from the left that is a merge at all."""
    pieces = list(word)
    while True:
        places = [n for n in range(len(pieces) - 1) if (pieces[n], pieces[n + 1]) in set(map(tuple, merges))]
        if not places:
            return pieces
        pieces[places[0] : places[0] + 2] = [pieces[places[0]] + pieces[places[0] + 1]]


def last_merge_first(word: str, merges: Merges) -> list[str]:
    return loops(word, merges[::-1])


def once_a_merge(word: str, merges: Merges) -> list[str]:
    """A merge joins its first occurrence only."""
    pieces = list(word)
    for left, right in merges:
        at = next((n for n in range(len(pieces) - 1) if (pieces[n], pieces[n + 1]) == (left, right)), None)
        if at is not None:
            pieces[at : at + 2] = [left + right]
    return pieces


def whole_word(word: str, merges: Merges) -> list[str]:
    return [word]


def letters_only(word: str, merges: Merges) -> list[str]:
    return list(word)


def joined_by_spaces(word: str, merges: Merges) -> str:
    return " ".join(loops(word, merges))


def thirty_two_merges(word: str, merges: Merges) -> list[str]:
    """Right when small: later merges are not used."""
    return loops(word, merges[:32])


def words_of_sixteen(word: str, merges: Merges) -> list[str]:
    """Right when small: the rest of a long word stays single."""
    return loops(word[:16], merges) + list(word[16:])


SINGLE, ORDER, PIECES = "without_merges_single_characters", "merges_in_the_order_learned", "a_merge_joins_merged_pieces"
EVERYWHERE, LONG, MEASURED = "everywhere_from_the_left", "long_words_with_many_merges", "the_rates_are_in_answers"

TOKENS = (
    Wrong("2.3", "longest first", ORDER, longest_first, says="what fits first"),
    Wrong("2.3", "leftmost first", ORDER, leftmost_first, says="what fits first"),
    Wrong("2.3", "last merge first", ORDER, last_merge_first),
    Wrong("2.3", "once a merge", PIECES, once_a_merge, says="neighbours of its own"),
    Wrong("2.3", "the whole word", SINGLE, whole_word, says="the word is one token"),
    Wrong("2.3", "letters only", ORDER, letters_only),
    Wrong("2.3", "a string", SINGLE, joined_by_spaces, says="a list of characters"),
    Wrong("2.3", "32 merges", LONG, thirty_two_merges, says="few merges only"),
    Wrong("2.3", "words of 16", LONG, words_of_sixteen, says="few merges only"),
    Wrong(
        "2.3",
        "no prediction",
        "predictions_for_the_vocabulary",
        answers=(("prediction_chinese", ""),),
        says="prediction_chinese",
    ),
    Wrong("2.3", "another number", MEASURED, answers=(("story_240", 6.7),), says="story_240"),
    Wrong("2.3", "no reason", "the_reason_for_the_rates", answers=(("because", "so it is"),)),
)


# ---- 2.4 -----------------------------------------------------------------------------------------------------------

RIGHT = '        ids += [SPECIAL[f"<|{role}|>"], *text.encode("utf-8"), SPECIAL["<|end|>"]]\n'
SPELLED, SPEAKERS, CHATS = "a_spelled_token_is_plain_text", "only_speakers_open_turns", "long_conversations"


def instead(lines: str) -> tuple[tuple[str, str], ...]:
    return ((RIGHT, lines),)


WHOLE = 'encode(f"<|{role}|>{text}<|end|>")'

CHAT = (
    Wrong("2.4", "as handed out", SPELLED, edits=instead(f"        ids += {WHOLE}\n"), says="special token"),
    Wrong(
        "2.4",
        "the end token is cut out",
        SPELLED,
        edits=instead(f'        text = text.replace("<|", "").replace("|>", "")\n        ids += {WHOLE}\n'),
    ),
    Wrong(
        "2.4",
        "a space is put in",
        SPELLED,
        edits=instead(f'        text = text.replace("<|", "< |")\n        ids += {WHOLE}\n'),
    ),
    Wrong(
        "2.4",
        "only the user is watched",
        SPEAKERS,
        edits=instead(
            '        said = list(text.encode("utf-8")) if role == "user" else encode(text)\n'
            '        ids += [SPECIAL[f"<|{role}|>"], *said, SPECIAL["<|end|>"]]\n'
        ),
    ),
    Wrong(
        "2.4",
        "no end",
        SPELLED,
        edits=instead('        ids += [SPECIAL[f"<|{role}|>"], *text.encode("utf-8")]\n'),
        says="every turn is closed",
    ),
    Wrong(
        "2.4",
        "characters for bytes",
        SPEAKERS,
        edits=instead('        ids += [SPECIAL[f"<|{role}|>"], *map(ord, text), SPECIAL["<|end|>"]]\n'),
        says="are BYTES",
    ),
    Wrong(
        "2.4",
        "sixteen turns",
        CHATS,
        edits=(
            (
                "    for role, text in turns:\n        ids += [SPEC",
                "    for role, text in turns[-16:]:\n        ids += [SPEC",
            ),
        ),
    ),
    Wrong(
        "2.4",
        "written anew",
        "the_chat_is_mended_in_three_lines",
        edits=instead(
            '        ids.append(SPECIAL["<|" + role + "|>"])\n        for value in text.encode("utf-8"):\n'
            '            ids.append(value)\n        ids.append(SPECIAL["<|end|>"])\n'
        ),
    ),
)

WRONG = (*TOKENS, *CHAT)


# ---- Right, and unlike ours ------------------------------------------------------------------------------------------


def by_rank(word: str, merges: Merges) -> list[str]:
    """The lowest rank among all neighbours, the leftmost of several: as the package does it."""
    ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
    pieces = list(word)
    while len(pieces) > 1:
        rank, at = min((ranks.get((pieces[n], pieces[n + 1]), len(ranks)), n) for n in range(len(pieces) - 1))
        if rank == len(ranks):
            break
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def by_their_text(word: str, merges: Merges) -> list[str]:
    """Joins neighbours whose text is that of a token, as tiktoken does: for merges that were learned it is the same."""
    pieces = list(word)
    for left, right in merges:
        at = 0
        while at < len(pieces) - 1:
            if pieces[at] + pieces[at + 1] == left + right:
                pieces[at : at + 2] = [left + right]
            at += 1
    return pieces


def with_new_lists(word: str, merges: Merges) -> list[str]:
    pieces = list(word)
    for pair in merges:
        pieces = joined(pieces, tuple(pair))
    return pieces


def turn_by_turn(turns: list[tuple[str, str]]) -> list[int]:
    """Three parts for each turn."""
    roles = {"user": 256, "assistant": 257}
    parts = [[roles[role], *bytearray(text, "utf-8"), 258] for role, text in turns]
    return [token for part in parts for token in part]


ALSO_RIGHT = (("2.3", by_rank), ("2.3", with_new_lists), ("2.3", by_their_text), ("2.4", turn_by_turn))
