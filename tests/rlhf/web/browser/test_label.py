"""Label: with the mouse, with keys alone, with a finger, and without a network."""

import itertools

import pytest
from playwright.sync_api import expect

from tests.rlhf.web.browser.conftest import TELEPHONE

NAMES = (f"Person {number}" for number in itertools.count(1))


@pytest.fixture
def enter(room, open_window):
    """A new person who has come in, on the page Label."""

    def make(name=None, **settings):
        window = open_window(room, **settings).join(name or next(NAMES))
        window.open("/label")
        expect(window.page.get_by_role("heading", name="Answers")).to_be_visible()
        return window

    return make


def answers_of(page):
    return page.locator("#answers > li")


def texts_of(page):
    return answers_of(page).locator("p.text").all_inner_texts()


def rank_by_click(page, places=None):
    """Gives the answers their places by mouse, and saves."""
    count = answers_of(page).count()
    for index, place in enumerate(places or range(1, count + 1)):
        answers_of(page).nth(index).locator(".place").nth(place - 1).click()
    page.get_by_role("button", name="Save this order").click()


def wait_for(page, ranked):
    expect(page.locator("#progress-text")).to_have_text(f"{ranked} of 3 prompts")


def test_a_person_ranks_with_the_mouse_until_thanked(enter):
    page = enter().page
    save = page.get_by_role("button", name="Save this order")
    expect(save).to_be_disabled()
    for ranked in (1, 2, 3):
        rank_by_click(page)
        wait_for(page, ranked)
    expect(page.get_by_role("heading", name="Thank you")).to_be_focused()
    expect(page.get_by_text("as many as were asked of you")).to_be_visible()
    page.get_by_role("button", name="Rank more").click()
    expect(page.get_by_role("heading", name="Answers")).to_be_visible()


def test_dragging_an_answer_gives_all_their_places(enter):
    page = enter(viewport={"width": 900, "height": 2000}).page  # all answers at once, however long they are
    before = texts_of(page)
    handle = answers_of(page).last.locator(".handle").bounding_box()
    first = answers_of(page).first.bounding_box()
    page.mouse.move(handle["x"] + 5, handle["y"] + 5)
    page.mouse.down()
    page.mouse.move(handle["x"] + 5, first["y"] + 2, steps=12)
    page.mouse.up()
    assert texts_of(page) == [before[-1], *before[:-1]]
    for index in range(len(before)):
        expect(answers_of(page).nth(index).locator("input:checked")).to_have_value(str(index + 1))
    page.get_by_role("button", name="Save this order").click()
    wait_for(page, 1)


def test_a_person_ranks_with_keys_alone(enter):
    page = enter().page
    count = answers_of(page).count()
    for place in range(count, 0, -1):  # each key goes on to the next answer
        page.keyboard.press(str(place))
    expect(page.get_by_role("button", name="Save this order")).to_be_enabled()
    page.keyboard.press("Enter")
    wait_for(page, 1)
    page.keyboard.press("u")
    wait_for(page, 0)
    expect(page.get_by_role("status").first).to_contain_text("Undone")
    page.keyboard.press("b")
    wait_for(page, 1)
    shown = page.locator("#prompt").inner_text()
    page.keyboard.press("s")
    expect(page.get_by_role("status").first).to_have_text("Skipped.")
    wait_for(page, 1)
    assert page.locator("#prompt").inner_text() != shown
    for ranked in (2, 3):
        page.keyboard.press("1")
        for _ in range(answers_of(page).count() - 1):
            page.keyboard.press("2")  # ties
        page.keyboard.press("Enter")
        wait_for(page, ranked)
    expect(page.get_by_role("heading", name="Thank you")).to_be_focused()
    page.keyboard.press("Tab")  # on to the button below, without a mouse
    expect(page.get_by_role("button", name="Rank more")).to_be_focused()


def test_tab_reaches_everything_that_is_needed(enter):
    """Somebody whose screen reader keeps the keys for itself switches them off and uses Tab, arrows and space."""
    page = enter().page
    page.get_by_text("Keys", exact=True).click()
    page.get_by_label("Use these keys").uncheck()
    answers_of(page).first.locator("input").first.focus()
    for _ in range(answers_of(page).count()):
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
    expect(page.get_by_label("What decided it?")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Save this order")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for(page, 1)


def test_reload_shows_the_same_prompt(enter):
    page = enter().page
    before = page.locator("#prompt").inner_text(), texts_of(page)
    page.reload()
    expect(page.get_by_role("heading", name="Answers")).to_be_visible()
    assert (page.locator("#prompt").inner_text(), texts_of(page)) == before


def test_a_label_without_a_network_is_kept_and_counts_once(enter):
    window = enter()
    page = window.page
    window.context.set_offline(True)
    rank_by_click(page)
    expect(page.get_by_role("alert")).to_contain_text("No connection")
    expect(page.get_by_role("button", name="Save this order")).to_be_disabled()
    window.context.set_offline(False)
    wait_for(page, 1)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.reload()
    wait_for(page, 1)


def test_a_label_whose_answer_was_lost_counts_once(enter):
    window = enter()
    page = window.page
    lost = []

    def lose(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())  # it has arrived, and the page does not hear of it
            route.abort()

    page.route("**/label", lose)
    rank_by_click(page)
    expect(page.get_by_role("alert")).to_contain_text("No connection")
    wait_for(page, 1)
    page.reload()
    wait_for(page, 1)
    assert lost[0].status == 200


def test_a_telephone_ranks_with_a_finger(enter):
    page = enter(**TELEPHONE).page
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= TELEPHONE["viewport"]["width"], f"the page is {width} pixels wide, and scrolls sideways"
    count = answers_of(page).count()
    for index in range(count):
        answers_of(page).nth(index).locator(".place").nth(index).tap()
    page.get_by_role("button", name="Save this order").tap()
    wait_for(page, 1)


def test_agreement_is_shown_after_the_last_prompt_and_not_before(enter):
    first, second = enter("Ada").page, enter("Bob").page
    for page in (first, second):
        for ranked in (1, 2, 3):
            expect(page.locator("#agreement")).to_be_hidden()
            rank_by_click(page)
            wait_for(page, ranked)
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(second.locator("#agreement")).to_contain_text("By chance it would be 50 %")


def test_a_wrong_code_lets_nobody_in(room, open_window):
    page = open_window(room).open("/join")
    page.get_by_label("Your name").fill("Eve")
    page.get_by_label("Join code").fill("WRONG1")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_role("alert")).to_contain_text("not the join code")
    expect(page.get_by_label("Your name")).to_have_value("Eve")
    page.goto(room.address + "/teacher")
    expect(page.get_by_role("heading", name="Come in")).to_be_visible()
