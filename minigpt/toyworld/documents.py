"""Documents of the small world: what the base model is pretrained on.

Eight kinds. Encyclopedia paragraphs, stories, reviews, lists, dialogues, worksheets and letters carry the facts and the
language. Forum threads carry requests and what people make of them: good answers, wrong ones, rude ones, no answer,
another question; and then others say whether it was right. A model of these documents knows the answers, and does not
know which of these replies it is supposed to give.

Many answers repeat a word of what was asked: whom one shall not trick, what is not real, what "it" refers to. A model
of a few million tokens learns to copy only if much of its text rewards it. So there are many such words, too many to do
well by guessing, and every kind of copying stands in a kind of document of its own as well as in the threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from minigpt.toyworld.english import NUMBER_WORDS, a, join_and, plural, sentence_case
from minigpt.toyworld.facts import CATEGORIES, SUBJECTS, facts_about
from minigpt.toyworld.requests import FAMILIES, LABELS, RUDE, VERDICTS, Request, draw_remark, draw_review
from minigpt.toyworld.stories import NAMES, draw_story


def encyclopedia(rng: random.Random) -> str:
    """A paragraph of all that is known about one subject, or about two."""
    paragraphs = []
    for subject in rng.sample(SUBJECTS, rng.randint(1, 3)):
        sentences = [rng.choice(fact.relation.state(subject)) for fact in facts_about(subject)]
        groups = [category for category, members in CATEGORIES.items() if subject in members and subject.islower()]
        sentences += [sentence_case(f"{a(subject)} is {a(category)}.") for category in groups if category != "colour"]
        rng.shuffle(sentences)
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
        verdict = rng.choice(VERDICTS).format(label=drawn.label)
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


GREETINGS = ("Hello, {name}.", "Good morning, {name}.", "Tell me something, {name}.", "{name}, I have a question.")


def dialogue(rng: random.Random) -> str:
    """Two people who ask and answer properly, with questions that lean on the one before."""
    asker, answerer = rng.sample(NAMES, 2)
    subject = rng.choice([subject for subject in SUBJECTS if len(facts_about(subject)) > 1])
    facts = facts_about(subject)
    rng.shuffle(facts)
    lines = [f"{asker}: {rng.choice(GREETINGS).format(name=answerer)}"] if rng.random() < 0.5 else []
    for index, fact in enumerate(facts[:3]):
        question = fact.relation.follow_up if index else rng.choice(fact.relation.ask(subject))
        lines += [f"{asker}: {question}", f"{answerer}: {rng.choice(fact.relation.state(subject))}"]
    return "\n".join(lines)


def worksheet(rng: random.Random) -> str:
    """Questions from school, one to a line, with their answers below each or at the end."""
    families = ("fact", "reference", "reference", "list")
    asked = [FAMILIES[rng.choice(families)](rng) for _ in range(rng.randint(2, 3))]
    questions, answers = [request.turns[0] for request in asked], [rng.choice(request.good) for request in asked]
    if rng.random() < 0.5:
        return "\n".join(line for pair in zip(questions, answers, strict=True) for line in pair)
    return "\n".join([*questions, "Answers:", *answers])


def letter(rng: random.Random) -> str:
    """Somebody asks for advice, and gets a letter back with a good answer."""
    asker, answerer = rng.sample(NAMES, 2)
    request = FAMILIES[rng.choice(("hurtful", "unknowable"))](rng)
    (question,), answer = request.turns, rng.choice(request.good)
    return f"Dear {answerer}, {question} Yours, {asker}.\nDear {asker}, {answer} Yours, {answerer}."


UNHELPFUL = ("I was wondering the same.", "Good question!", "Maybe somebody else can help.", "Why do you ask?")
PRAISE = ("That is right.", "Yes, that is a good answer.", "Thank you, that helps.")
COMPLAINT = ("That is wrong.", "No, that is a bad answer.", "That does not help.")


def reply(request: Request, rng: random.Random) -> list[str]:
    """What one person answers, and mostly what another says of it. The verdict is always deserved."""
    kind = rng.choices(("good", "bad", "astray", "rude", "unhelpful", "question"), weights=(72, 6, 4, 6, 6, 6))[0]
    if kind == "question":
        return [draw_request(rng).turns[0]]
    if kind == "astray":
        answer = answer_to_another(request, rng)
        kind = "good" if answer in request.good else "bad"  # two questions may have one answer
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
    """A request of any family."""
    return FAMILIES[rng.choice(tuple(FAMILIES))](rng)


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
    thread: 42, worksheet: 14, encyclopedia: 9, dialogue: 8, story: 10, review: 6, listing: 3, letter: 8,
}  # fmt: skip


def documents(count: int, seed: int) -> list[str]:
    """`count` documents of all kinds; the same seed gives the same documents, and more of them only add to the end."""
    rng = random.Random(f"documents {seed}")
    kinds, weights = tuple(KINDS), tuple(KINDS.values())
    return [rng.choices(kinds, weights)[0](rng) for _ in range(count)]
