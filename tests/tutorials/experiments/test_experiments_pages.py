"""Every page of tutorials/experiments says what an experiment must say, and the table is what their results give."""

import json

import numpy as np
import pytest

from minigpt.runs.config import to_dict
from tutorials.experiments.lab.experiment import PAGES, chosen_pages, load_page, page_paths
from tutorials.experiments.lab.results import VERDICT, load_results, places
from tutorials.experiments.lab.table import render
from tutorials.tools.figures import digest, load_figure, rounded

PARTS = ("Claim.", "Source.", "Design.", "Prediction.", "Refutation.")
MOST_LINES = 190  # as ruff formats them; it was 150 when forty statements were exempt from formatting

every_page = pytest.mark.parametrize("path", page_paths(), ids=lambda path: path.stem)


@every_page
def test_a_page_is_short_and_states_its_case_before_its_code(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES, "a page is a page; what two experiments share belongs into lab/"
    docstring = text.split('"""')[1]
    for part in PARTS:
        said = [line for line in docstring.splitlines() if line.startswith(part)]
        assert len(said) == 1, f"the docstring has one paragraph that begins with {part!r}"
        assert len(said[0]) > len(part) + 20, f"{part} is followed by what it is"
    positions = [docstring.index("\n" + part) for part in PARTS]
    assert positions == sorted(positions), "in this order"


@every_page
@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_the_cells_of_a_page_are_plain_different_and_of_its_seeds(path, preset):
    experiment = load_page(path).experiment
    settings = experiment.at(preset)
    cells = experiment.cells(settings)
    assert json.loads(json.dumps(cells)) == [dict(cell) for cell in cells]
    assert len({json.dumps(cell) for cell in cells}) == len(cells) > 0
    json.dumps(to_dict(settings))
    assert {cell["seed"] for cell in cells} == set(settings.seeds)
    assert len(settings.seeds) >= (3 if preset == "small" else 1), "a figure has error bars over at least three seeds"


@every_page
def test_claim_and_source_are_sentences_of_one_line(path):
    experiment = load_page(path).experiment
    for text in (experiment.claim, experiment.source):
        assert text.strip() == text
        assert "\n" not in text
        assert len(text) > 10


@every_page
def test_published_results_are_of_the_settings_and_belong_to_the_figure(path):
    page, where = load_page(path), places("small", PAGES)
    results = load_results(where.results, page.name)
    if results is None:
        pytest.skip("not run yet")
    assert results["settings"] == json.loads(json.dumps(to_dict(page.experiment.at("small")))), "run it again"
    assert results["verdict"] == VERDICT[results["holds"]]
    cells = [(record["cell"], record["result"]) for record in results["cells"]]
    assert [cell for cell, _ in cells] == [dict(cell) for cell in page.experiment.cells(page.experiment.at("small"))]
    summary = page.experiment.summarise(page.experiment.at("small"), cells)
    again = "the page draws another conclusion from its cells today: run it again, which measures nothing anew"
    assert (summary.measured, summary.holds) == (results["measured"], results["holds"]), again
    assert (summary.alt, dict(summary.labels)) == (results["alt"], results["labels"]), again
    assert summary.arrays.keys() == results["arrays"].keys(), again
    for key, values in summary.arrays.items():
        now, then = np.array(rounded(values)), np.array(results["arrays"][key])
        if now.dtype.kind in "US":
            assert now.tolist() == then.tolist(), f"{key}: {again}"
        else:  # another processor may round the last digit that is kept in another way
            np.testing.assert_allclose(now, then, rtol=0, atol=1e-3 * np.abs(then).max(), err_msg=f"{key}: {again}")
    assert (page.experiment.claim, page.experiment.source) == (results["claim"], results["source"]), again
    figure = load_figure(page.name, where.figures)
    assert digest({key: results[key] for key in ("alt", "labels", "arrays")} | {"figure": page.name}) == digest(figure)


def test_the_table_is_what_the_results_give():
    where = places("small", PAGES)
    assert where.table.read_text(encoding="utf-8") == render(chosen_pages(""), where), (
        "README.md is generated: python -m tutorials.experiments --table"
    )
