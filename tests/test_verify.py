"""The comparison behind `make verify`, with made-up numbers."""

import json
import re
from pathlib import Path

import pytest

from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json
from rlhf.report.goals import medians
from tests.verify import check_goals, compare, main, table

EXPECTED = Path(__file__).parent / "expected"
TOLERANCES = json.loads((EXPECTED / "tolerances.json").read_text(encoding="utf-8"))


def verdicts(lines):
    return {line.name: line.within for line in lines}


def test_every_figure_has_a_tolerance_and_equal_results_agree(make_results):
    lines = compare(make_results(), make_results(), TOLERANCES)
    assert all(line.within is not False for line in lines)
    assert verdicts(lines)["seconds.ppo"] is None, "seconds belong to the machine and are not compared"


@pytest.mark.parametrize(("off", "within"), [(0.06, True), (-0.06, True), (0.061, False), (-0.061, False)])
def test_the_border_of_the_tolerance_counts_as_within(make_results, off, within):
    lines = compare(make_results(ppo=0.8), make_results(ppo=0.8 + off), {"gold.ppo": 0.06, "*": None})
    assert verdicts(lines)["gold.ppo"] is within


def test_the_first_pattern_that_matches_counts(make_results):
    lines = compare(make_results(), make_results(ppo=0.5), {"gold.*": 1.0, "gold.ppo": 0.0, "*": None})
    assert verdicts(lines)["gold.ppo"] is True


def test_a_figure_without_a_pattern_is_an_error(make_results):
    with pytest.raises(UserError, match=re.escape("no pattern for the figure 'gold.base'")):
        compare(make_results(), make_results(), {"temperature": 0, "gold.ppo": 0.1})


def test_a_figure_that_only_one_run_has_is_off(make_results):
    fewer = make_results()
    del fewer["ended"]["ppo"]
    for first, second in ((make_results(), fewer), (fewer, make_results())):
        assert verdicts(compare(first, second, TOLERANCES))["ended.ppo"] is False


def test_goals_look_at_medians(make_results):
    runs = [make_results(0, ppo=0.10), make_results(1, ppo=0.84), make_results(2, ppo=0.90)]
    assert medians(runs)["gold.ppo"] == 0.84
    assert all(line.within for line in check_goals(runs)), "one bad seed of three must not decide"


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"base": 0.26}, {"gold total: base"}),
        ({"sft": 0.44}, {"gold total: SFT"}),
        ({"sft": 0.70}, {"gold total: PPO − SFT"}),
        ({"best_of_8": 0.6}, {"gold total: best of 8 − SFT"}),
        ({"sft": 0.50, "ppo": 0.79}, {"gold total: PPO"}),
        ({"sft": 0.65, "ppo": 0.80}, set()),  # 0.80 - 0.65 is 0.15000000000000002 or so, on either side
    ],
)
def test_each_missed_goal_is_named(make_results, change, missed):
    lines = check_goals([make_results(**change)])
    assert {line.name.removeprefix("median: ") for line in lines if not line.within} == missed


def test_one_worse_family_is_seen(make_results):
    run = make_results()
    run["gold_by_family"]["ppo"]["story"] = run["gold_by_family"]["sft"]["story"] - 0.06
    off = [line.name for line in check_goals([run]) if not line.within]
    assert off == ["median: worst family, PPO − SFT"]


def test_the_table_lines_up(make_results):
    text = table(compare(make_results(), make_results(ppo=0.1), TOLERANCES))
    line = next(line for line in text.splitlines() if line.startswith("gold.ppo"))
    assert line.split() == ["gold.ppo", "0.84", "±", "0.06", "0.1", "NO"]


@pytest.fixture
def runs(tmp_path, make_results):
    for seed in range(3):
        write_json(tmp_path / "runs" / f"seed-{seed}" / "small" / "results.json", make_results(seed))
    write_json(tmp_path / "expected" / "tolerances.json", TOLERANCES)
    return tmp_path


def test_recorded_results_are_then_expected(runs, capsys):
    flags = ["--runs", str(runs / "runs"), "--expected", str(runs / "expected")]
    with pytest.raises(UserError, match=re.escape("seed-0.json is missing; run `make expected` first")):
        main(flags)
    main([*flags, "--record"])
    main(flags)
    assert "All as expected." in capsys.readouterr().out


def test_a_difference_ends_with_exit_status_1(runs, make_results, capsys):
    flags = ["--runs", str(runs / "runs"), "--expected", str(runs / "expected")]
    main([*flags, "--record"])
    write_json(runs / "runs" / "seed-1" / "small" / "results.json", make_results(1, sft=0.7))
    with pytest.raises(SystemExit) as exit_info:
        main(flags)
    assert exit_info.value.code == 1
    assert "seed 1: gold.sft" in capsys.readouterr().out
