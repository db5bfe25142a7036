"""Commands that have moved: the old name prints one sentence with the new one, and the new one exists."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = sorted(path for package in ("minigpt", "rlhf") for path in (ROOT / package / "_old_commands").rglob("*.py"))


def old_name(stub: Path) -> str:
    return ".".join(part for part in stub.relative_to(ROOT).with_suffix("").parts if part != "_old_commands")


def has_main(command: str) -> bool:
    """True if `python -m command` runs something: a module with a main block, or a package with a __main__."""
    spec = importlib.util.find_spec(command)
    if spec is None:
        return False
    if spec.submodule_search_locations:
        return importlib.util.find_spec(f"{command}.__main__") is not None
    return '__name__ == "__main__"' in Path(spec.origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("stub", STUBS, ids=old_name)
def test_a_stub_is_found_under_its_old_name_and_names_a_command_that_exists(stub):
    old, new = re.search(r'refuse_old_command\("([\w.]+)", "([\w.]+)"\)', stub.read_text(encoding="utf-8")).groups()
    assert old == old_name(stub)
    found = importlib.util.find_spec(old)
    assert found is not None, "the stub is not found: is its folder part of the package's __path__?"
    assert Path(found.origin) == stub, "another module has this name, so that nobody sees the stub"
    assert has_main(new), f"`python -m {new}` does not exist"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rlhf.evaluation.chat", "rlhf.chat"),
        ("rlhf.evaluation.report", "rlhf.report"),
        ("rlhf.evaluation.readme", "rlhf.report.readme"),
        ("rlhf.ppo", "rlhf.stage3_ppo"),
    ],
)
def test_an_old_command_prints_one_sentence_with_the_new_name(old, new):
    ended = subprocess.run([sys.executable, "-m", old, "--preset=tiny"], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        f"error: `python -m {old}` has moved; the command is now `python -m {new}`, with the same flags."
    ]
