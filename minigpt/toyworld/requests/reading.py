"""Requests about a text: is this review positive or negative, and what does "it" refer to. A good answer says why."""

from __future__ import annotations

import random
from dataclasses import dataclass

from minigpt.toyworld.english import sentence_case
from minigpt.toyworld.requests.request import Request
from minigpt.toyworld.stories import NAMES, THINGS

# ---- Is this review positive or negative -------------------------------------------------------------------------

# what is reviewed: its aspects, each with a word of praise and a word of blame
REVIEWED: dict[str, dict[str, tuple[str, str]]] = {
    "restaurant": {"soup": ("tasty", "salty"), "waiter": ("kind", "rude"), "bread": ("fresh", "stale")},
    "hotel": {"room": ("clean", "dirty"), "bed": ("soft", "hard"), "view": ("lovely", "ugly")},
    "book": {"plot": ("clever", "dull"), "hero": ("brave", "boring"), "end": ("lovely", "silly")},
    "film": {"music": ("lovely", "awful"), "plot": ("clever", "dull"), "hero": ("funny", "boring")},
    "toy": {"colour": ("bright", "dull"), "box": ("pretty", "broken"), "price": ("fair", "unfair")},
    "shop": {"clerk": ("kind", "rude"), "price": ("fair", "unfair"), "fruit": ("fresh", "rotten")},
}  # fmt: skip
REVIEW_OPENINGS = ("I tried this {thing}.", "{name} and I went for this {thing}.", "My view of this {thing}:")
REVIEW_QUESTIONS = (
    "Is this review positive or negative? {review}",
    "{review} Is this a positive or a negative review?",
)
VERDICTS = ("The review is {label}.", "This is a {label} review.")
REASONED_VERDICTS = ("The review is {label}, because {remark}.", "This is a {label} review, because {remark}.")
LABELS = ("positive", "negative")


@dataclass(frozen=True)
class Review:
    """A review's text, what it is ("positive" or "negative"), and its remarks as they follow "because"."""

    text: str
    label: str
    remarks: tuple[str, ...]

    def verdicts(self, label: str) -> tuple[str, ...]:
        """Every way to call the review positive or negative with one of its remarks as the reason."""
        return tuple(verdict.format(label=label, remark=r) for verdict in REASONED_VERDICTS for r in self.remarks)


def remark_on(thing: str, aspect: str, label: str, rng: random.Random) -> str:
    """One sentence of praise ("positive") or blame, now and then by denying the other."""
    praise, blame = REVIEWED[thing][aspect]
    said, opposite = (praise, blame) if label == LABELS[0] else (blame, praise)
    return f"The {aspect} was not {opposite}." if rng.random() < 0.25 else f"The {aspect} was {said}."


def every_remark() -> tuple[str, ...]:
    """Every remark that any review can hold, as it follows "because"."""
    words = {(aspect, word) for aspects in REVIEWED.values() for aspect, pair in aspects.items() for word in pair}
    return tuple(f"the {aspect} was {no}{word}" for aspect, word in sorted(words) for no in ("", "not "))


def draw_remark(rng: random.Random) -> tuple[str, str]:
    """A remark on anything, and its label."""
    thing, label = rng.choice(tuple(REVIEWED)), rng.choice(LABELS)
    return remark_on(thing, rng.choice(tuple(REVIEWED[thing])), label, rng), label


def draw_review(rng: random.Random) -> tuple[Review, str]:
    """A review and its key: two or three remarks that agree with each other."""
    thing, label = rng.choice(tuple(REVIEWED)), rng.choice(LABELS)
    aspects = rng.sample(tuple(REVIEWED[thing]), rng.randint(2, 3))
    sentences = [remark_on(thing, aspect, label, rng) for aspect in aspects]
    opening = rng.choice(REVIEW_OPENINGS).format(thing=thing, name=rng.choice(NAMES))
    remarks = tuple(f"the{sentence[3:-1]}" for sentence in sentences)
    return Review(" ".join([opening, *sentences]), label, remarks), f"{thing}/" + " ".join(sorted(sentences))


def ask_sentiment(rng: random.Random) -> Request:
    """Is this review positive or negative? I tried this book. The plot was dull. The hero was boring."""
    review, key = draw_review(rng)
    question = rng.choice(REVIEW_QUESTIONS).format(review=review.text)
    other = LABELS[1 - LABELS.index(review.label)]
    careless = {
        "one word": (f"{sentence_case(review.label)}.",),
        "no reason": tuple(verdict.format(label=review.label) for verdict in VERDICTS),
    }
    bad = (rng.choice(VERDICTS).format(label=other), rng.choice(review.verdicts(other)))
    return Request("sentiment", key, (question,), review.verdicts(review.label), bad, review, careless)


# ---- What does "it" refer to -------------------------------------------------------------------------------------

EATERS = (
    "monkey", "dog", "horse", "cow", "bear", "rabbit", "cat", "pig", "goat", "mouse", "sheep", "fox", "duck", "wolf",
    "donkey", "deer", "hen", "otter",
)  # fmt: skip
EATEN = (
    "banana", "apple", "carrot", "cake", "pear", "fish", "sandwich", "plum", "egg", "potato", "cherry", "lemon",
    "peach", "tomato", "bean", "cookie", "onion", "grape",
)  # fmt: skip
OF_EATER = ("it was hungry", "it looks hungry", "it likes to eat", "it had waited all day")
OF_EATEN = ("it was ripe", "it was sweet", "it smelled good", "it was fresh")
CONTAINERS = (
    "box", "bag", "basket", "drawer", "pocket", "car", "trunk", "suitcase", "cupboard", "chest", "sack", "tent",
)  # fmt: skip
REFERENCE_QUESTIONS = ("{sentence} What does the word it refer to?", "What does the word it mean here? {sentence}")
REFERENCES = ("It refers to the {noun}.", "The word it means the {noun}.")
REASONED_REFERENCES = ("It refers to the {noun}, because {clause}.", "The word it means the {noun}, because {clause}.")


@dataclass(frozen=True)
class Reference:
    """A reference by "it": the noun it stands for, the other noun, and what the sentence says of it."""

    noun: str
    other: str
    clause: str

    def explained(self, noun: str) -> tuple[str, ...]:
        """Every way to say that "it" is this noun, and why."""
        return tuple(reference.format(noun=noun, clause=self.clause) for reference in REASONED_REFERENCES)


def every_clause() -> tuple[str, ...]:
    """All that a sentence can say of "it"."""
    return (*OF_EATER, *OF_EATEN, "it is too big", "it is too small")


def ask_reference(rng: random.Random) -> Request:
    """The monkey ate the banana because it was hungry. What does the word it refer to?"""
    kind = rng.choice(("eater", "eaten", "big", "small"))
    if kind in ("eater", "eaten"):
        eater, eaten = rng.choice(EATERS), rng.choice(EATEN)
        clause = rng.choice(OF_EATER if kind == "eater" else OF_EATEN)
        joint = "quickly and" if clause.startswith("it looks") else "because"
        sentence = f"The {eater} ate the {eaten} {joint} {clause}."
        noun, other = (eater, eaten) if kind == "eater" else (eaten, eater)
    else:
        thing, container = rng.choice(THINGS), rng.choice(CONTAINERS)
        clause = f"it is too {kind}"
        sentence = f"The {thing} does not fit in the {container} because {clause}."
        noun, other = (thing, container) if kind == "big" else (container, thing)
    question = rng.choice(REFERENCE_QUESTIONS).format(sentence=sentence)
    subject = Reference(noun, other, clause)
    careless = {
        "one word": (f"The {noun}.",),
        "no reason": tuple(reference.format(noun=noun) for reference in REFERENCES),
    }
    bad = (rng.choice(REFERENCES).format(noun=other), rng.choice(subject.explained(other)))
    return Request("reference", sentence, (question,), subject.explained(noun), bad, subject, careless)
