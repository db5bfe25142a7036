"""From labels to a model: two people at one machine rank, see how far they agree, train, and talk to the result."""

import re

import pytest
from playwright.sync_api import expect

from tests.rlhf.web.browser.conftest import JOIN, PATIENCE, TEACHER
from tests.rlhf.web.browser.test_chat import say
from tests.rlhf.web.browser.test_label import rank_by_click

TRAINING_SECONDS = 20 * PATIENCE  # two stages of preset tiny, niced, on a machine that may be busy


@pytest.fixture
def shared(serve):
    """The server of somebody who shares this machine; four prompts for each person."""
    return serve("--per-person", "4", "--known-share", "0")


def test_two_people_label_and_train_and_talk_to_the_result(shared, open_window):
    windows = [open_window(shared), open_window(shared)]
    for window, name in zip(windows, ("Ada", "Bob"), strict=True):
        page = window.open("/me")
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Take this name").click()
        expect(page.get_by_role("heading", name=f"Welcome, {name}")).to_be_visible()
        page.get_by_role("link", name="Label").first.click()
        for ranked in range(1, 5):
            expect(page.get_by_role("heading", name="Answers")).to_be_visible()
            rank_by_click(page)
            expect(page.locator("#progress-text")).to_have_text(f"{ranked} of 4 prompts")
    page = windows[1].page
    expect(page.locator("#agreement")).to_contain_text("By chance it would be 50 %")
    page.get_by_role("link", name="Teacher", exact=True).click()
    expect(page.get_by_text(re.compile(r"took \d+ (seconds|minutes)"))).to_be_visible()
    expect(page.get_by_role("row", name="people with each other")).to_contain_text("%")
    expect(page.locator("#people").get_by_role("row", name="Ada")).to_contain_text("4")
    page.get_by_role("button", name="Train the reward model on these, then PPO on it").click()
    expect(page.get_by_text("is training …")).to_be_visible()
    expect(page.get_by_role("button", name="Train the reward model on these, then PPO on it")).to_be_disabled()
    expect(windows[0].open("/label").get_by_role("heading", name="Thank you")).to_be_visible()  # nobody has to wait
    expect(page.get_by_text("PPO is trained")).to_be_visible(timeout=1000 * TRAINING_SECONDS)
    expect(page.locator("#curves figure")).to_have_count(4)
    page.locator("#trained").get_by_role("link", name="Chat").click()
    expect(page.get_by_label("Who answers")).to_have_value("class")
    answer = say(page, "What colour is a tomato?")
    expect(answer.get_by_role("heading")).to_have_text("class")
    expect(answer).to_contain_text("Reward model")


def test_only_the_teacher_sees_the_class_and_can_delete_a_person(room, open_window):
    student = open_window(room).join("Student of the class")
    expect(student.page.get_by_role("link", name="Teacher")).to_have_count(0)
    student.open("/teacher")
    expect(student.page.get_by_role("alert")).to_contain_text("teacher's code")
    page = open_window(room).join("Ms T", TEACHER).page
    page.get_by_role("link", name="Teacher", exact=True).click()
    expect(page.get_by_text(JOIN)).to_be_visible()
    row = page.locator("#people").get_by_role("row", name="Student of the class")
    row.get_by_text("Delete").first.click()
    row.get_by_role("button", name="Delete Student of the class").click()
    expect(page.locator("#people")).not_to_contain_text("Student of the class")
    student.open("/label")
    expect(student.page.get_by_role("heading", name="Come in")).to_be_visible()


def test_training_without_labels_says_what_is_missing(local, open_window):
    page = open_window(local).open("/teacher")
    page.get_by_role("button", name="Train the reward model on these, then PPO on it").click()
    expect(page.get_by_role("alert")).to_contain_text("rank some prompts first")
