"""Pictures of the classroom's pages, for README.md and TEACHING.md, from a trained run.

    python -m tests.rlhf.web.browser.pictures --preset small --out tutorials/figures/classroom

Six made-up people rank in it as the gold labeler would, now and then the other way round; the run itself is copied, and
nothing is written into it. Answers have a seed. Needs Chromium, and pillow, which matplotlib brings.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from rlhf.web.store import items
from rlhf.web.store.database import Database
from tests.rlhf.web.browser.conftest import (
    ARGUMENTS,
    BROWSERS,
    PATIENCE,
    TELEPHONE,
    free_port,
    wait_until_it_answers,
)
from tests.rlhf.web.browser.test_chat import say
from tests.rlhf.web.browser.test_label import answers_of, rank_by_click

JOIN, TEACHER = "7BEARS", "OWLOWL"
PEOPLE = ("Ada", "Bob", "Chen", "Dilek", "Emil", "Fatou")
CARELESS = 0.25  # of the pairs of neighbours in an order are turned round
COLOURS = 200  # of a picture: pages have few, and a PNG with a palette is a third as large
DESKTOP = {"viewport": {"width": 1000, "height": 800}, "device_scale_factor": 1}
LARGEST = 150_000  # bytes


@dataclass(frozen=True)
class PicturesConfig(RunConfig):
    """Settings: the run that is shown, and the folder of the pictures."""

    out: str = option("tutorials/figures/classroom", "folder for the pictures")
    per_person: int = option(6, "prompts that each made-up person ranks", low=2)
    train: bool = option(False, "the picture of the training instead of those of the pages")


def take(page: Page, out: Path, name: str, colours: int = COLOURS) -> None:
    """Saves what the window shows as a small PNG."""
    path = out / f"{name}.png"
    page.wait_for_timeout(400)  # the end of a movement
    page.screenshot(path=path, caret="hide")
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < LARGEST, f"{path} has {path.stat().st_size} bytes"
    print(f"{path}: {path.stat().st_size // 1000} kB", flush=True)


# ---- What people do ----------------------------------------------------------------------------------------------


def come_in(page: Page, address: str, name: str, code: str = JOIN) -> None:
    page.goto(f"{address}/join")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Join code").fill(code)
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def rank(page: Page, address: str, gold: dict[str, float], rng: random.Random, count: int) -> None:
    """Ranks so many prompts, by gold with mistakes."""
    page.goto(f"{address}/label")
    for number in range(1, count + 1):
        expect(page.get_by_role("heading", name="Answers")).to_be_visible()
        texts = [text.strip() for text in answers_of(page).locator("p.text").all_text_contents()]
        order = sorted(range(len(texts)), key=lambda index: -gold.get(texts[index], 0.0))
        for place in range(len(order) - 1):
            if rng.random() < CARELESS:
                order[place], order[place + 1] = order[place + 1], order[place]
        rank_by_click(page, [order.index(index) + 1 for index in range(len(texts))])
        expect(page.locator("#progress-text")).to_have_text(f"{number} of {count} prompts")


def gold_of(database: Path) -> dict[str, float]:
    """The gold total of each answer, by its text; equal texts of other prompts hardly matter for a picture."""
    return {
        text.strip(): total
        for item in items.every(Database(database)).values()
        for text, total in zip(item.texts, item.gold, strict=True)
    }


# ---- The pictures ------------------------------------------------------------------------------------------------


def of_chat(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/chat")
    page.get_by_text("How answers are sampled").click()
    page.get_by_label("Seed").fill("3")
    page.get_by_text("How answers are sampled").click()
    for question in ("Help me cheer up my aunt.", "List three colours. Do not say purple."):
        answer = say(page, question)
    page.evaluate("window.scrollTo(0, 0)")
    answer.get_by_role("option").nth(1).hover()
    take(page, out, name)


def of_compare(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/compare")
    page.get_by_label("Prompt").fill("Tell me how to embarrass my sister.")
    page.get_by_text("How answers are sampled").click()
    page.get_by_label("Seed").fill("1")
    page.get_by_text("How answers are sampled").click()
    page.get_by_label("Answers of each").select_option("2")
    page.get_by_role("button", name="Show their answers").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    take(page, out, name)


def of_label(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/label")
    expect(page.get_by_role("heading", name="Answers")).to_be_visible()
    for _ in range(8):  # until there is one with several answers
        if answers_of(page).count() > 3:
            break
        shown = page.locator("#answers").inner_text()
        page.keyboard.press("s")
        expect(page.locator("#answers")).not_to_have_text(shown)
    for key in "21":
        page.keyboard.press(key)
    page.evaluate("window.scrollTo(0, 0)")
    take(page, out, name)


def of_inside(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/inside")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("heading", name="Tokens")).to_be_visible()
    page.get_by_role("heading", name="What it expects next").evaluate("one => one.scrollIntoView()")
    take(page, out, name)


def of_runs(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/runs")
    expect(page.locator("#charts svg").first).to_be_visible()
    take(page, out, name)


def of_teacher(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/teacher")
    take(page, out, name)


def of_write(page: Page, address: str, out: Path, name: str) -> None:
    page.goto(f"{address}/write")
    page.get_by_label("Your answer").fill("I do not know, but let us find out together.")
    take(page, out, name)


PICTURES: dict[str, Callable[[Page, str, Path, str], None]] = {
    "chat": of_chat,
    "compare": of_compare,
    "label": of_label,
    "inside": of_inside,
    "runs": of_runs,
    "teacher": of_teacher,
    "write": of_write,
}
ON_A_TELEPHONE = ("label", "chat")


def draw(browser: Browser, address: str, config: PicturesConfig, gold: dict[str, float]) -> None:
    """All pictures: a class ranks, then the teacher goes through the pages."""
    for number, name in enumerate(PEOPLE):
        page = browser.new_page(**DESKTOP)
        come_in(page, address, name)
        rank(page, address, gold, random.Random(number), config.per_person)
        page.context.close()
    page = browser.new_page(**DESKTOP)
    come_in(page, address, "Ms Turing", TEACHER)
    if config.train:
        page.goto(f"{address}/teacher")
        page.get_by_role("button", name="Train the reward model on these, then PPO on it").click()
        expect(page.get_by_text("PPO is trained")).to_be_visible(timeout=1000 * 60 * PATIENCE)
        page.get_by_role("heading", name="Train on these rankings").evaluate("one => one.scrollIntoView()")
        take(page, Path(config.out), "training")
        return
    for name, make in PICTURES.items():
        make(page, address, Path(config.out), name)
    telephone = browser.new_page(**TELEPHONE)
    come_in(telephone, address, "Grace")
    for name in ON_A_TELEPHONE:
        PICTURES[name](telephone, address, Path(config.out), f"{name}-telephone")


def main(argv: list[str]) -> None:
    """Serves a copy of the run, and draws."""
    config = parse(PicturesConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    if not (config.run_dir / "tokenizer.json").is_file():
        raise UserError(f"{config.run_dir} has no trained run; run `make all PRESET={config.preset}` first")
    Path(config.out).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        runs, class_dir = Path(folder, "runs"), f"{config.preset}-class"
        shutil.copytree(config.run_dir, runs / config.preset)
        prepare = ["--preset", config.preset, "--runs", str(runs), "--prompts", "30"]
        subprocess.run([sys.executable, "-m", "rlhf.web.prepare", *prepare], check=True)
        port, log = free_port(), Path(folder, "server.log")
        words = ["--preset", config.preset, "--runs", str(runs), "--port", str(port), "--classroom"]
        words += ["--address", "127.0.0.1", "--join-code", JOIN, "--teacher-code", TEACHER]
        words += ["--overlap", "3", "--per-person", str(config.per_person)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("wb") as file:
            server = subprocess.Popen(
                [sys.executable, "-m", "rlhf.web", *words], stdout=file, stderr=file, env=environment
            )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_it_answers(address, server, log)
            found = next(filter(None, map(shutil.which, BROWSERS)))
            browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
            draw(browser, address, config, gold_of(runs / class_dir / "classroom.sqlite"))
            browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    run_main(main)
