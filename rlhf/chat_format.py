"""The chat format: turns of text to token ids, and the ids of an answer back to text.

    <|user|>What does a cow eat?<|assistant|>A cow eats grass.<|end|>

Every text is encoded on its own and the ids are joined, so no merge ever crosses the border between a
prompt and its response: what the policy sees while it samples is, id for id, what it was trained on.
A user who types "<|end|>" gets those seven characters as data, not the end token (`Tokenizer.encode`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer

ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Turn:
    """One message of a conversation: who speaks ("user" or "assistant") and what."""

    role: str
    text: str


def user_prompt(text: str) -> tuple[Turn, ...]:
    """A conversation of one question."""
    return (Turn("user", text),)


def check_prompt(turns: Sequence[Turn], where: str) -> None:
    """Raises `UserError` (naming `where`) unless turns alternate, start and end with the user, and say something."""
    if not turns:
        raise UserError(f"{where}: the prompt is empty; expected at least one user turn.")
    for index, turn in enumerate(turns):
        expected = ROLES[index % 2]
        if turn.role != expected:
            raise UserError(
                f"{where}: turn {index + 1} is by {turn.role!r}; expected {expected!r}, as turns alternate."
            )
        if not turn.text.strip():
            raise UserError(f"{where}: turn {index + 1} has no text.")
    if turns[-1].role != "user":
        raise UserError(f"{where}: the last turn is by the assistant; a prompt ends with a user turn.")


def encode_prompt(tokenizer: Tokenizer, turns: Sequence[Turn]) -> list[int]:
    """The ids up to and including the `<|assistant|>` after which the policy answers."""
    ids: list[int] = []
    for turn in turns:
        if turn.role == "user":
            ids += [tokenizer.user_id, *tokenizer.encode(turn.text), tokenizer.assistant_id]
        else:
            ids += encode_response(tokenizer, turn.text)
    return ids


def encode_plain(tokenizer: Tokenizer, turns: Sequence[Turn]) -> list[int]:
    """The turns as lines of a new document: the only way to ask a base model, which has never seen a chat token."""
    return [tokenizer.end_of_text_id, *tokenizer.encode("\n".join(turn.text for turn in turns) + "\n")]


def encode_response(tokenizer: Tokenizer, text: str, *, sampled: bool = False) -> list[int]:
    """The ids of an answer with its end token: the token that teaches the policy to stop.

    sampled: a model wrote the text, and the spelling of a special token in it is that token. What people typed never
    has one, or anybody could end a turn by its spelling; only tokens of one's own (--special-tokens), the name of a
    tool for example, are read in every answer. A user's words never have any.
    """
    allowed = True if sampled else tokenizer.own_special_tokens
    return [*tokenizer.encode(text, allow_special=allowed), tokenizer.end_id]


def decode_response(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of sampled ids, without the end token where there is one."""
    ids = list(ids)
    if ids and ids[-1] == tokenizer.end_id:
        ids = ids[:-1]
    return tokenizer.decode(ids)


def show(turns: Sequence[Turn]) -> str:
    """A conversation as a person would read it, one line a turn."""
    return "\n".join(f"{turn.role}: {turn.text}" for turn in turns)
