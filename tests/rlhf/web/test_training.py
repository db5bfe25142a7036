"""The teacher's button: one job at a time, in a folder of its own, that outlives the server and says why it failed."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_rankings
from rlhf.web.labels import training
from rlhf.web.labels.training import JobConfig, begin_run, start, status
from rlhf.web.pages.teacher import job_as_json
from rlhf.web.stages import stages
from rlhf.web.store import items, jobs
from tests.rlhf.web.conftest import JOIN, TEACHER, label_of

PATIENCE = 300  # seconds: other processes may want the cores
linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")


@pytest.fixture
def app(make_app, people_in):
    """A class with three rankings, and a run with an SFT policy that is none."""
    app = make_app(classroom=True, join_code=JOIN, teacher_code=TEACHER, known_share=0.0, requests_per_second=1e6)
    for name in ("tokenizer.json", "pretrain/checkpoint.pt", "sft/checkpoint.pt", "sft/demonstrations.jsonl"):
        path = app.state.config.run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (ada,) = people_in(app, "Ada")
    item = ada.tell("/label/next", {}).json()["item"]
    for _ in range(3):
        item = ada.tell("/label", label_of(item)).json()["item"]
    return app


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(training, "COMMANDS", dict.fromkeys(training.COMMANDS, "tests.rlhf.web.pretend_stage"))


def job_of(app, kind="reward_model,ppo"):
    """The config of a job that this process runs itself."""
    config = app.state.config
    return JobConfig(preset=config.preset, runs=config.runs, kind=kind, job=jobs.begin(app.state.store, kind))


def teacher_of(app, browser):
    teacher = browser(app)
    teacher.join("Grace", TEACHER)
    return teacher


def ended(app):
    deadline = time.monotonic() + PATIENCE
    while (job := status(app.state.store, app.state.config)).state == "running":
        assert time.monotonic() < deadline, "the job does not end"
        time.sleep(0.1)
    return job


# ---- What a job does ---------------------------------------------------------------------------------------------


def test_a_job_trains_in_a_folder_of_its_own_on_what_was_ranked(app, pretended):
    config = job_of(app)
    assert training.run(config) == ""
    run_dir = config.class_dir / "tiny"
    assert (run_dir / "sft" / "checkpoint.pt").read_text() == "sft/checkpoint.pt"
    assert not (app.state.config.run_dir / "reward_model").exists()
    called = {part: (run_dir / part / "called.json").read_text() for part in ("reward_model", "ppo")}
    assert str(config.class_dir / "rankings.jsonl") in called["reward_model"]
    assert "--rankings" not in called["ppo"]
    assert len(read_rankings(config.class_dir / "rankings.jsonl", BadRecords())) == 3
    found = stages(config.runs, "tiny")["class"]
    assert found.folder == run_dir / "ppo"
    assert found.reward_model_dir == run_dir / "reward_model"


def test_a_job_that_is_repeated_resumes_and_with_other_rankings_begins_anew(app, pretended, people_in):
    config = job_of(app)
    begin_run(app.state.store, config)
    stopped = config.class_dir / "tiny" / "reward_model" / "resume-000010.pt"
    stopped.parent.mkdir()
    stopped.touch()
    begin_run(app.state.store, config)
    assert stopped.exists(), "a stopped training on the same rankings is not resumed"
    (bob,) = people_in(app, "Bob")
    bob.tell("/label", label_of(bob.tell("/label/next", {}).json()["item"]))
    begin_run(app.state.store, config)
    assert not stopped.exists(), "the command would refuse to resume with other rankings, and nobody could go on"


def test_the_curves_grow_and_a_half_written_line_is_left_out(app, pretended):
    config = job_of(app)
    training.run(config)
    shown = job_as_json(app.state.store, app.state.config)
    assert shown["curves"]["reward_model"]["loss"] == [[0, 1.0], [1, 0.5]]


def test_a_failure_is_the_commands_one_sentence(app, pretended):
    (app.state.config.class_dir / "fail").touch()
    assert training.run(job_of(app)) == "the answers are all equal: sample more"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"", None),
        (b"reading\n", None),
        (b"ppo:   0%|          | 0/8 [00:00<?]\rppo:  38%|###7      | 3/8 [00:10<00:17, score 3.14, ended 100%]", 38),
        (b"ppo:  88% 7/8 [00:57<00:08,  8.27s/iteration, score 3.14, KL 0.67 nats, ended 100%]\n", 88),
    ],
)
def test_the_progress_is_that_of_the_commands_bar(app, printed, expected):
    config = job_of(app, "ppo")
    training.log_path(config.class_dir, "rlhf.stage3_ppo").write_bytes(printed)
    job = jobs.last(app.state.store)
    assert training.percent(config, job) == expected
    assert training.percent(config, replace(job, started=time.time() + 60)) is None, "it is the bar of an older job"
    assert training.percent(config, replace(job, state="done")) is None


# ---- One at a time -----------------------------------------------------------------------------------------------


def test_nothing_is_trained_on_nothing(make_app, browser):
    app = make_app(classroom=True, teacher_code=TEACHER)
    with pytest.raises(UserError, match="rank some prompts first"):
        start(app.state.store, app.state.config, "reward_model,ppo")
    page = teacher_of(app, browser).submit("/teacher/train", kind="ppo")
    assert page.status_code == 400
    assert "no reward model of this class" in page.text
    assert jobs.last(app.state.store) is None


@pytest.mark.parametrize("kind", ["", "rm -rf", "../reward_model", "ppo,ppo"])
def test_only_the_jobs_that_there_are_can_be_started(app, browser, kind):
    assert teacher_of(app, browser).submit("/teacher/train", kind=kind).status_code == 400
    assert jobs.last(app.state.store) is None


def test_a_student_starts_nothing(app, people_in):
    (bob,) = people_in(app, "Bob")
    assert bob.submit("/teacher/train", kind="reward_model").status_code == 403
    assert jobs.last(app.state.store) is None


def test_two_teachers_press_at_once_and_one_job_starts_and_says_why_it_failed(app, browser):
    teachers = [teacher_of(app, browser), browser(app)]
    teachers[1].join("Heidi", TEACHER)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda teacher: teacher.submit("/teacher/train", kind="reward_model"), teachers))
    assert [answer.status_code for answer in answers] == [303, 303], [answer.text for answer in answers]
    assert app.state.store.row("SELECT count(*) FROM jobs")[0] == 1
    job = ended(app)  # the run's models are none: the command refuses them
    assert job.state == "failed"
    assert "tokenizer.json" in job.message
    assert job.message in teachers[0].get("/teacher").text.replace("&#39;", "'").replace("&#34;", '"')


def processes_of(folder):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(folder) in word for word in words) and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


@linux
def test_a_job_outlives_its_server_and_one_that_was_killed_is_noticed(app, make_app, monkeypatch):
    folder = app.state.config.class_dir
    (folder / "wait").touch()
    # the process of the job cannot be patched from here: it gets a `python` that patches itself
    program = folder / "python"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv.pop(0)\nassert sys.argv.pop(0) == '-m'\n"
        "from rlhf.web.labels import training\nsys.executable = "
        f"{sys.executable!r}\n"
        "training.COMMANDS = dict.fromkeys(training.COMMANDS, 'tests.rlhf.web.pretend_stage')\n"
        "sys.argv.pop(0)\ntraining.main(sys.argv)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(training.sys, "executable", str(program))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    store, config = app.state.store, app.state.config
    assert start(store, config, "reward_model,ppo")
    another_server = make_app(classroom=True)
    assert status(another_server.state.store, config).state == "running"
    assert not start(another_server.state.store, config, "reward_model"), "two jobs in one folder"
    deadline = time.monotonic() + PATIENCE
    while len(processes_of(config.runs)) < 2 and time.monotonic() < deadline:  # the job, and the command that it runs
        time.sleep(0.1)
    job, *commands = sorted(processes_of(config.runs))
    os.kill(job, signal.SIGKILL)
    time.sleep(0.5)
    assert status(store, config).state == "running", "its command still writes into the folder: no other may begin"
    for process in commands:
        os.kill(process, signal.SIGKILL)
    job = ended(app)
    assert (job.state, job.message) == ("failed", training.STOPPED)
    (folder / "wait").unlink()
    assert start(store, config, "reward_model,ppo")
    assert ended(app).state == "done", ended(app).message
    assert (folder / "tiny" / "ppo" / "checkpoint.pt").is_file()


def test_without_file_locks_the_button_says_what_to_do(app, browser, monkeypatch, capsys):
    """As on Windows: the server serves, and a job is refused in one sentence."""
    monkeypatch.setattr(training, "fcntl", None)
    answer = teacher_of(app, browser).submit("/teacher/train", page="/teacher", kind="reward_model")
    assert "--rankings" in answer.text, "the page does not say how to train"
    assert status(app.state.store, app.state.config) is None, "a job was noted that nobody runs"
    monkeypatch.setattr(items, "count", lambda store: 0)
    with browser(app) as served:  # the lifespan: prompts would be prepared by another process
        assert served.get("/join").status_code == 200
    assert "rlhf.web.prepare" in capsys.readouterr().err
