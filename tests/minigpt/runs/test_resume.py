"""Saved states: the last two are whole at every moment, and only the same run is resumed from them."""

import os

import pytest
import torch

from minigpt.runs import resume
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.folder import RunFolder
from minigpt.runs.resume import is_stopped, recovery_hint, resume_paths

DESCRIBE = {"config": {"runs": "runs", "training": {"steps": 8, "betas": (0.9, 0.95)}}, "text": "a" * 64}


def state(fill: float = 1.0) -> dict:
    return {"kind": "gpt", "config": {}, "tokenizer": "none", "model": {"w": torch.full((3,), float(fill))}}


def new(folder, describe=DESCRIBE) -> RunFolder:
    return RunFolder(folder / "sft", describe)


def begun(folder) -> RunFolder:
    """A run as it stands after its beginning, also when it was resumed."""
    found = new(folder)
    found.load()
    found.begin()
    return found


def names(folder) -> list[str]:
    return sorted(os.listdir(folder / "sft"))


def weight(path) -> float:
    return float(load_checkpoint(path, kind="resume")["model"]["w"][0])


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped after saves at steps 2, 4 and 6."""
    found = begun(tmp_path)
    for step in (2, 4, 6):
        found.save(step, state(fill=step))
    return tmp_path


# ---- Saving ----


def test_the_last_two_are_kept_and_the_newest_is_resumed(stopped):
    assert names(stopped) == ["config.json", "metrics.jsonl", "resume-000004.pt", "resume-000006.pt"]
    saved = new(stopped).load()
    assert saved["step"] == 6
    assert saved["model"]["w"].tolist() == [6.0] * 3


def test_at_every_moment_of_a_save_the_last_two_are_whole(stopped, monkeypatch):
    """Stops a save before each of the calls that change the folder, as a kill could, and looks at what is there."""
    found = begun(stopped)
    calls = {"os.replace": os.replace, "pathlib.Path.unlink": resume.Path.unlink, "torch.save": torch.save}
    seen = []

    def look(name):
        def checked(*arguments, **options):
            paths = resume_paths(stopped / "sft")
            seen.append((name, [weight(path) for path in paths]))
            return calls[name](*arguments, **options)

        return checked

    for name in calls:
        monkeypatch.setattr(name, look(name))
    found.save(8, state(fill=8.0))
    assert {name for name, _ in seen} == set(calls)
    for name, whole in seen:
        assert len(whole) >= 2, f"a kill just before {name} leaves {len(whole)} whole files"
    assert [weight(path) for path in resume_paths(stopped / "sft")] == [6.0, 8.0]


def test_a_save_that_fails_leaves_the_last_two(stopped, monkeypatch):
    def full(payload, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    found = begun(stopped)
    before = {path.name: path.read_bytes() for path in (stopped / "sft").iterdir()}
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"resume-000008\.pt could not be written: No space left on device"):
        found.save(8, state())
    assert {path.name: path.read_bytes() for path in (stopped / "sft").iterdir()} == before


def test_saving_a_step_again_replaces_its_file(stopped):
    begun(stopped).save(6, state(fill=6.5))
    assert [weight(path) for path in resume_paths(stopped / "sft")] == [4.0, 6.5]


def test_steps_are_compared_as_numbers(tmp_path):
    found = begun(tmp_path)
    for step in (999_998, 999_999, 1_000_000):
        found.save(step, state(fill=step))
    assert [path.name for path in resume_paths(tmp_path / "sft")] == ["resume-999999.pt", "resume-1000000.pt"]
    assert new(tmp_path).load()["step"] == 1_000_000, "as text, 1000000 comes before 999999"


@pytest.mark.parametrize("part", ["model", "value_model"])
def test_weights_that_are_no_numbers_are_not_worth_keeping(stopped, part):
    spoilt = state() | {part: {"w": torch.tensor([1.0, float("nan")])}}
    found = begun(stopped)
    for write in (found.save, found.end):
        with pytest.raises(DivergedError, match="weights w are not finite"):
            write(8, spoilt)
    assert names(stopped) == ["config.json", "metrics.jsonl", "resume-000004.pt", "resume-000006.pt"]


# ---- The end ----


def test_the_result_is_written_before_the_resume_files_go(stopped, monkeypatch):
    def killed(self, missing_ok=False):
        if self.name.startswith("resume-"):
            assert load_checkpoint(stopped / "sft" / "checkpoint.pt", kind="gpt")["step"] == 8
            raise SystemExit

    found = begun(stopped)
    with monkeypatch.context() as patch:
        patch.setattr(resume.Path, "unlink", killed)
        with pytest.raises(SystemExit):
            found.end(8, state(fill=8.0))
    assert len(resume_paths(stopped / "sft")) == 2
    assert not is_stopped(stopped / "sft"), "a run with its result has ended, whatever was left beside it"
    other = new(stopped, {"config": "another"})
    assert other.load() is None, "left-over files of a finished run are no reason to refuse another one"
    other.begin()
    assert names(stopped) == ["checkpoint.pt", "config.json", "metrics.jsonl", "unfinished"]


def test_the_end_leaves_the_result_alone(stopped):
    begun(stopped).end(8, state())
    assert names(stopped) == ["checkpoint.pt", "config.json", "metrics.jsonl"]
    assert load_checkpoint(stopped / "sft" / "checkpoint.pt")["extra"]["describe"]["text"] == "a" * 64


def test_on_a_full_disk_the_result_of_the_run_before_stays(tmp_path, monkeypatch):
    begun(tmp_path).end(8, state())
    before = names(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"unfinished/config\.json could not be written"):
        new(tmp_path).begin()
    assert [name for name in names(tmp_path) if name != "unfinished"] == before


def test_the_temporary_file_of_a_killed_save_goes_when_the_run_starts_again(stopped):
    leftover = stopped / "sft" / ".resume-000008.pt.4711.tmp"
    leftover.write_bytes(b"half of it")
    again = new(stopped)
    assert again.load()["step"] == 6, "half a file is no saved state"
    again.begin()
    assert names(stopped) == ["config.json", "metrics.jsonl", "resume-000004.pt", "resume-000006.pt"]


# ---- What is not resumed ----


def refusal(found: RunFolder) -> str:
    folder = found.stage_dir
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError) as error:
        found.load()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "a refusal must change nothing"
    assert "\n" not in str(error.value)
    return str(error.value)


def test_other_settings_are_named_with_both_values(stopped):
    other = {"config": {"runs": "runs", "training": {"steps": 9, "betas": (0.9, 0.95)}}, "text": "b" * 64}
    sentence = refusal(new(stopped, other))
    assert "(config.training.steps was 8 and is 9, text has changed)" in sentence
    for part in ("resume-000006.pt belongs to a run with other settings", "config.json", "delete", "resume-*.pt"):
        assert part in sentence


def test_a_setting_that_only_one_of_the_two_has_is_a_difference(stopped):
    sentence = refusal(new(stopped, {**DESCRIBE, "policy": "new"}))
    assert "(policy was None and is new)" in sentence


def test_a_folder_that_was_moved_is_the_same_run(stopped):
    moved = {**DESCRIBE, "config": {**DESCRIBE["config"], "runs": "/elsewhere"}}
    assert new(stopped, moved).load()["step"] == 6


@pytest.mark.parametrize("setting", ["shard", "compile"])
def test_how_a_step_is_computed_may_change_between_two_sessions_but_not_its_precision(stopped, setting):
    def with_setting(name):
        training = {**DESCRIBE["config"]["training"], name: "other"}
        return new(stopped, {**DESCRIBE, "config": {**DESCRIBE["config"], "training": training}})

    assert with_setting(setting).load()["step"] == 6
    with pytest.raises(UserError, match="precision was None and is other"):
        with_setting("precision").load()


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "empty"])
def test_a_damaged_newest_file_can_be_deleted_to_resume_from_the_one_before(stopped, damage):
    newest = stopped / "sft" / "resume-000006.pt"
    data = bytearray(newest.read_bytes())
    data[data.index(torch.full((3,), 6.0).numpy().tobytes()) + 1] ^= 4
    newest.write_bytes({"truncated": data[: len(data) // 2], "bit flipped": data, "empty": b""}[damage])
    sentence = refusal(new(stopped))
    assert "resume-000006.pt is" in sentence
    assert "damaged" in sentence
    assert sentence.endswith("delete it to resume from resume-000004.pt"), sentence
    newest.unlink()
    assert new(stopped).load()["step"] == 4
    older = stopped / "sft" / "resume-000004.pt"
    older.write_bytes(older.read_bytes()[:-50])
    assert refusal(new(stopped)).endswith("delete it to start afresh"), "there is no file before it any more"


def test_a_result_under_the_name_of_a_resume_file_is_refused(stopped):
    begun(stopped).end(8, state())
    (stopped / "sft" / "checkpoint.pt").rename(stopped / "sft" / "resume-000009.pt")
    assert "holds a 'gpt', but a 'resume' was expected" in refusal(new(stopped))


# ---- The hint ----


def test_the_recovery_hint_names_step_and_file(stopped, tmp_path):
    text = new(stopped).recovery_hint()
    assert "the last saved state is step 6 in " in text
    assert "resume-000006.pt" in text
    assert recovery_hint(tmp_path / "new") == "no earlier state of this run was saved"
    assert "is iteration 6 in" in RunFolder(stopped / "sft", {}, unit="iteration").recovery_hint()
