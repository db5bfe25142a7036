"""Checks of each request before a page sees it, and the security headers of each answer.

    host ─► length ─► session ─► rate ─► token of the form ─► a person? the teacher? ─► the page ─► headers

Every check is here, in one middleware, and everything is refused that is not allowed: a new page is protected before
anybody has thought of it. The page on the OWASP list is in README.md.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import socket
import time
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlhf.web.config import WebConfig
from rlhf.web.rendering import refuse
from rlhf.web.sessions import COOKIE, Cookies, Session
from rlhf.web.store import people
from rlhf.web.store.database import Database

LONGEST_BODY = 64 * 1024  # bytes; nothing that people type here is longer
BODY_SECONDS = 20.0  # until a body has arrived
BURST_SECONDS = 5  # a person may save up the requests of this time
MOST_BUCKETS = 10_000
SAFE = ("GET", "HEAD", "OPTIONS")
PUBLIC = ("/join", "/static/")  # what somebody sees who has not come in
TEACHER = "/teacher"
QUIETLY = (401, 429)  # everyday, or so many that they would fill the terminal
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
# No script and no style inside a page, nothing from elsewhere, in nobody's frame: even text that became HTML by a
# mistake of ours could run nothing.
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


log = logging.getLogger("classroom")


def described(request: Request) -> tuple[str, str, str]:
    """Method, path and address of a request, for the terminal; %r keeps a path from writing lines of its own."""
    return request.method[:10], request.url.path[:200], request.client.host if request.client else "?"


class RefusedError(Exception):
    """A request that no page may see."""

    def __init__(self, status_code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status_code, self.sentence = status_code, sentence


@dataclass
class Bucket:
    """A token bucket: `rate` tokens a second, at most `size`."""

    rate: float
    size: float
    tokens: float = field(init=False)
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self.size

    def fill(self) -> float:
        """The tokens that are there now."""
        now = time.monotonic()
        self.tokens, self.at = min(self.size, self.tokens + (now - self.at) * self.rate), now
        return self.tokens

    def take(self) -> bool:
        """Takes a token; False if there is none."""
        enough = self.fill() >= 1
        self.tokens -= enough
        return enough


class Buckets:
    """A bucket for each name; one that is full again is forgotten, so that the memory stays flat."""

    def __init__(self, rate: float, size: float) -> None:
        self.rate, self.size, self._of = rate, size, {}

    def __getitem__(self, name: object) -> Bucket:
        if name not in self._of and len(self._of) >= MOST_BUCKETS:
            self._of = {key: bucket for key, bucket in self._of.items() if bucket.fill() < self.size}
        return self._of.setdefault(name, Bucket(self.rate, self.size))


class Guard:
    """The middleware."""

    def __init__(self, app: ASGIApp, config: WebConfig, store: Database, cookies: Cookies) -> None:
        self.app, self.config, self.store, self.cookies = app, config, store, cookies
        self.host_names = {"localhost", *config.host_names}
        if config.classroom:
            name = socket.gethostname()
            self.host_names |= {name, f"{name}.local", socket.getfqdn()}
        self.host_names = {name.lower() for name in self.host_names}
        self.buckets = Buckets(config.requests_per_second, BURST_SECONDS * config.requests_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        found = self.cookies.load(request.cookies.get(COOKIE))
        session = found or Session()
        scope["classroom.session"], scope["classroom.person"] = session, None
        loaded = None if found is None else replace(found)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if not scope["path"].startswith("/static/"):
                    headers["cache-control"] = "no-store"
                    if session != loaded:
                        headers.append("set-cookie", self.cookies.header(session))
            await send(message)

        try:
            receive = await self._check(request, session, receive)
            response: ASGIApp | Response = self._let_in(request, session) or self.app
        except RefusedError as refused:
            if refused.status_code not in QUIETLY:
                log.warning("refused %d: %s %r from %s", refused.status_code, *described(request))
            response = refuse(request, refused.status_code, refused.sentence)
        await response(scope, receive, send_with_headers)

    async def _check(self, request: Request, session: Session, receive: Receive) -> Receive:
        """Raises RefusedError, or returns what gives the body to the page."""
        check_host(request.headers, self.host_names, self.config.classroom)
        person = None if session.person_id is None else people.find(self.store, session.person_id)
        if person is None and not self.config.classroom:
            person = people.local_person(self.store)
            session.person_id = person.id
        if person is not None:
            teacher = session.teacher or not self.config.classroom
            request.scope["classroom.person"] = people.Person(person.id, person.name, person.return_code, teacher)
        # by person, because the room may come from one address
        name = person.id if person is not None else request.client and request.client.host
        if not request.url.path.startswith("/static/") and not self.buckets[name].take():
            raise RefusedError(429, "these are too many requests at once: wait a few seconds and try again")
        if request.method in SAFE:
            return receive
        body = await read_body(request)
        check_token(request.headers, body, session.csrf)
        return replay(body, receive)

    def _let_in(self, request: Request, session: Session) -> Response | None:
        """None if this person may see this page; else the way to the page where people come in. Raises RefusedError."""
        path, person = request.url.path, request.scope["classroom.person"]
        if path == PUBLIC[0] or path.startswith(PUBLIC[1]):
            return None
        if person is None:
            if request.method in SAFE and JSON not in request.headers.get("accept", ""):
                return RedirectResponse("/join", 303)
            raise RefusedError(401, "you have not come in yet, or were deleted: open /join")
        if (path == TEACHER or path.startswith(TEACHER + "/")) and not person.teacher:
            raise RefusedError(403, "this page is the teacher's: come in with the teacher's code")
        return None


def check_host(headers: Headers, names: set[str], classroom: bool) -> None:
    """Raises RefusedError for a name that is not ours: a page elsewhere could have its own name point to this
    machine, and then the browser would take the two for one site (DNS rebinding). An address points nowhere else."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        known = host in names
    else:
        known = classroom or address.is_loopback
    if not known:
        raise RefusedError(400, "this server does not go by that name: use its address, or name it with --host-names")


async def read_body(request: Request) -> bytes:
    """The body, a form or JSON. Raises RefusedError for any other, and for one that is too long, declared or not."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    length = request.headers.get("content-length", "0")
    if kind not in (FORM, JSON, "") or (kind == "" and length != "0"):
        raise RefusedError(415, "only forms and JSON are taken here; files cannot be sent")
    too_long = RefusedError(413, f"that is longer than {LONGEST_BODY // 1024} KB")
    if not length.isdecimal() or int(length) > LONGEST_BODY:
        raise too_long
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise too_long
    except TimeoutError:
        raise RefusedError(408, "what you sent did not arrive in time: send it again") from None
    return body


def check_token(headers: Headers, body: bytes, token: str) -> None:
    """Raises RefusedError unless the request carries the token of its session, which no other site can read."""
    site = headers.get("sec-fetch-site", "same-origin")
    sent = headers.get("x-csrf-token", "")
    if not sent and headers.get("content-type", "").startswith(FORM):
        sent = parse_qs(body.decode("utf-8", "replace")).get("csrf", [""])[0]
    if site not in ("same-origin", "none") or not hmac.compare_digest(sent.encode(), token.encode()):
        raise RefusedError(
            403, "this form is out of date, or came from another site: load the page again and repeat it"
        )


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which was already read, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
