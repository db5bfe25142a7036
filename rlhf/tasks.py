"""Prompts for the three stages and the evaluation, each with its ideal answer.

`python -m rlhf.tasks` prints some, with the grades that a few answers get.

The four prompt sets are disjoint in content and not only in wording: every request has a key (which fact, which story),
and a hash of the key says to which set it belongs. So the policy is never asked in set C or D what it was shown in A.

    A  demonstrations (stage 1)      B  comparisons (stage 2)      C  rollouts (stage 3)      D  evaluation
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from minigpt.config import option, parse
from minigpt.errors import UserError, run_main
from minigpt.toyworld.requests import FAMILIES as REQUESTS
from minigpt.toyworld.requests import Request
from rlhf.conversation import ROLES, Turn, show
from rlhf.labeler import grade

FAMILIES: tuple[str, ...] = tuple(REQUESTS)
# the share of all keys in each set, in percent: rankings and rollouts need the most prompts
SET_SHARES = {"A": 15, "B": 35, "C": 35, "D": 15}
# drawing gives up after so many requests in a row that were already taken or belong to another set
PATIENCE = 20_000


@dataclass(frozen=True)
class Prompt:
    """One request as a conversation to be continued, and what the labeler needs to grade the continuation."""

    id: str
    family: str
    turns: tuple[Turn, ...]
    ideal: str
    request: Request


def set_of(key: str) -> str:
    """The prompt set ("A" to "D") that a request's contents belong to: a hash, so it never depends on seed or order."""
    bucket = int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:4], "big") % 100
    for name, share in SET_SHARES.items():
        if bucket < share:
            return name
        bucket -= share
    raise AssertionError("SET_SHARES do not add up to 100")


def as_prompt(request: Request, rng: random.Random, name: str) -> Prompt:
    """A request as a prompt; its ideal answer is one of the good ones."""
    turns = tuple(Turn(ROLES[index % 2], text) for index, text in enumerate(request.turns))
    return Prompt(name, request.family, turns, rng.choice(request.good), request)


def prompt_set(name: str, count: int, seed: int) -> list[Prompt]:
    """`count` different prompts of one set, the families in equal parts and mixed.

    Raises `UserError` for an unknown set or for more prompts than a family has.
    """
    if name not in SET_SHARES:
        raise UserError(f"prompt set {name!r} does not exist; expected one of {', '.join(SET_SHARES)}.")
    rng = random.Random(f"prompts {name} {seed}")
    prompts: list[Prompt] = []
    for index, family in enumerate(FAMILIES):
        wanted = count // len(FAMILIES) + (index < count % len(FAMILIES))
        prompts += _draw_family(name, family, wanted, rng)
    rng.shuffle(prompts)
    return prompts


def _draw_family(name: str, family: str, wanted: int, rng: random.Random) -> list[Prompt]:
    """Different prompts of one family that belong to one set."""
    found: dict[tuple[str, ...], Prompt] = {}
    misses = 0
    while len(found) < wanted:
        request = REQUESTS[family](rng)
        if request.turns in found or set_of(request.key) != name:
            misses += 1
            if misses > PATIENCE:
                raise UserError(
                    f"prompt set {name} has only {len(found)} prompts of the family {family!r}, not the {wanted} "
                    f"asked for; ask for fewer prompts."
                )
            continue
        misses = 0
        found[request.turns] = as_prompt(request, rng, f"{name}-{family}-{len(found)}")
    return list(found.values())


@dataclass(frozen=True)
class PrintConfig:
    """What to print."""

    set: str = option("D", "the prompt set", choices=tuple(SET_SHARES))
    count: int = option(10, "how many prompts")
    seed: int = option(0, "another seed, other prompts")


def main(argv: list[str]) -> None:
    """Prints prompts, their ideal answers, and the grades of the ideal and of a bad answer."""
    config = parse(PrintConfig, argv, description=__doc__, presets={})
    for prompt in prompt_set(config.set, config.count, config.seed):
        print(f"[{prompt.id}]\n{show(prompt.turns)}")
        for label, answer in (("ideal", prompt.ideal), ("bad", prompt.request.bad[0])):
            graded = grade(prompt.request, answer, ended=True)
            print(f"  {label}: {answer}\n         {graded}")
        print()


if __name__ == "__main__":
    run_main(main)
