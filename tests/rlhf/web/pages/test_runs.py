"""The curves of runs over HTTP: parts of a growing log, a log that is replaced, samples that are text."""

import json
import os

import pytest

from rlhf.web.logs import logs, read_part, read_samples


def write_log(folder, rows, mode="w"):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def rows(start, stop, **more):
    return [{"step": step, "num_tokens": 9, "loss": 1 / (step + 1), **more} for step in range(start, stop)]


def log_of(runs, name="sft"):
    return logs(runs, "tiny")[name]


def test_the_logs_of_all_runs_have_names_and_none_is_a_path(tmp_path):
    for folder in ("tiny/sft", "tiny/ppo", "tiny/ppo/unfinished", "tiny-class/tiny/ppo", "small/sft"):
        write_log(tmp_path / folder, rows(0, 2))
    assert list(logs(tmp_path, "tiny")) == ["ppo", "ppo (again)", "sft", "class/ppo", "small/sft"]
    assert logs(tmp_path / "nowhere", "tiny") == {}


def test_a_growing_log_is_read_part_by_part(tmp_path):
    folder = tmp_path / "tiny" / "sft"
    write_log(folder, rows(0, 3))
    first = read_part(log_of(tmp_path), 0, 0)
    assert first["x"] == [0, 1, 2]
    assert first["series"] == {"loss": pytest.approx([1, 0.5, 1 / 3], rel=1e-4)}, "num_tokens only counts on"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 0.25}\n{"step": 4, "lo')
    second = read_part(log_of(tmp_path), first["next"], first["file"])
    assert (second["from"], second["x"]) == (first["next"], [3]), "half a line was read, or an old line again"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('ss": 0.2}\n')
    third = read_part(log_of(tmp_path), second["next"], second["file"])
    assert (third["x"], third["series"]) == ([4], {"loss": [0.2]})
    assert read_part(log_of(tmp_path), third["next"], third["file"])["x"] == []


def test_a_log_that_was_replaced_is_read_from_its_beginning(tmp_path):
    folder = tmp_path / "tiny" / "sft"
    write_log(folder, rows(0, 9))
    first = read_part(log_of(tmp_path), 0, 0)
    write_log(tmp_path / "other", rows(0, 20))
    os.replace(tmp_path / "other" / "metrics.jsonl", folder / "metrics.jsonl")
    again = read_part(log_of(tmp_path), first["next"], first["file"])
    assert (again["from"], len(again["x"])) == (0, 20)
    assert again["file"] != first["file"]


def test_a_log_that_was_shortened_is_read_from_its_beginning(tmp_path):
    write_log(tmp_path / "tiny" / "sft", rows(0, 9))
    first = read_part(log_of(tmp_path), 0, 0)
    write_log(tmp_path / "tiny" / "sft", rows(0, 2))
    assert read_part(log_of(tmp_path), first["next"], first["file"])["x"] == [0, 1]


def test_a_long_log_comes_in_several_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("rlhf.web.logs.LONGEST_PART", 200)
    write_log(tmp_path / "tiny" / "sft", rows(0, 50))
    part, seen = read_part(log_of(tmp_path), 0, 0), []
    while part["x"]:
        assert part["more"] or part["x"][-1] == 49
        seen += part["x"]
        part = read_part(log_of(tmp_path), part["next"], part["file"])
    assert seen == list(range(50))


def test_what_is_no_number_is_no_curve(tmp_path):
    write_log(tmp_path / "tiny" / "sft", [{"step": 0, "a": None, "b": "x", "c": True, "d": 1}, {"step": 1, "e": 2.5}])
    with (tmp_path / "tiny" / "sft" / "metrics.jsonl").open("a") as file:
        file.write('nonsense\n[1]\n{"loss": 1}\n{"step": 2, "d": NaN}\n')
    part = read_part(log_of(tmp_path), 0, 0)
    assert part["x"] == [0, 1, 2]
    assert part["series"] == {"d": [1.0, None, None], "e": [None, 2.5, None]}


def test_samples_are_sections_of_plain_text(tmp_path):
    write_log(tmp_path / "tiny" / "sft", rows(0, 1))
    first = "## After step 0\n\n~~~text\nuser: <b>x</b>\n## no title\n~~~\n\n"
    page = f"# Samples: sft\n\nA note.\n\n{first}## After step 5\n\nlast\n"
    (tmp_path / "tiny" / "sft" / "samples.md").write_text(page, encoding="utf-8")
    assert read_samples(log_of(tmp_path)) == [
        {"title": "After step 0", "text": "user: <b>x</b>\n## no title"},
        {"title": "After step 5", "text": "last"},
    ]
    (tmp_path / "tiny" / "sft" / "samples.md").unlink()
    assert read_samples(log_of(tmp_path)) == []


# ---- Over HTTP ---------------------------------------------------------------------------------------------------


def test_the_page_and_its_data(with_models, browser):
    app = with_models()
    write_log(app.state.config.run_dir / "sft", rows(0, 3))
    person = browser(app)
    assert person.get("/runs").status_code == 200
    assert person.get("/runs/list").json() == {"logs": [{"name": "sft", "live": True}]}
    assert person.get("/runs/part?name=sft").json()["x"] == [0, 1, 2]
    assert person.get("/runs/samples?name=sft").json() == {"sections": []}


@pytest.mark.parametrize(
    "query",
    [
        "part?name=../sft",
        "part?name=",
        "part",
        "samples?name=%2Fetc%2Fpasswd",
        "part?name=sft&from=-1",
        "part?name=sft&file=x",
    ],
)
def test_a_log_is_named_and_never_a_path(with_models, browser, query):
    app = with_models()
    write_log(app.state.config.run_dir / "sft", rows(0, 3))
    response = browser(app).get(f"/runs/{query}", headers={"Accept": "application/json"})
    assert response.status_code == 400
    assert "error" in response.json()
