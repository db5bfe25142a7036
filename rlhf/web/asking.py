"""Questions for the engine, read from the JSON that a browser sent. Nothing that it names is a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from minigpt.runs.errors import UserError, did_you_mean
from rlhf.chat_format import Turn, check_prompt
from rlhf.web import inputs
from rlhf.web.config import WebConfig
from rlhf.web.engine.events import Sampling
from rlhf.web.stages import Stage, stages

MOST_TURNS = 60
LONGEST_TEXT = 4000  # characters of all turns together; no model here reads as much
MOST_TOKENS = 200  # in an answer, unless --max-new-tokens is larger
MOST_TOP_K = 10_000
MOST_SEED = 2**31


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


def read_prompt(data: Mapping[str, Any]) -> str:
    """The one prompt that several stages answer."""
    return inputs.text(data, "prompt", LONGEST_TEXT, what="the prompt")


def read_turns(data: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The conversation so far, `[{"role", "text"}, …]`, which ends with the person's question."""
    found = data.get("turns")
    if not isinstance(found, list) or len(found) > MOST_TURNS:
        raise UserError(f"a conversation is a list of at most {MOST_TURNS} turns: begin a new one")
    turns = []
    for turn in found:
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise UserError('a turn is {"role": …, "text": …}')
        # a model may have answered nothing; the conversation goes on all the same
        said = turn if turn.get("text") or turn["role"] == "user" else turn | {"text": "…"}
        turns.append(Turn(turn["role"], inputs.text(said, "text", LONGEST_TEXT, what="your message")))
    check_prompt(turns, "the conversation")
    length = sum(len(turn.text) for turn in turns)
    if length > LONGEST_TEXT:
        raise UserError(f"the conversation has {length} characters, and {LONGEST_TEXT} is the most: begin a new one")
    return tuple(turns)


def read_sampling(data: Mapping[str, Any], config: WebConfig) -> Sampling:
    """The sampling settings: temperature, top_k, top_p, max_new_tokens and seed; all of them may be missing."""
    default = Sampling(max_new_tokens=config.max_new_tokens)
    data = vars(default) | dict(data)
    return Sampling(
        temperature=inputs.number(data, "temperature", 0, 5),
        top_k=inputs.whole(data, "top_k", 0, MOST_TOP_K),
        top_p=inputs.number(data, "top_p", 0.01, 1),
        max_new_tokens=inputs.whole(data, "max_new_tokens", 1, max(config.max_new_tokens, MOST_TOKENS)),
        seed=inputs.whole(data, "seed", 0, MOST_SEED),
    )
