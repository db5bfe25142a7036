"""The chapters as Jupyter notebooks, for those who like to change a line and run it again.

    python -m tutorials.tools.notebooks

Writes runs/notebooks/, which git ignores: the Markdown is the only source, and what is generated cannot drift. A block
that the check executes becomes a code cell, everything else stays text. One cell is added at the top, so that the
imports find the repository.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_text
from tutorials.tools.markdown import IMAGE, LINK, TICKED
from tutorials.tools.page import COMMENT, ROOT, TUTORIALS, Page, chapter_files, chapters

SETUP = """\
# The repository becomes the working folder, as the chapters expect.
import os
import sys
from pathlib import Path

os.chdir(next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "minigpt").is_dir()))
sys.path.insert(0, os.getcwd())"""

# ```python would be a code cell, and `.noeval` is jupytext's word for one that stays text
OPENINGS = {"run": "```python", "math": "$$", "excerpt": "```python .noeval", "shown": "```python .noeval"}


def for_jupyter(page: Page, target: Path) -> str:
    """The page as Markdown that jupytext turns into the right cells. `target` is the folder of the notebook."""
    fences = {fence.line: fence for fence in page.fences}
    lines, inside = [], None
    for number, line in enumerate(page.text.split("\n"), start=1):
        fence = fences.get(number)
        if fence is not None:
            inside = fence
            lines.append(OPENINGS.get(fence.kind, line))
        elif inside is not None:
            lines.append("$$" if number == inside.last and inside.kind == "math" else line)
            inside = None if number == inside.last else inside
        else:
            lines.append(_text_line(page, line, target))
    return _without_comments(page, lines)


def _text_line(page: Page, line: str, target: Path) -> str:
    """A line outside of fences: mathematics as Jupyter writes it, links as seen from the folder of the notebook."""
    names = {path.name for path in chapter_files(page.path.parent)}

    def moved(match: re.Match[str]) -> str:
        file, hash_sign, anchor = match["target"].partition("#")
        if "://" in match["target"] or not file:
            return match[0]
        if file in names:
            new = f"{Path(file).stem}.ipynb"
        elif file.startswith("figures/"):
            new = file  # copied
        else:
            new = Path(os.path.relpath((page.path.parent / file).resolve(), target)).as_posix()
        start, end = (place - match.start() for place in match.span("target"))
        return f"{match[0][:start]}{new}{hash_sign}{anchor}{match[0][end:]}"

    line = TICKED.sub(lambda match: f"${match['body']}$", line)
    return IMAGE.sub(moved, LINK.sub(moved, line))


def _without_comments(page: Page, lines: list[str]) -> str:
    """Comments go; a line that held nothing else goes with them. Fences have none that are ours."""
    inside = {number for fence in page.fences for number in range(fence.line, fence.last + 1)}
    text = "\n".join(
        line if number in inside else line.replace("<!--", "\0<!--") for number, line in enumerate(lines, start=1)
    )
    text = re.sub(r"^(?:\0<!--(?:(?!-->).)*-->)+\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub("\0" + COMMENT.pattern, "", text, flags=re.DOTALL)


def notebook(page: Page, target: Path) -> Any:
    """The notebook of a chapter. Raises ValueError unless its code cells are the chapter's executed blocks."""
    made = jupytext.reads(for_jupyter(page, target), fmt="md")
    cells = [cell.source.strip() for cell in made.cells if cell.cell_type == "code"]
    blocks = [fence.body.strip() for fence in page.fences_of("run")]
    if cells != blocks:
        raise ValueError(
            f"{page.where}: the notebook has {len(cells)} code cells, the chapter executes {len(blocks)} "
            "blocks, and they are not the same"
        )
    made.cells.insert(0, nbformat.v4.new_code_cell(SETUP, metadata={"tags": ["setup"]}))
    for number, cell in enumerate(made.cells, start=1):
        cell.id = f"cell-{number}"  # by default random: two exports would differ
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.validate(made)
    return made


@dataclass(frozen=True)
class NotebooksConfig(Settings):
    """The folder of the notebooks."""

    out: str = option("runs/notebooks", "folder for the notebooks and their figures")


def main(argv: list[str]) -> None:
    """Writes the notebooks."""
    config = parse(NotebooksConfig, argv, description=__doc__, presets={})
    target = (ROOT / config.out).resolve()
    for page in chapters():
        path = target / f"{page.path.stem}.ipynb"
        write_text(path, nbformat.writes(notebook(page, target)) + "\n")
        print(path)
    (target / "figures").mkdir(exist_ok=True)
    for figure in sorted((TUTORIALS / "figures").glob("*.svg")):
        shutil.copy(figure, target / "figures" / figure.name)


if __name__ == "__main__":
    run_main(main)
