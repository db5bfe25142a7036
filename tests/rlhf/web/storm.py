"""A storm of labels while the server is killed: what `test_storm.py` counts."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from rlhf.web.store import items
from rlhf.web.store.database import Database
from tests.rlhf.web.conftest import JOIN, label_of, make_items

PEOPLE = 6
ITEMS = 400
ENOUGH = 30  # labels, before the storm may end
PATIENCE = 300  # seconds until a server answers, on a machine that is busy
ROOT = Path(__file__).parents[3]


@dataclass
class Server:
    """A classroom in a process of its own, which can be killed."""

    runs: Path
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["--preset", "tiny", "--runs", str(self.runs), "--port", str(self.port), "--join-code", JOIN]
        words += ["--classroom", "--address", "127.0.0.1", "--overlap", "100", "--per-person", "1000"]
        words += ["--requests-per-second", "100000"]
        self.process = subprocess.Popen([sys.executable, "-m", "rlhf.web", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server ended by itself"
            try:
                httpx.get(f"{self.address}/join", timeout=5)
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass(eq=False)  # threads are told apart by who they are
class Labeller(threading.Thread):
    """Somebody who labels, and sends a label again and again until the server says that it is kept."""

    name_: str
    address: str
    stop: threading.Event
    kept: dict[int, list[int]] = field(default_factory=dict)  # item -> the ranks, in the order of the answers
    repeated: int = 0
    failure: str = ""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.client = httpx.Client(base_url=self.address, follow_redirects=True, timeout=10)
        page = self.client.get("/join").text
        self.client.post("/join", data={"csrf": token_of(page), "name": self.name_, "code": JOIN})
        token = token_of(self.client.get("/me").text)
        self.headers = {"X-CSRF-Token": token, "Accept": "application/json"}

    def tell(self, address: str, data: dict) -> dict:
        while True:
            try:
                answer = self.client.post(address, json=data, headers=self.headers)
            except httpx.TransportError:
                self.repeated += 1
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            return answer.json()

    def run(self) -> None:
        rng = random.Random(self.name_)
        try:
            item = self.tell("/label/next", {})["item"]
            while item and not self.stop.is_set():
                label = label_of(item, ranks=[rng.randint(1, 4) for _ in item["answers"]])
                state = self.tell("/label", label)
                assert item["id"] not in self.kept, f"{self.name_} was given item {item['id']} twice"
                order = sorted(range(len(label["ranks"])), key=lambda i: item["answers"][i]["text"])
                self.kept[item["id"]] = [label["ranks"][i] for i in order]
                item = state["item"]
        except Exception as error:
            self.failure = repr(error)


def token_of(page: str) -> str:
    return re.search(r'name="csrf" content="([^"]+)"', page)[1]


def storm(runs: Path, kills: int) -> tuple[list[Labeller], Database]:
    """PEOPLE label while the server is killed so many times; what each of them was told is kept, and the store."""
    (runs / "tiny").mkdir(parents=True)
    (runs / "tiny" / "tokenizer.json").touch()
    store = Database(runs / "tiny-class" / "classroom.sqlite")
    items.add(store, make_items(ordinary=ITEMS))
    server, stop = Server(runs), threading.Event()
    server.start()
    try:
        people = [Labeller(f"person {number}", server.address, stop) for number in range(PEOPLE)]
        for person in people:
            person.start()
        for number in range(kills):
            time.sleep(random.Random(number).uniform(0.1, 0.8))  # in the middle of something, another one each time
            server.kill()
            server.start()
        deadline = time.monotonic() + PATIENCE  # on a busy machine the last server needs a while
        while sum(len(person.kept) for person in people) < ENOUGH and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
        for person in people:
            person.join(PATIENCE)
            assert not person.is_alive(), "somebody still waits for an answer"
    finally:
        server.kill()
    return people, store
