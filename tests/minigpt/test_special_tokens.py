"""Special tokens of one's own, the longest first; and text in parts, whose ids are those of the whole."""

import json

import pytest
import regex
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minigpt.bpe import PATTERN, train_merges
from minigpt.hf.tokenizer import END, read_tokenizer, tokenizer_files
from minigpt.runs.errors import UserError
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer

TEXT = "The quick brown fox jumps over the lazy dog, and 12 foxes don't. Naïve 東京の狐は速い.  \n\n" * 3
MERGES = train_merges([TEXT], 60)
PLAIN = Tokenizer(MERGES)
OWN = ("<|a|>", "<|a|><|b|>", "<|b|>", "<|tool call|>", "<en>", "<en")
TOKENIZER = Tokenizer(MERGES, special_tokens=OWN)


def by_hand(text: str) -> list[int]:
    """At each place the longest special token that stands there; what lies between is ordinary text."""
    known = {token: PLAIN.end_of_text_id + index for index, token in enumerate((*SPECIAL_TOKENS, *OWN))}
    ids, start, at = [], 0, 0
    while at < len(text):
        here = [token for token in known if text.startswith(token, at)]
        if not here:
            at += 1
            continue
        token = max(here, key=len)
        ids += [*PLAIN.encode(text[start:at]), known[token]]
        start = at = at + len(token)
    return ids + PLAIN.encode(text[start:])


pieces = st.sampled_from([*SPECIAL_TOKENS, *OWN, "<|a|", "|>", "<|", " fox", "a", " ", "\n", "東京"])


# ---- Names of one's own ----


def test_own_tokens_come_after_those_of_the_project():
    assert TOKENIZER.vocab_size == PLAIN.vocab_size + len(OWN)
    assert [TOKENIZER.encode(token, allow_special=True) for token in OWN] == [
        [PLAIN.vocab_size + index] for index in range(len(OWN))
    ]
    assert (TOKENIZER.pad_id, TOKENIZER.end_id) == (PLAIN.pad_id, PLAIN.end_id), "the project's own ids have moved"
    assert TOKENIZER.decode(range(PLAIN.vocab_size, TOKENIZER.vocab_size)) == "".join(OWN)


@given(text=st.lists(pieces, max_size=12).map("".join))
@settings(max_examples=300, deadline=None)
def test_where_several_begin_the_longest_is_taken(text):
    assert TOKENIZER.encode(text, allow_special=True) == by_hand(text), "tiktoken takes any of them, in no order"
    assert TOKENIZER.encode(text) == PLAIN.encode(text), "without being asked, a spelling is plain text"


def test_some_may_be_allowed_and_the_others_not():
    own = TOKENIZER.encode("<|end|><|b|>", allow_special=TOKENIZER.own_special_tokens)
    assert own == [*PLAIN.encode("<|end|>"), PLAIN.vocab_size + OWN.index("<|b|>")]
    assert TOKENIZER.encode_batch(["<|b|>", "b"], allow_special=OWN) == [[PLAIN.vocab_size + 2], PLAIN.encode("b")]


def test_a_vocabulary_size_counts_them():
    trained = Tokenizer.train([TEXT], 300, special_tokens=OWN)
    assert trained.vocab_size == 300
    with pytest.raises(UserError, match=r"alone need 267"):
        Tokenizer.train([TEXT], 266, special_tokens=OWN)


def test_they_are_saved_and_belong_to_the_fingerprint(tmp_path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.own_special_tokens, loaded.fingerprint) == (OWN, TOKENIZER.fingerprint)
    prints = {each.fingerprint for each in (PLAIN, TOKENIZER, Tokenizer(MERGES, special_tokens=OWN[::-1]))}
    assert len(prints) == 3, "other ids for the same texts: another language"


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (("",), "empty"),
        (("<|end|>",), "already"),
        (("<x>", "<x>"), "twice"),
        (("\ud800",), "UTF-8"),
    ],
)
def test_what_cannot_be_a_special_token_is_refused(tokens, says):
    with pytest.raises(UserError, match=says) as error:
        Tokenizer(MERGES, special_tokens=tokens)
    assert "special token" in str(error.value)


def test_a_file_that_is_damaged_in_them_is_refused(tmp_path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for special in ([*SPECIAL_TOKENS, *OWN[1:]], [*SPECIAL_TOKENS, 3], [*SPECIAL_TOKENS, "<|end|>"], "abc"):
        (tmp_path / "tokenizer.json").write_text(json.dumps({**data, "special_tokens": special}), encoding="utf-8")
        with pytest.raises(UserError, match=r"tokenizer\.json"):
            Tokenizer.load(tmp_path / "tokenizer.json")


def test_the_export_gives_the_same_ids_and_is_read_back(tmp_path):
    for name, content in tokenizer_files(TOKENIZER, END, 64).items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("<|a|><|b|> a <|b|><en> <en <|end|>", "a fox<|tool call|>", "<|a|><|a|><|b|>"):
        assert TOKENIZER.encode(text, allow_special=True) == peer.encode(text).ids, text
    back, known = read_tokenizer(tmp_path)
    assert (back.own_special_tokens, back.fingerprint, known) == (OWN, TOKENIZER.fingerprint, TOKENIZER.vocab_size)


# ---- Text in parts ----


@pytest.mark.parametrize("size", [1, 7, 1000])
@given(texts=st.lists(st.text(st.sampled_from(" \n\t\x1c\u2003'slreLa1!東é"), max_size=40), max_size=12))
@settings(max_examples=200, deadline=None)
def test_in_parts_the_ids_are_those_of_the_whole(size, texts):
    whole = "".join(texts)
    assume(all(len(pretoken) < 20 for pretoken in regex.findall(PATTERN, whole)))  # see whole_pretokens
    split = [whole[start : start + size] for start in range(0, len(whole), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigpt.corpora.chunks.CHUNK_CHARACTERS", 60)
        assert list(TOKENIZER.encode_iterable(iter(split))) == TOKENIZER.encode(whole)
        assert list(TOKENIZER.encode_iterable(texts)) == TOKENIZER.encode(whole)


def test_what_is_read_is_given_on_before_the_end():
    """An endless text: only a function that holds little of it can give its first ids."""

    def endless():
        while True:
            yield "The quick brown fox. "

    ids = TOKENIZER.encode_iterable(endless())
    assert [next(ids) for _ in range(6)] == TOKENIZER.encode("The quick brown fox. ")[:6]


@pytest.mark.parametrize("text", ["a" * 500_000, "東" * 300_000, " " * 300_000, "!?" * 200_000])
def test_a_run_without_any_border_is_cut_and_loses_nothing(text):
    ids = list(TOKENIZER.encode_iterable([text]))
    assert TOKENIZER.decode(ids) == text
