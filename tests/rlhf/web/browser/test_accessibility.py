"""axe-core on every page, light and dark: no serious or critical fault."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from rlhf.web.rendering import NAVIGATION
from tests.rlhf.web.browser.conftest import TEACHER
from tests.rlhf.web.browser.test_chat import say
from tests.rlhf.web.browser.test_label import rank_by_click

SCHEMES = ("light", "dark")
# of the person at this machine, who is student and teacher
PAGES = ["/", "/me", *(address for address, _, _ in NAVIGATION)]


def check(page):
    """Fails with what axe-core says, and where."""
    results = Axe().run(page).response
    assert results["passes"], "axe-core has looked at nothing"
    faults = [fault for fault in results["violations"] if fault["impact"] in ("serious", "critical")]
    lines = [
        f"{fault['id']} ({fault['impact']}): {fault['help']}\n    "
        + "\n    ".join(f"{node['html'][:160]} | {node['failureSummary']}" for node in fault["nodes"][:4])
        for fault in faults
    ]
    assert not faults, f"{page.url} has faults that keep people out:\n" + "\n".join(lines)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_keeps_people_out(local, open_window, scheme):
    window = open_window(local, color_scheme=scheme)
    for address in PAGES:
        page = window.open(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        check(page)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_keeps_people_out_once_it_is_used(local, open_window, scheme):
    window = open_window(local, color_scheme=scheme)
    page = window.open("/chat")
    answer = say(page, "What colour is a tomato?")
    answer.get_by_role("option").first.hover()
    expect(page.get_by_role("tooltip")).to_be_visible()
    page.get_by_text("How answers are sampled").click()
    check(page)
    page = window.open("/compare")
    page.get_by_role("button", name="Which is better? (blind)").click()
    expect(page.get_by_role("heading", name="Which is better?")).to_be_focused()
    page.keyboard.press("0")
    page.get_by_role("button", name="Show who wrote what").click()
    expect(page.get_by_role("heading", name="Who won")).to_be_visible()
    check(page)
    page.get_by_role("button", name="Show their answers").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    check(page)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_pages_of_a_class_keep_nobody_out(room, open_window, scheme):
    window = open_window(room, color_scheme=scheme)
    check(window.open("/join"))
    page = window.join(f"Worker {scheme}").page
    check(page)
    window.open("/label")
    for ranked in (1, 2, 3):
        expect(page.get_by_role("heading", name="Answers")).to_be_visible()
        page.get_by_text("Keys", exact=True).evaluate("summary => { summary.parentElement.open = true; }")
        if ranked == 1:
            check(page)
        rank_by_click(page)
        expect(page.locator("#progress-text")).to_have_text(f"{ranked} of 3 prompts")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    check(page)
    check(window.open("/teacher"))  # the page that refuses
    check(open_window(room, color_scheme=scheme).join(f"Ms {scheme}", TEACHER).open("/teacher"))
