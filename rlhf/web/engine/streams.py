"""Events of the engine's thread in an event loop, and as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from rlhf.web.engine.events import LAST, Event


class Stream:
    """A listener inside an event loop: the engine's thread puts events, `async for event in stream` takes them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Called by the engine's thread; never waits."""
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events up to the last one."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, LAST):
                return


def server_sent(event: Event) -> bytes:
    """One event of text/event-stream. In JSON every line break of a text is written as \\n, so it ends no event."""
    return f"data: {json.dumps(event.as_json())}\n\n".encode("ascii")
