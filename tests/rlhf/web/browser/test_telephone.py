"""Every page on a telephone: nothing to scroll sideways for, nothing too small for a finger, and a chat."""

import pytest
from playwright.sync_api import expect

from tests.rlhf.web.browser.conftest import TELEPHONE
from tests.rlhf.web.browser.test_accessibility import PAGES

SMALLEST = 24  # pixels of the page, WCAG 2.2, 2.5.8
WIDTH = TELEPHONE["viewport"]["width"]

# Links inside a sentence are as high as its line, which WCAG allows.
TOO_SMALL = """smallest => [...document.querySelectorAll(
    'button, input:not([type=hidden]), select, textarea, summary, nav a')]
  .filter((one) => one.checkVisibility({ opacityProperty: true }))
  .map((one) => ({ html: one.outerHTML.slice(0, 120), box: (one.closest('label') ?? one).getBoundingClientRect() }))
  .filter(({ box }) => box.width > 0 && (box.width < smallest || box.height < smallest))
  .map(({ html, box }) => `${box.width} x ${box.height}: ${html}`)"""


@pytest.mark.parametrize("address", PAGES)
def test_a_page_fits_a_telephone(local, open_window, address):
    page = open_window(local, **TELEPHONE).open(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= WIDTH, f"{address} is {width} pixels wide on a telephone of {WIDTH}, and scrolls sideways"
    assert page.evaluate(TOO_SMALL, SMALLEST) == []


def test_a_telephone_chats_and_touches_a_token(local, open_window):
    page = open_window(local, **TELEPHONE).open("/chat")
    page.get_by_label("Your message").fill("What colour is a tomato?")
    page.get_by_role("button", name="Send").tap()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    answer = page.locator(".turn.assistant")
    expect(answer).to_contain_text("Reward model")
    answer.get_by_role("option").first.tap()
    panel = page.get_by_role("tooltip")
    expect(panel).to_be_visible()
    box = panel.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= WIDTH, "the alternatives of a token stand outside the screen"
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
