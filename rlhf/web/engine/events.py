"""Requests to the engine, and the events that come back while it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from minigpt.generate import check_settings
from minigpt.runs.errors import UserError
from rlhf.chat_format import Turn
from rlhf.stage_io import TEMPERATURE
from rlhf.web.stages import Stage

MOST_SAMPLES = 8  # answers to one question


class EngineFullError(UserError):
    """A question that is turned away, because too many are waiting; its text is for the person who asked."""


# ---- What is asked -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """Sampling settings, the numbers of `minigpt.generate.generate`. Raises UserError for one out of range."""

    temperature: float = TEMPERATURE
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self.max_new_tokens, self.temperature, self.top_k, self.top_p, 1)


@dataclass(frozen=True)
class Question:
    """A conversation that a stage continues, `samples` times."""

    stage: Stage
    turns: tuple[Turn, ...]
    sampling: Sampling
    samples: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise UserError(f"samples is {self.samples}, but must be 1 to {MOST_SAMPLES}")


# ---- What comes back ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A token that could come next. probability: the model's own, at temperature 1 and without truncation.

    sampled: its probability in the distribution that was sampled, after temperature, top-k and top-p.
    """

    token: str
    probability: float
    sampled: float


@dataclass(frozen=True)
class ChosenToken:
    """A token that was written, and the most probable tokens in its place."""

    chosen: Choice
    alternatives: tuple[Choice, ...]


@dataclass(frozen=True)
class Event:
    """Something that has happened to a question; `kind` names it for the browser."""

    def as_json(self) -> dict[str, Any]:
        return {"kind": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True)
class Waiting(Event):
    """The question is not begun yet; `before` questions come first."""

    before: int


@dataclass(frozen=True)
class Begun(Event):
    """The model has read the question; `forgotten` of its oldest turns did not fit."""

    forgotten: int


@dataclass(frozen=True)
class Piece(Event):
    """The next characters of an answer, and the tokens that spell them: several, where a character has several; none,
    where bytes of the tokens before became no character."""

    sample: int
    text: str
    tokens: tuple[ChosenToken, ...]


@dataclass(frozen=True)
class Answer(Event):
    """A whole answer. `ended` is False if it was cut; `score` is the reward model's, None if there is none."""

    sample: int
    text: str
    ended: bool
    score: float | None


@dataclass(frozen=True)
class Result(Event):
    """The result of a request that is no question, as JSON."""

    value: Any


@dataclass(frozen=True)
class Done(Event):
    """Nothing more comes."""


@dataclass(frozen=True)
class Failed(Event):
    """The question cannot be answered, in one sentence. Nothing more comes."""

    sentence: str


LAST = (Done, Failed)


class Listener(Protocol):
    """The receiver of events: a queue.Queue, or a Stream of an event loop."""

    def put(self, event: Event) -> None: ...


@dataclass(eq=False)
class Ticket:
    """A request on its way through the engine. `person` is whoever asked, for the limit of each."""

    request: Any
    listener: Listener
    person: str = ""
    cancelled: bool = False
    unfinished: int = field(default=0)  # answers that are still being written
    told_before: int | None = None  # the last place in the queue that the listener was told
    over: bool = False  # nothing more will be told

    def cancel(self) -> None:
        """Drops the answer before its next token, because nobody waits for it any more."""
        self.cancelled = self.over = True

    def tell(self, event: Event) -> None:
        """Passes an event on, unless nobody listens."""
        if not self.cancelled:
            self.over = isinstance(event, LAST)
            self.listener.put(event)

    def tell_before(self, before: int) -> None:
        """Says how many requests come first, if that has changed."""
        if before != self.told_before:
            self.told_before = before
            self.tell(Waiting(before))
