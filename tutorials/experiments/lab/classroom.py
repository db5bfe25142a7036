"""A class of simulated annotators in the real classroom: a server of `rlhf.web`, and people who ask it by HTTP.

Everybody is a thread with a session of its own: joins with a name, is given prompts one after another, and sends ranks,
as static/label.js does. The ranks are decided by the prompt alone, so that it does not matter who is given which: the
server deals the prompts by chance.
"""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import uvicorn

from rlhf.records import Ranking
from rlhf.web.app import create_app
from rlhf.web.config import WebConfig
from rlhf.web.labels.export import write_rankings
from rlhf.web.store import items
from rlhf.web.store.database import Database
from rlhf.web.store.items import Item

JOIN_CODE = "CLASS1"
PATIENCE = 60  # seconds for one answer of the server, on a busy machine
TOKEN = re.compile(r'name="csrf" content="([^"]+)"')

Meant = Mapping[str, Mapping[str, int]]  # prompt_key -> answer -> its rank, 0 for the best


def labelled_by_a_class(folder: Path, made: Sequence[Item], people: int, per_person: int, meant: Meant) -> Path:
    """The exported rankings.jsonl of a class that ranks these items, each of them once, in `folder`."""
    config = WebConfig(
        runs=str(folder),
        classroom=True,
        address="127.0.0.1",
        join_code=JOIN_CODE,
        overlap=1,
        per_person=per_person,
        known_share=0.0,
        requests_per_second=1e6,
    )
    store = Database(config.database)
    items.add(store, made)
    with serving(config) as address, ThreadPoolExecutor(people) as together:
        for label in [together.submit(Person(address, f"person {n}").label, meant) for n in range(people)]:
            label.result()
    return write_rankings(store, config.class_dir)


@contextmanager
def serving(config: WebConfig) -> Iterator[str]:
    """The address of a server for this class, in a thread of this process."""
    with socket.create_server((config.listen_on, 0)) as listener:
        settings = uvicorn.Config(create_app(config), log_level="warning", access_log=False)
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://{config.listen_on}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Person:
    """Somebody with a browser: cookies, and the token of the page that was opened last."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.opener = address, build_opener(HTTPCookieProcessor())
        form = urlencode({"csrf": self.token("/join"), "name": name, "code": JOIN_CODE}).encode()
        self.opener.open(f"{address}/join", form, timeout=PATIENCE).close()
        self.headers = {"X-CSRF-Token": self.token("/label"), "Content-Type": "application/json"}
        self.headers["Accept"] = "application/json"

    def token(self, page: str) -> str:
        """The token that stands in a page."""
        with self.opener.open(self.address + page, timeout=PATIENCE) as answer:
            found = TOKEN.search(answer.read().decode())
        assert found is not None, f"{page} has no token"
        return found[1]

    def tell(self, page: str, data: dict[str, Any]) -> dict[str, Any]:
        """The server's answer to a JSON object."""
        request = Request(self.address + page, json.dumps(data).encode(), self.headers)
        with self.opener.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def label(self, meant: Meant) -> None:
        """Ranks what is given until there is no more."""
        item = self.tell("/label/next", {})["item"]
        while item is not None:
            places = [meant[prompt_key(item["prompt"])][answer["text"]] + 1 for answer in item["answers"]]
            label = {"key": uuid.uuid4().hex, "item": item["id"], "outcome": "ranked", "reason": "", "seconds": 1.0}
            item = self.tell("/label", {**label, "ranks": places})["item"]


def prompt_key(messages: Sequence[dict[str, str]]) -> str:
    """The prompt as one text that names it."""
    return json.dumps(list(messages), ensure_ascii=False)


def sorted_rankings(rankings: Sequence[Ranking], seed: int) -> list[Ranking]:
    """The rankings in an order that depends on what they are about alone, and on the seed."""
    ordered = sorted(rankings, key=lambda ranking: [(turn.role, turn.text) for turn in ranking.turns])
    random.Random(f"class {seed}").shuffle(ordered)
    return ordered
