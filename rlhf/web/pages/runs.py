"""The curves of runs, also of one that is training, and what the stages wrote on the way."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from minigpt.runs.errors import UserError
from rlhf.web.logs import Log, logs, read_part, read_samples
from rlhf.web.rendering import render


async def show(request: Request) -> Response:
    """The page; its script asks for everything else."""
    return render(request, "runs")


async def listing(request: Request) -> Response:
    """The names of all logs, and which are growing."""
    found = await run_in_threadpool(known_logs, request)
    return JSONResponse({"logs": [{"name": log.name, "live": log.live} for log in found.values()]})


async def part(request: Request) -> Response:
    """The rows of a log since the last request."""
    query = request.query_params
    numbers = [query.get(name, "0") for name in ("from", "file")]
    if not all(number.isdecimal() and number.isascii() and len(number) <= 20 for number in numbers):
        raise UserError("from and file are numbers that an earlier answer gave")
    return JSONResponse(await run_in_threadpool(read, request, read_part, *map(int, numbers)))


async def samples(request: Request) -> Response:
    """The samples that a stage wrote while it trained."""
    return JSONResponse({"sections": await run_in_threadpool(read, request, read_samples)})


def known_logs(request: Request) -> dict[str, Log]:
    """All logs, by name."""
    config = request.app.state.config
    return logs(config.runs, config.preset)


def read(request: Request, reader: Any, *numbers: int) -> Any:
    """The result of a reader on the log that the request names. Raises UserError if there is none (any more)."""
    name = request.query_params.get("name", "")
    log = known_logs(request).get(name)
    gone = UserError(f"there is no log {name[:60]!r}: it may have been finished or removed")
    if log is None:
        raise gone
    try:
        return reader(log, *numbers)
    except FileNotFoundError:
        raise gone from None


routes = [
    Route("/runs", show),
    Route("/runs/list", listing),
    Route("/runs/part", part),
    Route("/runs/samples", samples),
]
