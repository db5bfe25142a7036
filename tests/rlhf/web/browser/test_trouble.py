"""Messages when something is in the way: no network, deleted by the teacher, a name as long as it may be."""

import pytest
from playwright.sync_api import expect

from rlhf.web.store import people
from rlhf.web.store.database import Database
from tests.rlhf.web.browser.conftest import TELEPHONE
from tests.rlhf.web.browser.test_label import rank_by_click

NO_CONNECTION = "There is no connection to the server: try again."


@pytest.mark.parametrize(
    ("address", "field", "button"),
    [
        ("/chat", "Your message", "Send"),
        ("/compare", "Prompt", "Show their answers"),
        ("/compare", "Prompt", "Which is better? (blind)"),
        ("/inside", "Text", "Look"),
    ],
)
def test_without_a_network_a_question_fails_with_a_sentence(local, open_window, address, field, button):
    window = open_window(local)
    page = window.open(address)
    page.get_by_label(field, exact=True).fill("What is a cat?")
    window.context.set_offline(True)
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("alert")).to_have_text(NO_CONNECTION)
    expect(page.get_by_role("status").first).to_be_empty()
    window.context.set_offline(False)
    page.get_by_label(field, exact=True).fill("What is a cat?")
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_somebody_who_was_deleted_is_told_so(room, open_window):
    window = open_window(room).join("Zoe")
    page = window.open("/label")
    expect(page.get_by_role("heading", name="Answers")).to_be_visible()
    store = Database(room.runs / "tiny-class" / "classroom.sqlite")
    people.delete(store, next(person.id for person in people.everybody(store) if person.name == "Zoe"))
    rank_by_click(page)
    expect(page.get_by_role("alert")).to_contain_text("or were deleted")
    window.open("/label")
    expect(page.get_by_role("heading", name="Come in")).to_be_visible()


def test_a_long_name_fits_a_telephone(room, open_window):
    window = open_window(room, **TELEPHONE).join("W" * 40)
    for address in ("/me", "/", "/label"):
        page = window.open(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= TELEPHONE["viewport"]["width"], f"{address} scrolls sideways: {width} pixels"


def test_a_name_with_markup_stays_text(local, open_window):
    page = open_window(local).open("/me")
    page.get_by_label("Name").fill("<b>Eve</b>")
    page.get_by_role("button", name="Take this name").click()
    expect(page.get_by_role("heading", name="Welcome, <b>Eve</b>")).to_be_visible()
    page.goto(local.address + "/teacher")
    expect(page.locator("#people").get_by_role("rowheader", name="<b>Eve</b>")).to_be_visible()
    assert page.locator("#people b").count() == 0
