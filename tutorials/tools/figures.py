"""Figures whose arrays are computed again.

    python -m tutorials.tools.figures                  draws every figure
    python -m tutorials.tools.figures --only ch04      those whose name begins with this

tutorials/figures/make/chNN.py says what to draw:

    FIGURES = {"ch04_saturation": saturation}     # for each figure a function without arguments that returns a Drawing

Drawing writes two files, figures/ch04_saturation.json with the numbers and .svg with the picture, which carries the
hash of the numbers it shows. The check computes the numbers again and compares them within a tolerance; it does not
compare pictures, because fonts and versions of matplotlib change them while nothing that they say has changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, did_you_mean, run_main
from minigpt.runs.files import write_json, write_text
from tutorials.tools.page import ROOT, TUTORIALS
from tutorials.tools.scripts import load_script

DIGITS = 4  # significant ones that the JSON keeps
MOST_BYTES = 120_000  # of an SVG: a page must load on a slow line
# Okabe & Ito 2008: seven colours that people with every kind of colour vision tell apart, and black
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
STYLE = {
    "svg.hashsalt": "tutorials",  # without it the ids in the file are random
    "axes.prop_cycle": matplotlib.cycler(color=COLORS),
    "figure.facecolor": "white",  # a page may be dark
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
}


@dataclass(frozen=True)
class Drawing:
    """A figure as numbers, and the function that draws them.

    `draw(figure, arrays, labels)` gets an empty matplotlib Figure and the arrays as the JSON keeps them, rounded, so
    that the picture shows those numbers and no others. Labels are words, kept apart so that they can be translated.
    `tolerance` is the largest difference that is no change, as a share of the largest number of its array.
    """

    arrays: Mapping[str, Any]
    labels: Mapping[str, str]
    alt: str
    draw: Callable[[Figure, dict[str, np.ndarray], Mapping[str, str]], None]
    size: tuple[float, float] = (6.4, 3.6)
    tolerance: float = 1e-3


def rounded(value: Any) -> Any:
    """Arrays, tensors and numbers as (nested) lists of JSON, with DIGITS significant digits; whole numbers as they are.

    Raises ValueError for a number that is not finite, which JSON does not have.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    if isinstance(value, (str, bool, int)):
        return value
    if not math.isfinite(value):
        raise ValueError(f"a figure cannot show {value}: leave the point out")
    return float(f"{float(value):.{DIGITS}g}")


def content(name: str, drawing: Drawing) -> dict[str, Any]:
    """The contents of figures/<name>.json without its commit."""
    arrays = {key: rounded(value) for key, value in drawing.arrays.items()}
    return {"figure": name, "alt": drawing.alt, "labels": dict(drawing.labels), "arrays": arrays}


def digest(data: Mapping[str, Any]) -> str:
    """SHA-256 of all that a figure says: everything in its JSON but the commit."""
    said = {key: value for key, value in data.items() if key != "commit"}
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()


# ---- Finding, computing, drawing ---------------------------------------------------------------------------------


def makers(script: Path) -> dict[str, Callable[[], Drawing]]:
    """FIGURES of figures/make/chNN.py. Raises UserError if the script is not there or has none."""
    if not script.is_file():
        raise UserError(f"{script} does not exist: it would hold the functions that draw the figures of that chapter")
    figures = getattr(load_script(script, f"tutorials_figures_{script.stem}"), "FIGURES", None)
    if not isinstance(figures, dict):
        raise UserError(f"{script} has no FIGURES, a dict from names to functions")
    if wrong := [name for name in figures if not name.startswith(f"{script.stem}_")]:
        raise UserError(f"{script}: the figure {wrong[0]} must be called {script.stem}_…, after its chapter")
    return figures


def compute(make: Callable[[], Drawing]) -> Drawing:
    """Runs a figure's function from fixed seeds, and leaves torch's random state and threads as they were."""
    threads = torch.get_num_threads()
    state = np.random.get_state()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            np.random.seed(0)
            return make()
    finally:
        np.random.set_state(state)
        torch.set_num_threads(threads)


def draw(name: str, drawing: Drawing, folder: Path) -> None:
    """Writes figures/<name>.json and .svg. Equal numbers give equal files."""
    data = content(name, drawing)
    path = folder / f"{name}.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # the commit that the numbers come from stays until they change, or drawing twice would change a file
    commit = old.get("commit") if old and digest(old) == digest(data) else _commit()
    figure = Figure(figsize=drawing.size, layout="constrained")
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        drawing.draw(figure, {key: np.array(value) for key, value in data["arrays"].items()}, drawing.labels)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Description": digest(data)})
    svg = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
    if len(svg.encode("utf-8")) > MOST_BYTES:
        raise UserError(f"{name}.svg has {len(svg):,} bytes, at most {MOST_BYTES:,} load well: draw fewer points")
    write_text(folder / f"{name}.svg", svg)
    write_json(path, {**data, "commit": commit})


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise UserError("figures carry the commit that their numbers come from, and git does not know one here")
    return done.stdout.strip()


# ---- Checking ----------------------------------------------------------------------------------------------------


def load_figure(name: str, folder: Path) -> dict[str, Any]:
    """figures/<name>.json. Raises UserError unless it and the SVG are there and belong together."""
    paths = [folder / f"{name}.json", folder / f"{name}.svg"]
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"{missing[0]} does not exist; draw it with `make figures`")
    data = json.loads(paths[0].read_text(encoding="utf-8"))
    if digest(data) not in paths[1].read_text(encoding="utf-8"):
        raise UserError(f"{paths[1]} shows other numbers than {paths[0].name} holds; draw it again with `make figures`")
    return data


def check_figure(name: str, folder: Path) -> None:
    """Computes the arrays of a figure again. Raises UserError naming the array and the place that differ."""
    figures = makers(folder / "make" / f"{name.partition('_')[0]}.py")
    if name not in figures:
        raise UserError(f"no function draws {name}{did_you_mean(name, figures)}")
    kept, drawing = load_figure(name, folder), compute(figures[name])
    now = content(name, drawing)
    for key in ("alt", "labels"):
        if kept[key] != now[key]:
            raise UserError(f"{name}.json: {key} is {kept[key]!r}, its script now says {now[key]!r}; `make figures`")
    if kept["arrays"].keys() != now["arrays"].keys():
        raise UserError(
            f"{name}.json has the arrays {', '.join(kept['arrays'])}, its script makes "
            f"{', '.join(now['arrays'])}; `make figures`"
        )
    for key in kept["arrays"]:
        if problem := _difference(kept["arrays"][key], now["arrays"][key], drawing.tolerance):
            raise UserError(f"{name}.json, array {key!r}: {problem}; `make figures`, and look at what it shows now")


def _difference(kept: Any, now: Any, tolerance: float) -> str:
    old, new = np.array(kept), np.array(now)
    if old.shape != new.shape:
        return f"its shape was {old.shape}, and is {new.shape} now"
    if old.dtype.kind != "f" and new.dtype.kind != "f":
        return "" if (old == new).all() else f"was {kept}, and is {now} now"
    off = np.abs(old.astype(float) - new.astype(float))  # [...]
    allowed = tolerance * np.abs(old).max(initial=0.0)
    if (off <= allowed).all():
        return ""
    place = np.unravel_index(off.argmax(), off.shape)
    where = "".join(f"[{index}]" for index in place)
    return f"{where} was {old[place]:g}, and is {new[place]:g} now, more than {allowed:.2g} away"


# ---- The command -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FiguresConfig(Settings):
    """The figures to draw."""

    only: str = option("", "only figures whose name begins with this")


def main(argv: list[str]) -> None:
    """Draws the figures."""
    config = parse(FiguresConfig, argv, description=__doc__, presets={})
    folder = TUTORIALS / "figures"
    drawn = 0
    for script in sorted((folder / "make").glob("ch*.py")):
        for name, make in makers(script).items():
            if name.startswith(config.only):
                draw(name, compute(make), folder)
                print(f"{folder.relative_to(ROOT) / name}.svg")
                drawn += 1
    if not drawn:
        raise UserError(f"--only: no figure begins with {config.only!r}; they are named as in ch04_saturation")


if __name__ == "__main__":
    run_main(main)
