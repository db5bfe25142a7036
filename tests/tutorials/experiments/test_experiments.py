"""Toy experiments: found by name, measured once, the same however many run at a time, never lost."""

import json
import re
import sys

import pytest

from minigpt.runs.errors import UserError, run_main
from tutorials.experiments.__main__ import main
from tutorials.experiments.lab import results
from tutorials.experiments.lab.cells import job, measure_cell
from tutorials.experiments.lab.experiment import load_page
from tutorials.experiments.lab.runner import by_turns
from tutorials.experiments.lab.table import cell
from tutorials.tools.figures import load_figure

TOY = """
import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from minigpt.runs.errors import UserError
from tutorials.experiments.lab import Experiment, Summary

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...] = (0, 1)
    scale: float = 2.0


def cells(settings):
    return [{"seed": seed, "size": size} for seed in settings.seeds for size in ("a", "b")]


def measure(lab, settings, seed, size):
    (HERE / f"asked-{seed}-{size}-{os.getpid()}").touch()
    if (HERE / f"die-{seed}-{size}").exists():
        os._exit(9)
    if (HERE / "refuse").exists():
        raise UserError("the text is missing; write one")
    if (HERE / "nan").exists():
        return {"value": float("nan")}
    drawn = [float(torch.rand(())), float(np.random.rand()), random.random()]
    return {"value": settings.scale * seed, "size": (size, seed), "drawn": drawn, "threads": torch.get_num_threads()}


def summarise(settings, cells):
    values = [result["value"] for _, result in cells]
    return Summary({"seed": [cell["seed"] for cell, _ in cells], "value": values}, {"y": "value | of it"}, "Two dots.",
                   f"it is {max(values)} | at most", max(values) > 1)


def draw(figure, arrays, labels):
    figure.subplots().plot(arrays["seed"], arrays["value"], "o", label=labels["y"])


EXPERIMENT = Experiment("Things are so.", "An article, section 1", Settings,
                        {"small": {}, "tiny": {"scale": 1.0}}, cells, measure, summarise, draw)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder with one page, and a function that runs it."""
    folder = tmp_path / "tutorials" / "experiments"
    folder.mkdir(parents=True)
    (folder / "toy.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(results, "commit", lambda *paths: "c0ffee")
    return folder


def run(folder, *arguments, jobs=2):
    main([*arguments, "--jobs", str(jobs), "--runs", str(folder.parent.parent / "runs")], folder)


def asked(folder):
    """The number of times that each cell was measured."""
    names = [path.name.rsplit("-", 1)[0] for path in folder.glob("asked-*")]
    return {name.removeprefix("asked-"): names.count(name) for name in names}


def records(folder, preset="tiny"):
    """The files of the cells, without what another run would measure otherwise."""
    found = {}
    for path in (folder.parent.parent / "runs" / "experiments" / preset / "toy").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[path.name] = {key: value for key, value in record.items() if not key.endswith("seconds")}
    return found


def test_a_full_run_writes_results_figure_and_table(toy, capsys):
    run(toy)
    kept = json.loads((toy / "results" / "toy.json").read_text(encoding="utf-8"))
    assert kept["arrays"] == {"seed": [0, 0, 1, 1], "value": [0.0, 0.0, 2.0, 2.0]}, "in the order of cells()"
    assert (kept["holds"], kept["verdict"], kept["measured"]) == (True, "holds", "it is 2.0 | at most")
    assert (kept["seeds"], kept["settings"]) == ([0, 1], {"seeds": [0, 1], "scale": 2.0})
    assert [record["result"]["size"] for record in kept["cells"]] == [["a", 0], ["b", 0], ["a", 1], ["b", 1]]
    assert (kept["costs"]["cells"], kept["costs"]["jobs"], kept["commit"]) == (4, 2, "c0ffee")
    assert kept["commits_of_cells"] == ["c0ffee"]
    assert kept["command"] == "python -m tutorials.experiments --name toy --preset small"
    assert kept["versions"]["torch"]
    assert kept["alt"] == load_figure("toy", toy.parent / "figures")["alt"] == "Two dots."
    table = (toy / "README.md").read_text(encoding="utf-8")
    assert r"| [toy](toy.py) · [figure](../figures/toy.svg) | Things are so. | it is 2.0 \| at most | holds |" in table
    assert "![Two dots.](../figures/toy.svg)" in table
    assert "it is 2.0 | at most\n  HOLDS" in capsys.readouterr().out


def test_costs_count_a_shared_model_once_and_say_whose_cost_is_not_known():
    base, sft = {"stage": "base", "cpu_seconds": 200.04}, {"stage": "sft", "cpu_seconds": None}
    records = [
        {"seconds": 30.0, "cpu_seconds": 20.5, "models": {"a": base}},
        {"seconds": 10.0, "cpu_seconds": 1.5, "models": {"a": base, "b": sft}},
    ]
    found = results.costs(records, wall=12.0, jobs=2)
    assert (found["cells"], found["cells_cpu_seconds"], found["cells_wall_seconds"]) == (2, 22.0, 40.0)
    assert found["models_cpu_seconds"] == {"base": 200.0, "sft": 0.0}
    assert (found["models"], found["models_of_unknown_cost"]) == (2, 1)


def test_what_was_measured_at_an_earlier_commit_keeps_it(toy, monkeypatch):
    run(toy)
    one, *_ = (toy.parent.parent / "runs" / "experiments" / "small" / "toy").glob("*.json")
    one.unlink()
    monkeypatch.setattr(results, "commit", lambda *paths: "decade")
    run(toy)
    kept = json.loads((toy / "results" / "toy.json").read_text(encoding="utf-8"))
    assert (kept["commit"], kept["commits_of_cells"]) == ("decade", ["c0ffee", "decade"])


def test_what_somebody_made_of_a_result_stands_below_its_figure(toy):
    (toy / "discussion").mkdir()
    (toy / "discussion" / "toy.md").write_text("Small numbers.\n", encoding="utf-8")
    run(toy)
    table = (toy / "README.md").read_text(encoding="utf-8")
    assert table.endswith("![Two dots.](../figures/toy.svg)\n\nSmall numbers.\n")


def test_a_cell_runs_alone_with_one_thread_and_nothing_is_left_of_its_work(toy):
    run(toy, "--preset", "tiny")
    assert {record["result"]["threads"] for record in records(toy).values()} == {1}
    processes = [path.name.rsplit("-", 1)[1] for path in toy.glob("asked-*")]
    assert len(set(processes)) == 4, "each cell has a process of its own"
    left = {path.suffix for path in (toy.parent.parent / "runs" / "experiments" / "tiny" / "toy").iterdir()}
    assert left == {".json"}, "no .log and no .work of a cell that ended well"


def test_results_do_not_depend_on_how_many_cells_run_at_a_time(toy, tmp_path):
    run(toy, "--preset", "tiny", jobs=1)
    one = records(toy)
    for path in (tmp_path / "runs" / "experiments" / "tiny" / "toy").iterdir():
        path.unlink()
    run(toy, "--preset", "tiny", jobs=4)
    assert records(toy) == one
    assert len({tuple(record["result"]["drawn"]) for record in one.values()}) == 1, "every cell begins with equal luck"


def test_a_killed_run_goes_on_with_the_missing_cells(toy):
    poison = toy / "die-0-b"
    poison.touch()
    with pytest.raises(RuntimeError, match=r"toy.py, cell .*'size': 'b'.*ended without a word"):
        run(toy, "--preset", "tiny", jobs=1)
    done = records(toy)
    assert done, "what was measured before stays"
    assert not (toy.parent.parent / "runs" / "experiments" / "tiny" / "results").exists(), "no results of half a run"
    poison.unlink()
    run(toy, "--preset", "tiny", jobs=1)
    assert asked(toy) == {"0-a": 1, "1-a": 1, "0-b": 2, "1-b": 1}, "what is there is not measured again"
    assert done.items() <= records(toy).items()
    run(toy, "--preset", "tiny", jobs=1)
    assert sum(asked(toy).values()) == 5, "a finished experiment measures nothing"


def test_other_settings_are_other_cells(toy, tmp_path):
    page = load_page(toy / "toy.py")
    paths = {
        job(page, preset, tmp_path, {"seed": seed}, False).path.name
        for preset in page.experiment.presets
        for seed in (0, 1)
    }
    assert len(paths) == 4
    assert all(re.fullmatch(r"seed-[01]-[0-9a-f]{12}\.json", name) for name in paths)


def test_what_other_code_measured_is_kept_with_a_warning_and_measured_anew_only_when_asked(toy, capsys):
    run(toy, "--preset", "tiny")
    (toy / "toy.py").write_text(TOY.replace("settings.scale * seed", "settings.scale * seed + 1"), encoding="utf-8")
    run(toy, "--preset", "tiny")
    assert "warning: toy: 4 of 4 cells were measured by other code; --fresh measures them anew" in (
        capsys.readouterr().err
    )
    assert "it is 1.0" in (toy.parent.parent / "runs/experiments/tiny/README.md").read_text(encoding="utf-8")
    run(toy, "--preset", "tiny", "--fresh")
    assert "it is 2.0" in (toy.parent.parent / "runs/experiments/tiny/README.md").read_text(encoding="utf-8")
    assert sum(asked(toy).values()) == 8


def test_a_tiny_run_never_touches_real_results(toy):
    for name in ("results/toy.json", "README.md", "../figures/toy.json", "../figures/toy.svg"):
        (toy / name).parent.mkdir(exist_ok=True)
        (toy / name).write_text("of the full run", encoding="utf-8")
    run(toy, "--preset", "tiny")
    for name in ("results/toy.json", "README.md", "../figures/toy.json", "../figures/toy.svg"):
        assert (toy / name).read_text(encoding="utf-8") == "of the full run", name
    below = toy.parent.parent / "runs" / "experiments" / "tiny"
    assert (below / "results" / "toy.json").is_file()
    assert load_figure("toy", below / "figures")


def test_a_mistyped_name_or_preset_is_one_sentence_and_status_2(toy, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments", "--name", "overoptimisation"])
    with pytest.raises(SystemExit) as stopped:
        run_main(main)
    assert stopped.value.code == 2
    assert "is not one of" in capsys.readouterr().err
    with pytest.raises(UserError, match=re.escape("--name: 'tooy' is not one of toy (did you mean toy?)")):
        run(toy, "--name", "tooy")
    with pytest.raises(UserError, match=re.escape("--preset: 'tinny' is not one of small, tiny (did you mean tiny?)")):
        run(toy, "--preset", "tinny")
    with pytest.raises(UserError, match="--jobs: expected 1 or more, got 0"):
        run(toy, jobs=0)
    assert asked(toy) == {}


def test_what_a_user_can_mend_comes_out_of_the_process_as_one_sentence(toy):
    (toy / "refuse").touch()
    with pytest.raises(UserError, match=r"^the text is missing; write one$"):
        run(toy, "--preset", "tiny")


def test_a_number_that_is_not_finite_is_no_result(toy, tmp_path):
    (toy / "nan").touch()
    one = job(load_page(toy / "toy.py"), "tiny", tmp_path, {"seed": 0, "size": "a"}, False)
    with pytest.raises(ValueError, match="not JSON compliant"):
        measure_cell(one)
    assert not one.path.exists()


def test_a_page_without_an_experiment_is_told_so(toy):
    (toy / "empty.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"empty.py has no EXPERIMENT"):
        load_page(toy / "empty.py")


def test_cells_of_different_seeds_come_first(toy, tmp_path):
    page = load_page(toy / "toy.py")
    cells = [{"seed": seed, "size": size} for seed in (0, 1, 2) for size in "ab"]
    turns = by_turns([job(page, "tiny", tmp_path, one, False) for one in cells])
    assert [one.cell["seed"] for one in turns] == [0, 1, 2, 0, 1, 2], "or two cells wait for the same base model"
    assert [one.cell["size"] for one in turns] == list("aaabbb")


def test_two_equal_cells_are_a_mistake_of_the_page(toy):
    (toy / "toy.py").write_text(TOY.replace('("a", "b")', '("a", "a")'), encoding="utf-8")
    with pytest.raises(ValueError, match="two cells are the same"):
        run(toy, "--preset", "tiny")


def test_text_in_the_table_does_not_break_it():
    assert cell("a | b\nc") == r"a \| b c"
