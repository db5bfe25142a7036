"""Templates to pages: every value is escaped, a misspelled name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from rlhf.web.sessions import current_person, session_of

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,  # names, demonstrations and answers may hold anything
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# the navigation: address, word, and whether only the teacher sees it
NAVIGATION = (
    ("/chat", "Chat", False),
    ("/compare", "Compare", False),
    ("/label", "Label", False),
    ("/write", "Write", False),
    ("/inside", "Look inside", False),
    ("/runs", "Runs", False),
    ("/teacher", "Teacher", True),
)


def render(request: Request, template: str, /, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """The page of templates/<template>.html.jinja, which sees `values`, `person`, `csrf` and the navigation."""
    person = current_person(request)
    values |= {
        "person": person,
        "csrf": session_of(request).csrf,
        "here": request.url.path,
        "classroom": request.app.state.config.classroom,
        "navigation": [
            (address, word) for address, word, only in NAVIGATION if not only or (person and person.teacher)
        ],
    }
    return HTMLResponse(TEMPLATES.get_template(f"{template}.html.jinja").render(values), status_code)


def refuse(request: Request, status_code: int, sentence: str) -> Response:
    """One sentence that says what is wrong: as JSON to a script, as a page to a person."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": sentence}, status_code)
    return render(request, "error", status_code=status_code, sentence=sentence)
