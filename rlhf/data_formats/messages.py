"""Conversations as programs exchange them become turns of user and assistant.

    "What does a cow eat?"                                                 a text is what the user says
    [{"role": "user", "content": "What does a cow eat?"}, ...]             ChatML, TRL
    [{"from": "human", "value": "What does a cow eat?"}, ...]              ShareGPT

Our chat format knows user and assistant only, who take turns (`conversation`). What does not fit is made to fit, and no
word is lost: a system message is put before the first words of the user, and messages of one speaker in a row are one
turn; a blank line parts what was joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats.jsonl import shown, text_field

SPEAKERS = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "system": "system"}
CHATML, SHAREGPT = ("role", "content"), ("from", "value")  # how they call the speaker and the words


def read_turns(value: Any, name: str, where: str) -> tuple[Turn, ...]:
    """The prompt in the field `name`: a text or a list of messages. Raises UserError naming `where`."""
    if isinstance(value, str):
        return user_prompt(value)
    return read_messages(value, name, where)


def read_messages(value: Any, name: str, where: str, keys: tuple[str, str] = CHATML) -> tuple[Turn, ...]:
    """The turns in a list of messages. Raises UserError for anything else, and for a speaker that is unknown, a tool
    for example, or a system message that does not stand first."""
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise UserError(f'{where}: "{name}" must be a text or a list of messages, got {shown(value)}.')
    said = []
    for number, message in enumerate(value, start=1):
        speaker, words = (text_field(message, key, f"{where}, message {number}") for key in keys)
        if speaker not in SPEAKERS:
            raise UserError(
                f"{where}, message {number}: the speaker is {shown(speaker)}; expected one of {', '.join(SPEAKERS)}."
            )
        said.append(Turn(SPEAKERS[speaker], words))
    return _take_turns(_without_system(said, where))


def _without_system(said: Sequence[Turn], where: str) -> Sequence[Turn]:
    if not said or said[0].role != "system":
        system, rest = "", list(said)
    else:
        system, rest = said[0].text, list(said[1:])
    if any(turn.role == "system" for turn in rest):
        raise UserError(f"{where}: a system message must be the first message, and the only one of its kind.")
    if system.strip():
        if not rest or rest[0].role != "user":
            raise UserError(f"{where}: after a system message, the user must speak first.")
        rest[0] = Turn("user", f"{system}\n\n{rest[0].text}")
    return rest


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
