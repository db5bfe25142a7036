"""The folder of one training run: saved states, log, samples, curves and the result.

    folder = RunFolder(stage_dir, describe)
    saved = folder.load()          # a saved state of the same run, or None
    ...                            # restore model and optimiser from it
    folder.begin()                 # config.json; from here on files change
    folder.log(row)                # a line of metrics.jsonl
    folder.show(step, markdown)    # a section of samples.md
    folder.save(step, payload)     # a state to resume from
    folder.end(step, payload)      # checkpoint.pt, the result

A result is replaced only when the new one is complete: while a checkpoint.pt is there, the next run of the stage writes
into `unfinished/` inside its folder, and `end` moves the files up. A run that is killed leaves the old result there.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.files import is_main, remove_leftovers, write_json, write_text
from minigpt.runs.log.curves import Panel, draw_curves
from minigpt.runs.log.metrics import Row, RunLog
from minigpt.runs.made_from import MADE_FROM
from minigpt.runs.resume import (
    RESULT,
    UNFINISHED,
    check_weights,
    load_state,
    recovery_hint,
    remove,
    resume_paths,
    save_state,
    working_folder,
)
from minigpt.scale.distributed import barrier


class RunFolder:
    """The files of one training run. `path` is where it writes until it has ended, `rows` are the lines of its log."""

    def __init__(
        self,
        stage_dir: Path,
        describe: Mapping[str, Any],
        *,
        unit: str = "step",
        made_from: Mapping[str, Any] | None = None,
        panels: Sequence[Panel] | None = None,
        samples_note: str = "",
        samples_title: str = "After step {}",
    ) -> None:
        """describe: all that decides the result, as JSON: the stage's config and fingerprints of its data. It becomes
        config.json, and a saved state is resumed only if its own is equal. unit: what the run counts. made_from:
        becomes made_from.json, see runs/made_from.py. panels: of curves.svg. samples_note, samples_title: the first
        paragraph of samples.md and the title of each section."""
        self.stage_dir, self.unit, self.made_from, self.panels = stage_dir, unit, made_from, panels
        self.describe = json.loads(json.dumps(describe))  # as it will come back from a file: tuples become lists
        self.samples_note, self.samples_title = samples_note, samples_title
        self.samples: list[list[Any]] = []  # [[step, markdown], ...]
        self.saved: dict[str, Any] | None = None
        finish_replacing(stage_dir)
        self.path = working_folder(stage_dir)
        self._log: RunLog | None = None

    @property
    def rows(self) -> list[Row]:
        """The lines of metrics.jsonl so far."""
        return self._log.rows if self._log is not None else []

    def load(self) -> dict[str, Any] | None:
        """The last saved state, None if there is none. Raises UserError if it is damaged or of other settings."""
        self.saved = load_state(self.path, self.describe, self.unit)
        if self.saved is not None:
            self.samples = self.saved["samples"]
        return self.saved

    def begin(self) -> None:
        """Write config.json, begin or continue metrics.jsonl, and remove files of an earlier run that did not end:
        they would pass for this one's own if it is stopped."""
        barrier()  # of several processes, all have looked for a saved state before the first one changes anything
        remove_leftovers(self.path)
        write_json(self.path / "config.json", self.describe)
        if self.path != self.stage_dir:
            remove(*resume_paths(self.stage_dir))  # of the run that has ended: a kill came before it removed them
        if self.saved is None:
            remove(*(self.path / name for name in (MADE_FROM, "samples.md", "curves.svg")))
        logged = None if self.saved is None else self.saved["logged"]
        self._log = RunLog(self.path / "metrics.jsonl", logged, self.unit)

    def log(self, row: Row) -> None:
        """Add a line to metrics.jsonl."""
        self._log.append(row)

    def show(self, step: int, markdown: str) -> None:
        """Write samples.md with one more section, or with that of `step` replaced."""
        self.samples = [entry for entry in self.samples if entry[0] != step] + [[step, markdown]]
        title = f"# Samples: {self.stage_dir.name}\n" + (f"\n{self.samples_note}\n" if self.samples_note else "")
        sections = (f"\n## {self.samples_title.format(at)}\n\n{text.strip()}\n" for at, text in self.samples)
        write_text(self.path / "samples.md", title + "".join(sections))

    def save(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write the state after `step`. Raises DivergedError if a weight is not finite."""
        self._log.sync()  # the rows first: a run that is resumed from this state does not write them again
        logged = self.rows[-1][self.unit] if self.rows else -1
        save_state(self.path, step, {**payload, "samples": self.samples, "logged": logged}, self.describe)

    def end(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write checkpoint.pt, the result; then move it into the place of an earlier one, and delete saved states."""
        check_weights(payload)
        if self.made_from is not None:
            write_json(self.path / MADE_FROM, self.made_from)
        save_checkpoint(self.path / RESULT, {**payload, "step": step, "extra": {"describe": self.describe}})
        remove(*resume_paths(self.path))
        finish_replacing(self.stage_dir)
        barrier()  # now the file is there for every process

    def draw_curves(self) -> None:
        """Write curves.svg."""
        draw_curves(self.rows, self.path / "curves.svg", self.stage_dir.name, self.panels)

    def stopped(self, where: str) -> None:
        """After Ctrl-C: write the curves so far, and print where the run stopped and how it is resumed."""
        self.draw_curves()
        print(f"stopped {where}; {self.recovery_hint()}")

    def warn(self, where: str, warning: str) -> None:
        """Print a warning, unless it is empty, with the place and the state to resume from."""
        if warning and is_main():
            print(f"warning: {where}: {warning}; {self.recovery_hint()}", file=sys.stderr)

    def recovery_hint(self) -> str:
        """The end of a sentence: the saved state from which a run that went wrong can be resumed."""
        return recovery_hint(self.path, self.unit)


def finish_replacing(stage_dir: Path) -> None:
    """Move the files of a complete run out of `unfinished/` into the stage's folder; nothing if there is none.

    checkpoint.pt goes last. If this is killed half-way, `unfinished/` still has it, and the next call moves the rest.
    """
    done = stage_dir / UNFINISHED
    if is_main() and (done / RESULT).exists():
        remove_leftovers(done)
        (stage_dir / MADE_FROM).unlink(missing_ok=True)  # it describes the old result
        names = sorted(path.name for path in done.iterdir() if path.is_file() and path.name != RESULT)
        for name in (*names, RESULT):
            os.replace(done / name, stage_dir / name)
        done.rmdir()
    barrier()
