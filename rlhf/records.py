"""Demonstrations and rankings as JSON lines: what stages 1 and 2 learn from, and what a user brings instead.

    demonstrations   {"prompt": "What does a cow eat?", "response": "A cow eats grass."}
    rankings         {"prompt": ..., "responses": ["...", "..."], "ranks": [0, 1]}

A prompt is a string, or a list of {"role": "user" | "assistant", "content": "..."} that ends with the user. Ranks start
at 0 for the best; equal ranks are a tie. A bad line is an error that names the file, the line and the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from minigpt.checkpoint import write_text
from minigpt.errors import UserError
from rlhf.conversation import Turn, check_prompt, user_prompt

Record = TypeVar("Record")


@dataclass(frozen=True)
class Demonstration:
    """A prompt and the answer to imitate."""

    turns: tuple[Turn, ...]
    response: str


@dataclass(frozen=True)
class Ranking:
    """K answers to one prompt in somebody's order.

    ranks: 0 for the best, equal for a tie. ended: which answers ended by themselves (a cut-off answer gets no end token
    when it is encoded). gold: the gold labeler's totals where they are known; never trained on, only measured against.
    """

    turns: tuple[Turn, ...]
    responses: tuple[str, ...]
    ranks: tuple[int, ...]
    ended: tuple[bool, ...]
    gold: tuple[float, ...] | None = None


def read_demonstrations(path: Path) -> list[Demonstration]:
    """All demonstrations of a file. Raises `UserError` with file and line."""
    return _read_lines(path, _demonstration)


def read_rankings(path: Path) -> list[Ranking]:
    """All rankings of a file. Raises `UserError` with file and line."""
    return _read_lines(path, _ranking)


def write_demonstrations(path: Path, items: Iterable[Demonstration]) -> None:
    """Writes one line a demonstration, whole or not at all."""
    _write_lines(path, ({"prompt": _turns_out(item.turns), "response": item.response} for item in items))


def write_rankings(path: Path, items: Iterable[Ranking]) -> None:
    """Writes one line a ranking, whole or not at all."""
    _write_lines(path, map(_ranking_out, items))


def _demonstration(data: dict[str, Any], where: str) -> Demonstration:
    return Demonstration(_turns_in(data, where), _text(data, "response", where))


def _ranking(data: dict[str, Any], where: str) -> Ranking:
    turns = _turns_in(data, where)
    responses = _list(data, "responses", str, where)
    ranks = _list(data, "ranks", int, where)
    ended = _list(data, "ended", bool, where) if "ended" in data else [True] * len(responses)
    gold = _list(data, "gold", (int, float), where) if "gold" in data else None
    for field, values in (("ranks", ranks), ("ended", ended), ("gold", gold)):
        if values is not None and len(values) != len(responses):
            raise UserError(f"{where}: {len(responses)} responses but {len(values)} {field}; expected one for each.")
    if len(responses) < 2:
        raise UserError(f"{where}: {len(responses)} response; a ranking needs at least two.")
    if not all(0 <= rank < len(responses) for rank in ranks):
        raise UserError(f"{where}: ranks {ranks}; expected 0 for the best up to {len(responses) - 1} for the worst.")
    if gold is not None and not all(0 <= total <= 1 for total in gold):
        raise UserError(f"{where}: gold {gold}; expected the gold labeler's totals, from 0 to 1.")
    totals = None if gold is None else tuple(float(total) for total in gold)
    return Ranking(turns, tuple(responses), tuple(ranks), tuple(ended), totals)


def _ranking_out(item: Ranking) -> dict[str, Any]:
    data: dict[str, Any] = {"prompt": _turns_out(item.turns), "responses": item.responses, "ranks": item.ranks}
    data["ended"] = item.ended
    if item.gold is not None:
        data["gold"] = item.gold
    return data


def _turns_in(data: dict[str, Any], where: str) -> tuple[Turn, ...]:
    prompt = data.get("prompt")
    if isinstance(prompt, str):
        turns = user_prompt(prompt)
    elif isinstance(prompt, list) and all(isinstance(message, dict) for message in prompt):
        turns = tuple(Turn(_text(message, "role", where), _text(message, "content", where)) for message in prompt)
    else:
        raise UserError(f'{where}: "prompt" must be a string or a list of messages, got {type(prompt).__name__}.')
    check_prompt(turns, where)
    return turns


def _turns_out(turns: Sequence[Turn]) -> str | list[dict[str, str]]:
    if len(turns) == 1:
        return turns[0].text
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def _text(data: dict[str, Any], field: str, where: str) -> str:
    value = data.get(field)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f'{where}: "{field}" must be a text that is not empty, got {value!r}.')
    return value


def _list(data: dict[str, Any], field: str, kind: type | tuple[type, ...], where: str) -> list[Any]:
    value = data.get(field)
    # in Python True is an int, in a ranking it is a mistake
    if not isinstance(value, list) or not all(
        isinstance(item, kind) and isinstance(item, bool) == (kind is bool) for item in value
    ):
        raise UserError(f'{where}: "{field}" must be a list with one value for each response, got {value!r}.')
    return value


def _read_lines(path: Path, build: Callable[[dict[str, Any], str], Record]) -> list[Record]:
    records = [build(data, where) for where, data in _json_lines(path)]
    if not records:
        raise UserError(f"{path} has no records; expected one JSON object a line.")
    return records


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line that is not blank as ("FILE, line N", object)."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")  # splitlines would cut at U+2028 too
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            json.dumps(data, ensure_ascii=False).encode("utf-8")
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not valid JSON ({error.msg} at column {error.colno}).") from error
        except UnicodeEncodeError as error:
            raise UserError(f"{where}: half of a surrogate pair is not a character; write the whole.") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: a number is too long, or lists are nested too deeply.") from error
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a JSON object, got {type(data).__name__}.")
        yield where, data


def _write_lines(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(data, ensure_ascii=False) + "\n" for data in objects))
