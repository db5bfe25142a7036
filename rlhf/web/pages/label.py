"""Label: a person puts the answers to a prompt in order. static/label.js is the page, this is what it asks."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rlhf.web import inputs
from rlhf.web.config import WebConfig
from rlhf.web.labels import training
from rlhf.web.labels.assignment import State, current_state, next_state
from rlhf.web.labels.summary import own_agreement
from rlhf.web.rendering import render
from rlhf.web.sessions import current_person
from rlhf.web.store import items, rankings
from rlhf.web.store.database import Database

MOST_ANSWERS = 9  # the keys 1 to 9
LARGEST_ID = 2**53


async def show(request: Request) -> Response:
    """The page; the script asks for the prompt."""
    count = await run_in_threadpool(items.count, request.app.state.store)
    return render(request, "label", ready=count > 0)


async def ready(request: Request) -> Response:
    """The state of the preparation: are there prompts to rank, and if not, the sentence of what went wrong."""
    app = request.app.state
    count = await run_in_threadpool(items.count, app.store)
    job = await run_in_threadpool(training.status, app.store, app.config)
    percent = None if job is None else training.percent(app.config, job)
    return JSONResponse({"ready": count > 0, "percent": percent, "message": job.message if job and not count else ""})


async def give(request: Request) -> Response:
    """The prompt that the person has open, or the next one."""
    data = await inputs.read_object(request)
    app, person = request.app.state, current_person(request)
    state = await run_in_threadpool(current_state, app.store, app.config, person.id, data.get("more") is True)
    return await as_json(app.store, person.id, state)


async def save(request: Request) -> Response:
    """Keeps a label, and gives the next prompt."""
    data = await inputs.read_object(request)
    outcome = inputs.choice(data, "outcome", ("ranked", "all_bad", "skipped"))
    label = {
        "key": inputs.key(data),
        "item_id": inputs.whole(data, "item", 1, LARGEST_ID),
        "outcome": outcome,
        "shown_ranks": inputs.wholes(data, "ranks", 1, MOST_ANSWERS, MOST_ANSWERS) if outcome == "ranked" else [],
        "reason": inputs.choice(data, "reason", rankings.REASONS),
        "seconds": inputs.number(data, "seconds", 0, rankings.LONGEST_SECONDS),
    }
    app, person = request.app.state, current_person(request)
    more = data.get("more") is True
    return await as_json(
        app.store, person.id, await run_in_threadpool(_save, app.store, app.config, person.id, label, more)
    )


def _save(store: Database, config: WebConfig, person_id: int, label: dict[str, Any], more: bool) -> State:
    with store.writing() as connection:  # one commit for both: it has reached the disk before the page hears of it
        rankings.save(connection, person_id, **label)
        return next_state(connection, config, person_id, more)


async def undo(request: Request) -> Response:
    """Takes the last label back; its prompt is open again."""
    data = await inputs.read_object(request)
    app, person = request.app.state, current_person(request)
    state = await run_in_threadpool(_undo, app.store, app.config, person.id, inputs.key(data))
    return await as_json(app.store, person.id, state)


def _undo(store: Database, config: WebConfig, person_id: int, key: str) -> State:
    with store.writing() as connection:
        rankings.undo(connection, person_id, key)
        return next_state(connection, config, person_id, more=True)


async def as_json(store: Database, person_id: int, state: State) -> JSONResponse:
    """The state as the script reads it. Nothing in it tells a known pair from another, nor the grades of an answer."""
    data: dict[str, Any] = {"item": None, "ranked": state.ranked, "asked": state.asked, "exhausted": state.exhausted}
    if state.assignment is not None:
        item = state.assignment.item
        data["item"] = {
            "id": item.id,
            "prompt": item.prompt,
            "answers": [{"text": item.texts[i], "ended": item.ended[i]} for i in state.assignment.shown],
        }
    elif state.ranked:
        data["agreement"] = await run_in_threadpool(own_agreement, store, person_id)
    return JSONResponse(data)


routes = [
    Route("/label", show),
    Route("/label/ready", ready),
    Route("/label", save, methods=["POST"]),
    Route("/label/next", give, methods=["POST"]),
    Route("/label/undo", undo, methods=["POST"]),
]
