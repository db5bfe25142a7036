"""The imports of the packages: they point one way, in no circle, and only a few files see the gold labeler.

Read from the source, so that an import inside a function counts as well as one at the top of a file.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("minigpt", "rlhf", "tutorials")
LABELER = ("rlhf.people.labeler", "rlhf.people.story_grader")
# Simulated people, measurements, and the comparisons of stage 2, where people rank answers.
IMPORT_THE_LABELER = ("rlhf.people.", "rlhf.evaluation.", "rlhf.stage2_reward.comparisons")
# What may reach it by way of those: the commands in which people rank or are shown, the measurements, the course.
REACH_THE_LABELER = (
    "rlhf.people.__main__",
    "rlhf.people.labeler",
    "rlhf.evaluation.",
    "rlhf.report.",
    "rlhf.stage2_reward.comparisons",
    "rlhf.stage2_reward.stage",
    "rlhf.stage2_reward.__main__",
    # the command that prepares what a class ranks; the server runs it as another process and reaches no grade
    "rlhf.web.prepare",
    "tutorials.",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, ast.Module]:
    """Every module of the packages, by name; a student's files are not ours."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def imported(node: ast.AST) -> Iterator[str]:
    """The dotted names that an import may mean: `from a import b` is a, or the module a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield node.module


def graph(trees: dict[str, ast.Module], statements=ast.walk) -> dict[str, set[str]]:
    """module -> the modules that it imports. A package stands for its __init__.py where no module is meant."""
    edges: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in statements(tree):
            candidates = list(imported(node))
            modules_meant = [c for c in candidates[:-1] if c in trees] if isinstance(node, ast.ImportFrom) else []
            edges[name] |= set(modules_meant or [c for c in candidates if c in trees]) - {name}
    return edges


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return modules()


@pytest.fixture(scope="module")
def edges(trees) -> dict[str, set[str]]:
    return graph(trees)


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges[name]
    return seen


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""
    reach = {name: reachable(edges, name) for name in edges}
    groups = {frozenset({name, *(o for o in reach[name] if name in reach[o])}) for name in edges if name in reach[name]}
    return sorted(sorted(group) for group in groups)


def test_a_circle_would_be_seen():
    edges = graph({"a": ast.parse("def f():\n    from b import c"), "b": ast.parse(""), "b.c": ast.parse("import a")})
    assert circles(edges) == [["a", "b.c"]]


def test_no_imports_run_in_a_circle(edges):
    assert circles(edges) == []


def test_minigpt_knows_nothing_of_rlhf_and_neither_knows_the_course_or_the_tests(trees):
    outside = {"minigpt": ("rlhf", "tutorials", "tests"), "rlhf": ("tutorials", "tests"), "tutorials": ("tests",)}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            tops = {candidate.split(".")[0] for candidate in imported(node)}
            assert not tops & set(outside[name.split(".")[0]]), f"{name} imports {tops}: imports point the other way"


def test_only_people_evaluation_and_comparisons_import_the_gold_labeler(edges):
    importing = {name for name, targets in edges.items() if targets & set(LABELER)}
    assert importing, "the labeler has moved: this test looks at nothing"
    assert [name for name in sorted(importing) if not name.startswith(IMPORT_THE_LABELER)] == []


def test_no_policy_and_no_reward_model_sees_the_gold_labeler(edges):
    """Not by way of another module either: stages 1 and 3, the alternatives, and the networks, losses and loop of
    stage 2 cannot grade an answer."""
    reaching = {name for name in edges if reachable(edges, name) & set(LABELER)}
    assert [name for name in sorted(reaching) if not name.startswith(REACH_THE_LABELER)] == []


SIDE_ROOMS = ("minigpt.scale.", "minigpt.hf.", "minigpt.relatives.", "rlhf.data_formats.", "rlhf.web.")
# The lines by which the core enters a side room, from there to here. A new one is a decision: say why it is needed.
ENTERED_BY = {
    # several processes: whatever divides work, writes files or takes a step
    "minigpt.scale.distributed": {
        "minigpt.optim",
        "minigpt.objective",
        "minigpt.pretrain",
        "minigpt.pretraining_data",
        "minigpt.runs.config",
        "minigpt.runs.folder",
        "minigpt.training",
        "rlhf.alternatives.dpo",
        "rlhf.alternatives.grpo",
        "rlhf.stage1_sft.mixing",
        "rlhf.stage1_sft.objective",
        "rlhf.stage1_sft.stage",
        "rlhf.stage2_reward.objective",
        "rlhf.stage2_reward.stage",
        "rlhf.stage3_ppo.metrics",
        "rlhf.stage3_ppo.rollout",
        "rlhf.stage3_ppo.stage",
        "rlhf.stage3_ppo.step",
        "rlhf.stage3_ppo.training",
    },
    # the same model in all of them
    "minigpt.scale.sharding": {
        "minigpt.optim",
        "minigpt.training",
        "rlhf.stage3_ppo.networks",
        "rlhf.stage3_ppo.step",
        "rlhf.stage3_ppo.training",
    },
    # --precision, and the name of the dtype in config.json and in messages
    "minigpt.scale.precision": {
        "minigpt.pretrain",
        "minigpt.runs.config",
        "minigpt.training",
        "rlhf.alternatives.grpo",
        "rlhf.stage3_ppo.step",
        "rlhf.stage3_ppo.training",
    },
    # --compile
    "minigpt.scale.compilation": {"minigpt.training", "rlhf.stage3_ppo.networks"},
    # prompts divided among processes
    "minigpt.scale.decoding": {"rlhf.stage2_reward.comparisons", "rlhf.stage3_ppo.rollout"},
    # a user's own demonstrations and rankings
    "rlhf.data_formats.formats": {"rlhf.alternatives.dpo", "rlhf.stage1_sft.stage", "rlhf.stage2_reward.stage"},
}
# Figures are compared and shown there, nothing is learned.
OUTSIDE_THE_CORE = ("tutorials.", "rlhf.evaluation.", "rlhf.report.", *SIDE_ROOMS)


def test_the_core_enters_a_side_room_by_the_lines_that_are_listed(edges):
    found: dict[str, set[str]] = {}
    for name, targets in edges.items():
        for target in targets:
            if target.startswith(SIDE_ROOMS) and not name.startswith(OUTSIDE_THE_CORE):
                found.setdefault(target, set()).add(name)
    assert found == ENTERED_BY


def test_a_stage_does_not_import_the_ones_after_it(edges):
    order = (
        "rlhf.stage1_sft.",
        "rlhf.stage2_reward.",
        "rlhf.stage3_ppo.",
        "rlhf.alternatives.",
        "rlhf.evaluation.",
        "rlhf.report.",
    )
    for number, stage in enumerate(order):
        for name in edges:
            if name.startswith(stage):
                later = [target for target in edges[name] if target.startswith(order[number + 1 :])]
                assert later == [], f"{name} imports {later}: stages point one way"
