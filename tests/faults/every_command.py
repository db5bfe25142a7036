"""Every command that writes, on a disk that is full and on one that can only be read: real ones, of a few megabytes.

    unshare --mount python -m tests.faults.every_command FOLDER

tests/test_faults.py runs this in a mount namespace of its own. Prints, for each command, how it ended on either disk,
what it said on stderr, and which files it has changed or left behind, as one JSON object.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from minigpt.runs.errors import run_main
from tests.commands.test_bad_input import TINY, fill_run
from tests.conftest import made_up_answers, made_up_results
from tests.faults.commands import CORPUS

CONTEXT = 320  # of models whose tokens are bytes, which the toy world's prompts must fit into
FEW = "--max-new-tokens=2"
ROLLOUT = ("--prompts=4", "--batch-size=4", FEW)
# {disk} is the folder of everything; each module gets --runs={disk}/runs --preset=tiny unless it has no such setting
COMMANDS = {
    "minigpt.pretrain": ("--corpus={disk}/corpus.txt", "--steps=2", *TINY),
    "rlhf.stage1_sft": ("--demonstrations={disk}/demonstrations.jsonl",),
    "rlhf.stage2_reward": ("--rankings={disk}/rankings.jsonl",),
    "rlhf.stage3_ppo": (*ROLLOUT, "--iterations=1", "--minibatch-size=4", "--critic-warmup=0"),
    "rlhf.alternatives.dpo": ("--rankings={disk}/rankings.jsonl",),
    "rlhf.alternatives.grpo": (*ROLLOUT, "--group-size=2", "--steps=1"),
    "rlhf.evaluation": ("--count=16", "--samples=1", FEW),
    "rlhf.evaluation.rollouts": (),
    "rlhf.evaluation.side_effects": ("--count=10", "--samples=1", "--iterations=8", FEW),
    "rlhf.report": (),
    "rlhf.report.readme": ("--readme={disk}/page.md", "--expected={disk}/none"),
    "rlhf.settings": (),
    "minigpt.scale.bench": ("--layers=1", "--channels=16", "--heads=2", "--steps=5", "--batch-size=2"),
    "minigpt.hf.convert": ("--to-hf={disk}/exported", "--stage=sft"),
    "rlhf.data_formats.export": ("--to-hf={disk}/exported-reward-model",),
    "rlhf.data_formats.preferences": ("--rankings={disk}/rankings.jsonl", "--trl={disk}/pairs.jsonl"),
    "rlhf.web.prepare": ("--prompts=2", "--answers=2", FEW),
    "tutorials.experiments": ("--name=k_choose_2", "--jobs=1"),
    "tutorials.tools.notebooks": ("--out={disk}/notebooks",),
    "tutorials.grading.handout": ("--out={disk}/handout",),
}
WITHOUT_RUNS = {"rlhf.data_formats.preferences", "tutorials.tools.notebooks", "tutorials.grading.handout"}
# every other command, and why it is not tried here
NOT_TRIED = {
    **dict.fromkeys(
        (
            "minigpt.scale.plan",
            "minigpt.toyworld",
            "rlhf.data_formats",
            "rlhf.data_formats.check",
            "rlhf.evaluation.best_of_k",
            "rlhf.chat",
            "rlhf.evaluation.results",
            "rlhf.people",
            "tutorials.exercises",
            "tutorials.grading.prove",
            "tutorials.tools.check",
            "tutorials.tools.lint",
        ),
        "prints only",
    ),
    **dict.fromkeys(
        ("tutorials.grading.stubs", "tutorials.tools.figures", "tutorials.tools.update"),
        "writes into the repository, by write_text",
    ),
    "rlhf.web": "serves until Ctrl-C; what people type goes into the file that rlhf.web.prepare begins",
    "rlhf.web.labels.training": "runs the commands above",
    "tutorials.grading.grade": "needs a class and its fences; writes by write_text",
}
PAGE = "<!-- results:start -->\n<!-- results:end -->\n<!-- samples:start -->\n<!-- samples:end -->\n"


def fill(disk: Path) -> None:
    """All that the commands start from: a run of random models, as its stages leave it, and files of a user."""
    run_dir = disk / "runs" / "tiny"
    fill_run(run_dir, context=CONTEXT)
    (disk / "corpus.txt").write_text(CORPUS, encoding="utf-8")
    (disk / "page.md").write_text(PAGE, encoding="utf-8")
    demonstration = '{"prompt": "The cow?", "response": "Grass."}\n'
    (disk / "demonstrations.jsonl").write_text(demonstration * 8, encoding="utf-8")
    (disk / "rankings.jsonl").write_text('{"prompt": "Hi", "chosen": "a", "rejected": "b"}\n' * 8, encoding="utf-8")
    (run_dir / "results.json").write_text(json.dumps(made_up_results()), encoding="utf-8")
    (run_dir / "evaluation").mkdir()
    answers = "".join(json.dumps(answer) + "\n" for answer in made_up_answers())
    (run_dir / "evaluation" / "answers.jsonl").write_text(answers, encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "ballast")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def run(module: str, disk: Path) -> dict[str, object]:
    """The end of a command, its output, and its changes to the files below `disk`."""
    flags = [flag.format(disk=disk) for flag in COMMANDS[module]]
    flags += [] if module in WITHOUT_RUNS else [f"--runs={disk / 'runs'}", "--preset=tiny"]
    name = module if not (Path(*module.split(".")) / "__main__.py").is_file() else f"{module}.__main__"
    sys.argv = [module, *flags]
    before, said = files(disk), io.StringIO()
    status = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            run_main(importlib.import_module(name).main)
        except SystemExit as stop:
            status = int(stop.code or 0)
    after = files(disk)
    changed = sorted(name for name in before if after.get(name) != before[name])
    left = sorted(name for name in after if name not in before and after[name])
    return {"status": status, "said": said.getvalue(), "changed": changed, "left": left}


def main(disk: Path) -> dict[str, dict[str, dict[str, object]]]:
    """Every command on a full disk, and on one that can only be read."""
    os.environ["OMP_NUM_THREADS"] = "1"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], check=True)
    fill(disk)
    sound = run("rlhf.stage3_ppo", disk)  # the evaluation reads its rollouts
    assert sound["status"] == 0, sound["said"]
    found = {}
    for kind in ("full", "read-only"):
        if kind == "full":
            with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
                while True:
                    ballast.write(b"\0" * 4096)
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        found[kind] = {module: run(module, disk) for module in COMMANDS}
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1])), indent=1))
