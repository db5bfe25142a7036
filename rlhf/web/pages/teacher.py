"""The teacher's page: who has ranked how much, how far people agree, the files, and the button that trains."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from minigpt.runs.errors import UserError
from minigpt.runs.resume import UNFINISHED
from rlhf.web.config import WebConfig
from rlhf.web.labels import export, training
from rlhf.web.labels.summary import summarise
from rlhf.web.rendering import TEMPLATES, render
from rlhf.web.stages import class_run_dir
from rlhf.web.store import people
from rlhf.web.store.database import Database
from rlhf.web.store.jobs import Job

CURVES = {"reward_model": ("loss", "accuracy"), "ppo": ("objective/scores", "objective/kl_nats_per_sequence")}
MOST_POINTS = 300


def share(value: float) -> str:
    """A share in percent, a dash for none."""
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def figure(value: float) -> str:
    """Two digits, a dash for none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


TEMPLATES.filters |= {"share": share, "figure": figure}


async def show(request: Request, sentence: str = "") -> Response:
    """The page, with all figures as they are now."""
    app = request.app.state
    summary = await run_in_threadpool(summarise, app.store, app.config.overlap)
    job = await run_in_threadpool(training.status, app.store, app.config)
    return render(
        request,
        "teacher",
        status_code=400 if sentence else 200,
        sentence=sentence,
        summary=summary,
        job=job,
        overlap=app.config.overlap,
        join_code=app.secrets.join_code if app.config.classroom else "",
        took=in_words(seconds_of(app.config.run_dir / part / "usage.json") for part in CURVES),
        has_reward_model=(training.reward_model_dir(app.config) / "checkpoint.pt").is_file(),
        has_policy=(class_run_dir(app.config.runs, app.config.preset) / "ppo" / "checkpoint.pt").is_file(),
    )


def seconds_of(path: Path) -> float:
    """The seconds that a stage took; NaN if its run has not noted it."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return math.nan


def in_words(seconds: Iterable[float]) -> str:
    """Durations together, as people say them; "" if one is not known."""
    total = sum(seconds)
    if math.isnan(total):
        return ""
    return f"{round(total)} seconds" if total < 100 else f"{round(total / 60)} minutes"


# ---- Training ----------------------------------------------------------------------------------------------------


async def train(request: Request) -> Response:
    """Starts the job; if one runs already, shows that one."""
    kind = str((await request.form()).get("kind", ""))
    if kind not in training.KINDS:
        raise UserError(f"kind: expected one of {', '.join(training.KINDS)}")
    app = request.app.state
    try:
        await run_in_threadpool(training.start, app.store, app.config, kind)
    except UserError as error:
        return await show(request, str(error))
    return RedirectResponse("/teacher#training", 303)


async def job(request: Request) -> Response:
    """The newest job with its curves, for the script that draws them."""
    app = request.app.state
    return JSONResponse(await run_in_threadpool(job_as_json, app.store, app.config))


def job_as_json(store: Database, config: WebConfig) -> dict[str, Any]:
    """state "none" if there was no job yet."""
    newest: Job | None = training.status(store, config)
    if newest is None:
        return {"state": "none"}
    run_dir = class_run_dir(config.runs, config.preset)
    parts = [part for part in newest.kind.split(",") if part in CURVES]
    begun = parts[: parts.index(newest.step) + 1] if newest.step in parts else []
    curves = {part: curves_of(run_dir / part, CURVES[part], newest.started) for part in begun}
    shown = {
        "id": newest.id,
        "kind": newest.kind,
        "state": newest.state,
        "step": newest.step,
        "message": newest.message,
    }
    return {**shown, "percent": training.percent(config, newest), "curves": curves}


def curves_of(stage_dir: Path, names: tuple[str, ...], since: float) -> dict[str, list[list[float]]]:
    """[[step, value], ...] of some metrics, thinned out; of a run that was written since then."""
    path = stage_dir / UNFINISHED / "metrics.jsonl"
    path = path if path.is_file() else stage_dir / "metrics.jsonl"
    if not path.is_file() or path.stat().st_mtime < since:
        return {}
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # the last line, half written
            break
    return {name: thinned([[_step(row), row[name]] for row in rows if name in row]) for name in names}


def _step(row: dict[str, Any]) -> int:
    return row.get("step", row.get("iteration", 0))  # PPO counts iterations


def thinned(points: list[list[float]]) -> list[list[float]]:
    """At most MOST_POINTS of them, the last one among them."""
    every = max(1, math.ceil(len(points) / MOST_POINTS))
    return points[::-1][::every][::-1]


# ---- Files and people --------------------------------------------------------------------------------------------


async def download(request: Request) -> Response:
    """rankings.jsonl or demonstrations.jsonl; a route for each, no name comes from the client."""
    name = request.url.path.rsplit("/", 1)[1]
    lines = export.ranking_lines if name == export.RANKINGS else export.demonstration_lines
    text = export.as_text(await run_in_threadpool(lines, request.app.state.store))
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="application/x-ndjson", headers=headers)


async def delete(request: Request) -> Response:
    """Deletes a person and all that the person typed."""
    number = str((await request.form()).get("person", ""))
    if not number.isdecimal() or len(number) > 15:
        raise UserError("person: expected a whole number")
    app = request.app.state
    await run_in_threadpool(people.delete, app.store, int(number))
    app.rounds.forget(int(number))
    await run_in_threadpool(export.forget, app.store, app.config.class_dir)
    return RedirectResponse("/teacher", 303)


routes = [
    Route("/teacher", show),
    Route("/teacher/train", train, methods=["POST"]),
    Route("/teacher/job", job),
    Route("/teacher/delete", delete, methods=["POST"]),
    Route(f"/teacher/{export.RANKINGS}", download),
    Route(f"/teacher/{export.DEMONSTRATIONS}", download),
]
