"""Two seeds or two corpora are never mixed in one folder, and what is out of date in it is found without times."""

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest

from minigpt import pretrain
from minigpt.runs import made_from as module
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError
from minigpt.runs.made_from import code_digest, default_settings, made_from
from rlhf.settings import CHAIN, main
from rlhf.stage1_sft import stage as sft


def begin(tmp_path, *flags):
    """The Makefile's work before a run: then something is made in the folder."""
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
    assert settings.stat().st_mtime_ns == before, "it is written only when it changes"
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


# ---- What is out of date ---------------------------------------------------------------------------------------------

PARTS = [part.folder for part in CHAIN]


def make_part(runs, part, files=None, **flags):
    """A result and its made_from.json, as the stage writes them."""
    stage = importlib.import_module(part.module)
    config = default_settings(getattr(stage, part.config)(preset="tiny", runs=str(runs)), stage.PRESETS)
    config = with_overrides(config, {"runs": str(runs), **flags})
    result, folder = config.run_dir / part.result, config.run_dir / part.folder
    folder.mkdir(parents=True, exist_ok=True)
    result.write_bytes(f"{part.folder} {flags}".encode())
    inputs = [config.run_dir / need / "checkpoint.pt" for need in part.needs] if files is None else files
    (folder / "made_from.json").write_text(json.dumps(made_from(config, stage.PRESETS, part.module, inputs)))


@pytest.fixture
def runs(tmp_path):
    """The whole chain at preset tiny, up to date."""
    runs = tmp_path / "runs"
    main(["--runs", str(runs), "--preset=tiny"])
    for part in CHAIN:
        make_part(runs, part)
    return runs


def outdated(runs, capsys, *flags):
    """The parts that lose their made_from.json, and what is said of them. Results stay."""
    results = [runs / "tiny" / part.result for part in CHAIN]
    before = {path: path.read_bytes() for path in results}
    had = {name for name in PARTS if (runs / "tiny" / name / "made_from.json").exists()}
    capsys.readouterr()
    main(["--runs", str(runs), "--preset=tiny", *flags])
    assert {path: path.read_bytes() for path in before} == before, "a result is replaced only by a complete one"
    lost = [name for name in PARTS if name in had and not (runs / "tiny" / name / "made_from.json").exists()]
    return lost, capsys.readouterr().out


def test_nothing_is_out_of_date_in_a_finished_run_nor_in_a_copy_with_other_times(runs, tmp_path, capsys):
    assert outdated(runs, capsys) == ([], "")
    shutil.copytree(runs, tmp_path / "copy")
    for number, path in enumerate(sorted((tmp_path / "copy").rglob("*"), reverse=True)):
        os.utime(path, (10**9 + number, 10**9 + number))
    assert outdated(tmp_path / "copy", capsys) == ([], ""), "a folder that was copied would be trained anew"


def test_a_preset_that_changed_is_found_and_so_is_all_that_was_made_from_it(runs, capsys, monkeypatch):
    monkeypatch.setitem(sft.PRESETS, "tiny", {**sft.PRESETS["tiny"], "epochs": 7.0})
    lost, said = outdated(runs, capsys)
    assert lost == PARTS[1:]
    assert f"{runs / 'tiny' / 'sft'} is out of date: epochs was 6.0 and is 7.0" in said
    assert outdated(runs, capsys) == ([], ""), "it is said once"


def test_the_users_own_flags_stay_and_other_numbers_of_the_preset_count(runs, capsys, monkeypatch):
    make_part(runs, CHAIN[0], documents=17)
    for part in CHAIN[1:]:
        make_part(runs, part)
    assert outdated(runs, capsys)[0] == []
    monkeypatch.setitem(pretrain.PRESETS, "tiny", {**pretrain.PRESETS["tiny"], "documents": 18})
    assert outdated(runs, capsys)[0] == [], "the user chose the number of documents, the preset did not"
    monkeypatch.setitem(pretrain.PRESETS, "tiny", {**pretrain.PRESETS["tiny"], "steps": 9})
    assert outdated(runs, capsys)[0] == PARTS


def test_a_stage_before_that_was_made_again_is_found_by_its_contents(runs, capsys):
    (runs / "tiny" / "sft" / "checkpoint.pt").write_bytes(b"another policy")
    lost, said = outdated(runs, capsys)
    assert lost == PARTS[2:]
    assert "reward_model is out of date: sft/checkpoint.pt is another one" in said


def test_a_users_own_file_counts_while_it_is_there(runs, tmp_path, capsys):
    mine = tmp_path / "mine.jsonl"
    mine.write_text("one")
    make_part(runs, CHAIN[1], [runs / "tiny" / "pretrain" / "checkpoint.pt", mine])
    for part in CHAIN[2:]:
        make_part(runs, part)
    mine.unlink()
    assert outdated(runs, capsys)[0] == [], "it cannot be read again, and the result is still that of it"
    mine.write_text("two")
    assert outdated(runs, capsys)[0] == PARTS[1:]


OWN = {"sft": "demonstrations", "reward_model": "rankings", "dpo": "rankings"}


@pytest.fixture
def mine(runs, tmp_path):
    """A file of rankings, and a chain from the reward model on that was made from it."""
    path = tmp_path / "my own 'rankings'.jsonl"
    path.write_text("one")
    for part in CHAIN[2:]:
        needed = [runs / "tiny" / need / "checkpoint.pt" for need in part.needs]
        own = {"rankings": str(path)} if OWN.get(part.folder) == "rankings" else {}
        make_part(runs, part, [*needed, *([path] if own else [])], **own)
    return path


@pytest.mark.parametrize("number", [1, 2])
def test_a_result_of_other_data_than_what_is_given_is_out_of_date(runs, tmp_path, capsys, number):
    name = OWN[PARTS[number]]
    path = tmp_path / "given.jsonl"
    path.write_text("one")
    lost, said = outdated(runs, capsys, f"--{name}={path}")
    assert lost == PARTS[number:], "the toy world's result would be taken for that of the data that was given"
    assert f"{name} was None and is {path}" in said


def test_a_result_of_ones_own_data_stays_with_and_without_naming_it_again(runs, mine, capsys):
    assert outdated(runs, capsys) == ([], "")
    assert outdated(runs, capsys, f"--rankings={mine}") == ([], "")
    moved = mine.rename(mine.with_name("moved.jsonl"))
    assert outdated(runs, capsys, f"--rankings={moved}") == ([], ""), "the contents count, not the name"
    moved.write_text("two")
    lost, said = outdated(runs, capsys, f"--rankings={moved}")
    assert lost == PARTS[2:]
    assert f"rankings was {mine} and is {moved}" in said


def test_the_toy_worlds_data_never_take_the_place_of_ones_own_in_silence(runs, mine, capsys):
    (runs / "tiny" / "sft" / "checkpoint.pt").write_bytes(b"another policy")
    with pytest.raises(UserError, match=r"made from your own rankings, .*give RANKINGS=.*again, or delete the folder"):
        main(["--runs", str(runs), "--preset=tiny"])
    assert (runs / "tiny" / "reward_model" / "made_from.json").exists()
    assert outdated(runs, capsys, f"--rankings={mine}")[0] == PARTS[2:]
    # a run that was to replace it is killed: made_from.json is gone, the old result is there
    config = {"config": {"rankings": str(mine)}}
    (runs / "tiny" / "reward_model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="your own rankings"):
        main(["--runs", str(runs), "--preset=tiny"])


def test_a_file_that_is_not_there_is_refused_before_anything_changes(runs, tmp_path):
    with pytest.raises(UserError, match=r"--rankings: .*nothing\.jsonl is no file"):
        main(["--runs", str(runs), "--preset=tiny", "--seed=9", f"--rankings={tmp_path / 'nothing.jsonl'}"])
    assert folders(runs) == ["tiny"]


@pytest.mark.parametrize("text", ["", "[]", "{}", None])
def test_a_result_that_does_not_say_what_it_was_made_from_is_made_again(runs, capsys, text):
    path = runs / "tiny" / "ppo" / "made_from.json"
    path.write_text(text or "") if text is not None else path.unlink()
    lost, _ = outdated(runs, capsys)
    assert lost == ([] if text is None else ["ppo"]) + ["evaluation"]


def test_a_complete_result_that_was_killed_before_it_took_its_place_takes_it(runs, capsys):
    folder = runs / "tiny" / "ppo"
    (folder / "unfinished").mkdir()
    for name in ("checkpoint.pt", "made_from.json"):
        shutil.copy(folder / name, folder / "unfinished" / name)
    assert outdated(runs, capsys)[0] == []
    assert not (folder / "unfinished").exists()


def test_code_counts_with_what_it_imports_and_its_prose_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "minigpt" / "runs").mkdir(parents=True)

    def digest(**sources):
        for name, text in sources.items():
            (tmp_path / "minigpt" / f"{name}.py").write_text(text)
        module._imports.cache_clear()
        module._plain_source.cache_clear()
        return code_digest("minigpt.a")

    first = digest(a='"""A."""\nfrom minigpt import b\n', b="def f():\n    return 1\n", c="x = 1\n")
    assert digest(a='"""Another."""\nfrom minigpt import b  # why\n') == first
    assert digest(b='def f():\n    """One."""\n\n    return 1\n') == first
    assert digest(c="x = 2\n") == first, "it is not imported"
    assert digest(b="def f():\n    return 2\n") != first
    with_runs = digest(
        b="from minigpt.runs import files, seeds\n", **{"runs/files": "x = 1\n", "runs/seeds": "x = 1\n"}
    )
    assert digest(**{"runs/files": "x = 2\n"}) == with_runs, "how a run is written to disk decides no number of it"
    assert digest(**{"runs/seeds": "x = 2\n"}) != with_runs
