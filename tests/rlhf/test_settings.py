"""Two seeds or two corpora are never mixed in one folder."""

import json
from pathlib import Path

import pytest

from minigpt.runs.errors import UserError
from rlhf.settings import main


def begin(tmp_path, *flags):
    """What the Makefile does before a run: then something is made in the folder."""
    main(["--runs", str(tmp_path), *flags])
    made = tmp_path / "small" / "pretrain" / "made-with"
    made.parent.mkdir(exist_ok=True)
    if not made.exists():
        made.write_text(" ".join(flags), encoding="utf-8")
    return made


def folders(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.is_dir())


def test_the_same_settings_touch_nothing(tmp_path, capsys):
    begin(tmp_path, "--seed=1")
    settings = tmp_path / "small" / "settings.json"
    before = settings.stat().st_mtime_ns
    begin(tmp_path, "--seed=1")
    assert settings.stat().st_mtime_ns == before, "make would take every stage for out of date"
    assert json.loads(settings.read_text(encoding="utf-8")) == {"seed": 1, "corpus": None}
    assert capsys.readouterr().out == ""


def test_another_seed_moves_the_folder_aside_and_says_so(tmp_path, capsys):
    begin(tmp_path, "--seed=0")
    made = begin(tmp_path, "--seed=1")
    assert made.read_text(encoding="utf-8") == "--seed=1"
    assert (tmp_path / "small.seed-0" / "pretrain" / "made-with").read_text(encoding="utf-8") == "--seed=0"
    assert f"is kept as {tmp_path / 'small.seed-0'}" in capsys.readouterr().out


def test_what_was_moved_aside_is_never_overwritten(tmp_path):
    for seed in (0, 1, 0, 1):
        begin(tmp_path, f"--seed={seed}")
    assert folders(tmp_path) == ["small", "small.seed-0", "small.seed-0.2", "small.seed-1"]


def test_a_folder_that_cannot_be_moved_aside_is_left_where_it_is(tmp_path, monkeypatch):
    made = begin(tmp_path, "--seed=0")

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match=r"small could not be moved aside .*Permission denied; move it yourself"):
        begin(tmp_path, "--seed=1")
    assert made.read_text(encoding="utf-8") == "--seed=0"


def test_the_contents_of_a_corpus_count_and_not_its_name(tmp_path):
    runs = tmp_path / "runs"
    corpus = tmp_path / "one.txt"
    corpus.write_text("The cat sleeps.", encoding="utf-8")
    begin(runs, f"--corpus={corpus}")
    corpus = corpus.rename(tmp_path / "two.txt")
    begin(runs, f"--corpus={corpus}")
    assert folders(runs) == ["small"]
    corpus.write_text("The dog sleeps.", encoding="utf-8")
    begin(runs, f"--corpus={corpus}")
    assert folders(runs) == ["small", "small.seed-0"]
    begin(runs)
    assert folders(runs) == ["small", "small.seed-0", "small.seed-0.2"]


def test_a_folder_that_does_not_say_what_it_is_is_kept_too(tmp_path, capsys):
    made = tmp_path / "small" / "pretrain" / "checkpoint.pt"
    made.parent.mkdir(parents=True)
    made.touch()
    begin(tmp_path)
    assert folders(tmp_path) == ["small", "small.seed-unknown"]
    assert "does not say what it was made with" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, b"", b"\x00\x01"])
def test_a_bad_corpus_is_refused_before_anything_moves(tmp_path, text):
    runs = tmp_path / "runs"
    begin(runs)
    corpus = tmp_path / "my.txt"
    if text is not None:
        corpus.write_bytes(text)
    with pytest.raises(UserError, match=r"my\.txt"):
        begin(runs, f"--corpus={corpus}")
    assert folders(runs) == ["small"]


def test_a_mistyped_preset_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'smal' is not one of .*did you mean small"):
        main(["--runs", str(tmp_path), "--preset", "smal"])
    assert folders(tmp_path) == []
