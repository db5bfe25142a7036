"""The trainer equals a slow one that recounts everything; encoding equals merging by hand; nothing is lost."""

import ast
import doctest
import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigpt import bpe
from minigpt import tokenizer as tokenizer_module
from minigpt.bpe import PATTERN, merge_steps, train_merges
from minigpt.runs.errors import UserError
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer, printable, unprintable

TEXT = (
    """The quick brown fox jumps over the lazy dog. The dog doesn't mind; it's a lazy dog, after all.
A fox that jumps is a fox that eats, and 12 foxes eat 1234 chickens in 2026!  Naïve café, 東京の狐は速い. 🦊🦊
    indented = lines(and, code)  # with spaces
"""
    * 3
)


def slow_pieces(pretoken: str, ranks: dict[bytes, int]) -> list[bytes]:
    """Merge the way tiktoken documents it: again and again the neighbours of the lowest rank, the leftmost first."""
    pieces = [bytes([value]) for value in pretoken.encode("utf-8")]
    while True:
        best = None
        for at in range(len(pieces) - 1):
            rank = ranks.get(pieces[at] + pieces[at + 1])
            if rank is not None and (best is None or rank < best[0]):
                best = (rank, at)
        if best is None:
            return pieces
        at = best[1]
        pieces = pieces[:at] + [pieces[at] + pieces[at + 1]] + pieces[at + 2 :]


def slow_train(texts: list[str], merge_count: int) -> list[tuple[bytes, bytes]]:
    """The specification: encode the whole corpus anew after each merge, recount every pair, take the greatest."""
    ranks = {bytes([value]): value for value in range(256)}
    merges = []
    for _ in range(merge_count):
        counts: Counter = Counter()
        for text in texts:
            for pretoken in regex.findall(PATTERN, text):
                counts.update(pairwise(slow_pieces(pretoken, ranks)))
        pair = max(counts, key=lambda pair: (counts[pair], pair))
        ranks[pair[0] + pair[1]] = len(ranks)
        merges.append(pair)
    return merges


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT], vocab_size=256 + 80 + 5)


# ---- The comments ----


def test_the_examples_of_the_pattern_are_true_and_each_alternative_has_one():
    table = Path(bpe.__file__).read_text(encoding="utf-8").split("# GPT-2's pattern")[1].split("PATTERN =")[0]
    alternatives = regex.findall(r"^#   ((?:\[ \]|\S)+)", table, regex.MULTILINE)
    assert "|".join(alternatives).replace("[ ]", " ") == PATTERN, "the table explains another pattern"
    examples = [line.split("->") for line in table.splitlines() if "->" in line]
    assert len(examples) == len(alternatives)
    for text, pieces in examples:
        (text,) = (ast.literal_eval(string) for string in regex.findall(r'"(?:[^"\\]|\\.)*"', text))
        expected = [ast.literal_eval(string) for string in regex.findall(r'"(?:[^"\\]|\\.)*"', pieces)]
        assert regex.findall(PATTERN, text) == expected


def test_the_worked_example_prints_what_stands_in_the_comment():
    source = Path(tokenizer_module.__file__).read_text(encoding="utf-8").split("# ---- A worked example")[1]
    lines = [line.removeprefix("#").removeprefix(" ") for line in source.splitlines()[1:]]
    example = doctest.DocTestParser().get_doctest("\n".join(lines), {"Tokenizer": Tokenizer}, "example", None, 0)
    assert len(example.examples) == 7
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0


# ---- Training ----


def test_training_equals_the_slow_trainer_that_recounts_everything():
    assert train_merges([TEXT], 60) == slow_train([TEXT], 60)


@pytest.mark.parametrize("seed", range(40))
def test_training_equals_the_slow_trainer_on_texts_full_of_ties_and_overlaps(seed):
    # Few letters in long words: pairs overlap ("aaa") and counts tie.
    draw = random.Random(seed)
    words = ["".join(draw.choice("abc"[: draw.randint(1, 3)]) for _ in range(draw.randint(1, 30))) for _ in range(12)]
    texts = [" ".join(words[:6]), " ".join(words[6:])]
    assert train_merges(texts, 18) == slow_train(texts, 18), "lazy deletion or the pair index is out of step"


@pytest.mark.parametrize("letters", ["a", "ab", "abc"])
def test_no_two_merges_spell_the_same_token(letters):
    # Training joins pairs and tiktoken joins whatever spells a token. They agree because a token has just one pair.
    for seed in range(100):
        draw = random.Random(seed)
        words = ["".join(draw.choice(letters) for _ in range(draw.randint(2, 25))) for _ in range(8)]
        merges = train_merges(words, 4 if letters == "a" else 15)
        assert len({left + right for left, right in merges}) == len(merges)


def test_the_classic_example():
    # Sennrich et al. 2016: low x5, lower x2, newest x6, widest x3. es and st tie at 9; the greater pair (s, t) wins.
    text = " ".join(["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3)
    assert train_merges([text], 1) == [(b"s", b"t")]
    assert train_merges([text], 2)[1] == (b"e", b"st")


@pytest.mark.parametrize(
    ("text", "winner"),
    [("ab cd", (b"c", b"d")), ("ab ac", (b"a", b"c")), ("bc ba", (b"b", b"c")), ("é ab", (b"\xc3", b"\xa9"))],
)
def test_ties_go_to_the_lexicographically_greater_pair_of_byte_strings(text, winner):
    assert train_merges([text], 1) == [winner], "every pair occurs once here, so only the order of the bytes decides"


def test_a_tie_between_a_string_and_its_own_beginning():
    # After x+y the pairs (x, z) and (xy, z) tie at one each: xy is greater than x, as a longer string is.
    merges = train_merges(["xyz\nxyw\nxz"], 3)
    assert merges[:2] == [(b"x", b"y"), (b"xy", b"z")]


def test_a_corpus_too_small_for_the_vocabulary_says_how_far_it_goes():
    with pytest.raises(UserError, match=r"allows only 2 merges .* needs 10; .* at most 263"):
        Tokenizer.train(["abc"], 256 + 10 + 5)
    assert Tokenizer.train(["abc"], 263).vocab_size == 263, "the vocabulary size the message names must work"
    with pytest.raises(UserError, match="allows only 0 merges"):
        Tokenizer.train([], 262)
    with pytest.raises(UserError, match="too small"):
        Tokenizer.train([TEXT], 260)


def test_no_text_at_all_gives_a_byte_tokenizer():
    tokenizer = Tokenizer.train([""], 261)
    assert tokenizer.encode("hé") == [104, 0xC3, 0xA9]


def test_texts_are_trained_on_apart():
    assert train_merges(["a", "b"] * 9 + ["xy"], 1) == [(b"x", b"y")], "no pair crosses from one document to the next"


def test_a_very_long_word_is_no_catastrophe():
    assert train_merges(["ab" * 50_000], 12)[:2] == [(b"a", b"b"), (b"ab", b"ab")]


# ---- Encoding and decoding ----


def slow_encode(tokenizer: Tokenizer, text: str) -> list[int]:
    ranks = {bytes([value]): value for value in range(256)}
    for left, right in tokenizer.merges:
        ranks[left + right] = len(ranks)
    return [ranks[piece] for pretoken in regex.findall(PATTERN, text) for piece in slow_pieces(pretoken, ranks)]


# Half of the strings are made of what the corpus is made of, or hardly any merge would apply.
familiar = st.sampled_from([*TEXT.split(" "), *" \n\t'.é狐🦊"])
unicode_text = st.text(max_size=60) | st.lists(familiar, max_size=20).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=unicode_text)
@example(text="")
@example(text=" " * 9 + "\n\n  x")
@example(text="<|end|>")
def test_encoding_equals_merging_by_hand_and_decoding_inverts_it(tokenizer, text):
    ids = tokenizer.encode(text)
    assert ids == slow_encode(tokenizer, text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_batch([text, text]) == [ids, ids]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_survive_as_ids(tokenizer, data):
    assert tokenizer.decode_bytes(list(data)) == data, "ids 0..255 are the bytes in order"
    assert tokenizer.decode(list(data)) == data.decode("utf-8", errors="replace")


def test_layout_of_the_vocabulary(tokenizer):
    assert tokenizer.vocab_size == 341
    assert [tokenizer.token_bytes(value) for value in range(256)] == [bytes([value]) for value in range(256)]
    assert tokenizer.token_bytes(256) == b"".join(tokenizer.merges[0])
    named = [tokenizer.end_of_text_id, tokenizer.user_id, tokenizer.assistant_id, tokenizer.end_id, tokenizer.pad_id]
    assert named == [336, 337, 338, 339, 340], "the special tokens have the last ids"
    assert tuple(tokenizer.decode([token_id]) for token_id in named) == SPECIAL_TOKENS
    with pytest.raises(KeyError):
        tokenizer.decode([341])


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_the_spelling_of_a_special_token_is_data_unless_asked_otherwise(tokenizer, special):
    text = f"ignore this {special} and that"
    ids = tokenizer.encode(text)
    assert max(ids) < tokenizer.end_of_text_id, "a user who types <|end|> must not be able to end a turn"
    assert tokenizer.decode(ids) == text
    allowed = tokenizer.encode(text, allow_special=True)
    assert sum(token_id >= tokenizer.end_of_text_id for token_id in allowed) == 1
    assert tokenizer.decode(allowed) == text


def test_half_a_character_decodes_to_the_replacement_character(tokenizer):
    assert tokenizer.decode([0xF0, 0x9F]) == "\ufffd"


def test_show_merges_shows_what_encode_does(tokenizer):
    text = "the lazy foxes"
    steps = tokenizer.show_merges(text)
    last_of_each_word = [step for step, after in zip(steps, [*steps[1:], steps[0]], strict=True) if not after.pair]
    pieces = [piece for step in last_of_each_word for piece in step.pieces]
    assert [tokenizer.token_bytes(token_id) for token_id in tokenizer.encode(text)] == pieces
    assert all(tokenizer.token_bytes(step.token_id) == b"".join(step.pair) for step in steps if step.pair)
    lines = [str(step) for step in steps]
    assert lines[0] == "bytes: t h e"
    assert any("Ġ + " in line for line in lines), "a space must be visible"
    assert tokenizer.show_merges("") == []


def test_the_earliest_merge_goes_first_not_the_leftmost():
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4}
    assert list(merge_steps([b"a", b"b", b"c"], ranks)) == [((b"b", b"c"), [b"a", b"bc"])]


# ---- The file ----


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.fingerprint, loaded.merges) == (tokenizer.fingerprint, tokenizer.merges)
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    merges = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["merges"]
    assert any(merge.startswith("Ġ ") for merge in merges), "the merges are for people to read"


def test_the_fingerprint_follows_the_content(tokenizer):
    assert len(tokenizer.fingerprint) == 64
    assert Tokenizer(tokenizer.merges).fingerprint == tokenizer.fingerprint
    assert Tokenizer(tokenizer.merges[:-1]).fingerprint != tokenizer.fingerprint
    # The same tokens, made of other pairs: another order of the same ids would be another language.
    one, other = [(b"a", b"b"), (b"c", b"d")], [(b"c", b"d"), (b"a", b"b")]
    assert Tokenizer(one).fingerprint != Tokenizer(other).fingerprint


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda data: {**data, "merges": data["merges"][:-1]}, "damaged"),
        (lambda data: {**data, "merges": [data["merges"][1], data["merges"][0], *data["merges"][2:]]}, "damaged"),
        (lambda data: {**data, "merges": data["merges"] + data["merges"][:1]}, "damaged"),
        (lambda data: {**data, "merges": ["abc"]}, "damaged"),
        (lambda data: {**data, "merges": ["日 本"]}, "damaged"),
        (lambda data: {**data, "merges": [3]}, "damaged"),
        (lambda data: {**data, "fingerprint": "0" * 64}, "damaged"),
        (lambda data: {"merges": data["merges"]}, "format"),
        (lambda data: {**data, "format": 2}, "format"),
        (lambda data: {**data, "pattern": r"\S+"}, "pattern"),
        (lambda data: {**data, "special_tokens": ["<s>"]}, "special_tokens"),
        (lambda data: [1, 2], "damaged"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_in_one_sentence(tokenizer, tmp_path, damage, expected):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(json.dumps(damage(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.raises(UserError, match=expected) as error:
        Tokenizer.load(path)
    assert str(path) in str(error.value)


def test_a_truncated_or_missing_file(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match=r"missing.*run `make pretrain` first"):
        Tokenizer.load(path, made_by="make pretrain")
    tokenizer.save(path)
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], b"", b"\xff\xfe"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="damaged"):
            Tokenizer.load(path)


@given(data=st.binary(max_size=30))
def test_printable_is_visible_and_invertible(data):
    text = printable(data)
    assert unprintable(text) == data
    assert text == "" or (text.isprintable() and " " not in text)
