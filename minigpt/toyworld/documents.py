"""Documents of the small world: what the base model is pretrained on.

Nine kinds. Encyclopedia paragraphs, stories, reviews, lists, dialogues, worksheets, spelling and letters carry the
facts and the language. Forum threads carry requests and what people make of them: good answers, careless ones, wrong
ones, rude ones, no answer, another question; and then others say whether it was right. A model of these documents knows
the answers, and does not know which of these replies it is supposed to give.

Many answers repeat a word of what was asked: whom one shall not trick, what is not real, what "it" refers to. A model
of a few million tokens learns to copy only if much of its text rewards it. So there are many such words, too many to do
well by guessing, and every kind of copying stands in a kind of document of its own as well as in the threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from minigpt.toyworld.english import NUMBER_WORDS, a, join_and, plural, sentence_case
from minigpt.toyworld.facts import CATEGORIES, MADE, OPPOSITE, RARELY, RELATIONS, SUBJECTS, Fact, facts_about
from minigpt.toyworld.requests import FAMILIES
from minigpt.toyworld.requests.knowledge import IMAGINARY, FollowUp
from minigpt.toyworld.requests.reading import LABELS, VERDICTS, draw_remark, draw_review
from minigpt.toyworld.requests.request import RUDE, Request
from minigpt.toyworld.stories import NAMES, draw_story

# subjects that have a plural: not a country, an adjective or what something is made of
COUNTED = {s for s in (*SUBJECTS, *IMAGINARY) if s.islower() and s not in OPPOSITE.objects and s not in MADE.objects}


def is_written(fact: Fact, rng: random.Random) -> bool:
    """True if this occasion to state a fact is taken: always for a common fact, seldom for a rare one, never for one
    whose frequency is "never"."""
    return fact.frequency == "common" or (fact.frequency == "rare" and rng.random() < RARELY)


def draw_written(family: str, rng: random.Random) -> Request:
    """A request of a family whose facts this document may hold; a fact that is never stated is not asked for either."""
    while True:
        request = FAMILIES[family](rng)
        subject = request.subject
        facts = (subject.first, subject.second) if isinstance(subject, FollowUp) else (subject,)
        if all(is_written(fact, rng) for fact in facts if isinstance(fact, Fact)):
            return request


def encyclopedia(rng: random.Random) -> str:
    """A paragraph of what is known about one subject, or about two or three; a page may be empty."""
    paragraphs = []
    for subject in rng.sample(SUBJECTS, rng.randint(1, 3)):
        facts = [fact for fact in facts_about(subject) if is_written(fact, rng)]
        sentences = [rng.choice(fact.relation.state(subject)) for fact in facts]
        groups = [category for category, members in CATEGORIES.items() if subject in members and subject.islower()]
        sentences += [sentence_case(f"{a(subject)} is {a(category)}.") for category in groups if category != "colour"]
        rng.shuffle(sentences)
        topic = rng.choice((a(subject), plural(subject))) if subject in COUNTED else subject
        sentences = sentences or [f"The page about {topic} is empty."]
        paragraphs.append(f"{sentence_case(subject)}. " + " ".join(sentences))
    return "\n".join(paragraphs)


def story(rng: random.Random) -> str:
    """A story, mostly with the sentence that sums it up."""
    drawn = draw_story(rng)
    text = drawn.tell(rng)
    return f"{text}\nIn one sentence: {rng.choice(drawn.summaries())}" if rng.random() < 0.9 else text


def review(rng: random.Random) -> str:
    """One or two reviews, sometimes labelled, sometimes with stars; or remarks, each with its label."""
    if rng.random() < 0.5:
        return " ".join(f"{remark} That is {label}." for remark, label in (draw_remark(rng) for _ in range(4)))
    lines = []
    for _ in range(rng.randint(1, 2)):
        drawn, _key = draw_review(rng)
        stars = rng.randint(4, 5) if drawn.label == LABELS[0] else rng.randint(1, 2)
        bare = [verdict.format(label=drawn.label) for verdict in VERDICTS]
        verdict = rng.choice(bare if rng.random() < 0.5 else drawn.verdicts(drawn.label))
        rating = f"{sentence_case(NUMBER_WORDS[stars])} of five stars."
        lines.append(drawn.text + rng.choice(("", f" {verdict}", f"\n{verdict}", f" {rating}")))
    return "\n".join(lines)


def listing(rng: random.Random) -> str:
    """Members of some categories."""
    lines = []
    for category in rng.sample(tuple(CATEGORIES), rng.randint(1, 3)):
        members = rng.sample(CATEGORIES[category], rng.randint(2, 5))
        plural_name = plural(category) if category != "country" else "countries"
        count = NUMBER_WORDS[len(members)]
        styles = (
            f"{sentence_case(plural_name)}: {join_and(members)}.",
            f"{sentence_case(count)} {plural_name}: {join_and(members)}.",
            f"{sentence_case(join_and(members))} are {plural_name}.",
        )
        lines.append(rng.choice(styles))
    return "\n".join(lines)


# every noun and every answer that people may meet in a question, whether or not a document states the fact
SPELLED = tuple(
    sorted({word for relation in RELATIONS for pair in relation.objects.items() for word in pair} | set(IMAGINARY))
)


def spelling(rng: random.Random) -> str:
    """Words that a class learns to spell. It says nothing about them, and so every word is known by sight, also those
    whose facts are never stated: a word that was never pretrained would be sampled at random."""
    words = rng.sample(SPELLED, 10)
    words[:6] = [plural(word) if word in COUNTED and rng.random() < 0.5 else word for word in words[:6]]
    alone = " ".join(f"{sentence_case(word)}." for word in words[4:])
    return f"Words to spell: {join_and(words[:4])}.\n{alone}"


GREETINGS = ("Hello, {name}.", "Good morning, {name}.", "Tell me something, {name}.", "{name}, I have a question.")


def dialogue(rng: random.Random) -> str:
    """Two people who ask and answer properly, with questions that lean on the one before."""
    asker, answerer = rng.sample(NAMES, 2)
    facts: list[Fact] = []
    while len(facts) < 2:
        subject = rng.choice(SUBJECTS)
        facts = [fact for fact in facts_about(subject) if is_written(fact, rng)]
    rng.shuffle(facts)
    lines = [f"{asker}: {rng.choice(GREETINGS).format(name=answerer)}"] if rng.random() < 0.5 else []
    for index, fact in enumerate(facts[:3]):
        question = fact.relation.follow_up if index else rng.choice(fact.relation.ask(subject))
        lines += [f"{asker}: {question}", f"{answerer}: {rng.choice(fact.relation.state(subject))}"]
    return "\n".join(lines)


def worksheet(rng: random.Random) -> str:
    """Questions from school, one to a line, with their answers below each or at the end."""
    families = ("fact", "reference", "reference", "list")
    asked = [draw_written(rng.choice(families), rng) for _ in range(rng.randint(2, 3))]
    questions, answers = [request.turns[0] for request in asked], [rng.choice(request.good) for request in asked]
    if rng.random() < 0.5:
        return "\n".join(line for pair in zip(questions, answers, strict=True) for line in pair)
    return "\n".join([*questions, "Answers:", *answers])


def letter(rng: random.Random) -> str:
    """Somebody asks for advice, and gets a letter back with a good answer."""
    asker, answerer = rng.sample(NAMES, 2)
    request = FAMILIES[rng.choice(("hurtful", "look_alike", "unknowable"))](rng)
    (question,), answer = request.turns, rng.choice(request.good)
    return f"Dear {answerer}, {question} Yours, {asker}.\nDear {asker}, {answer} Yours, {answerer}."


UNHELPFUL = ("I was wondering the same.", "Good question!", "Maybe somebody else can help.", "Why do you ask?")
PRAISE = ("That is right.", "Yes, that is a good answer.", "Thank you, that helps.")
COMPLAINT = ("That is wrong.", "No, that is a bad answer.", "That does not help.")
# what people reply in a forum, in percent
REPLIES = {"good": 54, "careless": 18, "bad": 6, "astray": 4, "rude": 6, "unhelpful": 6, "question": 6}


def reply(request: Request, rng: random.Random) -> list[str]:
    """The answer of one person and, mostly, what another says of it. That verdict is always right."""
    kind = rng.choices(tuple(REPLIES), tuple(REPLIES.values()))[0]
    if kind == "question":
        return [draw_request(rng).turns[0]]
    if kind == "astray":
        answer = answer_to_another(request, rng)
        careless = answer in [text for texts in request.careless.values() for text in texts]
        kind = "good" if answer in request.good else "careless" if careless else "bad"  # two questions, one answer
    elif kind == "careless":
        answer = rng.choice(rng.choice(tuple(request.careless.values())))
    else:
        answer = rng.choice({"good": request.good, "bad": request.bad, "rude": RUDE, "unhelpful": UNHELPFUL}[kind])
    if kind not in ("good", "bad") or rng.random() < 0.1:
        return [answer]
    return [answer, rng.choice(PRAISE if kind == "good" else COMPLAINT)]


def answer_to_another(request: Request, rng: random.Random) -> str:
    """A good answer, but to something else. Not to another list: three fruits may well be what was asked for here."""
    while True:
        other = draw_request(rng)
        if other.key != request.key and not other.family == request.family == "list":
            return rng.choice(other.good)


def draw_request(rng: random.Random) -> Request:
    """A request of any family; twice as often one that asks for a fact: facts are many, and each has to be learned."""
    return draw_written(rng.choice((*FAMILIES, "fact", "follow_up")), rng)


def thread(rng: random.Random) -> str:
    """Someone asks, others reply, each line with or without a name before it."""
    request = draw_request(rng)
    lines = list(request.turns)
    for _ in range(rng.randint(1, 4)):
        lines += reply(request, rng)
    if rng.random() < 0.4:
        lines = [f"{rng.choice(NAMES)}: {line}" for line in lines]
    return "\n".join(lines)


# how often each kind of document is written, in percent
KINDS: dict[Callable[[random.Random], str], int] = {
    thread: 42, worksheet: 14, encyclopedia: 7, dialogue: 12, story: 7, review: 5, listing: 3, spelling: 3, letter: 7,
}  # fmt: skip


def documents(count: int, seed: int) -> list[str]:
    """`count` documents of all kinds; the same seed gives the same documents, and more of them only add to the end."""
    rng = random.Random(f"documents {seed}")
    kinds, weights = tuple(KINDS), tuple(KINDS.values())
    return [rng.choices(kinds, weights)[0](rng) for _ in range(count)]
