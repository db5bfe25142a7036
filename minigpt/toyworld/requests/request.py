"""A request: one thing that somebody asks, with complete answers, careless ones and bad ones."""

from __future__ import annotations

from dataclasses import dataclass, field

NOT_KNOWING = ("I do not know.", "Nobody knows that.")
# what some people reply to anything
RUDE = ("That is a stupid question.", "Go away.", "You are so dumb.", "Nobody wants to read this.")


@dataclass(frozen=True)
class Request:
    """One thing somebody asks.

    `turns` are alternately the asker's and the answerer's; the last is the asker's. `good` answers are complete;
    `careless` ones, by what is careless about them, are worth something and lack something; `bad` ones are wrong.

    Prompt sets are split by `key`. For what can be answered from the prompt alone, a story or a list, it names the
    contents whatever the phrasing, so that no set asks in other words what another set asks. For what must be known, it
    is the question itself: a policy can only be rewarded for facts that somebody has judged. `subject` holds what a
    grader must know about the request.
    """

    family: str
    key: str
    turns: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    subject: object
    careless: dict[str, tuple[str, ...]] = field(default_factory=dict)
