"""The engine: one thread that owns all models, and a queue of what people ask of them.

    engine = Engine(config)
    ticket = engine.submit(Question(...), listener, person="7")     # returns at once
    ...                                                             # events arrive at the listener
    ticket.cancel()                                                 # if the person has gone
    engine.stop()

The thread takes questions in their order while there is room, and then goes round: one token for each answer of each
model, again and again. So an answer that has begun never waits for a longer one, and a new one begins after one token.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from minigpt.runs.config import RunConfig
from minigpt.runs.errors import UserError
from rlhf.web.engine.batch import Batch, fail
from rlhf.web.engine.events import Done, EngineFullError, Listener, Question, Result, Ticket
from rlhf.web.engine.models import Models

LOGGER = logging.getLogger(__name__)
OUR_MISTAKE = "the server made a mistake, which is in its log; ask again"


class Task(Protocol):
    """A short computation with the models, whose result is JSON. Raises UserError if it cannot be done."""

    def compute(self, models: Models) -> Any: ...


@dataclass(frozen=True)
class Limits:
    """Limits of the engine's load. rows: answers that are written at once. waiting: requests in the queue.
    per_person: requests of one person, being answered or waiting."""

    rows: int = 32
    waiting: int = 64
    per_person: int = 8


class Engine:
    """All models behind one queue. `threads`: of each matrix product; more than one gains nothing on small models."""

    def __init__(self, config: RunConfig, limits: Limits | None = None, threads: int = 1) -> None:
        self.limits, self.threads = limits or Limits(), threads
        self._models = Models(config)
        self._batches: list[Batch] = []  # used by the thread alone, like the models
        self._waiting: deque[Ticket] = deque()
        self._unfinished: list[Ticket] = []  # waiting or being answered
        self._stopping = False
        self._changed = threading.Condition()  # guards the three before it
        self._thread: threading.Thread | None = None  # begun by the first request

    # ---- For everybody ----

    def submit(self, request: Question | Task, listener: Listener, person: str = "") -> Ticket:
        """Queues a request and returns at once. Raises EngineFullError if too many are waiting."""
        ticket = Ticket(request, listener, person)
        with self._changed:
            if self._stopping:
                raise EngineFullError("the server is stopping")
            self._forget_finished()
            own = sum(other.person == person for other in self._unfinished)
            if own >= self.limits.per_person:
                raise EngineFullError(f"{own} of your questions are still being answered: wait for one of them")
            if len(self._waiting) >= self.limits.waiting:
                raise EngineFullError(f"{len(self._waiting)} questions are waiting already: ask again in a moment")
            self._waiting.append(ticket)
            self._unfinished.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def stop(self) -> None:
        """Ends the thread; whatever is unfinished fails with a sentence."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    # ---- The thread ----

    def _run(self) -> None:
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            while self._wait_for_work():
                self._admit()
                for batch in self._batches:
                    try:
                        batch.step()
                    except Exception:
                        LOGGER.exception("a step of %s failed", batch.policy.stage.name)
                        self._give_up(batch)
                self._batches = [batch for batch in self._batches if batch.rows]
        for ticket in self._unfinished:
            fail(ticket, "the server is stopping")

    def _wait_for_work(self) -> bool:
        """Sleeps while there is nothing to do. False when the engine stops."""
        with self._changed:
            while not (self._stopping or self._waiting or self._batches):
                self._changed.wait()
            return not self._stopping

    def _admit(self) -> None:
        """Begins what there is room for, in order, and tells the others how many are before them."""
        while (ticket := self._next()) is not None:
            try:
                if isinstance(ticket.request, Question):
                    self._batch_of(ticket.request).join(ticket)
                else:
                    ticket.tell(Result(ticket.request.compute(self._models)))
                    ticket.tell(Done())
            except UserError as error:
                fail(ticket, str(error))
            except Exception:
                LOGGER.exception("a request failed")
                fail(ticket, OUR_MISTAKE)

    def _next(self) -> Ticket | None:
        """The first that waits, if its answers fit beside those that are being written."""
        with self._changed:
            self._waiting = deque(ticket for ticket in self._waiting if not ticket.cancelled)
            used = sum(len(batch.rows) for batch in self._batches)
            if self._waiting:
                request = self._waiting[0].request
                rows = request.samples if isinstance(request, Question) else 0
                if used == 0 or used + rows <= self.limits.rows:
                    return self._waiting.popleft()
            for before, ticket in enumerate(self._waiting):
                ticket.tell_before(before)
            return None

    def _batch_of(self, question: Question) -> Batch:
        """The batch of the stage's present weights; answers that were begun with older ones are finished with those."""
        policy = self._models.policy(question.stage)
        for batch in self._batches:
            if batch.policy is policy:
                return batch
        self._batches.append(Batch(policy))
        return self._batches[-1]

    def _give_up(self, batch: Batch) -> None:
        for row in batch.rows:
            fail(row.ticket, OUR_MISTAKE)
        batch.rows = []

    def _forget_finished(self) -> None:
        self._unfinished = [ticket for ticket in self._unfinished if not ticket.over]
