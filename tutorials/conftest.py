"""Chapters as tests: `pytest tutorials/04-attention.md`, one chapter a process, which `python -m tutorials.tools.check`
starts. What a block means is in tools/fences.py, and how it is checked in tools/evaluators.py."""

from __future__ import annotations

import time

from sybil import Sybil

from tutorials.tools.evaluators import Chapter, make_deterministic, parse_fences, parse_figures
from tutorials.tools.page import PATTERNS

# exercises, their solutions and the graders are no tests of this kind
collect_ignore_glob = ["exercises/*", "instructor/*", "grading/*"]

pytest_collect_file = Sybil(
    parsers=[parse_fences, parse_figures],
    patterns=PATTERNS,
    setup=lambda _: make_deterministic(seed=0),
    document_types={".md": Chapter},
).pytest()


def pytest_terminal_summary(terminalreporter):
    """Prints the processor time of the chapter for the table of `check`."""
    terminalreporter.write_line(f"processor seconds: {time.process_time():.1f}")
