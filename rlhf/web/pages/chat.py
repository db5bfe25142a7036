"""A conversation with a stage: tokens as they are written, how probable each was, and the reward model's score."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rlhf.stage_io import TEMPERATURE
from rlhf.web.asking import chosen_stage, known_stages, read_sampling, read_turns
from rlhf.web.engine.events import Question
from rlhf.web.engine.streams import EventResponse, Stream
from rlhf.web.inputs import read_object
from rlhf.web.rendering import render
from rlhf.web.sessions import current_person


async def show(request: Request) -> Response:
    """The empty conversation. It is kept in the browser alone."""
    return render(
        request,
        "chat",
        stages=list(known_stages(request).values()),
        asked=request.query_params.get("stage", ""),
        max_new_tokens=request.app.state.config.max_new_tokens,
        temperature=TEMPERATURE,
    )


async def answer(request: Request) -> EventResponse:
    """The next turn of a conversation, as server-sent events."""
    data = await read_object(request)
    question = Question(
        chosen_stage(data.get("stage"), known_stages(request)),
        read_turns(data),
        read_sampling(data, request.app.state.config),
    )
    stream = Stream()
    ticket = request.app.state.engine.submit(question, stream.column(), str(current_person(request).id))
    return EventResponse(stream, [ticket])


routes = [Route("/chat", show), Route("/chat/answer", answer, methods=["POST"])]
