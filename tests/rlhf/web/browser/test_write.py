"""Write: a person writes demonstrations, and takes one back."""

from playwright.sync_api import expect


def test_a_person_writes_an_answer_and_removes_it(local, open_window):
    page = open_window(local).open("/write")
    prompt = page.get_by_label("Prompt").input_value()
    assert prompt
    page.get_by_label("Your answer").fill("A tomato is <b>red</b>.")
    page.get_by_role("button", name="Keep this answer").click()
    expect(page.get_by_role("status")).to_contain_text("Kept")
    expect(page.get_by_text("A tomato is <b>red</b>.")).to_be_visible()  # text, not bold
    expect(page.get_by_role("heading", name="Yours so far: 1")).to_be_visible()
    assert page.get_by_label("Prompt").input_value() != prompt
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="Yours so far: 0")).to_be_visible()


def test_an_answer_that_says_nothing_is_not_lost_and_not_kept(local, open_window):
    page = open_window(local).open("/write")
    page.get_by_label("Prompt").fill("Who are you?")
    page.get_by_label("Your answer").fill("   ")
    page.get_by_role("button", name="Keep this answer").click()
    expect(page.get_by_role("alert")).to_contain_text("empty")
    expect(page.get_by_label("Prompt")).to_have_value("Who are you?")
