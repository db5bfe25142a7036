"""The contents of a story or its summary, read back from the text, so that the labeler can compare them.

The toy world lists every wording of a story's sentences. Turned into patterns they tell a sentence of a story from word
salad, and say who, where, what and how it felt.
"""

from __future__ import annotations

import re
from functools import cache

from minigpt.toyworld.english import a, sentence_case
from minigpt.toyworld.stories import (
    FEELINGS,
    HEROES,
    NAMES,
    PARTS,
    PLACES,
    SHORT_SUMMARIES,
    SUMMARIES,
    Story,
    events_of,
)

CONTENTS = 5  # of a story: who, what kind of hero, where, what happened, how it felt


@cache
def _patterns(wordings: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """The wordings as regular expressions whose groups are the slots."""
    events = [event for feeling in FEELINGS for event in events_of(feeling)]
    values = {
        "name": NAMES,
        "hero": HEROES,
        "a_hero": [a(hero) for hero in HEROES],
        "place": PLACES,
        "Place": [sentence_case(place) for place in PLACES],
        "event": events,
        "feeling": FEELINGS,
    }
    alternatives = {slot: "|".join(re.escape(value) for value in found) for slot, found in values.items()}
    return tuple(re.compile(_fill_groups(re.escape(wording), alternatives)) for wording in wordings)


def _fill_groups(escaped: str, alternatives: dict[str, str]) -> str:
    return re.sub(r"\\\{(\w+)\\\}", lambda slot: f"(?P<{slot[1]}>{alternatives[slot[1]]})", escaped)


def read(sentence: str, wordings: tuple[str, ...]) -> dict[str, str] | None:
    """The contents of a sentence ("name", "hero", "place", ...), or None if it is none of the wordings."""
    for pattern in _patterns(wordings):
        found = pattern.fullmatch(sentence)
        if found:
            contents = found.groupdict()
            if "a_hero" in contents:
                contents["hero"] = contents.pop("a_hero").split(" ", 1)[1]
            if "Place" in contents:
                place = contents.pop("Place")
                contents["place"] = place[:1].lower() + place[1:]
            return contents
    return None


def grade_story(wanted: Story, said: list[str]) -> float:
    """The helpfulness, in [0, 1], of a story in these sentences.

    The form (the four parts, once each and in order) times the contents: the name throughout, the hero, the feeling,
    and an event that leaves it. A sentence that is none of a story's takes away as much as a part gives.
    """
    order, contents = [], {}
    names = []
    for sentence in said:
        for part, wordings in PARTS.items():
            found = read(sentence, wordings)
            if found is not None:
                order.append(part)
                names.append(found["name"])
                contents.update(found)
                break
    parts = [part for index, part in enumerate(order) if part not in order[:index]]
    in_order = parts == [part for part in PARTS if part in parts]
    form = max(0.0, len(parts) - (len(said) - len(parts))) / len(PARTS) * (1.0 if in_order else 0.5)
    kept = [
        bool(names) and all(name == wanted.name for name in names),
        contents.get("hero") == wanted.hero,
        contents.get("feeling") == wanted.feeling,
        contents.get("event") in events_of(wanted.feeling),
    ]
    return form * (0.2 + 0.8 * sum(kept) / len(kept))


def grade_summary(story: Story, said: list[str]) -> tuple[float, float]:
    """(helpful, honest) of a summary, each in [0, 1]: the share of the story's contents that it gives, and the share of
    what it says that the story confirms."""
    found = read(said[0], SUMMARIES) or read(said[0], SHORT_SUMMARIES)
    if found is None:
        return 0.0, 0.5
    true = sum(found[slot] == value for slot, value in story.words().items() if slot in found)
    share = true / CONTENTS
    return (share if len(said) == 1 else 0.3 * share), true / len(found)
