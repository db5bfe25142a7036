"""Writes what is generated into the pages, so that nobody copies a number or a line of code by hand.

    python -m tutorials.tools.update                 every chapter, and the map
    python -m tutorials.tools.update --only 04       one chapter
    python -m tutorials.tools.update --check         says what it would change, and changes nothing

It executes the chapters and writes what their blocks print (`text out`), excerpts, quoted results, numbers inside
sentences, alt texts, navigation, tables, the map. What is right already stays as it is, rounding and ellipses too.
Afterwards look at `git diff`: that is the review.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import write_text
from rlhf.report.readme import replace_between
from tutorials.tools.evaluators import FIGURE, evaluate, excerpt_of, make_deterministic
from tutorials.tools.fences import Fence
from tutorials.tools.figures import load_figure
from tutorials.tools.numbers import INLINE, quoted_text, shown_number
from tutorials.tools.page import TUTORIALS, Page, chapters
from tutorials.tools.printed import keep_the_same
from tutorials.tools.tables import generated_parts


def with_bodies(text: str, bodies: Iterable[tuple[Fence, str]]) -> str:
    """`text` with new bodies in these fences."""
    lines = text.split("\n")
    for fence, body in sorted(bodies, key=lambda pair: pair[0].line, reverse=True):
        lines[fence.line : fence.last - 1] = body.split("\n")[:-1]
    return "\n".join(lines)


def without_running(page: Page, folder: Path = TUTORIALS) -> str:
    """The text of a page with all that can be generated without executing it. Raises UserError for a name, field or
    figure that does not exist, and for a page without its markers."""
    text = page.text
    for name, part in generated_parts(page, folder).items():
        text = replace_between(text, name, part, page.where)
    fences = Page(page.path, text).fences
    bodies = [(fence, excerpt_of(fence)) for fence in fences if fence.kind == "excerpt"]
    bodies += [(fence, quoted_text(fence.attributes["run"], folder)) for fence in fences if fence.kind == "quoted"]
    text = with_bodies(text, bodies)
    text = _outside_fences(page.path, text, INLINE, lambda match: _inline(match, folder))
    return _outside_fences(page.path, text, FIGURE, lambda match: _image(match, folder))


def _outside_fences(path: Path, text: str, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> str:
    """re.sub on the lines between fences; both patterns match within one line."""
    inside = {number for fence in Page(path, text).fences for number in range(fence.line, fence.last + 1)}
    lines = text.split("\n")
    return "\n".join(
        line if number in inside else pattern.sub(replace, line) for number, line in enumerate(lines, start=1)
    )


def _inline(match: re.Match[str], folder: Path) -> str:
    shown = shown_number(match["address"], match["spec"], folder)
    return f"<!-- n {match['address']} {match['spec']} -->{shown}<!-- /n -->"


def _image(match: re.Match[str], folder: Path) -> str:
    if not match["path"].startswith("figures/"):
        return match[0]
    return f"![{load_figure(Path(match['path']).stem, folder / 'figures')['alt']}]({match['path']})"


def with_outputs(text: str, path: Path) -> str:
    """The text with what its blocks print. Raises UserError if one of them fails."""
    make_deterministic(seed=1)  # not the check's seed, see make_deterministic
    bodies, printed = [], ""
    for outcome in evaluate(text, path, only=("run", "out")):
        fence = outcome.parsed
        if fence.kind == "run":
            if outcome.problem:
                raise UserError(f"{path.name}:{fence.line}: {outcome.problem}; no output of this chapter was written")
            printed = outcome.printed or ""
        else:
            new = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
            bodies.append((fence, keep_the_same(fence.body, new)))
    return with_bodies(text, bodies)


def updated(path: Path, folder: Path = TUTORIALS) -> str:
    """The text that a chapter, or the map, should have."""
    text = without_running(Page.read(path), folder)
    return text if path.name == "README.md" else with_outputs(text, path)


# ---- The command -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UpdateConfig(Settings):
    """The pages to write, or only to compare."""

    only: str = option("", "only chapters whose file name begins with this, as in 04")
    check: bool = option(False, "print which pages would change, exit with 1 if any, write nothing")


def main(argv: list[str]) -> None:
    """Writes the pages, each computed in a process of its own, as the check does."""
    config = parse(UpdateConfig, argv, description=__doc__, presets={})
    paths = [page.path for page in chapters(TUTORIALS, config.only)]
    if not config.only and (TUTORIALS / "README.md").is_file():
        paths.append(TUTORIALS / "README.md")
    changed = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for path, text in zip(paths, pool.map(updated, paths), strict=True):
            if text == path.read_text(encoding="utf-8"):
                continue
            changed += 1
            if not config.check:
                write_text(path, text)
            print(f"{path.name} {'would change' if config.check else 'written'}", flush=True)
    print(f"{changed} of {len(paths)} pages {'would change' if config.check else 'changed'}")
    if config.check and changed:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
