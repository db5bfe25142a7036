"""Events of the engine's thread in an event loop, and as an answer of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.types import Receive, Scope, Send

from rlhf.web.engine.events import LAST, Event, Ticket

Filter = Callable[[Event], Event | None]


class Stream:
    """The events of several requests, in an event loop: the engine's thread puts, `async for column, event` takes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._columns = 0

    def column(self) -> Column:
        """The listener of one more request; its number is the first of each pair."""
        self._columns += 1
        return Column(self, self._columns - 1)

    def put(self, column: int, event: Event) -> None:
        """Called by the engine's thread; never waits."""
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, (column, event))

    async def __aiter__(self) -> AsyncIterator[tuple[int, Event]]:
        """The events, up to the last one of every column."""
        open_columns = self._columns
        while open_columns:
            column, event = await self._events.get()
            open_columns -= isinstance(event, LAST)
            yield column, event


@dataclass(frozen=True)
class Column:
    """The listener of one request of a stream."""

    stream: Stream
    number: int

    def put(self, event: Event) -> None:
        self.stream.put(self.number, event)


def everything(event: Event) -> Event | None:
    """The filter that keeps every event."""
    return event


class EventResponse:
    """An HTTP response of server-sent events. Its requests are cancelled when the browser has gone, also while they
    wait. first: an object that is sent before all events; keep: what becomes of each event, None for nothing."""

    def __init__(
        self, stream: Stream, tickets: Sequence[Ticket], first: dict[str, Any] | None = None, keep: Filter = everything
    ) -> None:
        self.stream, self.tickets, self.first, self.keep = stream, tickets, first, keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_when_gone, receive, group.cancel_scope)
                await self._send_events(send)
                group.cancel_scope.cancel()
        except* OSError:  # alone, or in the task group's exception group
            pass  # the connection broke while something was sent: the same as gone
        finally:
            for ticket in self.tickets:
                ticket.cancel()

    async def _send_events(self, send: Send) -> None:
        if self.first is not None:
            await send({"type": "http.response.body", "body": server_sent(self.first), "more_body": True})
        async for column, event in self.stream:
            kept = self.keep(event)
            if kept is not None:
                body = server_sent({"column": column, **kept.as_json()})
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _end_when_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


def server_sent(value: dict[str, Any]) -> bytes:
    """One event of text/event-stream. In JSON every line break of a text is written as \\n, so it ends no event."""
    return f"data: {json.dumps(value)}\n\n".encode("ascii")
