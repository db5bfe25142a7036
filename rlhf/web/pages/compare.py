"""One prompt, the answers of several stages side by side; blind, the person decides between two of them."""

from __future__ import annotations

import random
from functools import lru_cache

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from minigpt.runs.errors import UserError
from rlhf.chat_format import user_prompt
from rlhf.people.prompts import prompt_set
from rlhf.stage_io import TEMPERATURE
from rlhf.web.asking import chosen_stage, known_stages, read_prompt, read_sampling
from rlhf.web.blind import rates
from rlhf.web.engine.events import Answer, Done, Event, Failed, Question, Waiting
from rlhf.web.engine.streams import EventResponse, Filter, Stream, everything
from rlhf.web.inputs import read_object, whole
from rlhf.web.rendering import render
from rlhf.web.sessions import current_person
from rlhf.web.stages import Stage
from rlhf.web.store import verdicts

MOST_STAGES = 6  # side by side
MOST_SAMPLES = 4
SUGGESTIONS = 200


async def show(request: Request) -> Response:
    """The form for a prompt and the stages."""
    return render(
        request,
        "compare",
        stages=list(known_stages(request).values()),
        max_new_tokens=request.app.state.config.max_new_tokens,
        temperature=TEMPERATURE,
        most_stages=MOST_STAGES,
        most_samples=MOST_SAMPLES,
    )


async def answers(request: Request) -> EventResponse:
    """The answers of the named stages, one column each, as server-sent events."""
    data = await read_object(request)
    names, known = data.get("stages"), known_stages(request)
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_STAGES:
        raise UserError(f"choose 1 to {MOST_STAGES} stages")
    samples = whole({"samples": 1} | data, "samples", 1, MOST_SAMPLES)
    sampling, turns = read_sampling(data, request.app.state.config), user_prompt(read_prompt(data))
    questions = [Question(chosen_stage(name, known), turns, sampling, samples) for name in names]
    return ask_all(request, questions)


def ask_all(request: Request, questions: list[Question], *, keep: Filter = everything, **first: str) -> EventResponse:
    """One response with a column for each question; none is asked if one is turned away."""
    stream, person, tickets = Stream(), str(current_person(request).id), []
    try:
        for question in questions:
            tickets.append(request.app.state.engine.submit(question, stream.column(), person))
    except UserError:
        for ticket in tickets:
            ticket.cancel()
        raise
    return EventResponse(stream, tickets, {"kind": "round", **first} if first else None, keep)


# ---- Blind -------------------------------------------------------------------------------------------------------


async def begin_blind(request: Request) -> EventResponse:
    """Two answers to one prompt, of two of the named stages. The browser learns neither which nor in which order."""
    data = await read_object(request)
    names, known = data.get("stages"), known_stages(request)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < 2:
        raise UserError("choose two stages, or more: each round takes two of them")
    chosen: dict[str, Stage] = {name: chosen_stage(name, known) for name in names}
    prompt, sampling = read_prompt(data), read_sampling(data, request.app.state.config)
    begun = request.app.state.rounds.begin(current_person(request).id, prompt, chosen)
    questions = [Question(chosen[name], user_prompt(prompt), sampling) for name in begun.stages]
    return ask_all(request, questions, keep=blinded, round=begun.id)


def blinded(event: Event) -> Event | None:
    """The event without what would tell whose answer it is: no scores, no probabilities, no pace of writing."""
    if isinstance(event, Answer):
        return Answer(event.sample, event.text, event.ended, None)
    if isinstance(event, Failed):  # its sentence may name the stage
        return Failed("one of the two answers could not be written: make another comparison")
    return event if isinstance(event, Waiting | Done) else None


async def decide(request: Request) -> Response:
    """Keeps a verdict."""
    data = await read_object(request)
    state, person = request.app.state, current_person(request)
    await run_in_threadpool(state.rounds.decide, state.store, person.id, data.get("round"), data.get("winner"))
    return JSONResponse({"decided": len(state.rounds.decided(person.id))})


async def results(request: Request) -> Response:
    """The stages behind the answers that this person has decided between, and win rates: the person's and all."""
    state, person = request.app.state, current_person(request)
    own = [
        {"prompt": one.prompt, "stages": one.stages, "verdict": one.verdict} for one in state.rounds.decided(person.id)
    ]
    return JSONResponse(
        {
            "rounds": own,
            "own": await run_in_threadpool(lambda: rates(verdicts.counts(state.store, person.id))),
            "all": await run_in_threadpool(lambda: rates(verdicts.counts(state.store))),
        }
    )


async def suggest(request: Request) -> Response:
    """A prompt of set D, which no stage has been trained on."""
    prompts = await run_in_threadpool(suggestions, request.app.state.config.seed)
    return JSONResponse({"prompt": random.choice(prompts)})


@lru_cache(maxsize=4)
def suggestions(seed: int) -> tuple[str, ...]:
    """Prompts of one turn from set D."""
    return tuple(prompt.turns[0].text for prompt in prompt_set("D", SUGGESTIONS, seed) if len(prompt.turns) == 1)


routes = [
    Route("/compare", show),
    Route("/compare/answers", answers, methods=["POST"]),
    Route("/compare/blind", begin_blind, methods=["POST"]),
    Route("/compare/verdict", decide, methods=["POST"]),
    Route("/compare/results", results),
    Route("/compare/prompt", suggest),
]
