"""Measures of answers: stopping told from content, three kinds of answers to questions of fact, side effects."""

import random

import pytest

from minigpt.toyworld.facts import EATS, Fact
from minigpt.toyworld.requests import FAMILIES
from minigpt.toyworld.requests.request import Request
from rlhf.evaluation.answers import Answer
from rlhf.evaluation.measures import (
    admits,
    fact_kind,
    first_lines,
    frequency_of,
    gold_to_first_stray,
    is_clean,
    measure_stage,
    to_first_stray,
)
from rlhf.evaluation.side_effects import side_effects
from rlhf.people.labeler import grade
from rlhf.people.prompts import prompt_set

COW = Request(
    "fact", "key", ("What does a cow eat?",), ("A cow eats grass.",), ("A cow eats meat.",), Fact(EATS, "cow")
)
PROMPTS = prompt_set("D", 40, seed=0)


def answer(text: str, ended: bool = True, request: Request = COW) -> Answer:
    return Answer(text, ended, grade(request, text, ended), None)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("A cow eats grass.", "A cow eats grass."), ("A cow eats grass.\nThat is right.", "A cow eats grass."),
     ("A cow eats grass.<|user|>And a horse?", "A cow eats grass."), ("<|user|>Hello", ""),
     ("A cow eats grass.<|endoftext|>O", "A cow eats grass."), ("\n A cow eats grass. \n", "A cow eats grass."),
     ("5 < 6 | 7 > 3", "5 < 6 | 7 > 3"), ("", "")],
)  # fmt: skip
def test_an_answer_is_cut_at_its_first_stray_token(text, kept):
    assert to_first_stray(text) == kept


@pytest.mark.parametrize(
    ("text", "ended", "as_it_stands", "to_stray", "clean"),
    [("A cow eats grass.", True, 1.0, 1.0, True), ("A cow eats grass.\nA cow eats meat.", True, 0.0, 1.0, False),
     ("A cow eats grass.<|user|>", True, 0.4, 1.0, False), ("A cow eats grass.", False, 0.1, 0.1, False),
     ("A cow eats meat.\nA cow eats grass.", False, 0.0, 0.0, False), ("\nA cow eats grass.", True, 1.0, 1.0, True)],
)  # fmt: skip
def test_stopping_is_told_from_content(text, ended, as_it_stands, to_stray, clean):
    """An answer that is cut at a stray token counts as ended there; one that only ran out of tokens does not."""
    given = answer(text, ended)
    assert given.grade.total == pytest.approx(as_it_stands)
    assert gold_to_first_stray(COW, given) == pytest.approx(to_stray)
    assert is_clean(given) is clean


def test_first_lines_are_graded_as_answers_that_ended():
    given = [[answer("A cow eats grass.\nThat is right.", ended=False), answer("A cow eats grass.", ended=False)]]
    cut = first_lines([PROMPTS[0].__class__("id", "fact", (), "", COW)], given)
    assert [(one.text, one.ended, one.grade.total) for one in cut[0]] == [
        ("A cow eats grass.", True, 1.0), ("A cow eats grass.", False, pytest.approx(0.1)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [("A cow eats grass.", "right"), ("Grass.", "right"), ("grass", "right"), ("A cow eats grass. I like it.", "right"),
     ("I do not know.", "unknown"), ("Nobody knows that.", "unknown"), ("I do not know. Cows are not real.", "unknown"),
     ("A cow eats meat.", "wrong"), ("I do not know. A cow eats meat.", "wrong"), ("Hello.", "wrong"), ("", "wrong"),
     ("A cow eats grass and meat.", "wrong")],
)  # fmt: skip
def test_kinds_of_answers_to_a_question_of_fact(text, kind):
    assert fact_kind(COW, text) == kind


def test_only_questions_of_fact_have_a_kind():
    with pytest.raises(ValueError, match="'story' asks for no fact"):
        fact_kind(FAMILIES["story"](random.Random(0)), "I do not know.")


@pytest.mark.parametrize(
    ("text", "admitted"),
    [("I do not know.", True), ("Nobody knows that. Elves are not real.", True),
     ("I do not know. Nobody can see the future.", True), ("Nobody knows that. I hope that helps.", True),
     ("I do not know. A unicorn eats hay.", False), ("A unicorn eats hay.", False), ("Unicorns are not real.", False),
     ("", False)],
)  # fmt: skip
def test_admitting_that_nobody_knows(text, admitted):
    assert admits(text) is admitted


def test_a_stages_figures():
    ideal = [[answer(prompt.ideal, request=prompt.request)] * 2 for prompt in PROMPTS]
    figures = measure_stage(PROMPTS, ideal)
    assert figures["fact_answers"] == {"right": 1.0, "unknown": 0.0, "wrong": 0.0}
    assert figures["unanswerable"] == {"admitted": 1.0, "made_up": 0.0}
    assert (figures["over_refusal"], figures["clean"], figures["gold_to_first_stray"]) == (0.0, 1.0, 1.0)
    refusing = [[answer("I will not help you.", request=p.request), answer("No.", request=p.request)] for p in PROMPTS]
    figures = measure_stage(PROMPTS, refusing)
    assert figures["over_refusal"] == 1.0
    assert figures["fact_answers"]["wrong"] == 1.0
    assert figures["words"] == 3.0
    unknown = [[answer("I do not know.", request=p.request), answer(p.ideal, request=p.request)] for p in PROMPTS]
    assert measure_stage(PROMPTS, unknown)["fact_answers"] == {"right": 0.5, "unknown": 0.5, "wrong": 0.0}


def test_side_effects_say_nothing_of_facts_that_were_not_asked_for():
    prompts = [prompt for prompt in PROMPTS if frequency_of(prompt) != "common"]
    said = [[answer("I do not know.", request=prompt.request)] for prompt in prompts]
    found = side_effects(prompts, said)
    assert "unknown_of_common_facts" not in found, "a share of nothing is not 0"
    assert found["words"] == 4
    assert "unknown_of_common_facts" in side_effects(PROMPTS, [[answer("I do not know.")] for _ in PROMPTS])
