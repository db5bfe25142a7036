"""Write: a person writes the answer that the model should have given, a demonstration of stage 1."""

from __future__ import annotations

import secrets

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from minigpt.runs.errors import UserError
from rlhf.web import inputs
from rlhf.web.rendering import render
from rlhf.web.sessions import current_person
from rlhf.web.store import demonstrations, items

LONGEST_PROMPT, LONGEST_RESPONSE = 300, 500  # characters


async def show(request: Request, sentence: str = "", **typed: str) -> Response:
    """The form, and what the person has written so far."""
    store, person = request.app.state.store, current_person(request)
    mine = await run_in_threadpool(demonstrations.written, store, person.id)
    prompt = typed.get("prompt") or await run_in_threadpool(items.any_prompt, store, person.id)
    return render(
        request,
        "write",
        status_code=400 if sentence else 200,
        sentence=sentence,
        saved="saved" in request.query_params,
        key=secrets.token_hex(inputs.KEY_LENGTH // 2),  # what is sent twice, by a second click, is kept once
        prompt=prompt,
        response=typed.get("response", ""),
        mine=mine[::-1],
        longest_prompt=LONGEST_PROMPT,
        longest_response=LONGEST_RESPONSE,
    )


async def save(request: Request) -> Response:
    """Keeps a demonstration. The page that comes back when it is refused holds what was typed."""
    form = dict(await request.form())
    try:
        prompt = inputs.text(form, "prompt", LONGEST_PROMPT, what="the prompt")
        response = inputs.text(form, "response", LONGEST_RESPONSE, what="the answer")
        key = inputs.key(form)
    except UserError as error:
        typed = {name: str(form.get(name, "")) for name in ("prompt", "response")}
        return await show(request, str(error), **typed)
    app, person = request.app.state, current_person(request)
    await run_in_threadpool(demonstrations.add, app.store, person.id, key, prompt, response)
    return RedirectResponse("/write?saved", 303)


async def remove(request: Request) -> Response:
    """Deletes one of the person's own demonstrations."""
    number = (await request.form()).get("number", "")
    if not str(number).isdecimal() or len(str(number)) > 15:
        raise UserError("number: expected a whole number")
    await run_in_threadpool(demonstrations.remove, request.app.state.store, current_person(request).id, int(number))
    return RedirectResponse("/write", 303)


routes = [
    Route("/write", show),
    Route("/write", save, methods=["POST"]),
    Route("/write/remove", remove, methods=["POST"]),
]
