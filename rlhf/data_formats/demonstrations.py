"""A JSON object of each format of demonstrations becomes a Demonstration; README.md lists the formats.

Every function takes the object and where it stands, and raises UserError, naming that, for what is missing or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigpt.corpora.json_lines import field, shown, text_field
from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn
from rlhf.data_formats.messages import read_answer, read_history, read_messages, read_turns
from rlhf.records import Demonstration, Ranking


def own(data: dict[str, Any], where: str) -> Demonstration:
    """Ours: prompt, response."""
    turns = read_turns(field(data, "prompt", where), "prompt", where)
    return Demonstration(turns, text_field(data, "response", where))


def completion(data: dict[str, Any], where: str) -> Demonstration:
    """TRL: prompt, completion."""
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


def alpaca_prompt(data: dict[str, Any], where: str) -> tuple[Turn, ...]:
    """instruction and input in the words of Stanford's template; LLaMA-Factory's system and history before them."""
    words = {"instruction": text_field(data, "instruction", where), "input": optional_text(data, "input", where)}
    if not words["instruction"].strip():
        raise UserError(f'{where}: "instruction" is empty.')
    template = ALPACA_WITH_INPUT if words["input"] else ALPACA_BARE
    return with_earlier(data, template.format(**words), where)


def alpaca(data: dict[str, Any], where: str) -> Demonstration:
    """Alpaca: instruction, input, output."""
    return Demonstration(alpaca_prompt(data, where), text_field(data, "output", where))


def dolly(data: dict[str, Any], where: str) -> Demonstration:
    """Dolly: instruction, context, response. The context follows the instruction after a blank line."""
    instruction, context = text_field(data, "instruction", where), optional_text(data, "context", where)
    asked = f"{instruction}\n\n{context}" if context.strip() else instruction
    return Demonstration((Turn("user", asked),), text_field(data, "response", where))


def swift(data: dict[str, Any], where: str) -> Demonstration:
    """ms-swift: query, response, with system and history."""
    turns = with_earlier(data, text_field(data, "query", where), where)
    return Demonstration(turns, text_field(data, "response", where))


def swift_conversation(data: dict[str, Any], where: str) -> Demonstration:
    """ms-swift's ShareGPT: conversation, a list of {"human", "assistant"}."""
    rounds = field(data, "conversation", where)
    if not isinstance(rounds, list) or not rounds or not all(isinstance(each, dict) for each in rounds):
        raise UserError(f'{where}: "conversation" must be a list of rounds, each with "human" and "assistant".')
    turns = []
    for number, each in enumerate(rounds, start=1):
        place = f"{where}, round {number}"
        turns += [
            Turn("user", text_field(each, "human", place)),
            Turn("assistant", text_field(each, "assistant", place)),
        ]
    return Demonstration(with_system(data, turns[:-1], where), turns[-1].text)


def chatml(data: dict[str, Any], where: str) -> Demonstration:
    """ChatML: messages."""
    return _last_answer(data, "messages", where)


def sharegpt(data: dict[str, Any], where: str) -> Demonstration:
    """ShareGPT: conversations."""
    return _last_answer(data, "conversations", where)


def _last_answer(data: dict[str, Any], name: str, where: str) -> Demonstration:
    """The last answer is demonstrated, and what was said before is its prompt, the assistant's words among it."""
    turns = read_messages(field(data, name, where), name, where)
    if not turns or turns[-1].role != "assistant":
        raise UserError(f"{where}: the conversation must end with an answer of the assistant: that is what is learned.")
    return Demonstration(with_system(data, turns[:-1], where), turns[-1].text)


def best_answer(ranking: Ranking, where: str) -> Demonstration:
    """The answer ranked best, of several the first: what SFT learns from rankings. Raises UserError, naming `where`, if
    it was cut off: it would be demonstrated with an end that it did not have."""
    best = ranking.ranks.index(min(ranking.ranks))
    if not ranking.ended[best]:
        raise UserError(f"{where}: the best answer was cut off, so that it cannot show how an answer ends.")
    return Demonstration(ranking.turns, ranking.responses[best])


UNWANTED = ("label", "kto_tag")  # in TRL and ms-swift, and in LLaMA-Factory: whether somebody liked the answer
SEEN_OR_HEARD = ("images", "videos", "audios")


def check_demonstration(data: dict[str, Any], where: str) -> None:
    """Raises UserError for an answer that is marked as rejected: it would be imitated."""
    for name in UNWANTED:
        if data.get(name) is False or data.get(name) in ("false", "False"):
            raise UserError(
                f'{where}: "{name}" is false: this answer was rejected, and stage 1 would imitate it; --skip-bad '
                "leaves such records out."
            )


def check_text_only(data: dict[str, Any], where: str) -> None:
    """Raises UserError for a record that is about an image or a sound: without them its words make no sense."""
    for name in SEEN_OR_HEARD:
        if data.get(name):
            raise UserError(f'{where}: it comes with "{name}", and no model here can see or hear; leave it out.')


# ---- Parts that several formats share ----------------------------------------------------------------------------


def optional_text(data: dict[str, Any], name: str, where: str) -> str:
    """The text of a field that may be missing or null: then it is empty."""
    return "" if data.get(name) is None else text_field(data, name, where)


def with_earlier(data: dict[str, Any], asked: str, where: str) -> tuple[Turn, ...]:
    """The turns in "history" and the system message in "system", if they are there, and then the user's question."""
    return with_system(data, [*read_history(data.get("history"), where), Turn("user", asked)], where)


def with_system(data: dict[str, Any], turns: Sequence[Turn], where: str) -> tuple[Turn, ...]:
    """The turns with the text of the field "system", if it is there, before the user's first words."""
    system = optional_text(data, "system", where)
    if not system.strip() or not turns:
        return tuple(turns)
    if turns[0].role != "user":
        raise UserError(f'{where}: after "system", the user must speak; got {shown(turns[0].text)}.')
    return Turn("user", f"{system}\n\n{turns[0].text}"), *turns[1:]
