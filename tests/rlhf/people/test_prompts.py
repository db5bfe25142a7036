"""Prompt sets are disjoint in contents, mixed in equal parts, repeatable, large enough, and fit into the context."""

from collections import Counter
from itertools import combinations

import pytest

from minigpt.model import GPTConfig
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from minigpt.toyworld import documents
from rlhf.chat_format import check_prompt, encode_prompt, encode_response
from rlhf.people import prompts as tasks
from rlhf.people.__main__ import main
from rlhf.people.labeler import grade
from rlhf.people.prompts import FAMILIES, SET_SHARES, prompt_set, set_of

# as many as the presets of the stages ask for, and more
SIZES = {"A": 900, "B": 1080, "C": 900, "D": 400}


@pytest.fixture(scope="module")
def sets():
    return {name: prompt_set(name, count, seed=0) for name, count in SIZES.items()}


def test_there_are_ten_families():
    assert len(FAMILIES) == len(set(FAMILIES)) == 10


def test_every_set_is_large_enough(sets):
    assert {name: len(prompts) for name, prompts in sets.items()} == SIZES


def test_sets_share_no_conversation_and_no_contents(sets):
    for first, second in combinations(sets, 2):
        turns = {prompt.turns for prompt in sets[first]} & {prompt.turns for prompt in sets[second]}
        assert not turns, f"{first} and {second} ask the same"
        keys = {prompt.request.key for prompt in sets[first]} & {prompt.request.key for prompt in sets[second]}
        assert not keys, f"{first} and {second} ask for the same in other words"


def test_sets_are_disjoint_whatever_the_seed(sets):
    others = prompt_set("D", 200, seed=1)
    assert not {prompt.request.key for prompt in others} & {prompt.request.key for prompt in sets["A"] + sets["C"]}


def test_a_prompt_occurs_once_in_its_set(sets):
    for name, prompts in sets.items():
        assert len({prompt.turns for prompt in prompts}) == len(prompts), name
        assert len({prompt.id for prompt in prompts}) == len(prompts), name


def test_families_come_in_equal_parts_and_mixed(sets):
    for name, prompts in sets.items():
        counts = Counter(prompt.family for prompt in prompts)
        assert counts == dict.fromkeys(FAMILIES, SIZES[name] // len(FAMILIES))
        assert len({prompt.family for prompt in prompts[:40]}) >= 7, f"set {name} is not shuffled"


@pytest.mark.parametrize("count", [0, 1, 7, 23])
def test_counts_that_the_families_do_not_divide(count):
    prompts = prompt_set("A", count, seed=0)
    assert len(prompts) == count
    counts = Counter(prompt.family for prompt in prompts)
    assert all(count // 9 <= counts[family] <= count // 9 + 1 for family in FAMILIES)


def test_same_seed_same_prompts_other_seed_others():
    assert prompt_set("B", 40, seed=1) == prompt_set("B", 40, seed=1)
    assert prompt_set("B", 40, seed=1) != prompt_set("B", 40, seed=2)


def test_a_prompt_is_what_its_request_says(sets):
    for prompts in sets.values():
        for prompt in prompts:
            check_prompt(prompt.turns, prompt.id)
            assert tuple(turn.text for turn in prompt.turns) == prompt.request.turns
            assert prompt.family == prompt.request.family
            assert prompt.ideal in prompt.request.good
            assert grade(prompt.request, prompt.ideal, ended=True).total == pytest.approx(1.0), prompt.id


def test_ideal_answers_use_every_wording(sets):
    """Otherwise a good answer in the wording that no demonstration had would be strange to the policy."""
    refusals = {prompt.ideal.split(" ")[1] for prompt in sets["A"] if prompt.family == "hurtful"}
    assert refusals == {"will", "am"}


def test_the_share_of_each_set_is_what_it_says():
    assert sum(SET_SHARES.values()) == 100
    counts = Counter(set_of(f"key {number}") for number in range(20_000))
    for name, share in SET_SHARES.items():
        # 4 standard deviations of a binomial share, sqrt(0.4 * 0.6 / 20,000) = 0.0035 at most
        assert counts[name] / 20_000 == pytest.approx(share / 100, abs=0.014)


def test_prompts_and_answers_fit_into_the_context(sets):
    tokenizer = Tokenizer.train(documents(1500, seed=0), 1024)
    for prompts in sets.values():
        for prompt in prompts:
            asked, ideal = encode_prompt(tokenizer, prompt.turns), encode_response(tokenizer, prompt.ideal)
            length = len(asked) + len(ideal)
            assert length <= GPTConfig().context == 128, f"{prompt.id} has {length} tokens"


def test_more_prompts_than_there_are(monkeypatch):
    monkeypatch.setattr(tasks, "PATIENCE", 500)  # as sure and sooner
    monkeypatch.setattr(tasks, "FAMILIES", ("hurtful", "unknowable"))  # of stories there is hardly an end
    with pytest.raises(UserError, match=r"set D has only \d+ prompts, not the 1000 asked for"):
        prompt_set("D", 1000, seed=0)


def test_a_family_that_runs_out_gives_all_it_has_and_the_others_make_up_for_it(monkeypatch):
    monkeypatch.setattr(tasks, "PATIENCE", 2000)
    counts = Counter(prompt.family for prompt in prompt_set("D", 1500, seed=0))
    assert sum(counts.values()) == 1500
    assert counts["unknowable"] < 150 < counts["story"]
    largest = max(counts.values())
    full = [family for family in FAMILIES if counts[family] >= largest - 1]
    assert len(full) >= 4, f"what is missing is shared out in equal parts: {counts}"


def test_an_unknown_set():
    with pytest.raises(UserError, match="prompt set 'E' does not exist; expected one of A, B, C, D"):
        prompt_set("E", 10, seed=0)


def test_main_prints_prompts_with_their_grades(capsys):
    main(["--set", "C", "--count", "10", "--seed", "3"])
    out = capsys.readouterr().out
    for prompt in prompt_set("C", 10, seed=3):
        assert f"[{prompt.id}]" in out
        assert prompt.ideal in out
    assert out.count("careful:") == 10
    assert out.count("careless (") == 10
    assert out.count("total 1.00") >= 10
