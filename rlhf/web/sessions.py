"""Sessions: a signed cookie with a number, and nothing that must stay secret from its owner."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import HTTPConnection

from minigpt.runs.errors import UserError
from rlhf.web.config import WebConfig
from rlhf.web.store.database import PRIVATE
from rlhf.web.store.people import Person, new_code

COOKIE = "classroom"
MAX_AGE = 30 * 24 * 3600  # seconds


@dataclass
class Session:
    """The contents of the cookie. csrf: the token that each form of this session carries."""

    person_id: int | None = None
    teacher: bool = False
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))


@dataclass(frozen=True)
class Secrets:
    """The key of the cookies, and the two codes."""

    key: str
    join_code: str
    teacher_code: str


def load_secrets(config: WebConfig) -> Secrets:
    """Those of the class, drawn at its first start and kept: a restart throws nobody out. The file is private."""
    path = config.class_dir / "secrets.json"
    found = Secrets(secrets.token_urlsafe(32), new_code(), new_code())
    try:
        found = Secrets(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        _write_private(path, json.dumps(asdict(found)))
    except (ValueError, TypeError):
        raise UserError(f"{path} is damaged: delete it, and everybody joins again with their return code") from None
    return Secrets(found.key, config.join_code or found.join_code, config.teacher_code or found.teacher_code)


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


class Cookies:
    """Sessions to cookies and back."""

    def __init__(self, key: str) -> None:
        self._serializer = URLSafeTimedSerializer(key, salt="classroom session")

    def load(self, text: str | None) -> Session | None:
        """The session of a cookie; None for none, for one that was changed or that is too old."""
        try:
            return Session(**self._serializer.loads(text or "", max_age=MAX_AGE))
        except (BadSignature, TypeError):
            return None

    def header(self, session: Session) -> str:
        """The value of Set-Cookie."""
        text = self._serializer.dumps(asdict(session))
        return f"{COOKIE}={text}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax"


def session_of(request: HTTPConnection) -> Session:
    """The session of a request, as `security` has read it. What a page changes in it reaches the browser."""
    return request.scope["classroom.session"]


def start_session(request: HTTPConnection, person: Person | None, teacher: bool = False) -> None:
    """Makes it a new session of this person, with a new token; None ends it."""
    session = session_of(request)
    session.person_id, session.teacher = (None, False) if person is None else (person.id, teacher)
    session.csrf = Session().csrf


def current_person(request: HTTPConnection) -> Person | None:
    """The person who asks; None on the page where people come in. Elsewhere `security` has let nobody else through."""
    return request.scope["classroom.person"]
