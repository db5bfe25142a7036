"""The classroom as one application.

    python -m rlhf.web --preset tiny
    python -m rlhf.web --preset small --classroom

Pages: chat with the stages of the run, compare them, rank their answers, write demonstrations, look inside, watch runs;
the teacher's page shows how far people agree, and trains a reward model and a policy on their rankings. Without
--classroom only this machine can reach the server, and whoever sits here is student and teacher.
"""

from __future__ import annotations

import importlib
import pkgutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from minigpt.runs.config import PRESET_NAMES, parse
from minigpt.runs.errors import UserError
from rlhf.web import pages
from rlhf.web.blind import Rounds
from rlhf.web.config import WebConfig
from rlhf.web.engine import create_engine
from rlhf.web.labels import training
from rlhf.web.rendering import refuse
from rlhf.web.security import HEADERS, Guard
from rlhf.web.sessions import Cookies, load_secrets
from rlhf.web.store import items
from rlhf.web.store.database import Database

STATIC = Path(__file__).parent / "static"


def create_app(config: WebConfig) -> Starlette:
    """The application. `app.state` has config, store (Database), secrets, engine and rounds."""
    secrets = load_secrets(config)
    store = Database(config.database)
    app = Starlette(
        routes=[*page_routes(), Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[Middleware(Guard, config=config, store=store, cookies=Cookies(secrets.key))],
        exception_handlers={UserError: show_user_error, HTTPException: show_http_error, Exception: show_bug},
        lifespan=begin_and_end,
    )
    app.state.config, app.state.store, app.state.secrets = config, store, secrets
    app.state.engine, app.state.rounds = create_engine(config), Rounds()
    return app


@asynccontextmanager
async def begin_and_end(app: Starlette) -> AsyncIterator[None]:
    """Has the prompts prepared if there are none, by another process; ends the engine's thread in the end."""
    config, store = app.state.config, app.state.store
    if not items.count(store) and (config.stage_dir("sft") / "checkpoint.pt").is_file():
        try:
            training.start(store, config, "prepare")
        except UserError as error:  # the other pages work
            print(error, file=sys.stderr)
    yield
    await run_in_threadpool(app.state.engine.stop)


def page_routes() -> list[BaseRoute]:
    """The `routes` of every module in pages/."""
    routes: list[BaseRoute] = []
    for module in pkgutil.iter_modules(pages.__path__):
        routes += importlib.import_module(f"{pages.__name__}.{module.name}").routes
    return routes


# ---- Errors: one sentence, never a traceback ---------------------------------------------------------------------


async def show_user_error(request: Request, error: Exception) -> Response:
    """The page for a mistake that a person can correct."""
    return refuse(request, 400, str(error))


async def show_http_error(request: Request, error: Exception) -> Response:
    """A page that does not exist, and the like."""
    assert isinstance(error, HTTPException)
    sentence = "there is no such page" if error.status_code == 404 else str(error.detail)
    return refuse(request, error.status_code, sentence)


async def show_bug(request: Request, error: Exception) -> Response:
    """A mistake of ours: the traceback is in the terminal, and nothing of it in the answer."""
    return PlainTextResponse("the server made a mistake; it is in its terminal", 500, headers=HEADERS)


# ---- The command -------------------------------------------------------------------------------------------------


def addresses(config: WebConfig) -> list[str]:
    """The addresses under which a browser finds the server."""
    if config.listen_on not in ("0.0.0.0", "::"):
        return [f"http://{config.listen_on}:{config.port}"]
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect(("192.0.2.1", 9))  # an address for documentation: nothing is sent, the route names our own
        address = probe.getsockname()[0]
    except OSError:
        address = "127.0.0.1"
    finally:
        probe.close()
    return [f"http://{address}:{config.port}", f"http://{socket.gethostname()}:{config.port}"]


def announce(config: WebConfig, app: Starlette) -> None:
    """Prints the addresses, the codes and the file of the class, for the person who started the server."""
    print(f"the classroom of {config.run_dir} is at {' or '.join(addresses(config))}   (Ctrl-C ends it)")
    if config.classroom:
        print(f"join code {app.state.secrets.join_code}   teacher's code {app.state.secrets.teacher_code}")
    print(f"what people type is kept in {app.state.store.path}", flush=True)


def main(argv: list[str]) -> None:
    """Serves the classroom until Ctrl-C."""
    config = parse(WebConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    if not (config.run_dir / "tokenizer.json").is_file():
        raise UserError(f"{config.run_dir} has no trained run; run `make all PRESET={config.preset}` first")
    app = create_app(config)
    try:
        with socket.create_server((config.listen_on, config.port)) as listener:
            announce(config, app)
            settings = uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, limit_concurrency=500
            )
            uvicorn.Server(settings).run(sockets=[listener])
    except OSError as error:
        sentence = f"--port {config.port} of {config.listen_on}: {error.strerror}; choose another one"
        raise UserError(sentence) from None
    except KeyboardInterrupt:
        print(file=sys.stderr)  # nothing is lost by ending the server: every label is on the disk
