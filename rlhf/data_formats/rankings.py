"""A JSON object of each format of rankings and preferences becomes a Ranking; README.md lists the formats.

Every function takes the object and where it stands, and raises UserError, naming that, for what is missing or wrong.
`exports` holds those of programs in which people annotate.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any

from minigpt.corpora.json_lines import field, shown, text_field
from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats.demonstrations import alpaca_prompt, with_earlier, with_system
from rlhf.data_formats.hh import common_beginning, split_pair
from rlhf.data_formats.messages import read_answer, read_messages, read_turns
from rlhf.records import Ranking

# ---- K answers ---------------------------------------------------------------------------------------------------


def kwise(data: dict[str, Any], where: str) -> Ranking:
    """Ours: prompt, responses, and ranks or scores."""
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
    ranks = values if order == "ranks" else ranks_of(values, where)
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


def ultrafeedback(data: dict[str, Any], where: str) -> Ranking:
    """UltraFeedback: instruction, and completions that each have a response and a score, or ratings to average."""
    completions = field(data, "completions", where)
    if not isinstance(completions, list) or not all(isinstance(each, dict) for each in completions):
        raise UserError(f'{where}: "completions" must be a list of objects, got {shown(completions)}.')
    if len(completions) < 2:
        raise UserError(f"{where}: {len(completions)} completion; a ranking needs at least two.")
    places = [f"{where}, completion {number}" for number in range(1, len(completions) + 1)]
    responses = [text_field(each, "response", place) for each, place in zip(completions, places, strict=True)]
    scores = [_completion_score(each, place) for each, place in zip(completions, places, strict=True)]
    turns = user_prompt(text_field(data, "instruction", where))
    return Ranking(turns, tuple(responses), tuple(ranks_of(scores, where)), (True,) * len(responses))


def _completion_score(completion: dict[str, Any], where: str) -> float:
    """The overall score or, where there is none, the average of the ratings of single aspects, as OpenBMB takes it
    (UltraFeedback, src/data_annotation/fix_overall_score_issue.py): those that are "N/A" do not count."""
    if completion.get("overall_score") is not None:
        return _number(completion["overall_score"], "overall_score", where)
    aspects = completion.get("annotations")
    given = (
        [each.get("Rating") for each in aspects.values() if isinstance(each, dict)] if isinstance(aspects, dict) else []
    )
    ratings = [_number(rating, "Rating", where) for rating in given if rating not in (None, "N/A")]
    if not ratings:
        raise UserError(f'{where}: neither "overall_score" nor a rating among "annotations" is there.')
    return sum(ratings) / len(ratings)


def _number(value: Any, name: str, where: str) -> float:
    """A number, or the number that a text spells."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f'{where}: "{name}" must be a number, got {shown(value)}.')
    return number


def ranks_of(scores: Sequence[int | float], where: str) -> list[int]:
    """The rank of each score, the number of scores that are higher: 0 for the best, and equal scores are a tie."""
    if any(isinstance(score, float) and not math.isfinite(score) for score in scores):
        raise UserError(f"{where}: scores {shown(scores)}; expected finite numbers.")
    first: dict[int | float, int] = {}
    for place, score in enumerate(sorted(scores, reverse=True)):
        first.setdefault(score, place)
    return [first[score] for score in scores]


KINDS = {str: "texts", int: "whole numbers", bool: "true and false", (int, float): "numbers"}


def _list(data: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> list[Any]:
    value = field(data, name, where)
    # in Python True is an int, in a ranking it is a mistake
    if not isinstance(value, list) or not all(
        isinstance(item, kind) and isinstance(item, bool) == (kind is bool) for item in value
    ):
        raise UserError(
            f'{where}: "{name}" must be a list of {KINDS[kind]}, one for each response, got {shown(value)}.'
        )
    return value


# ---- Pairs -------------------------------------------------------------------------------------------------------


def pair(turns: Sequence[Turn], chosen: str, rejected: str, tie: bool = False) -> Ranking:
    """A ranking of two answers of which the first is better, or neither; equal texts are a tie."""
    ranks = (0, 0) if tie or chosen == rejected else (0, 1)
    return Ranking(tuple(turns), (chosen, rejected), ranks, (True, True))


def _answers(data: dict[str, Any], where: str, turns: Sequence[Turn]) -> list[str]:
    return [read_answer(field(data, name, where), name, where, turns) for name in ("chosen", "rejected")]


def preference(data: dict[str, Any], where: str) -> Ranking:
    """TRL: prompt, chosen, rejected."""
    turns = read_turns(field(data, "prompt", where), "prompt", where)
    return pair(turns, *_answers(data, where, turns))


def alpaca_preference(data: dict[str, Any], where: str) -> Ranking:
    """LLaMA-Factory: instruction, input, chosen, rejected."""
    turns = alpaca_prompt(data, where)
    return pair(turns, *_answers(data, where, turns))


def chat_preference(data: dict[str, Any], where: str) -> Ranking:
    """LLaMA-Factory: conversations, and chosen and rejected as one message each."""
    name = "messages" if "messages" in data else "conversations"
    turns = with_system(data, read_messages(field(data, name, where), name, where), where)
    return pair(turns, *_answers(data, where, turns))


def swift_preference(data: dict[str, Any], where: str) -> Ranking:
    """ms-swift: rejected_response, a text or messages, beside query and response or beside messages, of which the last
    is the better answer."""
    if "messages" not in data:
        turns = with_earlier(data, text_field(data, "query", where), where)
        better = text_field(data, "response", where)
    else:
        turns = read_messages(data["messages"], "messages", where)[:-1]
        better = read_answer(data["messages"], "messages", where, turns)
    return pair(turns, better, read_answer(field(data, "rejected_response", where), "rejected_response", where, turns))


def swift_conversations(data: dict[str, Any], where: str) -> Ranking:
    """ms-swift: messages and rejected_messages, two whole conversations."""
    names = ("messages", "rejected_messages")
    return two_conversations(*(field(data, name, where) for name in names), names, where)


def message_lists(data: dict[str, Any], where: str) -> Ranking:
    """LLaMA-Factory's second version: chosen_messages and rejected_messages, two whole conversations."""
    names = ("chosen_messages", "rejected_messages")
    return two_conversations(*(field(data, name, where) for name in names), names, where)


def implicit(data: dict[str, Any], where: str) -> Ranking:
    """TRL without a prompt: chosen and rejected begin with it."""
    chosen, rejected = field(data, "chosen", where), field(data, "rejected", where)
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _split_texts(chosen, rejected, where)
    return two_conversations(chosen, rejected, ("chosen", "rejected"), where)


def two_conversations(first: Any, second: Any, names: tuple[str, str], where: str, tie: bool = False) -> Ranking:
    """A pair of two whole conversations: the prompt is what both begin with, and one answer follows it in each."""
    talks = read_messages(first, names[0], where), read_messages(second, names[1], where)
    prompt = []
    for turn, other in zip(*(talk[:-1] for talk in talks), strict=False):  # one talk may be longer
        if turn != other:
            break
        prompt.append(turn)
    answers = [read_answer(value, name, where, prompt) for value, name in zip((first, second), names, strict=True)]
    return pair(prompt, *answers, tie=tie)


def _split_texts(chosen: str, rejected: str, where: str) -> Ranking:
    """The prompt is what both begin with, up to the last blank: a longer one could end within a word."""
    common = common_beginning(chosen, rejected)
    cut = len(common)
    while cut and not common[cut - 1].isspace():
        cut -= 1
    prompt = common[:cut].rstrip()
    if not prompt:
        raise UserError(f'{where}: "chosen" and "rejected" do not begin alike; give the "prompt" in its own field.')
    return pair(user_prompt(prompt), chosen[len(prompt) :], rejected[len(prompt) :])


def hh(data: dict[str, Any], where: str) -> Ranking:
    """HH-RLHF: chosen and rejected as transcripts."""
    chosen, rejected = (text_field(data, name, where) for name in ("chosen", "rejected"))
    return pair(*split_pair(chosen, rejected, where))


# ---- LMSYS's arena -----------------------------------------------------------------------------------------------

TIES = ("tie", "tie (bothbad)", "both_bad")  # the last since 2025
WINNERS = ("model_a", "model_b", *TIES)


def _winner(data: dict[str, Any], where: str) -> str:
    winner = field(data, "winner", where)
    if winner not in WINNERS:
        raise UserError(f"{where}: the winner is {shown(winner)}; expected one of {', '.join(WINNERS)}.")
    return winner


def arena(data: dict[str, Any], where: str) -> Ranking:
    """LMSYS: conversation_a, conversation_b and a winner, which may be a tie."""
    winner = _winner(data, where)
    names = ("conversation_b", "conversation_a") if winner == "model_b" else ("conversation_a", "conversation_b")
    talks = (_from_json(field(data, name, where)) for name in names)
    return two_conversations(*talks, names, where, winner in TIES)


def arena_table(data: dict[str, Any], where: str) -> Ranking:
    """LMSYS on Kaggle: prompt, response_a and response_b as texts or lists of them, and one of three winners is 1, or
    is named."""
    prompts, *answers = (_texts(data, name, where) for name in ("prompt", "response_a", "response_b"))
    if not len(prompts) == len(answers[0]) == len(answers[1]):
        raise UserError(f'{where}: "prompt", "response_a" and "response_b" must be equally long lists.')
    if "winner" in data:
        winner = _winner(data, where)
    else:
        names = ("model_a", "model_b", "tie")
        won = [name for name in names if str(field(data, f"winner_{name}", where)) in ("1", "1.0", "True")]
        if len(won) != 1:
            raise UserError(f"{where}: expected 1 for one of winner_model_a, winner_model_b and winner_tie, else 0.")
        winner = won[0]
    talks = [
        [
            {"role": role, "content": text}
            for both in zip(prompts, texts, strict=True)
            for role, text in zip(("user", "assistant"), both, strict=True)
        ]
        for texts in answers
    ]
    first, second = (1, 0) if winner == "model_b" else (0, 1)
    names = ("response_a", "response_b")
    return two_conversations(talks[first], talks[second], (names[first], names[second]), where, winner in TIES)


def _texts(data: dict[str, Any], name: str, where: str) -> list[str]:
    value = _from_json(field(data, name, where))
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UserError(f'{where}: "{name}" must be a list of texts, got {shown(value)}.')
    return value


def _from_json(value: Any) -> Any:
    """The list that a text spells as JSON; any other value as it is."""
    if isinstance(value, str) and value.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):  # then it is a text that begins with a bracket
            return json.loads(value)
    return value
