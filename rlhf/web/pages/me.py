"""Coming in, coming back, leaving, and deleting oneself."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from minigpt.runs.errors import UserError
from rlhf.web.labels import export
from rlhf.web.rendering import render
from rlhf.web.security import Buckets, described, log
from rlhf.web.sessions import current_person, start_session
from rlhf.web.store import people
from rlhf.web.store.people import WrongCodeError

# Wrong codes from one address: ten at once, then one in ten seconds. A code is one of 2^30.
WRONG_CODES = Buckets(rate=0.1, size=10)


async def show_join(request: Request) -> Response:
    """The form for a name, and in a classroom for the code."""
    return render(request, "join", sentence="", name="")


async def join(request: Request) -> Response:
    """Lets somebody in who has a name and, in a classroom, the join code or the teacher's."""
    form = await request.form()
    name, code = str(form.get("name", "")), str(form.get("code", ""))
    classroom, secrets = request.app.state.config.classroom, request.app.state.secrets
    teacher = not classroom or people.same_code(code, secrets.teacher_code)
    wrong_codes = WRONG_CODES[request.client and request.client.host]
    try:
        if classroom and wrong_codes.fill() < 1:
            raise UserError("too many wrong codes came from here: wait a minute")
        if not teacher and not people.same_code(code, secrets.join_code):
            raise WrongCodeError("that is not the join code: the teacher has it")
        return_code = str(form.get("return_code", "")) if classroom else None
        person = await run_in_threadpool(people.join, request.app.state.store, name, return_code)
    except UserError as error:
        if isinstance(error, WrongCodeError):
            wrong_codes.take()
            log.warning("wrong code: %s %r from %s", *described(request))
        return render(request, "join", status_code=400, sentence=str(error), name=name)
    start_session(request, person, teacher and classroom)
    return RedirectResponse("/me" if classroom else "/", 303)


async def show_me(request: Request) -> Response:
    """One's name, return code, and what is kept."""
    return render(request, "me")


async def leave(request: Request) -> Response:
    """Ends the session; what was typed stays."""
    start_session(request, None)
    return RedirectResponse("/join", 303)


async def delete(request: Request) -> Response:
    """Deletes the person who asks for it, and all that this person typed."""
    app = request.app.state
    await run_in_threadpool(people.delete, app.store, current_person(request).id)
    app.rounds.forget(current_person(request).id)
    await run_in_threadpool(export.forget, app.store, app.config.class_dir)
    start_session(request, None)
    return RedirectResponse("/join", 303)


routes = [
    Route("/join", show_join),
    Route("/join", join, methods=["POST"]),
    Route("/me", show_me),
    Route("/me/leave", leave, methods=["POST"]),
    Route("/me/delete", delete, methods=["POST"]),
]
