"""Requests to write something: a list, a story, a summary."""

from __future__ import annotations

import random
from dataclasses import dataclass

from minigpt.toyworld.english import NUMBER_WORDS, fill, join_and, plural, sentence_case
from minigpt.toyworld.facts import CATEGORIES
from minigpt.toyworld.requests.request import Request
from minigpt.toyworld.stories import FEELINGS, NAMES, draw_story

# ---- Name N things -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """N members of a category, one of which may be excluded ("")."""

    category: str
    count: int
    excluded: str


LIST_QUESTIONS = ("Name {n} {category}.", "List {n} {category}.", "Give me {n} {category}.")
WITHOUT = (" Leave out {excluded}.", " Do not say {excluded}.")


def ask_list(rng: random.Random) -> Request:
    """Name three fruits. Leave out apple."""
    category = rng.choice(tuple(CATEGORIES))
    members = CATEGORIES[category]
    listing = Listing(category, rng.randint(2, 3), rng.choice(members) if rng.random() < 0.4 else "")
    wanted = plural(category) if category != "country" else "countries"
    question = rng.choice(LIST_QUESTIONS).format(n=NUMBER_WORDS[listing.count], category=wanted)
    if listing.excluded:
        question += rng.choice(WITHOUT).format(excluded=listing.excluded)
    allowed = [member for member in members if member != listing.excluded]
    strangers = [member for other, found in CATEGORIES.items() if other != category for member in found]
    draw = rng.sample(allowed, listing.count + 1)
    wrong = draw[:1] + rng.sample(strangers, listing.count - 1)
    exact = draw[: listing.count]
    careless = {"one short": (list_sentence(exact[:-1]),), "one too many": (list_sentence(draw),)}
    bad = [list_sentence(wrong)]
    if listing.excluded:
        bad.append(list_sentence([*exact[:-1], listing.excluded]))
    key = f"{category}/{listing.count}/{listing.excluded}"
    return Request("list", key, (question,), (list_sentence(exact),), tuple(bad), listing, careless)


def list_sentence(items: list[str]) -> str:
    """["pear", "plum"] -> "Pear and plum."."""
    return sentence_case(join_and(items)) + "."


# ---- Write a story, sum one up -----------------------------------------------------------------------------------

STORY_QUESTIONS = (
    "Write a short story about {a_hero} named {name} who is {feeling}.",
    "Tell me a story about {a_hero} called {name}. It should be {feeling}.",
    "I want a short story. It is about {a_hero} named {name} who feels {feeling}.",
)
SUMMARY_QUESTIONS = ("Sum up this story in one sentence. {story}", "{story} Say this in one sentence.")


def ask_story(rng: random.Random) -> Request:
    """Write a short story about a dog named Tom who is happy."""
    wanted = draw_story(rng)
    question = fill(rng.choice(STORY_QUESTIONS), **wanted.words())
    good = tuple(wanted.tell(rng) for _ in range(2))
    careless = {
        "unfinished": (wanted.tell(rng, ("opening", "happening", "reaction")),),
        "forgets": (wanted.tell(rng, ("opening", "happening", "ending")),),
    }
    other_name = rng.choice([name for name in NAMES if name != wanted.name])
    other_feeling = rng.choice([feeling for feeling in FEELINGS if feeling != wanted.feeling])
    elsewhere = draw_story(rng, name=other_name, feeling=other_feeling)
    key = f"{wanted.hero}/{wanted.name}/{wanted.feeling}"
    return Request("story", key, (question,), good, (elsewhere.tell(rng),), wanted, careless)


def ask_summary(rng: random.Random) -> Request:
    """Sum up this story in one sentence. Once there was ..."""
    story = draw_story(rng)
    other_feeling = rng.choice([feeling for feeling in FEELINGS if feeling != story.feeling])
    other = draw_story(rng, name=story.name, feeling=other_feeling)
    question = rng.choice(SUMMARY_QUESTIONS).format(story=story.tell(rng))
    key = f"{story.name}/{story.hero}/{story.place}/{story.event}"
    bad = (rng.choice(other.summaries()), story.tell(rng))
    careless = {"forgets": story.short_summaries()}
    return Request("summary", key, (question,), story.summaries(), bad, story, careless)
