"""Requests that ask for knowledge: a fact, a follow-up about the same subject, and what nobody can know."""

from __future__ import annotations

import random
from dataclasses import dataclass

from minigpt.toyworld.english import a, fill, plural, sentence_case
from minigpt.toyworld.facts import FACTS, RELATIONS, Fact, facts_about
from minigpt.toyworld.requests.request import NOT_KNOWING, Request
from minigpt.toyworld.stories import NAMES, PLACES, THINGS

# ---- A fact ------------------------------------------------------------------------------------------------------


def wrong_objects(fact: Fact, rng: random.Random, count: int) -> list[str]:
    """Other objects of the same relation that are not true of this subject."""
    others = [found for found in fact.relation.candidates() if found != fact.object]
    return rng.sample(others, count)


def one_word(found: str) -> str:
    """ "in the sea" -> "In the sea.", an answer that is no sentence."""
    return f"{sentence_case(found)}."


def careless_about(fact: Fact) -> dict[str, tuple[str, ...]]:
    """Careless answers to a question of fact: one word, or that it is not known."""
    return {"one word": (one_word(fact.object),), "gives up": (NOT_KNOWING[0],)}


def ask_fact(rng: random.Random) -> Request:
    """What does a cow eat?"""
    fact = rng.choice(FACTS)
    relation = fact.relation
    bad = tuple(rng.choice(relation.state(fact.subject, wrong)) for wrong in wrong_objects(fact, rng, 2))
    question = rng.choice(relation.ask(fact.subject))
    good = relation.state(fact.subject)
    return Request("fact", question, (question,), good, bad, fact, careless_about(fact))


# ---- A follow-up that needs the turn before it -------------------------------------------------------------------


@dataclass(frozen=True)
class FollowUp:
    """A second question about a subject that only the first question names."""

    first: Fact
    second: Fact


def ask_follow_up(rng: random.Random) -> Request:
    """Where does a cow live? A cow lives on a farm. And what does it eat?"""
    while True:
        first = rng.choice(FACTS)
        others = [fact for fact in facts_about(first.subject) if fact.relation is not first.relation]
        # what is answered in the conversation is in the prompt, so it is no fact that is never stated
        if others and first.frequency != "never":
            break
    second = rng.choice(others)
    turns = (
        rng.choice(first.relation.ask(first.subject)),
        rng.choice(first.relation.state(first.subject)),
        second.relation.follow_up,
    )
    bad = tuple(rng.choice(second.relation.state(second.subject, o)) for o in wrong_objects(second, rng, 2))
    good = second.relation.state(second.subject)
    return Request("follow_up", " ".join(turns), turns, good, bad, FollowUp(first, second), careless_about(second))


# ---- A question nobody can answer --------------------------------------------------------------------------------

IMAGINARY = (
    "unicorn", "dragon", "mermaid", "ghost", "fairy", "troll", "goblin", "vampire", "werewolf", "giant", "elf", "gnome",
    "zombie", "genie", "yeti", "centaur", "ogre", "pixie", "phoenix", "sphinx", "nymph", "demon", "wizard", "minotaur",
)  # fmt: skip
FUTURE = (
    "Who will win the race {when}?", "Will it rain {when}?", "Will it snow {when}?", "Who will find a coin {when}?",
    "What will people eat {when}?", "Who will be the king {when}?", "What will a cow cost {when}?",
    "Which book will people read {when}?", "Who will be rich {when}?", "What will children play {when}?",
)  # fmt: skip
WHEN = ("next year", "next month", "next week", "next summer", "in ten years", "in a hundred years", "tomorrow")
PRIVATE = (
    "Where is my {thing}?", "What colour is my {thing}?", "Who took my {thing}?", "Is my {thing} at home?",
    "Who made my {thing}?", "How old is my {thing}?", "How big is my {thing}?", "Did I lose my {thing}?",
)  # fmt: skip
REASONS = {
    "imaginary": "{P} are not real.",
    "future": "Nobody can see the future.",
    "private": "You have not told me about your {thing}.",
}


@dataclass(frozen=True)
class Unknowable:
    """The reason why a question has no answer: its kind, and the sentence that gives it."""

    kind: str
    reason: str


def ask_unknowable(rng: random.Random) -> Request:
    """What does a unicorn eat? Who will win the race tomorrow? Where is my hat?"""
    kind = rng.choice(tuple(REASONS))
    if kind == "imaginary":
        creature = rng.choice(IMAGINARY)
        relation = rng.choice(RELATIONS[:5])
        question = fill(rng.choice(relation.questions), s=creature, a=a(creature), p=plural(creature))
        reason, key = fill(REASONS[kind], p=plural(creature)), f"{relation.name}/{creature}"
        made_up = [rng.choice(relation.state(creature, found)) for found in rng.sample(relation.candidates(), 2)]
    else:
        template = rng.choice(FUTURE if kind == "future" else PRIVATE)
        when, thing = rng.choice(WHEN), rng.choice(THINGS)
        question = template.format(when=when, thing=thing)
        reason, key = REASONS[kind].format(thing=thing), f"{kind}/{question}"
        name = rng.choice(NAMES)
        made_up = (
            [f"It will be {name} {when}.", f"Yes, {name} will do it {when}."]
            if kind == "future"
            else [f"Your {thing} is {rng.choice(PLACES)}.", f"{name} took your {thing}."]
        )
    good = tuple(f"{admission} {reason}" for admission in NOT_KNOWING)
    subject = Unknowable(kind, reason)
    return Request("unknowable", key, (question,), good, tuple(made_up), subject, {"no reason": NOT_KNOWING})
