"""Demonstrations and rankings, the data of stages 1 and 2. Our own files of them are JSON lines:

    demonstrations   {"prompt": "What does a cow eat?", "response": "A cow eats grass."}
    rankings         {"prompt": ..., "responses": ["...", "..."], "ranks": [0, 1]}

`formats` reads these and those of other projects; whatever the file, the stages see the two records below.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt.runs.files import write_text
from rlhf.chat_format import Turn


@dataclass(frozen=True)
class Demonstration:
    """A prompt and the answer to imitate. source: "mine.jsonl, line 17" if it was read from a file, for messages."""

    turns: tuple[Turn, ...]
    response: str
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Ranking:
    """K answers to one prompt with the ranks of an annotator; a chosen and a rejected answer are a ranking with K = 2.

    ranks: 0 for the best, equal for a tie. ended: which answers ended by themselves (a cut-off answer gets no end token
    when it is encoded). gold: the gold labeler's totals where they are known; used for measures, never for training.
    sampled: a model wrote the answers, so `<|user|>` in one is that token, which it sampled; in a text that a person
    typed it is eight characters. distractors: how many answers, the last ones, were given to other prompts and added
    to these; the others are the policy's own. source: see Demonstration.
    """

    turns: tuple[Turn, ...]
    responses: tuple[str, ...]
    ranks: tuple[int, ...]
    ended: tuple[bool, ...]
    gold: tuple[float, ...] | None = None
    sampled: bool = False
    distractors: int = 0
    source: str = field(default="", compare=False)


def pairs(ranking: Ranking) -> Iterator[tuple[int, int]]:
    """(better, worse) for each pair of answers of which one has the better rank. Equal texts are no pair."""
    for better, worse in itertools.permutations(range(len(ranking.responses)), 2):
        if ranking.ranks[better] < ranking.ranks[worse] and ranking.responses[better] != ranking.responses[worse]:
            yield better, worse


# ---- Files -------------------------------------------------------------------------------------------------------


def write_demonstrations(path: Path, items: Iterable[Demonstration]) -> None:
    """Writes one line a demonstration, whole or not at all."""
    write_lines(path, ({"prompt": _prompt(item.turns), "response": item.response} for item in items))


def write_rankings(path: Path, items: Iterable[Ranking]) -> None:
    """Writes one line a ranking, whole or not at all."""
    write_lines(path, map(_ranking, items))


def _ranking(item: Ranking) -> dict[str, Any]:
    data: dict[str, Any] = {"prompt": _prompt(item.turns), "responses": item.responses, "ranks": item.ranks}
    data["ended"] = item.ended
    if item.gold is not None:
        data["gold"] = item.gold
    if item.sampled:
        data["sampled"] = True
    if item.distractors:
        data["distractors"] = item.distractors
    return data


def _prompt(turns: Sequence[Turn]) -> str | list[dict[str, str]]:
    return turns[0].text if len(turns) == 1 else messages(turns)


def messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as most programs exchange them."""
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def write_lines(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    """Writes one line an object, whole or not at all."""
    write_text(path, "".join(json.dumps(data, ensure_ascii=False) + "\n" for data in objects))
