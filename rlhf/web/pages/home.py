"""The first page: what there is to do here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rlhf.web.rendering import render
from rlhf.web.stages import stages


async def show(request: Request) -> Response:
    """The pages, and the stages that are trained."""
    config = request.app.state.config
    return render(
        request, "home", run_dir=str(config.run_dir), stages=list(stages(config.runs, config.preset).values())
    )


routes = [Route("/", show)]
