"""A terminal of any width, encoding or kind, and none at all."""

import contextlib
import io
import os
import re
import struct
import sys

import pytest

from minigpt.runs.errors import replace_bad_characters
from minigpt.runs.log.progress import Progress

NOTE = "loss 2.345, 123,456 tokens/s, and more than fits"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "ascii"])
def test_bad_bytes_are_replaced_on_any_console(encoding):
    typed = io.TextIOWrapper(io.BytesIO(b"caf\xe9 \x81\n"), encoding=encoding, errors="strict")
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    replace_bad_characters(typed, shown, io.StringIO())
    line = typed.readline()
    assert line.startswith("caf")
    assert line.endswith("\n")
    shown.write("café … 🦊\n")
    shown.flush()
    assert shown.buffer.getvalue().decode(encoding).startswith("caf")


def drawn(monkeypatch, columns, term="xterm"):
    """The output of a progress bar on a terminal of so many columns; None has no size at all."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns or 0, 0, 0))
    monkeypatch.setenv("TERM", term)
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    with open(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress("a stage with a long name", 3) as progress:
            for _ in range(3):
                progress.bar.mininterval = 0
                progress.update(NOTE)
        terminal.flush()
        os.set_blocking(master, False)
        data = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(master, 1 << 16)
    os.close(master)
    return data.decode("utf-8")


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_bar_fits_into_a_narrow_terminal(monkeypatch, columns):
    data = drawn(monkeypatch, columns)
    assert "\r" in data, "a terminal redraws its line"
    for line in re.split(r"[\r\n]+", data):
        assert len(line) <= columns, f"a line that wraps is drawn anew on every step: {line!r}"


def test_a_terminal_without_a_size_is_no_reason_to_fail(monkeypatch):
    assert "3/3" in drawn(monkeypatch, None)


def test_a_dumb_terminal_is_shown_whole_lines(monkeypatch):
    data = drawn(monkeypatch, 80, term="dumb")
    assert "\r" not in data.replace("\r\n", "\n"), "it does not know how to go back to the beginning of a line"
    assert "3/3" in data


def test_in_a_file_there_are_whole_lines_and_few(tmp_path, monkeypatch):
    with (tmp_path / "log.txt").open("w", encoding="ascii", errors="strict") as file:
        monkeypatch.setattr(sys, "stderr", file)
        with Progress("stage", 1000) as progress:
            for _ in range(1000):
                progress.update(NOTE)
    lines = (tmp_path / "log.txt").read_text(encoding="ascii").splitlines()
    assert len(lines) == 1
    assert "1000/1000" in lines[0]
    assert "\r" not in lines[0]
