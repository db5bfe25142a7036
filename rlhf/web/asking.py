"""What a browser asks of the models, as JSON, to questions for the engine. Everything is checked: nothing is a path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any

from starlette.requests import Request

from minigpt.runs.errors import UserError, did_you_mean
from rlhf.chat_format import Turn, check_prompt
from rlhf.web.config import WebConfig
from rlhf.web.engine.events import Sampling
from rlhf.web.stages import Stage, stages

MOST_TURNS = 60
LONGEST_TEXT = 4000  # characters of all turns together; no model here reads as much
MOST_TEMPERATURE = 5.0
MOST_SEED = 2**31


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises UserError for anything else."""
    try:
        found = await request.json()
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError("expected a JSON object")
    return found


def known_stages(request: Request) -> dict[str, Stage]:
    """The stages that can be asked, by name."""
    config: WebConfig = request.app.state.config
    return stages(config.runs, config.preset)


def chosen_stage(name: object, known: Mapping[str, Stage]) -> Stage:
    """The stage of this name. Raises UserError if there is none."""
    if not isinstance(name, str) or name not in known:
        asked = str(name)[:40]
        raise UserError(f"there is no stage {asked!r}, only {', '.join(known)}{did_you_mean(asked, known)}")
    return known[name]


def read_text(data: Mapping[str, Any], key: str) -> str:
    """A text that somebody typed. Raises UserError if it is missing, empty or too long."""
    text = data.get(key)
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"the {key} is empty: type something")
    if len(text) > LONGEST_TEXT:
        raise UserError(f"the {key} has {len(text)} characters, but at most {LONGEST_TEXT} are read: shorten it")
    return encodable(text)


def encodable(text: str) -> str:
    """The text, with U+FFFD for half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_turns(data: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The conversation so far, `[{"role", "text"}, …]`, which ends with the person's question."""
    found = data.get("turns")
    if not isinstance(found, list) or len(found) > MOST_TURNS:
        raise UserError(f"a conversation is a list of at most {MOST_TURNS} turns: begin a new one")
    turns = []
    for turn in found:
        if not isinstance(turn, dict) or not all(isinstance(turn.get(key), str) for key in ("role", "text")):
            raise UserError('a turn is {"role": …, "text": …}')
        # a model may have answered nothing; the conversation goes on all the same
        turns.append(Turn(turn["role"], encodable(turn["text"]) or "…"))
    check_prompt(turns, "the conversation")
    length = sum(len(turn.text) for turn in turns)
    if length > LONGEST_TEXT:
        raise UserError(f"the conversation has {length} characters, but at most {LONGEST_TEXT}: begin a new one")
    return tuple(turns)


def read_number(
    data: Mapping[str, Any], key: str, default: float, low: float, high: float, *, whole: bool = False
) -> float:
    """A number from `low` to `high`; the default if it is missing. Raises UserError for anything else."""
    value = data.get(key, default)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise UserError(f"{key.replace('_', ' ')} must be {kind} from {low:g} to {high:g}")
    return int(value) if whole else float(value)


def read_sampling(data: Mapping[str, Any], config: WebConfig) -> Sampling:
    """How the answers are sampled: temperature, top_k, top_p, max_new_tokens and seed."""
    return Sampling(
        temperature=read_number(data, "temperature", 1.0, 0, MOST_TEMPERATURE),
        top_k=int(read_number(data, "top_k", 0, 0, 10_000, whole=True)),
        top_p=read_number(data, "top_p", 1.0, 0.01, 1),
        max_new_tokens=int(
            read_number(data, "max_new_tokens", config.max_new_tokens, 1, max(config.max_new_tokens, 200), whole=True)
        ),
        seed=int(read_number(data, "seed", 0, 0, MOST_SEED, whole=True)),
    )
