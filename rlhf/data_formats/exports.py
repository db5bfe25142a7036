"""Rankings as two programs export them in which people annotate: Argilla and Label Studio.

Both let a project name its fields as it likes. The answers are those that the ranking names; of the other fields, the
prompt is the one called prompt, instruction or question, or the only one there is. Of several annotators the first who
submitted a ranking is taken.
"""

from __future__ import annotations

from typing import Any

from minigpt.corpora.json_lines import field, shown, text_field
from minigpt.runs.errors import UserError
from rlhf.data_formats.messages import read_turns
from rlhf.data_formats.rankings import pair, ranks_of
from rlhf.records import Ranking

PROMPTS = ("prompt", "instruction", "question", "query")


def argilla(data: dict[str, Any], where: str) -> Ranking:
    """Argilla: fields, and responses to a ranking question: [{"value": "answer-1", "rank": 1}, ...], or names."""
    fields = _object(data, "fields", where)
    for value in _argilla_values(field(data, "responses", where)):
        order = _argilla_order(value, fields)
        if order:
            return _ranked(fields, order, where)
    raise UserError(f'{where}: no ranking of at least two of the fields is among "responses"; was it submitted?')


def _argilla_values(responses: Any) -> list[Any]:
    """The values that were given to questions, whatever version exported them."""
    found = []
    if isinstance(responses, dict):  # Argilla 2: {"ranking": [{"value": [...], "user_id": ...}]}
        found = [each for answers in responses.values() if isinstance(answers, list) for each in answers]
    elif isinstance(responses, list):  # Argilla 1: [{"status": "submitted", "values": {"ranking": {"value": [...]}}}]
        submitted = [
            each for each in responses if isinstance(each, dict) and each.get("status", "submitted") == "submitted"
        ]
        found = [
            value for each in submitted if isinstance(each.get("values"), dict) for value in each["values"].values()
        ]
    return [value.get("value") if isinstance(value, dict) else value for value in found]


def _argilla_order(value: Any, fields: dict[str, Any]) -> dict[str, int]:
    """The rank of each field; {} if the value is no ranking of them."""
    if isinstance(value, dict) and isinstance(value.get("value"), list) and isinstance(value.get("rank"), list):
        value = [{"value": name, "rank": rank} for name, rank in zip(value["value"], value["rank"], strict=False)]
    if not isinstance(value, list) or len(value) < 2:
        return {}
    if all(isinstance(name, str) for name in value):
        order = {name: rank for rank, name in enumerate(value)}
    elif all(isinstance(each, dict) for each in value):
        order = {each.get("value"): each.get("rank") for each in value if isinstance(each.get("value"), str)}
    else:
        return {}
    good = all(name in fields and isinstance(rank, int) for name, rank in order.items())
    return order if good and len(order) == len(value) else {}


def label_studio(data: dict[str, Any], where: str) -> Ranking:
    """Label Studio: data, and annotations with the result of a Ranker or of a Pairwise tag."""
    task = _object(data, "data", where)
    annotations = field(data, "annotations", where)
    done = (
        [each for each in annotations if isinstance(each, dict) and not each.get("was_cancelled")]
        if isinstance(annotations, list)
        else []
    )
    results = [result for each in done if isinstance(each.get("result"), list) for result in each["result"]]
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        if isinstance(value, dict) and "ranker" in value:
            return _ranked_items(task, value["ranker"], where)
        if isinstance(value, dict) and value.get("selected") in ("left", "right"):
            names = [name for name in task if name not in PROMPTS and isinstance(task[name], str)]
            if {"answer1", "answer2"} <= set(names):  # Label Studio's template calls them so
                names = ["answer1", "answer2"]
            if len(names) != 2:
                raise UserError(f"{where}: expected two texts to compare beside the prompt, got {shown(names)}.")
            better, worse = names if value["selected"] == "left" else names[::-1]
            return pair(_prompt(task, names, where), task[better], task[worse])
    raise UserError(f'{where}: no result of a Ranker or a Pairwise tag is among "annotations"; was it submitted?')


def _ranked_items(task: dict[str, Any], ranker: Any, where: str) -> Ranking:
    """The items of a list in the order of their ids; of several buckets the first that holds two. What nobody has put
    into a bucket stays in the one called "_", in the order in which it was shown: that is no ranking."""
    orders = [ids for name, ids in ranker.items() if name != "_"] if isinstance(ranker, dict) else [ranker]
    order = next((ids for ids in orders if isinstance(ids, list) and len(ids) > 1), None)
    if order is None:
        raise UserError(f'{where}: no bucket of the ranking {shown(ranker)} holds two items ("_" is none).')
    lists = {name: value for name, value in task.items() if isinstance(value, list)}
    for name, items in lists.items():
        known = {each["id"]: each for each in items if isinstance(each, dict) and isinstance(each.get("id"), str)}
        good = all(isinstance(identity, str) and identity in known for identity in order)
        if good and len(set(order)) == len(order):
            answers = {identity: text_field(known[identity], "body", f"{where}, item {identity}") for identity in order}
            return _ranked({**task, **answers}, {identity: rank for rank, identity in enumerate(order)}, where, name)
    raise UserError(
        f'{where}: the ranking {shown(ranker)} names no two items of a list that have an "id" and a "body".'
    )


def _ranked(fields: dict[str, Any], order: dict[str, int], where: str, also: str = "") -> Ranking:
    """The fields that are ranked, the best first, and the prompt."""
    names = sorted(order, key=order.__getitem__)
    ranks = ranks_of([-order[name] for name in names], where)
    responses = tuple(text_field(fields, name, where) for name in names)
    return Ranking(_prompt(fields, [*names, also], where), responses, tuple(ranks), (True,) * len(names))


def _prompt(fields: dict[str, Any], answers: list[str], where: str) -> Any:
    ranked = set(answers)
    others = [name for name in fields if name not in ranked]
    named = [name for name in others if name in PROMPTS]
    if not named and len(others) != 1:
        raise UserError(f"{where}: which of the fields {shown(others)} is the prompt? Call it {PROMPTS[0]!r}.")
    name = (named or others)[0]
    return read_turns(fields[name], name, where)


def _object(data: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    value = field(data, name, where)
    if not isinstance(value, dict):
        raise UserError(f'{where}: "{name}" must be an object, got {shown(value)}.')
    return value
