"""Commands on a page are read by the real command lines, and nothing runs."""

import importlib
import re
from types import ModuleType

import pytest

from minigpt import pretrain
from minigpt.runs.config import parse
from minigpt.runs.errors import UserError
from tutorials.tools.commands import accepts, check_command, commands
from tutorials.tools.page import ROOT

MAKEFILE = "PRESET = small\nall: x\ncheck-exercises:\n\t$(PY) $(OUT)\n"
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for package in ("minigpt", "rlhf", "tutorials/tools")
    for path in (ROOT / package).rglob("*.py")
    if re.search(r"^def main\(argv", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_b():\n    pass\n", encoding="utf-8")
    return tmp_path


def test_a_block_is_split_into_commands():
    assert commands("# first\n$ make all \\\n    PRESET=tiny\n\n$ cd x\n") == ["make all PRESET=tiny", "cd x"]


def test_output_does_not_belong_into_a_console_block():
    with pytest.raises(UserError, match="'done' in a console block is no command"):
        commands("$ make\ndone\n")


@pytest.mark.parametrize(
    "command",
    [
        "make",
        "make all",
        "make all PRESET=tiny",
        "make check-exercises OUT=x",
        "git clone x",
        "cd x",
        "source .venv/bin/activate",
        "python -m pytest tests/test_a.py::test_b -x",
        "python -m pytest",
        "python -m rlhf.stage3_ppo --paper instructgpt --beta 0.05",
        "python -m rlhf.stage3_ppo --help",
        ".venv/bin/python -m minigpt.toyworld --count 3  # three documents",
        'python -m minigpt.pretrain --corpus "my text.txt"',
    ],
)
def test_commands_that_would_run(root, command):
    check_command(command, root)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("make al", "the Makefile has no target al (did you mean all?)"),
        ("make all PRESETS=tiny", "the Makefile has no variable PRESETS (did you mean PRESET?)"),
        (
            "python -m rlhf.stage3_ppo --epsilon 2",
            "`python -m rlhf.stage3_ppo --epsilon 2` is refused: unknown option --epsilon",
        ),
        ("python -m rlhf.stage3_ppo --beta much", "--beta: expected a number, got 'much'"),
        ("python -m rlhf.stage3_ppo --preset huge", "'huge' is not one of tiny, small"),
        ("python -m rlhf.pppo", "there is no such module"),
        ("python -m rlhf.stage2_reward.objective", "it can only be checked with a `parse_command(argv)`"),
        ("python -m http.server", "only our own modules and pytest can be checked"),
        ("python -m pytest tests/test_b.py", "there is no tests/test_b.py"),
        ("python -m pytest tests/test_a.py::test_c", "has no test test_c"),
        ("rm -rf runs", "only make, python -m and git, cd, source can be shown"),
        ("python script.py", "only make, python -m and"),
    ],
)
def test_stale_commands_are_refused_with_the_reason(root, command, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_command(command, root)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_ours_can_be_checked(name, monkeypatch, tmp_path):
    """And nothing of it runs: in an empty folder each would fail, or leave something."""
    monkeypatch.chdir(tmp_path)
    check_command(f"python -m {name}")
    check_command(f"python -m {name} --help")
    with pytest.raises(UserError, match="unknown option --no-such-flag"):
        check_command(f"python -m {name} --no-such-flag 1")
    assert list(tmp_path.iterdir()) == []


def test_a_main_that_parses_something_else_is_not_believed():
    module = ModuleType("made_up")
    module.parse = parse
    module.main = lambda argv: module.parse(pretrain.PretrainConfig, argv[:0], description="", presets={})
    with pytest.raises(UserError, match="its main never parsed the arguments as they were given"):
        accepts(module, ["--seed", "1"])


def test_a_parse_command_is_asked_and_nothing_else():
    module = ModuleType("made_up")
    asked = []
    module.parse_command = asked.append
    module.main = lambda argv: pytest.fail("main must not run")
    accepts(module, ["check", "4.1"])
    assert asked == [["check", "4.1"]]


def test_the_wrapped_parse_is_gone_afterwards():
    before = importlib.import_module("minigpt.pretrain").parse
    check_command("python -m minigpt.pretrain")
    assert pretrain.parse is before is parse
