"""The classroom under load: 30 people who label while a stage trains, 10 who chat at once, memory over 10,000 requests.

    python -m tests.benchmarks.classroom --preset small
    python -m tests.benchmarks.classroom --preset tiny --quick      # do all parts run? The figures mean nothing

The run is copied and nothing is written into it. Nothing else may run beside it: each figure stands beside the load
average and the rate of a float32 matrix product of the same minute, so that one can see whether anything did.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import torch

from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.scale.timing import matrix_product_rate
from rlhf.web.labels.training import NICENESS
from rlhf.web.store import items
from rlhf.web.store.database import Database
from tests.rlhf.web.conftest import JOIN, label_of, make_items
from tests.rlhf.web.storm import free_port, token_of

LABELLERS, CHATTERS = 30, 10
THINK_SECONDS = (2.0, 6.0)  # a person reads before the next label
LABEL_SECONDS, CHAT_SECONDS = 60.0, 30.0
REQUESTS, WARM_UP, AT_ONCE = 10_000, 1000, 8
ITEMS = 800
MATRIX = 2048
PATIENCE = 120.0
QUESTIONS = (
    "What do bees make?",
    "Help me cheer up my aunt.",
    "List three colours.",
    "Write a short story about a cat.",
)


@dataclass(frozen=True)
class LoadConfig(RunConfig):
    """Settings: the run that is served."""

    quick: bool = option(False, "seconds instead of minutes, to see that every part runs")

    @property
    def share(self) -> float:
        """Of the durations and counts above."""
        return 0.1 if self.quick else 1.0


# ---- The machine -------------------------------------------------------------------------------------------------


def machine() -> str:
    """The load average, and the rate of a matrix product with all cores."""
    rate = matrix_product_rate(torch.device("cpu"), torch.float32, MATRIX) / 1e9
    return f"load average {os.getloadavg()[0]:.2f}, {MATRIX}³ float32 at {rate:.0f} GFLOP/s"


def resident_megabytes(pid: int) -> float:
    """Memory that a process holds in RAM, from /proc."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise UserError("this system does not say how much memory a process holds; the benchmark needs Linux")


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


# ---- The server and its people -----------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(config: LoadConfig, runs: Path) -> Iterator[tuple[str, int]]:
    """The address and the process of a server for a class."""
    port = free_port()
    words = ["--preset", config.preset, "--runs", str(runs), "--port", str(port), "--classroom", "--join-code", JOIN]
    words += ["--address", "127.0.0.1", "--overlap", "1000", "--per-person", "100000", "--requests-per-second", "1e6"]
    process = subprocess.Popen([sys.executable, "-m", "rlhf.web", *words], stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{address}/join", timeout=PATIENCE)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise UserError("the server did not start") from None
                time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def training(preset: str, runs: Path) -> Iterator[None]:
    """Pretraining with one thread, in a folder of its own, as nice as the stages that the teacher's button starts."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = ["nice", "-n", str(NICENESS), sys.executable, "-m", "minigpt.pretrain"]
    words += ["--preset", preset, "--runs", str(runs), "--steps", "1000000", "--documents", "3000"]
    log = (runs.parent / "training.log").open("wb")
    process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 5 * PATIENCE
        while not (runs / preset / "pretrain" / "metrics.jsonl").exists():  # the first step
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"the training did not begin; see {log.name}")
            time.sleep(0.5)
        yield
        assert process.poll() is None, "the training ended before the measurement did"
    finally:
        process.kill()
        process.wait()
        log.close()


class Person:
    """Somebody with a browser: a session, and how long each request took."""

    def __init__(self, address: str, name: str) -> None:
        self.client = httpx.Client(base_url=address, follow_redirects=True, timeout=PATIENCE)
        page = self.client.get("/join").text
        self.client.post("/join", data={"csrf": token_of(page), "name": name, "code": JOIN})
        self.headers = {"X-CSRF-Token": token_of(self.client.get("/me").text), "Accept": "application/json"}
        self.seconds: list[float] = []

    def timed(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        begun = time.perf_counter()
        answer = ask()
        self.seconds.append(time.perf_counter() - begun)
        if answer.status_code != 200:
            raise UserError(f"the server answered {answer.status_code}: {answer.text[:200]}")
        return answer

    def page(self, address: str) -> httpx.Response:
        return self.timed(lambda: self.client.get(address))

    def tell(self, address: str, data: dict) -> dict:
        return self.timed(lambda: self.client.post(address, json=data, headers=self.headers)).json()

    def label(self, think: tuple[float, float], until: float) -> None:
        """Opens the page and labels until then."""
        rng = random.Random(id(self))
        time.sleep(rng.uniform(0, think[1]))  # people do not begin in the same instant
        self.page("/label")
        item = self.tell("/label/next", {"more": True})["item"]
        while item and time.monotonic() < until:
            time.sleep(rng.uniform(*think))
            ranks = [rng.randint(1, len(item["answers"])) for _ in item["answers"]]
            item = self.tell("/label", {**label_of(item, ranks), "more": True})["item"]

    def chat(self, until: float) -> list[float]:
        """Tokens a second of each answer, from the question to its end."""
        rates, rng = [], random.Random(id(self))
        while time.monotonic() < until:
            asked = {"stage": "ppo", "turns": [{"role": "user", "text": rng.choice(QUESTIONS)}]}
            asked |= {"seed": rng.randrange(2**30), "max_new_tokens": 48}
            tokens, begun = 0, time.perf_counter()
            with self.client.stream("POST", "/chat/answer", json=asked, headers=self.headers) as answer:
                for line in answer.iter_lines():
                    event = json.loads(line.removeprefix("data: ")) if line else {}
                    tokens += len(event.get("tokens", ())) if event.get("kind") == "piece" else 0
                    if event.get("kind") == "failed":
                        raise UserError(event["sentence"])
            rates.append(tokens / (time.perf_counter() - begun))
        return rates


def together(people: list[Person], act: Callable[[Person], object]) -> list[object]:
    """The results of `act` for each person, all at once, a thread each."""
    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(act, people))


# ---- The three figures -------------------------------------------------------------------------------------------


def labelling(address: str, config: LoadConfig, folder: Path) -> str:
    with training(config.preset, folder / "training"):
        people = [Person(address, f"labeller {number}") for number in range(LABELLERS)]
        until = time.monotonic() + LABEL_SECONDS * config.share
        together(people, lambda person: person.label(THINK_SECONDS, until))
        beside = machine()
    seconds = [1000 * took for person in people for took in person.seconds]
    spread = f"median {quantile(seconds, 0.5):.0f}, slowest {max(seconds):.0f}, {len(seconds)} requests"
    return (
        f"{LABELLERS} people labelling while a stage trains with one thread: p95 {quantile(seconds, 0.95):.0f} ms "
        f"(goal 200), {spread}; {beside}"
    )


def chatting(address: str, config: LoadConfig) -> str:
    people = [Person(address, f"chatter {number}") for number in range(CHATTERS)]
    together(people[:1], lambda person: person.chat(time.monotonic()))  # the model is loaded
    until = time.monotonic() + CHAT_SECONDS * config.share
    rates = together(people, lambda person: person.chat(until))
    of_each = [sum(answers) / len(answers) for answers in rates]
    return (
        f"{CHATTERS} people chatting at once, preset {config.preset}: {quantile(of_each, 0.5):.1f} tokens/s each "
        f"(goal 20), the slowest {min(of_each):.1f}, {sum(map(len, rates))} answers; {machine()}"
    )


def remembering(address: str, pid: int, config: LoadConfig) -> str:
    people = [Person(address, f"reader {number}") for number in range(AT_ONCE)]
    pages, counter, lock = ("/", "/label", "/chat", "/compare", "/write", "/me", "/runs/list"), [0], threading.Lock()

    def ask(person: Person, count: int) -> None:
        while True:
            with lock:
                counter[0] += 1
                number = counter[0]
            if number > count:
                return
            if number % 4:
                person.page(pages[number % len(pages)])
            else:
                item = person.tell("/label/next", {"more": True})["item"]
                if item:
                    person.tell("/label", {**label_of(item, [1] * len(item["answers"])), "more": True})

    sizes = []
    for count in (WARM_UP, REQUESTS):
        counter[0] = 0
        together(people, lambda person, count=count: ask(person, round(count * config.share)))
        sizes.append(resident_megabytes(pid))
    asked = round(REQUESTS * config.share)
    return f"memory of the server: {sizes[0]:.1f} MB before and {sizes[1]:.1f} MB after {asked} requests"


def main(argv: list[str]) -> None:
    """Measures and prints. A goal that is missed is a result, and no error."""
    config = parse(LoadConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    if not (config.stage_dir("ppo") / "checkpoint.pt").is_file():
        raise UserError(f"{config.run_dir} has no trained run; run `make all PRESET={config.preset}` first")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = folder / "runs"
        shutil.copytree(config.run_dir, runs / config.preset)
        items.add(Database(runs / f"{config.preset}-class" / "classroom.sqlite"), make_items(ordinary=ITEMS))
        with serving(config, runs) as (address, pid):
            print(chatting(address, config), flush=True)
            print(remembering(address, pid, config), flush=True)
            print(labelling(address, config, folder), flush=True)


if __name__ == "__main__":
    run_main(main)
