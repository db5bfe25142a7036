"""Figures: the picture carries the hash of its numbers, and the numbers are computed again."""

import json
import random
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from minigpt.runs.errors import UserError
from minigpt.runs.files import write_json, write_text
from tutorials.tools import figures
from tutorials.tools.figures import Drawing, check_figure, compute, draw, load_figure, makers, rounded

NAME = "ch04_line"


@pytest.fixture
def pictures(folder, monkeypatch):
    monkeypatch.setattr(figures, "_commit", lambda: "another")
    return folder / "figures"


def bytes_of(pictures):
    return [(pictures / f"{NAME}.{ending}").read_bytes() for ending in ("json", "svg")]


def drawing(**changes):
    made = {"arrays": {"x": [1.0]}, "labels": {}, "alt": "a", "draw": lambda figure, arrays, labels: None}
    return Drawing(**{**made, **changes})


def test_an_untouched_figure_passes_and_drawing_it_again_changes_nothing(pictures):
    check_figure(NAME, pictures)
    before = bytes_of(pictures)
    draw(NAME, compute(makers(pictures / "make" / "ch04.py")[NAME]), pictures)
    assert bytes_of(pictures) == before, "the commit stays until the numbers change"


def test_new_numbers_carry_the_new_commit(pictures, change):
    change("figures/make/ch04.py", "x / 3", "x / 4")
    draw(NAME, compute(makers(pictures / "make" / "ch04.py")[NAME]), pictures)
    data = load_figure(NAME, pictures)
    assert data["commit"] == "another"
    assert data["arrays"]["y"] == [0.25, 0.5, 0.75, 1.0, 1.25]


def test_the_picture_is_well_formed_and_needs_no_other_picture(pictures):
    root = ElementTree.parse(pictures / f"{NAME}.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not root.findall(".//{http://www.w3.org/2000/svg}image")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x / 3", "x / 3 + (x == 4) * 0.01", "array 'y': [3] was 1.333, and is 1.343 now, more than 0.0017 away"),
        ("arange(1, 6)", "arange(1, 7)", "array 'x': its shape was (5,), and is (6,) now"),
        ("arange(1, 6)", "arange(2, 7)", "array 'x': was [1, 2, 3, 4, 5], and is [2, 3, 4, 5, 6] now"),
        ('"x": x, "y"', '"x": x, "z"', "has the arrays x, y, its script makes x, z"),
        ("by one third", "by 1/3", "alt is 'a line that rises by one third', its script now says"),
        ('"D"', '"T"', "labels is {'x': 'D'}, its script now says {'x': 'T'}"),
        ('{"ch04_line"', '{"ch04_lines"', "no function draws ch04_line (did you mean ch04_lines?)"),
        ('{"ch04_line"', '{"ch05_line"', "the figure ch05_line must be called ch04_…"),
        ("FIGURES =", "FIGURE =", "has no FIGURES"),
    ],
)
def test_what_the_script_now_says_differently(pictures, change, old, new, message):
    change("figures/make/ch04.py", old, new)
    with pytest.raises(UserError, match=re.escape(message)):
        check_figure(NAME, pictures)


def test_a_difference_within_the_tolerance_is_none(pictures, change):
    change("figures/make/ch04.py", "x / 3", "x / 3 + 0.001")
    check_figure(NAME, pictures)
    change("figures/make/ch04.py", "draw=draw_line", "draw=draw_line, tolerance=1e-4")
    with pytest.raises(UserError, match="array 'y'"):
        check_figure(NAME, pictures)


def test_a_picture_of_other_numbers_is_noticed(pictures):
    data = json.loads((pictures / f"{NAME}.json").read_text(encoding="utf-8"))
    data["arrays"]["y"][0] = 0.3334
    write_json(pictures / f"{NAME}.json", data)
    with pytest.raises(UserError, match=re.escape("ch04_line.svg shows other numbers than ch04_line.json holds")):
        load_figure(NAME, pictures)


@pytest.mark.parametrize("ending", ["json", "svg"])
def test_a_missing_half_is_noticed(pictures, ending):
    (pictures / f"{NAME}.{ending}").unlink()
    with pytest.raises(UserError, match=f"{NAME}.{ending} does not exist; draw it with `make figures`"):
        load_figure(NAME, pictures)


def test_rounding_keeps_four_digits_and_whole_numbers():
    assert rounded(torch.tensor([[1 / 3, 12345.678]])) == [[0.3333, 12350.0]]
    assert rounded(np.arange(3)) == [0, 1, 2]
    assert rounded([True, "a", 123456, 1e-9 / 3]) == [True, "a", 123456, 3.333e-10]
    with pytest.raises(ValueError, match="a figure cannot show nan"):
        rounded([float("nan")])


def test_the_picture_gets_the_rounded_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_commit", lambda: "c")
    seen = []
    made = drawing(arrays={"x": [1 / 3]}, draw=lambda figure, arrays, labels: seen.append(arrays["x"].tolist()))
    draw("ch04_a", made, tmp_path)
    assert seen == [[0.3333]]


def test_a_picture_that_would_load_slowly_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_commit", lambda: "c")
    monkeypatch.setattr(figures, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="at most 100 load well: draw fewer points"):
        draw("ch04_a", drawing(), tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_computing_a_figure_leaves_random_states_and_threads_alone():
    def state():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    def make():
        torch.set_num_threads(1)
        return drawing(arrays={"x": [float(torch.rand(())), np.random.rand(), torch.get_num_threads()]})

    before, threads = state(), torch.get_num_threads()
    first, second = (compute(make).arrays["x"] for _ in range(2))
    assert first == second, "a figure is computed from fixed seeds"
    assert (state(), torch.get_num_threads()) == (before, threads)


def test_dataclasses_in_a_script_work(tmp_path):
    """They look their module up by its name."""
    write_text(
        tmp_path / "ch09.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: int\nFIGURES = {'ch09_a': A}\n",
    )
    assert list(makers(tmp_path / "ch09.py")) == ["ch09_a"]
