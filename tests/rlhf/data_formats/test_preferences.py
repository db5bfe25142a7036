"""The file for TRL is in its preference format, and reading it back gives the same pairs."""

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats import preferences
from rlhf.data_formats.formats import read_rankings
from rlhf.data_formats.preferences import trl_preferences
from rlhf.records import Ranking, write_lines, write_rankings

TALK = (Turn("user", "Where does a cow live?"), Turn("assistant", "On a farm."), Turn("user", "And what does it eat?"))


def test_a_ranking_by_hand():
    ranking = Ranking(TALK, ("Meat.", "Grass.", "Hay."), (1, 0, 0), (True,) * 3)
    prompt = [
        {"role": "user", "content": "Where does a cow live?"},
        {"role": "assistant", "content": "On a farm."},
        {"role": "user", "content": "And what does it eat?"},
    ]
    meat = [{"role": "assistant", "content": "Meat."}]
    assert list(trl_preferences(ranking)) == [
        {"prompt": prompt, "chosen": [{"role": "assistant", "content": "Grass."}], "rejected": meat},
        {"prompt": prompt, "chosen": [{"role": "assistant", "content": "Hay."}], "rejected": meat},
    ], "ties exported, or chosen and rejected exchanged"


def test_every_line_has_columns_of_one_type():
    """A prompt that is a text here and a list there is no column that `datasets` can load."""
    for turns in (user_prompt("Hi"), TALK):
        (line,) = trl_preferences(Ranking(turns, ("a", "b"), (0, 1), (True, True)))
        assert {name: type(value) for name, value in line.items()} == dict.fromkeys(
            ("prompt", "chosen", "rejected"), list
        )


rankings_of = st.integers(2, 5).flatmap(
    lambda k: st.tuples(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), min_size=k, max_size=k),
        st.lists(st.integers(0, k - 1), min_size=k, max_size=k),
    )
)


@given(made=st.lists(rankings_of, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_again_as_the_same_pairs(tmp_path, made):
    """Against a double loop: each better answer with each worse one of another text."""
    rankings = [Ranking(TALK, tuple(texts), tuple(ranks), (True,) * len(texts)) for texts, ranks in made]
    expected = []
    for ranking in rankings:
        order = range(len(ranking.ranks))
        for w, l in itertools.product(order, order):
            if ranking.ranks[w] < ranking.ranks[l] and ranking.responses[w] != ranking.responses[l]:
                expected.append((ranking.turns, ranking.responses[w], ranking.responses[l]))
    write_lines(tmp_path / "pairs.jsonl", (line for ranking in rankings for line in trl_preferences(ranking)))
    if not expected:
        assert (tmp_path / "pairs.jsonl").read_bytes() == b""
        return
    found = read_rankings(tmp_path / "pairs.jsonl", BadRecords())
    assert [(ranking.turns, *ranking.responses) for ranking in found] == expected
    assert all(ranking.ranks == (0, 1) for ranking in found)


# ---- The command ----


def run(*flags):
    preferences.main([str(flag) for flag in flags])


def test_the_command_writes_the_pairs_and_says_how_many(tmp_path, capsys):
    source, target = tmp_path / "mine.jsonl", tmp_path / "new" / "pairs.jsonl"
    tie = Ranking(TALK, ("a", "b"), (0, 0), (True, True))
    write_rankings(source, [Ranking(TALK, ("a", "b", "c"), (0, 1, 1), (True, True, False)), tie])
    run("--rankings", source, "--trl", target)
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [line["rejected"][0]["content"] for line in lines] == ["b", "c"]
    out, err = capsys.readouterr()
    assert out == f"2 pairs of 2 rankings, 1 answers of which had been cut off, are in {target}\n"
    assert err == ""


def test_bad_lines_can_be_left_out(tmp_path, capsys):
    source, target = tmp_path / "mine.jsonl", tmp_path / "pairs.jsonl"
    write_rankings(source, [Ranking(TALK, ("a", "b"), (0, 1), (True, True))])
    with source.open("ab") as file:
        file.write(b"{\n")
    with pytest.raises(UserError, match="line 2: not valid JSON"):
        run("--rankings", source, "--trl", target)
    assert not target.exists()
    run("--rankings", source, "--trl", target, "--skip-bad")
    assert target.read_bytes().count(b"\n") == 1
    assert "1 records kept, 1 left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ((), "--rankings, and the one to write by --trl"),
        (("--rankings", "mine.jsonl"), "--trl"),
        (("--rankings", "mine.jsonl", "--trl", "./mine.jsonl"), "is the file to be read"),
        (("--rankings", "absent.jsonl", "--trl", "pairs.jsonl"), "cannot read absent.jsonl"),
        (("--rankings", "mine.jsonl", "--trl", "pairs.jsonl"), "holds ties only"),
    ],
)
def test_what_cannot_be_written_is_one_sentence_and_no_file(tmp_path, monkeypatch, flags, complaint):
    monkeypatch.chdir(tmp_path)
    write_rankings(tmp_path / "mine.jsonl", [Ranking(TALK, ("a", "b"), (0, 0), (True, True))])
    before = (tmp_path / "mine.jsonl").read_bytes()
    with pytest.raises(UserError, match=complaint) as error:
        run(*flags)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
    assert (tmp_path / "mine.jsonl").read_bytes() == before
