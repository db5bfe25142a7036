"""A checkpoint is whole or absent, says what it is, and is refused in one sentence when it is not the one asked for."""

import json
import os
import pickle
import stat
import sys
import zipfile

import pytest
import torch

from minigpt.runs.checkpoint import load_checkpoint, load_weights, save_checkpoint
from minigpt.runs.errors import UserError
from minigpt.runs.files import append_jsonl, remove_leftovers, sync_jsonl, write_json, write_text

FINGERPRINT = "a" * 64


def payload(fill: float = 1.0) -> dict:
    weight = torch.full((4, 4), fill)
    return {"kind": "gpt", "config": {"channels": 4}, "model": {"w": weight}, "tokenizer": FINGERPRINT, "step": 3}


def complaint(path, **expected) -> str:
    with pytest.raises(UserError) as error:
        load_checkpoint(path, **expected)
    assert str(path) in str(error.value), "the sentence must name the file"
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "sft" / "checkpoint.pt"
    save_checkpoint(path, payload())
    return path


def test_round_trip_bit_for_bit(tmp_path):
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    optimizer = {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.95)}]}
    save_checkpoint(tmp_path / "c.pt", {**payload(), "model": {"w": weight}, "optimizer": optimizer})
    loaded = load_checkpoint(tmp_path / "c.pt", kind="gpt", fingerprint=FINGERPRINT)
    torch.testing.assert_close(loaded["model"]["w"], weight, rtol=0, atol=0)
    assert loaded["optimizer"]["param_groups"] == optimizer["param_groups"]
    assert (loaded["config"], loaded["step"]) == ({"channels": 4}, 3)


def test_a_payload_that_does_not_describe_itself_is_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="tokenizer"):
        save_checkpoint(tmp_path / "c.pt", {"kind": "gpt", "config": {}, "model": {}})
    assert list(tmp_path.iterdir()) == []


# ---- Interrupted writing ----


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt(), RuntimeError("bug"), OSError(28, "No space left on device")]
)
@pytest.mark.parametrize("where", ["torch.save", "os.fsync", "os.replace"])
def test_an_interrupted_save_leaves_the_old_file_whole_and_nothing_else(saved, monkeypatch, interruption, where):
    def interrupted(*args: object) -> None:
        if where == "torch.save":
            args[1].write(b"half of it")
        raise interruption

    expected = UserError if isinstance(interruption, OSError) else type(interruption)
    with monkeypatch.context() as patch:
        patch.setattr(where, interrupted)
        with pytest.raises(expected):
            save_checkpoint(saved, payload(fill=2.0))
    torch.testing.assert_close(load_checkpoint(saved)["model"]["w"], torch.ones(4, 4), rtol=0, atol=0)
    assert os.listdir(saved.parent) == ["checkpoint.pt"], "the temporary file must go, whatever interrupted the save"


def test_a_full_disk_is_one_sentence(tmp_path):
    """torch's archive writer covers the OSError up with a RuntimeError of its own; the user must see the OSError."""
    resource = pytest.importorskip("resource", reason="file size limits exist on POSIX only")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(UserError, match=r"c\.pt could not be written: File too large"):
            save_checkpoint(tmp_path / "c.pt", {**payload(), "model": {"w": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def disk(monkeypatch):
    """The writes that reach the disk, in order."""
    order = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "bytes")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("name"), replace(*paths)))
    return order


def test_the_bytes_reach_the_disk_before_the_name_does(saved, disk):
    save_checkpoint(saved, payload())
    assert disk[:2] == ["bytes", "name"], "a power cut after a rename without fsync leaves an empty checkpoint"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not open folders")
def test_the_name_reaches_the_disk_before_the_next_thing_is_done(saved, disk):
    save_checkpoint(saved, payload())
    assert disk[2:] == ["folder"], "a power cut could undo the rename and keep the removal of an older file after it"


def test_a_file_system_that_does_not_sync_folders_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    save_checkpoint(tmp_path / "c.pt", payload())
    assert load_checkpoint(tmp_path / "c.pt")["step"] == 3


def test_what_a_killed_save_left_behind_is_removed_and_nothing_else(tmp_path):
    kept = ["checkpoint.pt", ".gitignore", "notes.tmp", ".profile.tmp.bak"]
    for name in [*kept, ".checkpoint.pt.123.tmp", ".resume-000004.pt.77.tmp"]:
        (tmp_path / name).write_bytes(b"half of it")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    remove_leftovers(tmp_path / "not there")


# ---- Files that must be refused ----


def test_missing_file_names_the_command_that_makes_it(tmp_path):
    path = tmp_path / "small" / "sft" / "checkpoint.pt"
    assert complaint(path, made_by="make stage1").endswith(
        "is missing: this command starts from it; run `make stage1` first"
    )


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_truncated_file(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * keep)])
    assert "truncated" in complaint(saved, made_by="make stage1")


def test_a_flipped_bit_in_the_weights_is_noticed(saved):
    data = bytearray(saved.read_bytes())
    at = data.index(torch.ones(4, 4).numpy().tobytes())
    data[at + 5] ^= 1
    saved.write_bytes(data)
    assert "checksum" in complaint(saved, made_by="make stage1"), "torch.load itself does not check the CRC"


def test_no_flipped_byte_ends_in_a_traceback(saved):
    data = saved.read_bytes()
    for at in range(0, len(data), 7):
        saved.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            loaded = load_checkpoint(saved)
        except UserError:
            continue
        torch.testing.assert_close(loaded["model"]["w"], torch.ones(4, 4), rtol=0, atol=0, msg=f"byte {at} unnoticed")


class RunsCode:
    def __reduce__(self):
        return (print, ("this code must not run",))


def test_a_checkpoint_that_could_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    torch.save({**payload(), "format": 1, "extra": RunsCode()}, path)
    assert "could run code" in complaint(path)
    path.write_bytes(pickle.dumps(RunsCode()))
    assert "not a checkpoint" in complaint(path)
    assert capsys.readouterr().out == ""


def test_other_files(tmp_path):
    path = tmp_path / "other.pt"
    path.write_text("hello", encoding="utf-8")
    assert "not a checkpoint of this project" in complaint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "not a checkpoint of this project" in complaint(path)
    torch.save(torch.zeros(3), path)
    assert "no `format` entry" in complaint(path)
    torch.save({**payload(), "format": 99}, path)
    assert "has format 99, and this code reads format 1" in complaint(path)
    torch.save({"format": 1, "kind": "gpt"}, path)
    assert "lacks config, model, tokenizer" in complaint(path)


def test_wrong_kind_and_wrong_tokenizer(saved):
    assert "holds a 'gpt', but a 'reward_model' was expected" in complaint(saved, kind="reward_model")
    assert "another tokenizer" in complaint(saved, kind="gpt", fingerprint="b" * 64)


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ({"weight": torch.zeros(2, 3)}, "bias"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, "weight"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "gain": torch.zeros(2)}, "gain"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration(weights, named):
    model = torch.nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(UserError) as error:
        load_weights(model, {"model": weights}, "sft/checkpoint.pt", "make stage1")
    assert f"sft/checkpoint.pt: the weights {named} do not fit the configuration" in str(error.value)
    assert str(error.value).endswith("make it again with `make stage1`")
    assert torch.equal(model.weight, before), "half of them were loaded"


def test_weights_that_fit_are_loaded():
    model, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    load_weights(model, {"model": other.state_dict()}, "checkpoint.pt")
    assert torch.equal(model.weight, other.weight)


# ---- The other files ----


def test_text_and_json_files(tmp_path):
    write_text(tmp_path / "deep" / "samples.md", "naïve\nline\n")
    assert (tmp_path / "deep" / "samples.md").read_bytes() == "naïve\nline\n".encode()
    write_json(tmp_path / "config.json", {"name": "Ġt", "betas": [0.9, 0.95]})
    assert "Ġt" in (tmp_path / "config.json").read_text(encoding="utf-8"), "JSON is for people: no \\u escapes"
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == {"name": "Ġt", "betas": [0.9, 0.95]}


def test_append_jsonl(tmp_path):
    for step in range(3):
        append_jsonl(tmp_path / "run" / "metrics.jsonl", {"step": step})
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_a_log_is_synced_as_it_is(tmp_path, disk):
    path = tmp_path / "metrics.jsonl"
    append_jsonl(path, {"step": 1})
    sync_jsonl(path)
    assert disk == ["bytes"]
    assert path.read_text(encoding="utf-8") == '{"step": 1}\n'
    with pytest.raises(UserError, match=r"metrics\.jsonl could not be written"):
        sync_jsonl(tmp_path / "not there" / "metrics.jsonl")


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="could not be written"):
        write_text(tmp_path / "runs" / "a.md", "x")
    with pytest.raises(UserError, match="could not be written"):
        append_jsonl(tmp_path / "runs" / "a.jsonl", {})
