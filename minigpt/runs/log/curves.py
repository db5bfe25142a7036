"""curves.svg: every metric of a run over its steps, drawn from metrics.jsonl."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from minigpt.runs.files import write_text
from minigpt.runs.log.metrics import UNITS, Row, row_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_CURVES = (*UNITS, "num_tokens", "seconds", "episode")  # they only ever rise with the step
COLUMNS = 3
MANY_POINTS = 60  # above this the points of one step hide the trend, so they are drawn pale behind a smoothed line


@dataclass(frozen=True)
class Panel:
    """One small diagram: its title (with the unit), and the metrics drawn in it."""

    title: str
    metrics: tuple[str, ...]
    log_scale: bool = False


def default_panels(rows: Sequence[Row]) -> list[Panel]:
    """A panel for each metric found in `rows`, x and eval_x together, in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if _is_number(value)))
    trained = list(dict.fromkeys(name.removeprefix("eval_") for name in names if name not in NOT_CURVES))
    pairs = [tuple(n for n in (name, f"eval_{name}") if n in names) for name in trained]
    return [Panel(pair[0], pair) for pair in pairs]


def draw_curves(rows: Sequence[Row], path: Path, title: str, panels: Sequence[Panel] | None = None) -> None:
    """Draw the panels (default: default_panels) into the SVG file `path`. The same rows give the same bytes.

    A metric that no row has is left out, as is a panel of which nothing remains: not every run logs everything.
    """
    import matplotlib  # here, because it takes half a second, which --help and a mistyped flag need not wait for
    from matplotlib.figure import Figure

    present = {name for row in rows for name, value in row.items() if _is_number(value)}
    wanted = default_panels(rows) if panels is None else panels
    drawn = [panel for panel in wanted if present.intersection(panel.metrics)]
    height = max(1, math.ceil(len(drawn) / COLUMNS))
    # A Figure of its own: pyplot would choose a window system and keep every figure in a global list.
    figure = Figure(figsize=(4.2 * COLUMNS, 2.8 * height + 0.5), layout="constrained")
    figure.suptitle(title)
    for number, panel in enumerate(drawn, start=1):
        _draw_panel(figure.add_subplot(height, COLUMNS, number), panel, rows)
    buffer = io.StringIO()
    # Without these two the file would hold the date and random ids, and two equal runs would differ.
    with matplotlib.rc_context({"svg.hashsalt": "minigpt"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_text(path, buffer.getvalue())


def _draw_panel(axes: "Axes", panel: Panel, rows: Sequence[Row]) -> None:
    for number, name in enumerate(panel.metrics):
        points = [(row_number(row), row[name]) for row in rows if _is_number(row.get(name))]
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        color = f"C{number}"
        if len(values) > MANY_POINTS:
            axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
            axes.plot(steps, smooth(values, reach=max(2, len(values) // 50)), color=color, label=name)
        else:
            axes.plot(steps, values, color=color, marker="o", markersize=3, label=name)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("iteration" if rows and "iteration" in rows[-1] else "step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if panel.log_scale:
        axes.set_yscale("log")
    if len(panel.metrics) > 1:
        axes.legend(fontsize=8)


def smooth(values: Sequence[float], reach: int) -> list[float]:
    """Each value's mean with up to `reach` neighbours on either side, as many on the one as on the other.

    The usual moving average of the past lags behind: a falling loss looks higher than it is, and a learning rate like
    another one. With neighbours on both sides a straight line stays where it is, and the ends keep their values.
    """
    last = len(values) - 1
    reaches = [min(reach, place, last - place) for place in range(len(values))]
    return [fmean(values[place - near : place + near + 1]) for place, near in enumerate(reaches)]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
