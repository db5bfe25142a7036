"""Chat, as a person sees it."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def page(local, open_window):
    return open_window(local).open("/chat")


def say(page, text):
    """Types a question, and waits for the end of the answer, which is returned."""
    page.wait_for_load_state()  # before its script is there, Enter is a line break
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")
    answer = page.locator(".turn.assistant").last
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    return answer


def test_a_person_asks_and_sees_the_answer_its_probabilities_and_its_score(page):
    page.get_by_label("Who answers").select_option("sft")
    answer = say(page, "What colour is a tomato?")
    expect(answer.get_by_role("heading")).to_have_text("SFT")
    expect(page.locator(".turn.user")).to_contain_text("What colour is a tomato?")
    expect(answer).to_contain_text("Reward model")
    panel = page.get_by_role("tooltip")
    expect(panel).to_be_hidden()
    answer.get_by_role("option").nth(1).hover()
    expect(panel).to_be_visible()
    assert panel.locator("tbody tr").count() in (5, 6)  # the five likeliest, and the one that was drawn
    expect(panel).to_contain_text("%")
    page.mouse.move(0, 0)
    expect(panel).to_be_hidden()


def test_tokens_are_explored_with_keys_alone(page):
    answer = say(page, "What is a cat?")
    tokens = answer.get_by_role("option")
    answer.get_by_role("listbox").focus()
    expect(tokens.nth(0)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tooltip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip")).to_be_hidden()


def let_it_ramble(page):
    """Nearly any token may come: an answer that goes on and on."""
    page.get_by_text("How answers are sampled").click()
    page.get_by_label("Temperature").fill("2")
    page.get_by_label("Longest answer, in tokens").fill("60")
    page.get_by_label("Seed").fill("1")


def test_tokens_appear_one_by_one(page):
    let_it_ramble(page)
    page.evaluate(
        """() => {
          window.seen = [];
          const count = () => window.seen.push(document.querySelectorAll('.turn.assistant .token').length);
          new MutationObserver(count).observe(document.getElementById('log'), { childList: true, subtree: true });
        }"""
    )
    say(page, "Tell me a story.")
    seen = page.evaluate("window.seen")
    assert len(set(seen)) > 3, f"the answer did not grow on the page: {seen}"


def test_an_answer_that_was_stopped_is_no_part_of_the_conversation(page):
    let_it_ramble(page)
    page.evaluate(
        """() => new MutationObserver(() => document.querySelector('.token') && document.getElementById('stop').click())
          .observe(document.getElementById('log'), { childList: true, subtree: true })"""
    )
    answer = say(page, "Tell me a story.")
    expect(answer).to_contain_text("Stopped: this answer is not part of the conversation.")
    expect(page.get_by_label("Your message")).to_have_value("Tell me a story.")  # to be asked again, or changed
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_conversation_goes_on_and_can_be_begun_again(page):
    say(page, "What is a cat?")
    say(page, "And what does it say?")
    expect(page.locator(".turn")).to_have_count(4)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_a_conversation_that_no_longer_fits_says_so(page):
    for _ in range(3):
        say(page, "Tell me about the wolf and the baker who lived by the river in the old days and sang songs, please.")
        if page.locator(".note").count():
            break
    expect(page.locator(".note").first).to_contain_text("forgotten")


def test_a_question_that_is_too_long_says_what_to_do_and_is_kept(page):
    say(page, "zebra quiz" * 60)
    expect(page.get_by_role("alert")).to_contain_text("shorten it")
    expect(page.get_by_label("Your message")).to_have_value("zebra quiz" * 60, timeout=2000)


def test_markup_that_a_person_types_stays_text(page):
    say(page, "<img src=x onerror=alert(1)><b>bold</b>")
    expect(page.locator(".turn.user")).to_contain_text("<b>bold</b>")
    assert page.locator("#log img, #log b").count() == 0
