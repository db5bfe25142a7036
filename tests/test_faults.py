"""Two real kills, a real full disk, and that whoever looks for damage would see it. `make faults` kills forty times."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch

from minigpt import pretrain
from minigpt.runs.errors import UserError
from minigpt.runs.folder import RunFolder
from minigpt.runs.log.metrics import RunLog
from minigpt.runs.resume import resume_paths, save_state
from tests.faults.__main__ import main
from tests.faults.commands import ROOT, TrainingCommand, pretraining
from tests.faults.every_command import COMMANDS, NOT_TRIED
from tests.faults.killing import (
    Reference,
    goes_on_from,
    half_written,
    kill_repeatedly,
    look,
    run_to_the_end,
    trouble_after_kill,
    trouble_at_end,
)


@pytest.fixture
def one_thread():
    """As the killed processes have it: two threads would add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.long
def test_two_kills_of_pretraining_cost_nothing(tmp_path, one_thread):
    whole = pretraining(tmp_path / "whole", steps=50)
    command = whole.elsewhere(tmp_path / "killed")
    started = time.monotonic()
    pretrain.main(whole.arguments)
    reference = Reference(**look(whole), seconds=time.monotonic() - started)
    kills = list(kill_repeatedly(command, reference, 2, random.Random(0), tmp_path / "output.txt"))
    assert [kill.trouble for kill in kills] == ["", ""]
    pretrain.main(command.arguments)
    assert trouble_at_end(command, reference) == ""


# ---- A real disk ----


def own_mounts(folder):
    """The command that runs another one where it may mount a disk that nobody else sees; or None, and why not."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return None, "needs Linux and util-linux's unshare"
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    script = 'mount -t tmpfs tmpfs "$1" && "$2" -c ""'  # Python too: it may lie where only its owner can read
    trial = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", str(folder), sys.executable],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return (unshare, "") if trial.returncode == 0 else (None, f"no disk can be mounted here: {trial.stderr.strip()}")


@pytest.mark.long
def test_a_disk_that_fills_up_or_can_only_be_read_costs_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare, reason = own_mounts(disk)
    if unshare is None:
        pytest.skip(reason)
    command = [*unshare, sys.executable, "-m", "tests.faults.disk", str(disk)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["saved"] == ["resume-000002.pt", "resume-000004.pt"]
    for status, sentence in (found["full"], found["read_only"]):
        assert status == 2
        assert sentence.startswith("error: ")
        assert sentence.count("\n") == 1, f"more than one sentence: {sentence}"
    assert "resume-000006.pt could not be written: No space left on device" in found["full"][1]
    assert "could not be written: Read-only file system" in found["read_only"][1]
    assert found["saved states changed on the full disk"] == []
    assert found["half written on the full disk"] == []
    assert not found["changed on the read-only disk"]
    assert found["sound"] == 0, "with room again, the same command must go on"
    assert found["weights that differ at the end"] == []


@pytest.mark.long
def test_no_command_that_writes_is_hurt_by_a_full_or_a_read_only_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare, reason = own_mounts(disk)
    if unshare is None:
        pytest.skip(reason)
    command = [*unshare, sys.executable, "-m", "tests.faults.every_command", str(disk)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # the words after the first are SQLite's, which locks what experiments share and keeps what a class types
    full = r"No space left on device|disk is full"
    read_only = r"Read-only file system|unable to open database file|attempt to write a readonly database"
    for kind, words in (("full", full), ("read-only", read_only)):
        for module, ended in found[kind].items():
            what = f"{module} on a {kind} disk: {ended}"
            sentence = ended["said"].splitlines()[-1]  # bars of work that was done come before it
            assert ended["status"] == 2, what
            assert sentence.startswith("error: "), what
            assert re.search(words, sentence), what
            assert "Traceback" not in ended["said"], what
            assert ended["changed"] == [], what
            assert ended["left"] == [], f"half written by {what}"


def test_every_command_is_tried_on_such_disks_or_the_reason_is_given():
    found = set()
    for package in ("minigpt", "rlhf", "tutorials"):
        for path in (ROOT / package).rglob("*.py"):
            if "run_main(main)\n" in path.read_text(encoding="utf-8") and "numbers" not in path.parts:
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.add(".".join(parts[:-1] if parts[-1] == "__main__" else parts))
    assert found == {*COMMANDS, *NOT_TRIED}


# ---- The eyes: each kind of damage is seen ----


def rows(steps):
    return [{"step": step, "loss": 1 / (step + 1), "seconds": 0.1} for step in range(steps + 1)]


def state(fill):
    return {"kind": "gpt", "config": {}, "tokenizer": "none", "model": {"w": torch.full((4,), fill)}}


ROWS = [{"step": step, "loss": 1 / (step + 1)} for step in range(13)]
REFERENCE = Reference({"w": torch.full((4,), 12.0)}, ROWS, b"page", 1.0)


@pytest.fixture
def killed(tmp_path):
    """The files of a run that saves every 4 steps and was killed after step 9."""
    command = TrainingCommand("minigpt.pretrain", tmp_path, (), every=4)
    folder = RunFolder(command.stage_dir, {})
    folder.begin()
    for row in rows(9):
        folder.log(row)
        if row["step"] in (4, 8):
            folder.save(row["step"], state(float(row["step"])))
    return command


def test_a_sound_kill_is_no_trouble(killed):
    assert trouble_after_kill(killed, REFERENCE) == ""
    assert goes_on_from(killed) == 8
    assert half_written(killed) == []
    (killed.stage_dir / ".resume-000012.pt.99.tmp").write_bytes(b"half of it")
    assert [path.name for path in half_written(killed)] == [".resume-000012.pt.99.tmp"]


def test_one_saved_state_more_than_must_be_there_is_no_trouble(killed):
    """A kill after the save of step 12 and before the row of step 13."""
    log = RunLog(killed.stage_dir / "metrics.jsonl", 9)
    for step in (10, 11, 12):
        log.append(rows(12)[step])
    assert trouble_after_kill(killed, REFERENCE) == "", "the save of step 12 may not have been done"
    save_state(killed.stage_dir, 12, state(12.0), {})
    assert trouble_after_kill(killed, REFERENCE) == ""


def test_a_saved_state_that_is_missing_or_damaged_is_seen(killed):
    older, newest = resume_paths(killed.stage_dir)
    data = older.read_bytes()
    older.unlink()
    assert trouble_after_kill(killed, REFERENCE) == "the saved states [8] are there, and [4, 8] or later ones must be"
    older.write_bytes(data)
    newest.unlink()
    assert "[4] are there" in trouble_after_kill(killed, REFERENCE)
    newest.write_bytes(data[:-20])
    with pytest.raises(UserError, match=r"resume-000008\.pt is truncated"):
        trouble_after_kill(killed, REFERENCE)


def test_a_row_that_is_another_is_seen(killed):
    path = killed.stage_dir / "metrics.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"loss": 0.5', '"loss": 0.5000001'), encoding="utf-8")
    assert trouble_after_kill(killed, REFERENCE) == "the row of step 1 is not that of the uninterrupted run"


@pytest.fixture
def ended(killed):
    log = RunLog(killed.stage_dir / "metrics.jsonl", 9)
    for step in (10, 11, 12):
        log.append(rows(12)[step])
    (killed.stage_dir / "samples.md").write_bytes(b"page")
    RunFolder(killed.stage_dir, {}).end(12, state(12.0))
    return killed


def test_an_end_that_is_another_is_seen(ended):
    assert trouble_at_end(ended, REFERENCE) == ""
    leftover = ended.stage_dir / ".resume-000012.pt.99.tmp"
    leftover.write_bytes(b"half of it")
    assert trouble_at_end(ended, REFERENCE) == ".resume-000012.pt.99.tmp was left behind"
    leftover.unlink()
    (ended.stage_dir / "samples.md").write_bytes(b"other")
    assert "samples.md is not" in trouble_at_end(ended, REFERENCE)
    (ended.stage_dir / "samples.md").write_bytes(b"page")
    (ended.stage_dir / "checkpoint.pt").unlink()
    RunFolder(ended.stage_dir, {}).end(12, state(12.000001))
    assert "the weights w are not those of the uninterrupted run" in trouble_at_end(ended, REFERENCE)
    path = ended.stage_dir / "metrics.jsonl"
    path.write_text(path.read_text(encoding="utf-8").splitlines(keepends=True)[0], encoding="utf-8")
    assert "metrics.jsonl is not" in trouble_at_end(ended, REFERENCE)


def test_a_command_that_fails_by_itself_is_told(tmp_path):
    command = TrainingCommand("minigpt.pretraining", tmp_path, (), every=4)
    with pytest.raises(UserError, match=r"minigpt\.pretraining did not begin: .*No module named minigpt\.pretraining"):
        run_to_the_end(command, tmp_path / "output.txt")


def test_too_few_kills_are_refused():
    with pytest.raises(UserError, match="--kills: expected 2 or more"):
        main(["--kills", "1"])
