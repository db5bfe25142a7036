"""HH-RLHF's transcripts: the prompt is what both have in common, and not a byte is lost, on the real pairs."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.data_formats.hh import common_beginning, split_pair, transcript

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "hh-rlhf-harmless-base-test.jsonl.gz"
Q = "\n\nHuman: Hi.\n\nAssistant: Yes?\n\nHuman: Why?"


def pair(chosen: str, rejected: str, prompt: str = Q):
    """(the prompt's turns, the answers) of the two transcripts; they must be what the transcripts were."""
    turns, better, worse = split_pair(prompt + chosen, prompt + rejected, "here")
    assert transcript(turns, better) == prompt + chosen
    assert transcript(turns, worse) == prompt + rejected
    return [(turn.role, turn.text) for turn in turns], better, worse


# ---- By hand ----


def test_a_pair_by_hand():
    turns, better, worse = pair("\n\nAssistant: Because.", "\n\nAssistant: No.")
    assert turns == [("user", "Hi."), ("assistant", "Yes?"), ("user", "Why?")], "split at the first Assistant?"
    assert (better, worse) == ("Because.", "No.")


def test_answers_that_begin_alike_are_split_at_the_marker_and_not_where_they_part():
    assert pair("\n\nAssistant: A cow.", "\n\nAssistant: A cat.")[1:] == ("A cow.", "A cat.")


def test_answers_that_part_in_an_earlier_turn_are_compared_from_there():
    """To split each text at its own last marker would compare answers to different questions."""
    more = "\n\nHuman: And?\n\nAssistant: That."
    turns, better, worse = pair(f"\n\nAssistant: This.{more}", f"\n\nAssistant: Nothing.{more}")
    assert turns == [("user", "Hi."), ("assistant", "Yes?"), ("user", "Why?")]
    assert (better, worse) == (f"This.{more}", f"Nothing.{more}")


def test_one_answer_that_goes_on_where_the_other_ends():
    more = "\n\nHuman: And?\n\nAssistant: That."
    assert pair(f"\n\nAssistant: This.{more}", "\n\nAssistant: This.")[1:] == (f"This.{more}", "This.")


def test_two_turns_of_the_assistant_in_a_row_are_one_with_the_marker_kept():
    turns, better, worse = pair("\n\nAssistant: So.\n\nAssistant: A", "\n\nAssistant: So.\n\nAssistant: B")
    assert turns[-1] == ("user", "Why?"), "a prompt ends with the user, or our chat format cannot say who speaks next"
    assert (better, worse) == ("So.\n\nAssistant: A", "So.\n\nAssistant: B")
    turns, *_ = pair(
        "\n\nAssistant: A\n\nAssistant: B\n\nHuman: C\n\nAssistant: D",
        "\n\nAssistant: A\n\nAssistant: B\n\nHuman: C\n\nAssistant: E",
    )
    assert turns[-2:] == [("assistant", "A\n\nAssistant: B"), ("user", "C")]


def test_empty_answers_equal_answers_and_blanks_are_kept_as_they_are():
    assert pair("\n\nAssistant: ", "\n\nAssistant: No.")[1:] == ("", "No.")
    assert pair("\n\nAssistant: No.", "\n\nAssistant: No.")[1:] == ("No.", "No.")
    assert pair("\n\nAssistant:  two \n", "\n\nAssistant: \n\n")[1:] == (" two \n", "\n\n")


def test_a_marker_within_a_line_is_text():
    turns, *_ = pair("\n\nAssistant: A", "\n\nAssistant: B", prompt="\n\nHuman: Human: hi\nAssistant: ho")
    assert turns == [("user", "Human: hi\nAssistant: ho")]


def test_a_marker_without_its_blank_gets_one_and_nothing_else_changes():
    turns, better, worse = split_pair("\n\nHuman:Hi\n\nAssistant:Ho", "\n\nHuman:Hi\n\nAssistant:", "here")
    assert (turns, better, worse) == ((Turn("user", "Hi"),), "Ho", "")
    assert transcript(turns, better) == "\n\nHuman: Hi\n\nAssistant: Ho"


@pytest.mark.parametrize(
    ("chosen", "rejected", "complaint"),
    [
        ("Hi", "\n\nHuman: Hi\n\nAssistant: Ho", "begin with a blank line"),
        ("\n\nHuman: Hi\n\nAssistant: Ho", "\n\nAssistant: Ho", "begin with a blank line"),
        ("\n\nHuman: Hi\n\nAssistant: Ho", "\n\nHuman: Ha\n\nAssistant: Ho", "no question in common"),
        ("\n\nHuman: Hi", "\n\nHuman: Hi", "no question in common"),
        ("\n\nHuman: Hi\n\nAssist", "\n\nHuman: Hi\n\nAssistant: Ho", "no question in common"),
    ],
)
def test_what_is_no_pair_of_transcripts(chosen, rejected, complaint):
    with pytest.raises(UserError, match=f"here: .*{complaint}"):
        split_pair(chosen, rejected, "here")


pieces = st.lists(st.sampled_from(["\n\nHuman:", "\n\nAssistant:", " ", "\n", "a", "b"]), max_size=12).map("".join)


@given(common=pieces, chosen=pieces, rejected=pieces)
@settings(max_examples=300, deadline=None)
def test_whatever_the_texts_they_are_split_without_loss_or_refused(common, chosen, rejected):
    chosen, rejected = f"\n\nHuman: {common}{chosen}", f"\n\nHuman: {common}{rejected}"
    try:
        turns, better, worse = split_pair(chosen, rejected, "here")
    except UserError:
        return
    assert [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]

    def squeezed(text):  # the blank after a marker may have been added
        return text.replace("Human: ", "Human:").replace("Assistant: ", "Assistant:")

    assert squeezed(transcript(turns, better)) == squeezed(chosen)
    assert squeezed(transcript(turns, worse)) == squeezed(rejected)


@given(first=st.text("ab", max_size=6), second=st.text("ab", max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_common_beginning_is_the_longest_of_all_beginnings(first, second):
    longest = max((first[:n] for n in range(len(first) + 1) if second.startswith(first[:n])), key=len)
    assert common_beginning(first, second) == longest


# ---- The real pairs ----


@pytest.fixture(scope="module")
def real():
    """(what the file says, what we read)."""
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here: the real pairs are not part of the repository")
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        said = [json.loads(line) for line in file]
    return said, read_rankings(DATA, BadRecords())


def slow_prompt(chosen: str, rejected: str) -> str:
    """The longest beginning of both that ends with "\\n\\nAssistant:", found by trying every one."""
    ends = [n for n in range(len(chosen) + 1) if chosen[:n].endswith("\n\nAssistant:") and rejected[:n] == chosen[:n]]
    return chosen[: max(ends)]


def test_all_real_pairs_come_through_byte_for_byte(real):
    said, read = real
    assert len(read) == len(said) == 2312, "a pair was dropped"
    for data, ranking in zip(said, read, strict=True):
        for name, answer in zip(("chosen", "rejected"), ranking.responses, strict=True):
            assert transcript(ranking.turns, answer).encode() == data[name].encode(), ranking.source
        assert ranking.ranks == (0, 1), "none of these pairs is a tie, and chosen is the better one"


def test_the_prompts_of_the_real_pairs_are_the_longest_common_ones(real):
    for data, ranking in zip(*real, strict=True):
        expected = slow_prompt(data["chosen"], data["rejected"])
        # where the assistant speaks twice in a row, its turn begins at the first of the markers
        before, _, turn = expected.removesuffix("\n\nAssistant:").rpartition("\n\nHuman:")
        if "\n\nAssistant:" in turn:
            expected = f"{before}\n\nHuman:{turn.partition(chr(10) * 2 + 'Assistant:')[0]}\n\nAssistant:"
        assert transcript(ranking.turns, "").removesuffix(" ") == expected, ranking.source


def test_what_is_odd_about_the_real_pairs_is_what_the_module_says(real):
    _, read = real
    assert sum("" in ranking.responses for ranking in read) == 4
    twice = [
        ranking
        for ranking in read
        if any("\n\nAssistant:" in text for text in (*ranking.responses, *(turn.text for turn in ranking.turns)))
    ]
    assert len(twice) == 9
    assert not any("\n\nHuman:" in text for ranking in read for text in ranking.responses)


def test_the_real_chosen_answers_are_demonstrations_but_for_the_empty_ones(real):
    _, read = real
    bad = BadRecords(skip=True)
    demonstrations = read_demonstrations(DATA, bad)
    chosen = [(ranking.turns, ranking.responses[0]) for ranking in read if ranking.responses[0].strip()]
    assert [(item.turns, item.response) for item in demonstrations] == chosen
    assert bad.count == len(read) - len(chosen) == 4
