"""The toy world is true, well formed and repeatable, and its forum threads never praise a wrong answer."""

import random
import re
from collections import Counter
from itertools import combinations

import pytest

from minigpt.runs.errors import UserError
from minigpt.toyworld import documents
from minigpt.toyworld.__main__ import main
from minigpt.toyworld.documents import COMPLAINT, KINDS, PRAISE, RARELY, draw_request, draw_written, reply
from minigpt.toyworld.english import NUMBER_WORDS, a, fill, join_and, plural, sentence_case
from minigpt.toyworld.facts import CATEGORIES, FACTS, RELATIONS, SUBJECTS, facts_about, table
from minigpt.toyworld.requests import FAMILIES, asked_fact
from minigpt.toyworld.requests.knowledge import ask_fact, ask_follow_up
from minigpt.toyworld.stories import EVENTS, FEELINGS, PARTS, draw_story, events_of

ARTICLE = re.compile(r"\b([Aa]n?) ([A-Za-z]+)")
# by hand, not by the rule that `english.a` applies
AN = {
    "acorn", "actor", "angry", "animal", "ant", "anteater", "anthill", "apple", "archer", "astronaut", "astronomer",
    "axe", "eagle", "eaglet", "eggplant", "egg", "elephant", "elf", "elm", "emerald", "iguana", "insect", "instrument",
    "oak", "octopus", "ogre", "old", "onion", "orchid", "ostrich", "otter", "owl", "owlet", "ox",
}  # fmt: skip
A_DESPITE_ITS_FIRST_LETTER = {"unicorn"}


def malformations(text: str) -> list[str]:
    """The mistakes in the form of a line; [] if there is none."""
    found = [name for name, pattern in {
        "brace": r"[{}]", "double blank": r"  ", "blank before punctuation": r" [.,?!:;]", "outer blank": r"^\s|\s$",
        "double punctuation": r"[.,?!]{2}",
    }.items() if re.search(pattern, text)]  # fmt: skip
    for article, word in ARTICLE.findall(text):
        if word.lower() in A_DESPITE_ITS_FIRST_LETTER:
            expected = "a"
        elif word[0].lower() in "aeiou":
            assert word.lower() in AN, f"decide by hand whether {word!r} takes a or an, and add it to the list"
            expected = "an"
        else:
            expected = "a"
        if article.lower() != expected:
            found.append(f"{article} {word}")
    return found


# ---- English ----


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("owl", "an owl"), ("cow", "a cow"), ("unicorn", "a unicorn"), ("uncle", "an uncle"), ("axe", "an axe")],
)
def test_article_follows_the_sound(noun, expected):
    assert a(noun) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("cow", "cows"), ("fox", "foxes"), ("ostrich", "ostriches"), ("mouse", "mice"), ("fairy", "fairies"),
     ("polar bear", "polar bears"), ("snowman", "snowmen"), ("fisherman", "fishermen"), ("wolf", "wolves"),
     ("werewolf", "werewolves"), ("hippopotamus", "hippopotamuses"), ("sheep", "sheep"), ("leaf", "leaves"),
     ("elf", "elves"), ("witch", "witches")],
)  # fmt: skip
def test_plural(noun, expected):
    assert plural(noun) == expected


def test_joining_filling_and_capitals():
    assert join_and(["a"]) == "a"
    assert join_and(["a", "b"]) == "a and b"
    assert join_and(["a", "b", "c"]) == "a, b and c"
    assert fill("{A} and {a}", a="a cow") == "A cow and a cow"
    assert sentence_case("polar Bear") == "Polar Bear", "only the first letter may change"
    assert NUMBER_WORDS[4] == "four"


# ---- facts ----


def test_filling_is_that_of_all_capitals_whether_used_or_not():
    """The plain version, as specification: a capital name for every word."""
    templates = [template for relation in RELATIONS for template in (*relation.statements, *relation.questions)]
    templates += [template for part in PARTS.values() for template in part]
    names = ("s", "a", "p", "o", "ao", "name", "hero", "a_hero", "place", "event", "feeling")
    words = dict.fromkeys(names, "élan of a cow")
    capitals = {name[:1].upper() + name[1:]: sentence_case(word) for name, word in words.items()}
    assert any("{S}" in template or "{A}" in template for template in templates), "no template has a capital slot"
    for template in templates:
        assert fill(template, **words) == template.format(**words, **capitals)
    with pytest.raises(KeyError):
        fill("{Missing}", a="a cow")


def test_a_table_may_be_wrapped_inside_a_row():
    found = table("camel: in the\n     desert; polar\n   bear: white")
    assert found == {"camel": "in the desert", "polar bear": "white"}, "the indentation of the source is in the facts"


def test_there_are_enough_facts_and_every_subject_has_one():
    assert len(FACTS) >= 300
    assert len({(fact.relation.name, fact.subject) for fact in FACTS}) == len(FACTS)
    assert all(facts_about(subject) for subject in SUBJECTS)
    assert sum(len(facts_about(subject)) for subject in SUBJECTS) == len(FACTS)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_every_statement_and_question_is_a_sentence(relation):
    for subject, found in relation.objects.items():
        for text in (*relation.state(subject), *relation.ask(subject), relation.follow_up):
            assert not malformations(text), text
            assert text[0].isupper(), text
        assert all(text.endswith(".") and found in text.lower() + text for text in relation.state(subject))
        assert all(text.endswith("?") for text in (*relation.ask(subject), relation.follow_up))
        assert len(set(relation.state(subject))) == len(set(relation.ask(subject))) == 3


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_statements_can_name_a_wrong_object(relation):
    subject = next(iter(relation.objects))
    for wrong in relation.candidates():
        for text in relation.state(subject, wrong):
            assert not malformations(text), text
            assert wrong in text.lower() + text


def test_a_question_gives_no_answer_away():
    for fact in FACTS:
        for question in fact.relation.ask(fact.subject):
            assert not re.search(rf"\b{re.escape(fact.object)}\b", question), f"{question} names {fact.object}"


def test_no_member_belongs_to_two_categories():
    counts = Counter(member for members in CATEGORIES.values() for member in members)
    assert max(counts.values()) == 1
    # what the table cannot say: these belong to the category too, so no other category may list them
    also = {
        "bird": {"hen", "duck", "goose", "swallow", "turkey"}, "colour": {"violet", "rose", "orange"},
        "fruit": {"tomato", "melon"}, "vegetable": {"tomato", "corn"}, "insect": {"ladybird", "fly"},
    }  # fmt: skip
    for category, members in also.items():
        strangers = {member for other, found in CATEGORIES.items() if other != category for member in found}
        assert not members & strangers, f"{members & strangers} would be called a wrong answer to 'name a {category}'"


def test_categories_are_long_enough_to_list_four_without_one():
    assert all(len(members) >= 5 for members in CATEGORIES.values())


# ---- stories ----


def test_each_event_leaves_one_feeling():
    counts = Counter(event for feeling in FEELINGS for event in events_of(feeling))
    assert max(counts.values()) == 1, "the grader could not tell the feeling from the event"
    assert set(FEELINGS) == set(EVENTS)


def test_stories_keep_what_is_given_and_are_well_formed():
    rng = random.Random(0)
    for _ in range(300):
        story = draw_story(rng, name="Mia", hero="fox", feeling="proud")
        assert (story.name, story.hero, story.feeling) == ("Mia", "fox", "proud")
        assert story.event in events_of("proud")
        drawn = draw_story(rng)
        for text in (drawn.tell(rng), *drawn.summaries()):
            assert not malformations(text), text
            assert drawn.name in text
            assert drawn.event in text
        assert drawn.tell(rng).count(".") == 4


# ---- requests ----


def careless_answers(request):
    return [answer for answers in request.careless.values() for answer in answers]


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_are_well_formed(family):
    rng = random.Random(0)
    for _ in range(400):
        request = FAMILIES[family](rng)
        assert request.family == family
        assert len(request.turns) == (3 if family == "follow_up" else 1)
        for text in (*request.turns, *request.good, *request.bad, *careless_answers(request)):
            assert not malformations(text), text
            assert text[0].isupper(), text
            assert text[-1] in ".?!", text
        assert request.good
        assert request.bad
        assert request.careless
        kinds = (set(request.good), set(request.bad), set(careless_answers(request)))
        assert not any(a & b for a, b in combinations(kinds, 2)), f"{request.turns}: an answer is of two kinds"


@pytest.fixture(scope="module")
def corpus():
    """As many documents as preset small reads."""
    return documents(30_000, seed=0)


@pytest.fixture(scope="module")
def documents_with_word(corpus):
    """In how many documents each word occurs."""
    return Counter(word for document in corpus for word in set(re.findall(r"[A-Za-z]+", document)))


@pytest.mark.parametrize("family", FAMILIES)
def test_words_of_instructions_occur_in_pretraining(family, documents_with_word):
    """Tied embeddings of words that were never pretrained are sampled at random after SFT (DESIGN, The toy world).

    In four documents at least: in fewer, another seed would easily leave the word out.
    """
    known = {word for word, count in documents_with_word.items() if count >= 4}
    # chance may leave out the plural of a rare subject in any one corpus; as a token that is the singular and an "s"
    forms = {part: subject.split() for subject in SUBJECTS for part in plural(subject).split()}
    rng = random.Random(1)
    for _ in range(1000):
        request = FAMILIES[family](rng)
        for text in (*request.turns, *request.good, *careless_answers(request)):
            for word in re.findall(r"[A-Za-z]+", text):
                singular = forms.get(word.lower(), [])
                known_in_part = any({part, sentence_case(part)} & known for part in singular)
                assert word in known or known_in_part, f"{word!r} of {text!r} occurs in fewer than 4 documents"


# ---- documents ----


def test_same_seed_same_documents_and_more_only_add_to_the_end():
    assert documents(50, seed=3) == documents(80, seed=3)[:50]
    assert documents(50, seed=3) != documents(50, seed=4)
    assert documents(0, seed=3) == []


def test_drawing_documents_leaves_the_global_generator_alone():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    documents(20, seed=0)
    assert random.random() == expected


def test_documents_are_well_formed(corpus):
    for document in corpus:
        assert document.strip()
        for line in document.split("\n"):
            assert not malformations(line), line


def test_at_least_seven_kinds_and_each_occurs(corpus):
    assert len(KINDS) >= 7
    assert sum(KINDS.values()) == 100, "the weights are percent"
    assert all(weight > 0 for weight in KINDS.values())
    telling = {
        "thread": "Maybe somebody else can help.", "encyclopedia": "Cow. ", "dialogue": "I have a question.",
        "story": "In one sentence: ", "worksheet": "Answers:", "listing": "Fruits: ", "review": "of five stars.",
        "letter": "Yours, ", "spelling": "Words to spell: ",
    }  # fmt: skip
    assert set(telling) == {kind.__name__ for kind in KINDS}
    for kind, mark in telling.items():
        assert any(mark in document for document in corpus), f"no {kind} among {len(corpus)} documents"


def how_often_stated(corpus) -> dict[str, list[int]]:
    """For each frequency class, how many lines of the corpus state each of its facts; lines alone may hold several."""
    text = "\n".join(corpus)
    counts = {"never": [], "rare": [], "common": []}
    for fact in FACTS:
        counts[fact.frequency].append(sum(text.count(line) for line in fact.relation.state(fact.subject)))
    return counts


def test_facts_are_common_rare_or_held_out(corpus):
    """A policy that knows everything has nothing to be honest about."""
    counts = how_often_stated(corpus)
    assert not any(counts["never"]), "a fact that is held out stands in a document"
    assert min(counts["common"]) > 10
    rare, common = (sorted(counts[kind])[len(counts[kind]) // 2] for kind in ("rare", "common"))
    assert 0.5 * RARELY < rare / common < 2 * RARELY, (rare, common)
    assert 0.15 <= (len(counts["rare"]) + len(counts["never"])) / len(FACTS) <= 0.25


def test_nobody_asks_in_a_document_for_a_fact_that_is_held_out(corpus):
    rng = random.Random(0)
    for family in ("fact", "follow_up"):
        asked = Counter(asked_fact(draw_written(family, rng)).frequency for _ in range(3000))
        assert asked["never"] == 0
        assert 0 < asked["rare"] < 0.1 * asked["common"]
    lines = set("\n".join(corpus).split("\n"))
    held_out = [fact for fact in FACTS if fact.frequency == "never"]
    assert not [q for fact in held_out for q in fact.relation.ask(fact.subject) if q in lines]


def test_threads_ask_for_facts_twice_as_often_as_for_anything_else():
    rng = random.Random(0)
    asked = Counter(draw_request(rng).family for _ in range(6000))
    assert set(asked) == set(FAMILIES)
    for family, count in asked.items():
        expected = 6000 * (2 if family in ("fact", "follow_up") else 1) / (len(FAMILIES) + 2)
        assert abs(count - expected) < 6 * expected**0.5, f"{family}: {count}, expected {expected:.0f}"


def test_prompts_do_ask_for_facts_of_every_frequency_and_state_none_that_is_held_out():
    rng = random.Random(0)
    asked = Counter(ask_fact(rng).subject.frequency for _ in range(2000))
    assert min(asked["never"], asked["rare"]) > 50
    follow_ups = [ask_follow_up(rng).subject for _ in range(1000)]
    assert any(found.second.frequency == "never" for found in follow_ups)
    assert not any(found.first.frequency == "never" for found in follow_ups), "the conversation gives it away"


def test_verdicts_in_threads_are_deserved():
    rng = random.Random(0)
    praised = blamed = 0
    for _ in range(6000):
        request = FAMILIES[rng.choice(tuple(FAMILIES))](rng)
        lines = reply(request, rng)
        assert 1 <= len(lines) <= 2
        if len(lines) == 2 and lines[1] in PRAISE:
            praised += 1
            assert lines[0] in request.good, f"{lines[0]!r} is praised"
            assert lines[0] not in request.bad
        elif len(lines) == 2:
            blamed += 1
            assert lines[1] in COMPLAINT
            assert lines[0] not in request.good, f"{lines[0]!r} is called wrong"
    assert praised > 500
    assert blamed > 200


# ---- command line ----


def test_main_prints_documents(capsys):
    main(["--count", "3", "--seed", "5"])
    assert capsys.readouterr().out == "\n\n".join(documents(3, seed=5)) + "\n"


def test_main_prints_facts(capsys):
    main(["--facts"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FACTS)
    assert "A cow eats grass." in lines


def test_main_refuses_an_unknown_flag():
    with pytest.raises(UserError, match="--count"):
        main(["--cuont", "3"])
