"""Compare: stages side by side, and blind, as a person sees them."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def page(local, open_window):
    page = open_window(local).open("/compare")
    page.get_by_text("How answers are sampled").click()
    page.get_by_label("Longest answer, in tokens").fill("16")
    return page


def test_the_answers_of_the_chosen_stages_stand_side_by_side(page):
    page.get_by_label("base").uncheck()
    page.get_by_label("Prompt").fill("What colour is a tomato?")
    page.get_by_label("Answers of each").select_option("2")
    page.get_by_role("button", name="Show their answers").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    columns = page.locator("#answers article")
    assert columns.get_by_role("heading").all_inner_texts() == ["SFT", "PPO"]
    for index in range(2):
        expect(columns.nth(index).locator(".sample")).to_have_count(2)
        expect(columns.nth(index).get_by_text("Reward model")).to_have_count(2)
    first, second = columns.nth(0).bounding_box(), columns.nth(1).bounding_box()
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] <= second["x"]


def test_without_a_stage_the_page_says_what_to_do(page):
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_label("Prompt").fill("What colour is a tomato?")
    page.get_by_role("button", name="Show their answers").click()
    expect(page.get_by_role("alert")).to_have_text("Choose at least one stage.")


def test_a_suggested_prompt_is_put_into_the_field(page):
    page.get_by_role("button", name="Suggest one").click()
    expect(page.get_by_label("Prompt")).not_to_have_value("")


def test_blind_rounds_end_in_a_win_rate(page):
    page.get_by_label("base").uncheck()
    page.get_by_role("button", name="Which is better? (blind)").click()
    for decided, key in ((1, "1"), (2, "2"), (3, "0")):
        expect(page.get_by_role("heading", name="Which is better?")).to_be_focused()
        blind = page.locator("#blind-round")
        assert blind.locator("article h3").all_inner_texts() == ["Answer 1", "Answer 2"]
        assert "SFT" not in blind.inner_text(), "the page says whose answer it is"
        page.keyboard.press(key)
        expect(page.get_by_text(f"You have decided {decided} round")).to_be_visible()
        if decided < 3:
            page.get_by_role("button", name="Another prompt").click()
    page.get_by_role("button", name="Show who wrote what").click()
    expect(page.get_by_role("heading", name="Who won")).to_be_focused()
    mine = page.get_by_role("region", name="Your verdicts").get_by_role("row").nth(1)
    cells = [*mine.get_by_role("rowheader").all_inner_texts(), *mine.get_by_role("cell").all_inner_texts()]
    assert cells[0] in ("ppo against sft", "sft against ppo", "PPO against SFT", "SFT against PPO")
    assert sum(map(int, cells[1:4])) == 3
    assert cells[3] == "1"
    assert "%" in cells[5]
