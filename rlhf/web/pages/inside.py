"""A text through a model: loss by token, next tokens, the attention of each head, and the text without some heads."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minigpt.runs.errors import UserError
from rlhf.web import inputs
from rlhf.web.asking import chosen_stage, known_stages
from rlhf.web.engine.look import Look
from rlhf.web.engine.streams import EventResponse, Stream
from rlhf.web.rendering import render
from rlhf.web.sessions import current_person

LONGEST_TEXT = 2000  # characters
MOST_SILENT = 64
EXAMPLE = "The monkey ate the banana quickly and it looks hungry. What does the word it refer to?"
BEGUN = "It refers to the"


async def show(request: Request) -> Response:
    """The form; chapter 04's sentence stands in it."""
    stages = list(known_stages(request).values())
    return render(request, "inside", stages=stages, example=EXAMPLE, begun=BEGUN, longest=LONGEST_TEXT)


async def look(request: Request) -> EventResponse:
    """The attention weights and predictions of a text, as server-sent events: places in the queue, then one result."""
    data = await inputs.read_object(request)
    begun = data.get("begun") or ""
    task = Look(
        chosen_stage(data.get("stage"), known_stages(request)),
        inputs.text(data, "text", LONGEST_TEXT, what="the text"),
        inputs.text(data, "begun", LONGEST_TEXT, what="the answer") if begun else "",
        document=data.get("document") is True,
        silent=read_heads(data.get("silent", [])),
        each=data.get("each") is True,
    )
    stream = Stream()
    ticket = request.app.state.engine.submit(task, stream.column(), str(current_person(request).id))
    return EventResponse(stream, [ticket])


def read_heads(found: Any) -> tuple[tuple[int, int], ...]:
    """[[layer, head], …], as pairs; whether the model has them is checked where the model is known."""
    if not isinstance(found, list) or len(found) > MOST_SILENT:
        raise UserError(f"silent: expected a list of at most {MOST_SILENT} heads")
    heads = []
    for pair in found:
        if not isinstance(pair, list) or len(pair) != 2 or any(type(number) is not int for number in pair):
            raise UserError("silent: a head is [layer, head]")
        heads.append((pair[0], pair[1]))
    return tuple(heads)


routes = [Route("/inside", show), Route("/inside/look", look, methods=["POST"])]
