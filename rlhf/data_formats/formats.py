"""Every format in which demonstrations and rankings come, ours among them, becomes the two records of `records`.

    rankings         {"prompt", "responses", "ranks"}      ours; also "scores" in place of "ranks", higher is better
                     {"prompt", "chosen", "rejected"}      TRL's preferences
                     {"chosen", "rejected"}                TRL's, with the prompt in both; HH-RLHF's transcripts (`hh`)
    demonstrations   {"prompt", "response"}                ours
                     {"prompt", "completion"}              TRL's
                     {"instruction", "input", "output"}    Alpaca
                     {"messages"}, {"conversations"}       chats as ChatML and ShareGPT have them

A ranking of ours may also say "ended", true for each answer that was not cut, "gold", the gold labeler's totals, and
"sampled": true if a model wrote the answers, so that <|user|> in one is that token, and "distractors", how many of the
answers, the last ones, were given to other prompts.

A prompt is a text or a list of messages, and so is an answer (`messages`). The fields of a record tell its format; a
file holds one format, and what else stands in a record is not read. An "id" may stand in one record only. An answer
that was compared with others may be empty, a demonstration may not: it would teach to say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn, check_prompt, user_prompt
from rlhf.data_formats.hh import HUMAN, common_beginning, split_pair
from rlhf.data_formats.jsonl import BadLines, field, numbered_lines, parse_object, shown, text_field
from rlhf.data_formats.messages import SHAREGPT, read_answer, read_messages, read_turns
from rlhf.records import Demonstration, Ranking

Record = TypeVar("Record", Demonstration, Ranking)

# ---- Rankings ----------------------------------------------------------------------------------------------------


def _kwise(data: dict[str, Any], where: str) -> Ranking:
    turns = read_turns(field(data, "prompt", where), "prompt", where)
    responses = _list(data, "responses", str, where)
    if ("ranks" in data) == ("scores" in data):
        raise UserError(f'{where}: expected either "ranks" or "scores" beside "responses".')
    ended = _list(data, "ended", bool, where) if "ended" in data else [True] * len(responses)
    gold = _list(data, "gold", (int, float), where) if "gold" in data else None
    order = "ranks" if "ranks" in data else "scores"
    values = _list(data, order, int if order == "ranks" else (int, float), where)
    for name, given in ((order, values), ("ended", ended), ("gold", gold)):
        if given is not None and len(given) != len(responses):
            raise UserError(f"{where}: {len(responses)} responses but {len(given)} {name}; expected one for each.")
    if len(responses) < 2:
        raise UserError(f"{where}: {len(responses)} response; a ranking needs at least two.")
    ranks = values if order == "ranks" else _ranks_of(values, where)
    if not all(0 <= rank < len(responses) for rank in ranks):
        raise UserError(f"{where}: ranks {shown(ranks)}; expected 0 for the best up to {len(responses) - 1}.")
    if gold is not None and not all(0 <= total <= 1 for total in gold):
        raise UserError(f"{where}: gold {shown(gold)}; expected the gold labeler's totals, from 0 to 1.")
    totals = None if gold is None else tuple(float(total) for total in gold)
    sampled = data.get("sampled", False)
    if not isinstance(sampled, bool):
        raise UserError(f"{where}: sampled {shown(sampled)}; expected true if a model wrote the responses, else false.")
    extra = data.get("distractors", 0)
    if not isinstance(extra, int) or isinstance(extra, bool) or not 0 <= extra <= len(responses):
        raise UserError(
            f"{where}: distractors {shown(extra)}; expected how many of the {len(responses)} responses, the last ones, "
            "were given to other prompts."
        )
    return Ranking(turns, tuple(responses), tuple(ranks), tuple(ended), totals, sampled, extra)


def _ranks_of(scores: Sequence[int | float], where: str) -> list[int]:
    """How many scores are higher: 0 for the best, and equal scores are a tie."""
    if any(isinstance(score, float) and not math.isfinite(score) for score in scores):
        raise UserError(f"{where}: scores {shown(scores)}; expected finite numbers.")
    return [sum(other > score for other in scores) for score in scores]


def _list(data: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> list[Any]:
    value = field(data, name, where)
    # in Python True is an int, in a ranking it is a mistake
    if not isinstance(value, list) or not all(
        isinstance(item, kind) and isinstance(item, bool) == (kind is bool) for item in value
    ):
        raise UserError(f'{where}: "{name}" must be a list with one value for each response, got {shown(value)}.')
    return value


def _pair(turns: tuple[Turn, ...], chosen: str, rejected: str) -> Ranking:
    # nobody can prefer one of two equal texts, whatever the file says
    return Ranking(turns, (chosen, rejected), (0, 0) if chosen == rejected else (0, 1), (True, True))


def _preference(data: dict[str, Any], where: str) -> Ranking:
    turns = read_turns(field(data, "prompt", where), "prompt", where)
    return _pair(turns, *(read_answer(field(data, name, where), name, where, turns) for name in ("chosen", "rejected")))


def _implicit(data: dict[str, Any], where: str) -> Ranking:
    chosen, rejected = field(data, "chosen", where), field(data, "rejected", where)
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _split_texts(chosen, rejected, where)
    talks = read_messages(chosen, "chosen", where), read_messages(rejected, "rejected", where)
    prompt = []
    for turn, other in zip(*(talk[:-1] for talk in talks), strict=False):  # one talk may be longer
        if turn != other:
            break
        prompt.append(turn)
    return _pair(tuple(prompt), *(read_answer(data[name], name, where, prompt) for name in ("chosen", "rejected")))


def _split_texts(chosen: str, rejected: str, where: str) -> Ranking:
    """The prompt is what both begin with, up to the last blank: a longer one could end within a word."""
    common = common_beginning(chosen, rejected)
    cut = len(common)
    while cut and not common[cut - 1].isspace():
        cut -= 1
    prompt = common[:cut].rstrip()
    if not prompt:
        raise UserError(f'{where}: "chosen" and "rejected" do not begin alike; give the "prompt" in its own field.')
    return _pair(user_prompt(prompt), chosen[len(prompt) :], rejected[len(prompt) :])


def _hh(data: dict[str, Any], where: str) -> Ranking:
    return _pair(*split_pair(text_field(data, "chosen", where), text_field(data, "rejected", where), where))


# ---- Demonstrations ----------------------------------------------------------------------------------------------


def _demonstration(data: dict[str, Any], where: str) -> Demonstration:
    turns = read_turns(field(data, "prompt", where), "prompt", where)
    return Demonstration(turns, text_field(data, "response", where))


def _completion(data: dict[str, Any], where: str) -> Demonstration:
    if "label" in data:
        raise UserError(f'{where}: a "completion" with a "label" may be a bad one; no stage here learns from those.')
    turns = read_turns(field(data, "prompt", where), "prompt", where)
    return Demonstration(turns, read_answer(field(data, "completion", where), "completion", where, turns))


# Taori et al. 2023, tatsu-lab/stanford_alpaca, train.py: the words that most models trained on such data know
ALPACA_BARE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)


def _alpaca(data: dict[str, Any], where: str) -> Demonstration:
    words = {"instruction": text_field(data, "instruction", where), "input": ""}
    if "input" in data:
        words["input"] = text_field(data, "input", where)
    if not words["instruction"].strip():
        raise UserError(f'{where}: "instruction" is empty.')
    template = ALPACA_WITH_INPUT if words["input"] else ALPACA_BARE
    return Demonstration(user_prompt(template.format(**words)), text_field(data, "output", where))


def _messages(data: dict[str, Any], where: str) -> Demonstration:
    return _last_answer(read_messages(field(data, "messages", where), "messages", where), where)


def _sharegpt(data: dict[str, Any], where: str) -> Demonstration:
    return _last_answer(read_messages(field(data, "conversations", where), "conversations", where, SHAREGPT), where)


def _last_answer(turns: tuple[Turn, ...], where: str) -> Demonstration:
    """The last answer is demonstrated, and what was said before is its prompt, the assistant's words among it."""
    if not turns or turns[-1].role != "assistant":
        raise UserError(f"{where}: the conversation must end with an answer of the assistant: that is what is learned.")
    return Demonstration(turns[:-1], turns[-1].text)


def best_answer(ranking: Ranking, where: str) -> Demonstration:
    """The answer ranked best, of several the first: what SFT learns from rankings. Raises UserError, naming `where`, if
    it was cut off: it would be demonstrated with an end that it did not have."""
    best = ranking.ranks.index(min(ranking.ranks))
    if not ranking.ended[best]:
        raise UserError(f"{where}: the best answer was cut off, so that it cannot show how an answer ends.")
    return Demonstration(ranking.turns, ranking.responses[best])


# ---- Which of them -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """name: for messages. build: the record of a JSON object; it raises UserError naming where the object stands."""

    name: str
    build: Callable[[dict[str, Any], str], Demonstration | Ranking]


KWISE = Format("rankings (prompt, responses, ranks or scores)", _kwise)
PREFERENCE = Format("preferences (prompt, chosen, rejected)", _preference)
IMPLICIT = Format("preferences without a prompt (chosen, rejected)", _implicit)
HH = Format("HH-RLHF transcripts (chosen, rejected)", _hh)
DEMONSTRATIONS = {  # by the field that tells
    "response": Format("demonstrations (prompt, response)", _demonstration),
    "completion": Format("completions (prompt, completion)", _completion),
    "instruction": Format("Alpaca (instruction, input, output)", _alpaca),
    "messages": Format("chats (messages)", _messages),
    "conversations": Format("ShareGPT chats (conversations)", _sharegpt),
}


def format_of(data: dict[str, Any]) -> Format | None:
    """The format whose telling field is there; None if none is. Preferences come first: some carry "messages" too."""
    if "responses" in data:
        return KWISE
    if "chosen" in data or "rejected" in data:
        if "prompt" in data:
            return PREFERENCE
        begins = data.get("chosen")
        return HH if isinstance(begins, str) and begins.startswith(HUMAN) else IMPLICIT
    return next((found for name, found in DEMONSTRATIONS.items() if name in data), None)


def _same_format(data: dict[str, Any], expected: Format | None, where: str) -> Format:
    """The format of this record, which must be that of the records before. A record that no field tells is measured by
    it too: then the message can name what is missing."""
    found = format_of(data) or expected
    if found is None:
        hint = "; a text alone is for `python -m minigpt.pretrain --corpus`" if "text" in data else ""
        known = "; ".join(each.name for each in (KWISE, PREFERENCE, IMPLICIT, *DEMONSTRATIONS.values()))
        raise UserError(f"{where}: the fields {shown(list(data))} are those of no format known here: {known}{hint}.")
    if expected not in (None, found):
        raise UserError(
            f"{where}: this is one of {found.name}, but the file began with {expected.name}; a file holds one format."
        )
    return found


# ---- Files -------------------------------------------------------------------------------------------------------


def read_demonstrations(path: Path, bad: BadLines) -> list[Demonstration]:
    """All demonstrations of a file; of rankings, the best answers. What is wrong goes to `bad`, with file and line."""

    def build(found: Format, data: dict[str, Any], where: str) -> Demonstration:
        record = found.build(data, where)
        if isinstance(record, Ranking):
            record = best_answer(record, where)
        if not record.response.strip():
            raise UserError(f"{where}: the answer is empty; a demonstration must say something.")
        return record

    return _read(path, build, bad)


def read_rankings(path: Path, bad: BadLines) -> list[Ranking]:
    """All rankings of a file. What is wrong goes to `bad`, with file and line."""

    def build(found: Format, data: dict[str, Any], where: str) -> Ranking:
        record = found.build(data, where)
        if isinstance(record, Demonstration):
            raise UserError(
                f"{where}: {found.name} rank nothing; they are for `python -m rlhf.stage1_sft --demonstrations`, and "
                "here answers that somebody compared are needed."
            )
        return record

    return _read(path, build, bad)


def _read(path: Path, build: Callable[[Format, dict[str, Any], str], Record], bad: BadLines) -> list[Record]:
    records: list[Record] = []
    expected, places = None, {}  # the format of the file, and where each id stands
    for where, line in numbered_lines(path, bad):
        with bad.tolerated():
            data = parse_object(line, where)
            found = _same_format(data, expected, where)
            record = build(found, data, where)
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
