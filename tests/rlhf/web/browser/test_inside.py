"""Look inside: losses, next tokens, the maps of the heads, and a head that is silenced."""

import re

import pytest
from playwright.sync_api import expect


@pytest.fixture
def page(local, open_window):
    page = open_window(local).open("/inside")
    page.get_by_label("Text", exact=True).fill("What is a cat?")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("heading", name="Tokens")).to_be_visible()
    return page


def test_a_text_is_seen_as_tokens_losses_and_next_tokens(page):
    tokens = page.locator("#tokens").get_by_role("option")
    assert "cat" in "".join(tokens.all_inner_texts())
    assert page.locator("#losses rect").count() == tokens.count() - 1  # the first token is not predicted
    expect(page.locator("#mean")).to_contain_text("nats a token")
    likely = page.locator("#next li .share").all_inner_texts()
    assert len(likely) >= 5
    before = page.locator("#next-after").inner_text()
    tokens.nth(1).click()
    expect(page.locator("#next-after")).not_to_have_text(before)


def test_a_head_is_enlarged_and_read_with_the_arrow_keys(page):
    expect(page.get_by_role("button", name=re.compile("Enlarge head"))).to_have_count(8)  # two layers of four
    page.get_by_role("button", name="Enlarge head 1.2").click()
    expect(page.get_by_role("heading", name="1.2")).to_be_visible()
    read = page.locator("#readout")
    page.locator("#map").focus()
    page.keyboard.press("ArrowUp")
    expect(read).to_contain_text("%")
    before = read.inner_text()
    page.keyboard.press("ArrowRight")
    expect(read).not_to_have_text(before)


def test_silencing_a_head_changes_the_loss(page):
    page.get_by_label("Silence head 0.1").check()
    expect(page.locator("#mean")).to_contain_text("without head 0.1")
    whole, without = map(float, re.findall(r"\d+\.\d{3}", page.locator("#mean").inner_text()))
    assert whole != without
    expect(page.get_by_role("heading", name="without 0.1")).to_be_visible()
    page.get_by_label("Silence head 0.1").uncheck()
    expect(page.locator("#mean")).not_to_contain_text("without head")


def test_each_head_in_turn_gives_a_table(page):
    page.get_by_role("button", name="Silence each head in turn").click()
    table = page.get_by_role("region", name="What each head is worth")
    expect(table.get_by_role("row")).to_have_count(3)  # a head and two layers
    assert table.get_by_role("cell", name=re.compile("%")).count() == 8
