"""A server in a process of its own, and people with browser windows of their own whose every request is recorded.

CLASSROOM_RUNS=runs make web-test       # with runs/tiny as it is, instead of a run of a few steps made here
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.rlhf.web.browser.short_run import make_run, prepare_items

JOIN, TEACHER = "JOINME", "TEACHR"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PATIENCE = 30  # seconds for what a person waits for; a busy machine is slow
TELEPHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}

expect.set_options(timeout=1000 * PATIENCE)


def pytest_collection_modifyitems(items):
    """All of this folder needs a browser: `make test` leaves it out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("web")


# ---- The run -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of all runs with a trained run of preset tiny and prompts that wait for a class."""
    runs = tmp_path_factory.mktemp("trained")
    given = os.environ.get("CLASSROOM_RUNS")
    if given:
        assert Path(given, "tiny", "tokenizer.json").is_file(), f"CLASSROOM_RUNS={given} has no run of preset tiny"
        shutil.copytree(Path(given, "tiny"), runs / "tiny")
    else:
        make_run(runs)
    prepare_items(runs)
    return runs


# ---- The server --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    runs: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def serve(trained, tmp_path_factory):
    """Starts servers, each with runs of its own, and ends them after the file's last test."""
    processes = []

    def start(*flags: str) -> Server:
        runs = tmp_path_factory.mktemp("served") / "runs"
        shutil.copytree(trained, runs)
        port = free_port()
        words = ["--preset", "tiny", "--runs", str(runs), "--port", str(port), *flags]
        log = (runs / "server.log").open("wb")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "rlhf.web", *words]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        processes.append((process, runs / "server.log"))
        address = f"http://127.0.0.1:{port}"
        wait_until_it_answers(address, process, runs / "server.log")
        return Server(address, runs)

    yield start
    for process, _ in processes:
        process.terminate()
    for process, log in processes:
        process.wait(timeout=PATIENCE)
        text = log.read_text(encoding="utf-8")
        assert "Traceback" not in text, f"the server made a mistake:\n{text}"


def wait_until_it_answers(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 4 * PATIENCE
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/join", timeout=PATIENCE).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, f"the server did not start:\n{log.read_text(encoding='utf-8')}"
            time.sleep(0.1)
    raise AssertionError(f"no answer from {address}")


@pytest.fixture(scope="module")
def local(serve):
    """A server for the person at this machine."""
    return serve()


@pytest.fixture(scope="module")
def room(serve):
    """A server for a class, in which each prompt goes to as many people as there are."""
    return serve(
        *("--classroom", "--address", "127.0.0.1", "--join-code", JOIN, "--teacher-code", TEACHER),
        *("--overlap", "30", "--per-person", "3", "--known-share", "0"),
    )


# ---- People ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, "there is no Chromium: install Debian's with `apt-get install chromium`, which .ci/browser does"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class Window:
    """A browser window of one person, with cookies of its own. strangers: addresses asked for outside the server."""

    context: BrowserContext
    page: Page
    address: str
    strangers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def join(self, name: str, code: str = JOIN) -> "Window":
        self.open("/join")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Join code").fill(code)
        self.page.get_by_role("button", name="Come in").click()
        expect(self.page.get_by_role("heading", name=name)).to_be_visible()
        return self


@pytest.fixture
def open_window(chromium: Browser):
    """Opens windows; at the end none of them may have asked anybody but its server, or had an error in a script."""
    windows = []

    def make(server: Server, **settings) -> Window:
        context = chromium.new_context(**{"viewport": {"width": 1100, "height": 800}, "locale": "en-GB"} | settings)
        window = Window(context, context.new_page(), server.address)
        context.on("request", lambda request: record(request.url, window))
        window.page.on("pageerror", lambda error: window.faults.append(str(error)))
        window.page.on("console", lambda message: console(message, window))
        windows.append(window)
        return window

    yield make
    for window in windows:
        window.context.close()
    assert not [address for window in windows for address in window.strangers], "a request left the machine"
    assert not [fault for window in windows for fault in window.faults], "a script failed in the browser"


def record(address: str, window: Window) -> None:
    if not address.startswith((window.address + "/", "data:", "blob:")):
        window.strangers.append(address)


def console(message, window: Window) -> None:
    # what a test provokes, a refused request or a network that is gone, is no fault of a script
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        window.faults.append(message.text)
