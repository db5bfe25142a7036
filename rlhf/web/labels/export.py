"""Export of rankings and demonstrations as files that stages 1 and 2 read, in the project's format.

    rankings.jsonl         {"prompt", "responses", "ranks", "ended", "gold", "sampled", "annotator": "p3"}
    demonstrations.jsonl   {"prompt", "response", "annotator": "p3"}

A line is one person's ranking. Several people who ranked one prompt give several lines, and these enter the loss as
they are. The loss of a pair that two people of three order alike is the mean of −log σ(r) twice and −log σ(−r) once;
its minimum is at σ(r) = 2/3, so the reward model learns how sure people are. Averaged ranks would say that all three
agree. Left out: what was skipped, "all are bad" and ties of all, which order no pair, and known pairs, whose better
answer no policy wrote. Names stay in the store; a line has the number of its person.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rlhf.records import write_lines
from rlhf.web.store import demonstrations, items, rankings
from rlhf.web.store.database import Database

RANKINGS, DEMONSTRATIONS = "rankings.jsonl", "demonstrations.jsonl"


def ranking_lines(store: Database) -> list[dict[str, Any]]:
    """All rankings that order a pair. Those of one prompt stand together, and the prompts in an order of their own:
    stage 2 holds back the last lines, and a prompt of these should not be among those that it learns from."""
    every_item = items.every(store)
    kept = [
        label
        for label in rankings.every(store)
        if label.ranks is not None and len(set(label.ranks)) > 1 and every_item[label.item_id].known is None
    ]
    kept.sort(key=lambda label: (_shuffled(label.item_id), label.person_id))
    lines = []
    for label in kept:
        item = every_item[label.item_id]
        line = {"prompt": _prompt(item.prompt), "responses": item.texts, "ranks": label.ranks, "ended": item.ended}
        if item.gold is not None:
            line["gold"] = item.gold  # for the measures of stage 2; its loss never sees them
        lines.append({**line, "sampled": True, "annotator": f"p{label.person_id}"})
    return lines


def demonstration_lines(store: Database) -> list[dict[str, Any]]:
    """All demonstrations."""
    return [
        {"prompt": written.prompt, "response": written.response, "annotator": f"p{written.person_id}"}
        for written in demonstrations.written(store)
    ]


def as_text(lines: list[dict[str, Any]]) -> str:
    """JSON lines."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def write_rankings(store: Database, folder: Path) -> Path:
    """Writes rankings.jsonl into the folder of the class, where its run finds it."""
    path = folder / RANKINGS
    write_lines(path, ranking_lines(store))
    return path


def forget(store: Database, folder: Path) -> None:
    """Writes the file again, if there is one, after somebody was deleted."""
    if (folder / RANKINGS).is_file():
        write_rankings(store, folder)


def _prompt(messages: tuple[dict[str, str], ...]) -> str | tuple[dict[str, str], ...]:
    return messages[0]["content"] if len(messages) == 1 else messages


def _shuffled(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()
