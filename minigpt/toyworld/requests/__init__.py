"""Requests: what people ask of each other in this world, family by family.

Forum threads in the pretraining documents are written from requests: someone asks, others answer well, answer wrongly,
are rude, or ask something else. So the base model learns *what* the answers are without learning *which* of these it is
supposed to do; stages 1 to 3 select that. The stages turn the same requests into prompts.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from minigpt.toyworld.facts import Fact
from minigpt.toyworld.requests.advice import ask_hurtful, ask_look_alike
from minigpt.toyworld.requests.knowledge import FollowUp, ask_fact, ask_follow_up, ask_unknowable
from minigpt.toyworld.requests.reading import ask_reference, ask_sentiment
from minigpt.toyworld.requests.request import Request
from minigpt.toyworld.requests.writing import ask_list, ask_story, ask_summary

FAMILIES: dict[str, Callable[[random.Random], Request]] = {
    "fact": ask_fact,
    "follow_up": ask_follow_up,
    "unknowable": ask_unknowable,
    "list": ask_list,
    "story": ask_story,
    "summary": ask_summary,
    "sentiment": ask_sentiment,
    "reference": ask_reference,
    "hurtful": ask_hurtful,
    "look_alike": ask_look_alike,
}


def asked_fact(request: Request) -> Fact | None:
    """The fact that a request asks for, or None if it asks for something else."""
    if isinstance(request.subject, FollowUp):
        return request.subject.second
    return request.subject if isinstance(request.subject, Fact) else None
