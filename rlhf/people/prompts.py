"""Prompts for the three stages and the evaluation, each with its ideal answer.

`python -m rlhf.people` prints some with a careful and a careless demonstration and their grades.

The four prompt sets are disjoint: every request has a key, and a hash of the key says to which set it belongs. Stories,
lists, reviews and the like are disjoint in their contents; a fact that one set asks for, another may ask for in other
words, as the policy cannot work out facts that it does not know.

    A  demonstrations (stage 1)      B  comparisons (stage 2)      C  rollouts (stage 3)      D  evaluation
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from minigpt.runs.errors import UserError, refuse_old_command
from minigpt.toyworld.requests import FAMILIES as REQUESTS
from minigpt.toyworld.requests import Request
from rlhf.chat_format import ROLES, Turn

FAMILIES: tuple[str, ...] = tuple(REQUESTS)
# the share of all keys in each set, in percent: rankings and rollouts need the most prompts
SET_SHARES = {"A": 15, "B": 35, "C": 35, "D": 15}
# after so many requests in a row that were already taken or belong to another set, a family has no more
PATIENCE = 5_000


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
    """`count` different prompts of one set, mixed, the families in equal parts.

    A family that has fewer prompts gives all it has, and the others make up for it. Raises `UserError` for an unknown
    set or for more prompts than there are.
    """
    if name not in SET_SHARES:
        raise UserError(f"prompt set {name!r} does not exist; expected one of {', '.join(SET_SHARES)}.")
    found: dict[str, list[Prompt]] = {}
    while True:
        missing = count - sum(len(prompts) for prompts in found.values())
        open_families = [family for family in FAMILIES if family not in found]
        if not open_families:
            break
        share, extra = divmod(missing, len(open_families))
        wanted = {family: share + (index < extra) for index, family in enumerate(open_families)}
        drawn = {family: _draw_family(name, family, n, seed) for family, n in wanted.items()}
        short = {family: prompts for family, prompts in drawn.items() if len(prompts) < wanted[family]}
        found |= short or drawn
    if missing > 0:
        raise UserError(f"prompt set {name} has only {count - missing} prompts, not the {count} asked for.")
    prompts = [prompt for family in FAMILIES for prompt in found[family]]
    random.Random(f"order {name} {seed}").shuffle(prompts)
    return prompts


def _draw_family(name: str, family: str, wanted: int, seed: int) -> list[Prompt]:
    """Up to `wanted` different prompts of one family that belong to one set; fewer if no more turn up."""
    rng = random.Random(f"prompts {name} {family} {seed}")
    found: dict[tuple[str, ...], Prompt] = {}
    misses = 0
    while len(found) < wanted and misses < PATIENCE:
        request = REQUESTS[family](rng)
        if request.turns in found or set_of(request.key) != name:
            misses += 1
        else:
            misses = 0
            found[request.turns] = as_prompt(request, rng, f"{name}-{family}-{len(found)}")
    return list(found.values())


if __name__ == "__main__":
    refuse_old_command("rlhf.people.prompts", "rlhf.people")
