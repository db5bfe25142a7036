"""The reading path of README.md: up to date, short enough, and free of side rooms."""

import ast

import pytest

from tests.reading_path import MOST_LINES, PATH, ROOT, line_count, table

SIDE_ROOMS = ("minigpt.corpora", "minigpt.scale", "minigpt.hf", "rlhf.data_formats", "rlhf.web")
# the lines through which the core enters a side room
ENTRANCES = {
    "minigpt/tokenizer.py": {"minigpt.corpora.chunks"},
    "minigpt/data.py": {"minigpt.corpora.permutation", "minigpt.corpora.token_file"},
    "minigpt/training.py": {
        "minigpt.scale.compilation",
        "minigpt.scale.distributed",
        "minigpt.scale.precision",
        "minigpt.scale.sharding",
    },
    "rlhf/stage1_sft/objective.py": {"minigpt.scale.distributed"},
    "rlhf/stage3_ppo/step.py": {"minigpt.scale.distributed", "minigpt.scale.precision", "minigpt.scale.sharding"},
    "rlhf/stage3_ppo/rollout.py": {"minigpt.scale.decoding", "minigpt.scale.distributed"},
}


def test_the_table_in_the_readme_is_up_to_date():
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8"), "run `python -m tests.reading_path`"


def test_the_path_stays_within_its_lines():
    total = sum(line_count(file) for file, _ in PATH)
    assert total <= MOST_LINES, f"{total} lines: split what only speed, clusters or formats need into a side room"


@pytest.mark.parametrize("file", [file for file, _ in PATH])
def test_no_file_of_the_path_imports_a_side_room_but_through_its_entrance(file):
    found = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    rooms = {module for module in found if module.startswith(SIDE_ROOMS)}
    assert rooms <= ENTRANCES.get(file, set()), f"{file} imports {rooms - ENTRANCES.get(file, set())}"
