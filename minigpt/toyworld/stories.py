"""Short stories with known contents: who, where, what happened, how it felt. And one sentence that sums them up.

A story is drawn as a `Story` (its contents) and written by `Story.tell`, which picks one wording for each of
four sentences. Because every wording is listed here, a grader can tell a sentence of a story from word salad.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from minigpt.toyworld.english import a, fill

NAMES = (
    "Tom", "Mia", "Ben", "Anna", "Leo", "Zoe", "Max", "Lily", "Sam", "Eva", "Jack",
    "Nina", "Paul", "Rosa", "Emma", "Finn", "Kim", "Otto", "Ruth", "Hugo", "Clara", "Ivan",
    "Vera", "Noah", "Ida", "Felix", "Gina", "Karl", "Olga", "Peter", "Tina", "Walter",
)  # fmt: skip
HEROES = (
    "dog", "cat", "rabbit", "child", "frog", "bear", "mouse", "fox", "horse", "duck", "sailor", "farmer", "goat", "owl",
    "nurse", "pilot", "pig", "baker", "wolf", "hen",
)  # fmt: skip
PLACES = (
    "in the park", "by the river", "in the forest", "at school", "on the beach", "at the market", "in the garden",
    "on the farm", "at the lake", "in the library", "in the castle", "in the shop", "on the bridge", "at the station",
    "in the kitchen", "by the sea", "on the hill", "in the museum", "at the harbour", "in the street",
)  # fmt: skip
THINGS = (
    "hat", "ball", "coin", "key", "book", "kite", "ring", "shoe", "map", "bell", "cup", "toy", "lamp", "rope", "coat",
    "ticket", "letter", "doll", "clock", "spoon", "bottle", "flag", "mirror", "candle",
)  # fmt: skip

# what can happen, in the past tense, by the feeling it leaves
EVENTS: dict[str, tuple[str, ...]] = {
    "happy": ("found {a_thing}", "got {a_thing} as a gift", "met an old friend"),
    "sad": ("lost {a_thing}", "broke {a_thing}", "missed an old friend"),
    "angry": ("saw a thief take {a_thing}", "had to wait for {a_thing}", "heard a rude word"),
    "afraid": ("saw a big snake", "heard a loud noise", "got lost in the dark"),
    "proud": ("won a race", "made {a_thing} alone", "helped an old woman"),
    "surprised": ("saw {a_thing} fall from a tree", "saw snow in summer", "heard a fish sing"),
}
FEELINGS = tuple(EVENTS)

OPENINGS = (
    "Once there was {a_hero} named {name}.",
    "There once lived {a_hero} called {name}.",
    "{name} was a little {hero}.",
)
HAPPENINGS = (
    "One day {name} {event} {place}.",
    "One morning {name} {event} {place}.",
    "{Place}, {name} {event}.",
)
REACTIONS = ("{name} felt very {feeling}.", "So {name} was {feeling}.", "This made {name} {feeling}.")
ENDINGS = (
    "Then {name} went home.",
    "In the evening {name} told a friend about it.",
    "That night {name} dreamed about it.",
)
SUMMARIES = (
    "{name} the {hero} {event} {place} and felt {feeling}.",
    "{name} felt {feeling} because the {hero} {event} {place}.",
)
# what a careless reader leaves out: whom, where, or what it felt like
SHORT_SUMMARIES = ("{name} {event} {place}.", "{name} the {hero} {event}.", "{name} the {hero} felt {feeling}.")
PARTS = {"opening": OPENINGS, "happening": HAPPENINGS, "reaction": REACTIONS, "ending": ENDINGS}


@dataclass(frozen=True)
class Story:
    """The contents of a story, apart from their wording."""

    name: str
    hero: str
    place: str
    event: str
    feeling: str

    def words(self) -> dict[str, str]:
        """The words that fill the slots of the sentence templates."""
        return {
            "name": self.name, "hero": self.hero, "a_hero": a(self.hero), "place": self.place, "event": self.event,
            "feeling": self.feeling,
        }  # fmt: skip

    def tell(self, rng: random.Random, parts: Sequence[str] = tuple(PARTS)) -> str:
        """The story in four sentences, or in those of the parts that are named."""
        return " ".join(fill(rng.choice(PARTS[part]), **self.words()) for part in parts)

    def summaries(self) -> tuple[str, ...]:
        """Every accepted way to say it in one sentence."""
        return tuple(fill(wording, **self.words()) for wording in SUMMARIES)

    def short_summaries(self) -> tuple[str, ...]:
        """Every way to sum it up that leaves something out."""
        return tuple(fill(wording, **self.words()) for wording in SHORT_SUMMARIES)


def events_of(feeling: str) -> tuple[str, ...]:
    """Every event that leaves this feeling, things filled in."""
    found = []
    for event in EVENTS[feeling]:
        found += [event.format(a_thing=a(thing)) for thing in THINGS] if "{a_thing}" in event else [event]
    return tuple(found)


def draw_story(rng: random.Random, *, name: str = "", hero: str = "", feeling: str = "") -> Story:
    """A story with random contents; what is given is kept."""
    feeling = feeling or rng.choice(FEELINGS)
    event = rng.choice(EVENTS[feeling]).format(a_thing=a(rng.choice(THINGS)))
    return Story(name or rng.choice(NAMES), hero or rng.choice(HEROES), rng.choice(PLACES), event, feeling)
