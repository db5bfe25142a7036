"""Every use of a run's seed has a purpose of its own, so that no two of them draw the same numbers."""

import ast
from collections import Counter
from pathlib import Path

import torch

from minigpt.runs.seeds import epoch_order, seed_of, seeded_generator

ROOT = Path(__file__).resolve().parents[3]


def calls(package: str) -> list[tuple[str, ast.Call]]:
    """(file and line, call) of each use of seed_of and seeded_generator, but for the one that hands its purpose on."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name == "seeded_generator" or (name == "seed_of" and path.name != "seeds.py"):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def purposes(package: str) -> dict[str, str | None]:
    """The purpose at each place, None where it is no text."""
    found = {}
    for place, call in calls(package):
        purpose = call.args[1] if len(call.args) > 1 else None
        is_text = isinstance(purpose, ast.Constant) and isinstance(purpose.value, str)
        found[place] = purpose.value if is_text else None
    return found


def test_every_purpose_is_a_text():
    """Once they were numbers, and an epoch's order, the reward head (1) and PPO's sampling (2) shared their seeds."""
    nameless = [place for package in ("minigpt", "rlhf") for place, text in purposes(package).items() if text is None]
    assert nameless == []


def test_no_purpose_has_two_places():
    count = Counter(text for package in ("minigpt", "rlhf") for text in purposes(package).values() if text)
    assert len(count) > 5, "the search finds nothing"
    # what differs between two policies is less often luck when they answer with the same random numbers
    shared = {"evaluation"}
    assert [text for text, places in count.items() if places > 1 and text not in shared] == []


def test_purposes_seeds_and_numbers_all_matter():
    ends = ((), (0,), (1,), (0, 1))
    keys = [(seed, purpose, *numbers) for seed in (0, 1) for purpose in ("a", "b") for numbers in ends]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    first = [torch.rand(4, generator=seeded_generator(*key)) for key in keys]
    assert len({tuple(numbers.tolist()) for numbers in first}) == len(keys)
    assert torch.equal(first[0], torch.rand(4, generator=seeded_generator(0, "a")))


def test_epoch_order_and_seeds():
    assert epoch_order(100, seed=1, epoch=2).sort().values.tolist() == list(range(100))
    assert epoch_order(100, seed=1, epoch=2).tolist() == epoch_order(100, seed=1, epoch=2).tolist()
    orders = {tuple(epoch_order(100, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25, "seed + epoch as a seed would make epoch 1 of seed 0 equal epoch 0 of seed 1"
    # Pinned, because a change here silently changes every run: printf "(0, 'x', 1)" | sha256sum, its first 14 digits
    assert seeded_generator(0, "x", 1).initial_seed() == 23264538419147596
