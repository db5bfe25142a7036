"""Conversations as programs exchange them become turns of user and assistant.

    "What does a cow eat?"                                                 a text is what the user says
    [{"role": "user", "content": "What does a cow eat?"}, ...]             ChatML, TRL
    [{"from": "human", "value": "What does a cow eat?"}, ...]              ShareGPT

Our chat format knows user and assistant only, who take turns (`conversation`). What does not fit is made to fit:

- a system or developer message is put before the first words of the user;
- what a tool answers is said by the user, and a call of a tool is written by the assistant, as JSON;
- messages of one speaker in a row are one turn; a blank line separates what was joined;
- what the assistant says before the user's first words is left out, as FastChat does with ShareGPT's conversations.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from minigpt.corpora.json_lines import shown, text_field
from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn, user_prompt

SPEAKERS = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "user",
    "function": "user",
    "tool_response": "user",
    "observation": "user",
}
CHATML, SHAREGPT = ("role", "content"), ("from", "value")  # how a message calls its speaker and its words


def read_turns(value: Any, name: str, where: str) -> tuple[Turn, ...]:
    """The prompt in the field `name`: a text or a list of messages. Raises UserError naming `where`."""
    if isinstance(value, str):
        return user_prompt(value)
    return read_messages(value, name, where)


def read_messages(value: Any, name: str, where: str) -> tuple[Turn, ...]:
    """The turns in a list of messages, or in one message. Raises UserError for anything else, for a speaker that is
    unknown, and for a system message that does not stand first."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise UserError(f'{where}: "{name}" must be a text or a list of messages, got {shown(value)}.')
    said = [_read_message(message, f"{where}, message {number}") for number, message in enumerate(value, start=1)]
    return _take_turns(_without_greeting(_without_system(said, where)))


def _read_message(message: dict[str, Any], where: str) -> Turn:
    """One message, by its own names: some programs write ShareGPT's "conversations" with ChatML's."""
    role, content = SHAREGPT if "role" not in message and ("from" in message or "value" in message) else CHATML
    speaker = text_field(message, role, where)
    if speaker not in SPEAKERS:
        raise UserError(f"{where}: the speaker is {shown(speaker)}; expected one of {', '.join(SPEAKERS)}.")
    return Turn(SPEAKERS[speaker], _words(message, content, where))


def _words(message: dict[str, Any], name: str, where: str) -> str:
    """A text, or the texts among the parts of a message, and after them its calls of tools."""
    calls = _calls(message.get("tool_calls") or [], where)
    value = message.get(name) if calls else message.get(name, ...)
    if value is ...:
        raise UserError(f'{where}: the field "{name}" is missing.')
    if isinstance(value, list):
        for part in value:
            if not isinstance(part, dict) or part.get("type") != "text":
                kind = part.get("type") if isinstance(part, dict) else part
                raise UserError(f'{where}: a part of "{name}" is {shown(kind)}; only parts of type "text" can be read.')
        # OpenAI calls the text of a part "text", LLaMA-Factory's second version "value"
        value = "".join(text_field(part, "text" if "text" in part else "value", where) for part in value)
    if value is None and calls:
        value = ""
    if not isinstance(value, str):
        raise UserError(f'{where}: "{name}" must be a text, got {shown(value)}.')
    return "\n".join([*([value] if value or not calls else []), *map(_call, calls)])


def _calls(calls: Any, where: str) -> list[Any]:
    """The calls of tools in a message: a list or, as minimind has it, a list as JSON."""
    if isinstance(calls, str):
        with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is no list: that is said below
            calls = json.loads(calls)
    if not isinstance(calls, list):
        raise UserError(f'{where}: "tool_calls" must be a list, got {shown(calls)}.')
    return calls


def _call(call: Any) -> str:
    """The name and the arguments of a call of a tool, as JSON."""
    function = call.get("function", call) if isinstance(call, dict) else call
    if isinstance(function, dict):
        function = {key: function[key] for key in ("name", "arguments") if key in function} or function
    return json.dumps(function, ensure_ascii=False)


def _without_system(said: Sequence[Turn], where: str) -> list[Turn]:
    count = next((number for number, turn in enumerate(said) if turn.role != "system"), len(said))
    system, rest = [turn.text for turn in said[:count] if turn.text.strip()], list(said[count:])
    if any(turn.role == "system" for turn in rest):
        raise UserError(
            f"{where}: a system message must stand before all others; put what it says into a user message."
        )
    if system:
        first = next((number for number, turn in enumerate(rest) if turn.role == "user"), None)
        if first is None:
            raise UserError(f"{where}: after a system message, the user must speak.")
        rest[first] = Turn("user", "\n\n".join([*system, rest[first].text]))
    return rest


def _without_greeting(said: list[Turn]) -> list[Turn]:
    """The messages from the user's first on; an answer alone, where no user speaks, stays."""
    first = next((number for number, turn in enumerate(said) if turn.role == "user"), 0)
    return said[first:]


def _take_turns(said: Sequence[Turn]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for turn in said:
        if turns and turns[-1].role == turn.role:
            turns[-1] = Turn(turn.role, f"{turns[-1].text}\n\n{turn.text}")
        else:
            turns.append(turn)
    return tuple(turns)


def read_answer(value: Any, name: str, where: str, prompt: Sequence[Turn] = ()) -> str:
    """The answer in the field `name`: a text, or messages of the assistant that may follow a copy of the prompt.

    Whole conversations beside an explicit prompt are how HuggingFaceH4/ultrafeedback_binarized comes. Raises UserError
    naming `where`, also for an answer in which the user speaks: of that, nobody could say which words are the policy's.
    """
    if isinstance(value, str):
        return value
    turns = read_messages(value, name, where)
    if turns[: len(prompt)] == tuple(prompt):
        turns = turns[len(prompt) :]
    if len(turns) != 1 or turns[0].role != "assistant":
        speakers = ", ".join(turn.role for turn in turns[:6]) or "nobody"
        raise UserError(
            f'{where}: after the prompt, "{name}" must be one turn of the assistant; here these speak: {speakers}.'
        )
    return turns[0].text


def read_history(value: Any, where: str) -> list[Turn]:
    """Earlier questions and answers as [["question", "answer"], ...]; null is none of them."""
    pairs = value or []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in pairs
    ):
        raise UserError(f'{where}: "history" must be a list of pairs of a question and its answer, got {shown(value)}.')
    return [Turn(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]
