"""The format of a file, and its records as those of `records`.

The fields of a record tell its format; a file holds one format, and fields that are not named in README.md are not
read. An "id" may stand in one record only. An answer that was compared with others may be empty, a demonstration may
not: it would teach to say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from minigpt.corpora.json_lines import shown
from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import check_prompt
from rlhf.data_formats import demonstrations, exports, rankings
from rlhf.data_formats.demonstrations import best_answer, check_demonstration, check_text_only
from rlhf.data_formats.hh import HUMAN
from rlhf.data_formats.sources import objects
from rlhf.records import Demonstration, Ranking

Record = TypeVar("Record", Demonstration, Ranking)


@dataclass(frozen=True)
class Format:
    """name: for messages and README.md. build: the record of a JSON object; it raises UserError naming where the object
    stands. fields: a record that has all of them, and is in no format before, is in this one."""

    name: str
    build: Callable[[dict[str, Any], str], Demonstration | Ranking]
    fields: tuple[str, ...]


# Of two formats that could be meant, the one that comes first is: some preferences carry "messages" too.
HH = Format("HH-RLHF transcripts (chosen, rejected)", rankings.hh, ("chosen",))
IMPLICIT = Format("preferences without a prompt (chosen, rejected)", rankings.implicit, ("chosen",))
FORMATS = (
    Format("Argilla's export (fields, responses)", exports.argilla, ("fields", "responses")),
    Format("Label Studio's export (data, annotations)", exports.label_studio, ("data", "annotations")),
    Format("rankings (prompt, responses, ranks or scores)", rankings.kwise, ("responses",)),
    Format("UltraFeedback (instruction, completions)", rankings.ultrafeedback, ("completions",)),
    Format("arena conversations (conversation_a, conversation_b, winner)", rankings.arena, ("conversation_a",)),
    Format("arena table (prompt, response_a, response_b, winner_...)", rankings.arena_table, ("response_a",)),
    Format("ms-swift preferences (response, rejected_response)", rankings.swift_preference, ("rejected_response",)),
    Format("chat preferences (chosen_messages, rejected_messages)", rankings.message_lists, ("chosen_messages",)),
    Format("ms-swift preferences (messages, rejected_messages)", rankings.swift_conversations, ("rejected_messages",)),
    Format("preferences (prompt, chosen, rejected)", rankings.preference, ("prompt", "chosen")),
    Format("preferences (prompt, chosen, rejected)", rankings.preference, ("prompt", "rejected")),
    Format("Alpaca preferences (instruction, chosen, rejected)", rankings.alpaca_preference, ("instruction", "chosen")),
    Format("chat preferences (conversations, chosen, rejected)", rankings.chat_preference, ("conversations", "chosen")),
    Format("chat preferences (messages, chosen, rejected)", rankings.chat_preference, ("messages", "chosen")),
    HH,
    IMPLICIT,
    Format("preferences without a prompt (chosen, rejected)", rankings.implicit, ("rejected",)),
    Format("Dolly (instruction, context, response)", demonstrations.dolly, ("instruction", "response")),
    Format("ms-swift (query, response, history)", demonstrations.swift, ("query", "response")),
    Format("demonstrations (prompt, response)", demonstrations.own, ("response",)),
    Format("completions (prompt, completion)", demonstrations.completion, ("completion",)),
    Format("Alpaca (instruction, input, output)", demonstrations.alpaca, ("instruction",)),
    Format("chats (messages)", demonstrations.chatml, ("messages",)),
    Format("ShareGPT chats (conversations)", demonstrations.sharegpt, ("conversations",)),
    Format("ms-swift chats (conversation)", demonstrations.swift_conversation, ("conversation",)),
)


def format_of(data: dict[str, Any]) -> Format | None:
    """The first format whose telling fields are all there; None if there is none."""
    found = _format_of_fields(tuple(data))
    if found is HH:
        begins = data["chosen"]
        return HH if isinstance(begins, str) and begins.startswith(HUMAN) else IMPLICIT
    return found


@lru_cache(maxsize=256)  # the records of a file have the same fields, a million times
def _format_of_fields(names: tuple[str, ...]) -> Format | None:
    return next((each for each in FORMATS if all(name in names for name in each.fields)), None)


def _same_format(data: dict[str, Any], expected: Format | None, where: str) -> Format:
    """The format of this record, which must be that of the records before. A record that no field tells is measured by
    it too: then the message can name what is missing."""
    found = format_of(data) or expected
    if found is None:
        hint = "; a text alone is for `python -m minigpt.pretrain --corpus`" if "text" in data else ""
        if any(name.endswith(".responses") for name in data):
            hint = "; of Argilla, the export of dataset.records.to_json can be read"
        known = "; ".join(dict.fromkeys(each.name for each in FORMATS))
        raise UserError(f"{where}: the fields {shown(list(data))} are those of no format known here: {known}{hint}.")
    if expected is not None and expected.name != found.name:
        raise UserError(
            f"{where}: this is one of {found.name}, but the file began with {expected.name}; a file holds one format."
        )
    return found


# ---- Files -------------------------------------------------------------------------------------------------------


def read_demonstrations(path: Path, bad: BadRecords) -> list[Demonstration]:
    """All demonstrations of a file; of rankings, the best answers. What is wrong goes to `bad`, with file and line."""

    def build(found: Format, data: dict[str, Any], where: str) -> Demonstration:
        record = found.build(data, where)
        if isinstance(record, Ranking):
            record = best_answer(record, where)
        if not record.response.strip():
            raise UserError(f"{where}: the answer is empty; a demonstration must say something.")
        return record

    return read_records(path, build, bad)


def read_rankings(path: Path, bad: BadRecords) -> list[Ranking]:
    """All rankings of a file. What is wrong goes to `bad`, with file and line."""

    def build(found: Format, data: dict[str, Any], where: str) -> Ranking:
        record = found.build(data, where)
        if isinstance(record, Demonstration):
            raise UserError(
                f"{where}: {found.name} rank nothing; they are for `python -m rlhf.stage1_sft --demonstrations`, and "
                "here answers that somebody compared are needed."
            )
        return record

    return read_records(path, build, bad)


def read_records(path: Path, build: Callable[[Format, dict[str, Any], str], Record], bad: BadRecords) -> list[Record]:
    """All records of a file, as `build` makes them. What is wrong goes to `bad`, with file and line."""
    records: list[Record] = []
    expected, places = None, {}  # the format of the file, and where each id stands
    for where, data in objects(path, bad):
        with bad.tolerated():
            found = _same_format(data, expected, where)
            check_text_only(data, where)
            record = build(found, data, where)
            if isinstance(record, Demonstration):
                check_demonstration(data, where)
            check_prompt(record.turns, where)
            identity = _identity(data, where)
            if identity in places:
                raise UserError(f'{where}: the "id" {shown(identity)} is taken by {places[identity]}.')
            # only now: what was refused decides nothing about the lines after it
            expected = found
            if identity is not None:
                places[identity] = where
            records.append(replace(record, source=where))
    bad.check_left(path, len(records))
    return records


def _identity(data: dict[str, Any], where: str) -> str | int | None:
    identity = data.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int | None):
        raise UserError(f'{where}: "id" must be a text or a whole number, got {shown(identity)}.')
    return identity
