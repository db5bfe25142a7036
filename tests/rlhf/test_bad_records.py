"""Lines are found, counted and decoded one by one, and what is wrong with one is a sentence that names it."""

import gzip

import pytest

from minigpt.corpora.json_lines import parse_object, shown
from minigpt.runs.errors import UserError
from rlhf.bad_records import BadRecords, TooLongError
from rlhf.data_formats.sources import numbered_lines


def lines_of(path, content: bytes, bad=None) -> list[tuple[str, bytes]]:
    """The result of numbered_lines for a file of this content, the folder taken out of its name."""
    path = path / "mine.jsonl"
    path.write_bytes(content)
    found = list(numbered_lines(path, bad or BadRecords()))
    return [(where.replace(str(path), "mine.jsonl"), line) for where, line in found]


# ---- Lines ----


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_are_numbered_as_an_editor_does(tmp_path, pack):
    content = b"\xef\xbb\xbfone\n\n  \r\ntwo\r\n\xe2\x80\xa8 three \xef\xbb\xbf"
    assert lines_of(tmp_path, pack(content)) == [
        ("mine.jsonl, line 1", b"one\n"),
        ("mine.jsonl, line 4", b"two\r\n"),
        ("mine.jsonl, line 5", b"\xe2\x80\xa8 three \xef\xbb\xbf"),
    ], "blank lines count, U+2028 ends no line, and a byte-order mark is one at the beginning only"


def test_a_compressed_file_is_known_by_its_first_bytes_and_not_by_its_name(tmp_path):
    (tmp_path / "plain.jsonl.gz").write_bytes(b"one\n")
    assert [line for _, line in numbered_lines(tmp_path / "plain.jsonl.gz", BadRecords())] == [b"one\n"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "checksum"])
def test_damaged_compression_is_named_by_the_line_and_what_comes_before_is_kept(tmp_path, damage):
    content = b"".join(b"line %d, and %d\n" % (n, n * n * n) for n in range(20_000))
    packed = bytearray(gzip.compress(content))
    if damage == "truncated":
        del packed[len(packed) // 2 :]
    else:
        packed[len(packed) // 2 if damage == "flipped" else -6] ^= 255
    with pytest.raises(UserError, match=r"mine\.jsonl, line \d+: from here on .* truncated or damaged"):
        lines_of(tmp_path, bytes(packed))
    bad = BadRecords(skip=True)
    found = lines_of(tmp_path, bytes(packed), bad)
    assert bad.count == 1
    assert f"line {len(found) + 1}:" in bad.reasons[0]
    before = content.splitlines(keepends=True)
    if damage == "truncated":
        assert 5_000 < len(found) < len(before)
        assert [line for _, line in found] == before[: len(found)]


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "absent.jsonl", tmp_path):
        for skip in (False, True):
            with pytest.raises(UserError, match="cannot read") as error:
                list(numbered_lines(path, BadRecords(skip)))
            assert str(path) in str(error.value)


# ---- Objects ----


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"caf\xe9", "here: not UTF-8 text (byte 4 of the line is 0xe9); save the file as UTF-8."),
        ("Ä".encode("utf-16"), "here: not UTF-8 text (byte 1 of the line is 0xff); save the file as UTF-8."),
        (b"{", "here: not valid JSON (Expecting property name enclosed in double quotes at column 2)."),
        (b"x", "here: not valid JSON (Expecting value at column 1)."),
        (b'{"a": 1} {"a": 2}', "here: not valid JSON (Extra data at column 10)."),
        (b"[1]", "here: expected a JSON object, got list."),
        (b"null", "here: expected a JSON object, got NoneType."),
        (b"[" * 100_000, "here: a number is too long, or lists are nested too deeply."),
        (b'{"a": ' + b"9" * 5000 + b"}", "here: a number is too long, or lists are nested too deeply."),
        (b'{"a": "\\ud800"}', "here: half of a surrogate pair is not a character; write the whole."),
    ],
)
def test_what_is_no_object_is_one_sentence(line, sentence):
    with pytest.raises(UserError) as error:
        parse_object(line, "here")
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("line", "key"),
    [(b'{"prompt": "a", "response": "b", "prompt": "c"}', "prompt"), (b'{"a": [{"b": 1, "b": 1}]}', "b")],
)
def test_a_key_that_stands_twice_is_named(line, key):
    with pytest.raises(UserError) as error:
        parse_object(line, "here")
    assert str(error.value) == f"here: the key '{key}' stands twice in one object; keep one of them."


def test_a_megabyte_is_read_whole_and_shown_in_a_few_words():
    text = "a\n" * 500_000
    assert parse_object(b'{"a": "' + text.replace("\n", "\\n").encode() + b'"}', "here") == {"a": text}
    for value in (text, [text] * 100, {"a": {"b": [text]}}):
        assert len(shown(value)) < 600, "one line of a file would fill the screen"
        assert "\n" not in shown(value)


# ---- --skip-bad ----


def test_without_skip_the_first_bad_line_stops():
    bad = BadRecords()
    with pytest.raises(UserError, match="first"), bad.tolerated():
        raise UserError("first")


def test_with_skip_bad_lines_are_counted_and_the_first_few_told(capsys):
    bad = BadRecords(skip=True)
    for number in range(5):
        with bad.tolerated():
            raise UserError(f"reason {number}")
    bad.finish("mine.jsonl", kept=7)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "mine.jsonl: 7 records kept, 5 left out (--skip-bad):",
        "  reason 0",
        "  reason 1",
        "  reason 2",
        "  and 2 more",
    ]


def test_with_nothing_left_out_there_is_nothing_to_say(capsys):
    BadRecords(skip=True).finish("mine.jsonl", kept=7)
    assert capsys.readouterr() == ("", "")


def test_only_a_mistake_of_the_user_is_tolerated():
    with pytest.raises(KeyError), BadRecords(skip=True).tolerated():
        raise KeyError("a bug in our code must not pass for a bad line")


def test_a_file_in_which_nothing_is_left():
    bad = BadRecords(skip=True)
    with pytest.raises(UserError) as error:
        bad.finish("mine.jsonl", kept=0)
    assert str(error.value) == "mine.jsonl has no records; expected one JSON object a line."
    bad.refuse(UserError("line 1 is bad"))
    with pytest.raises(UserError) as error:
        bad.finish("mine.jsonl", kept=0)
    assert str(error.value) == "mine.jsonl: nothing is left, --skip-bad left out all 1; the first: line 1 is bad"


def test_when_most_of_the_data_does_not_fit_a_context_that_holds_it_is_named(capsys):
    """400 pairs with a context of 128: 316 were left out, and the rest was learned by heart."""
    bad = BadRecords(skip=True)
    for tokens in range(1, 101):
        with bad.tolerated():
            if tokens > 30:
                raise TooLongError(f"record {tokens} is too long", tokens, 30)
            bad.fits(tokens)
    bad.finish("mine.jsonl", kept=30)
    warning = capsys.readouterr().err.splitlines()[-1]
    assert warning == (
        "warning: mine.jsonl: most of the data does not fit: 70 of 100 records are longer than the context of 30; "
        "a context of 90 would hold 90% of them (python -m minigpt.pretrain --context 90)"
    )


def test_when_most_of_the_data_fits_there_is_no_warning(capsys):
    bad = BadRecords(skip=True)
    for tokens in (5, 6, 7, 90):
        with bad.tolerated():
            if tokens > 30:
                raise TooLongError("too long", tokens, 30)
            bad.fits(tokens)
    bad.finish("mine.jsonl", kept=3)
    assert "warning" not in capsys.readouterr().err
