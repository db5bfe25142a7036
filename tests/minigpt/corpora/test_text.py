"""Any file of text becomes documents, nothing of it is lost, and no more of it is in memory than a document."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt.corpora.text import LONGEST_DOCUMENT, PIECE_CHARACTERS, Corpus, survey
from minigpt.runs.errors import UserError


def corpus(tmp_path, data: bytes, name="corpus.txt"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def read(tmp_path, data: bytes, name="corpus.txt") -> list[str]:
    return list(Corpus(corpus(tmp_path, data, name)))


# ---- Text files ----


def test_separator_lines_divide_documents(tmp_path):
    text = "one\n\nstill one\n<|endoftext|>\ntwo <|endoftext|> is data here\n<|endoftext|>  \n\n<|endoftext|>\n"
    documents = read(tmp_path, (text + "<|endoftext|>x\n").encode())
    assert documents == ["one\n\nstill one", "two <|endoftext|> is data here", "<|endoftext|>x"]


@pytest.mark.parametrize("end", ["<|endoftext|>", "<|endoftext|>\n", "<|endoftext|> \t"])
def test_a_separator_may_be_the_last_line(tmp_path, end):
    assert read(tmp_path, f"one\n{end}".encode()) == ["one"]


def test_bom_and_windows_line_ends(tmp_path):
    data = b"\xef\xbb\xbfa\r\nb\r\n<|endoftext|>\r\nc\rd"
    assert read(tmp_path, data) == ["a\nb", "c\nd"], "a byte-order mark or a carriage return would become tokens"


def test_a_corpus_is_read_again_as_often_as_one_likes(tmp_path):
    documents = Corpus(corpus(tmp_path, b"one\n<|endoftext|>\ntwo"))
    assert list(documents) == list(documents) == ["one", "two"]


@pytest.mark.parametrize("gap", ["\n\n", "\n"])
def test_an_undivided_corpus_is_cut_at_line_ends_and_loses_no_text(tmp_path, gap):
    paragraphs = [f"paragraph {number} " + "word " * 20 for number in range(400)]
    documents = read(tmp_path, gap.join(paragraphs).encode())
    assert gap.join(documents) == gap.join(paragraphs)
    sizes = [len(document) for document in documents]
    assert max(sizes) <= 2 * PIECE_CHARACTERS
    assert min(sizes[:-1]) > PIECE_CHARACTERS - 200, "context should reach across paragraphs"


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("some words here " * 12_500, ("some", "words", "here")),
        ("The cow eats grass. So does the goat! " * 3000, (".", "!")),
        ("母牛吃草。狐狸吃老鼠。" * 6000, ("。",)),
        ("母牛" * 30_000, ("母", "牛")),
        ("a" * 50_000, ("a",)),
    ],
    ids=["blanks", "sentences", "Chinese sentences", "Chinese", "one letter"],
)
def test_one_long_line_is_cut_at_sentences_or_blanks_or_anywhere(tmp_path, text, ends):
    """text8 is such a file, and so is most Chinese text."""
    documents = read(tmp_path, text.encode())
    assert "".join(documents) == text, "a piece is lost, or changed"
    assert all(PIECE_CHARACTERS <= len(piece) <= 2 * PIECE_CHARACTERS for piece in documents[:-1])
    assert all(piece.endswith(ends) for piece in documents[:-1])


def test_a_document_that_would_fill_the_memory_is_cut(tmp_path):
    text = "<|endoftext|>\n" + "some words here " * 200_000 + "\n<|endoftext|>\nshort"
    documents = read(tmp_path, text.encode())
    assert documents[-1] == "short"
    assert max(map(len, documents)) <= LONGEST_DOCUMENT
    assert "".join(documents[:-1]) == "some words here " * 200_000


pieces = st.sampled_from(
    ["a", "é", "東", "\n", "\r\n", "\r", " ", "\n\n", "<|endoftext|>", "\n<|endoftext|>\n", "b" * 30]
)


@pytest.mark.parametrize("block", [1, 2, 7, 1 << 20])
@given(text=st.lists(pieces, max_size=30).map("".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_how_much_is_read_at_once_changes_nothing(tmp_path, block, text):
    path = corpus(tmp_path, text.encode())
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    expected, document = [], []
    for line in [*lines, "<|endoftext|>"]:
        if line.rstrip(" ") == "<|endoftext|>":
            expected.append("\n".join(document).strip("\n"))
            document = []
        else:
            document.append(line)
    expected = [document for document in expected if document.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigpt.corpora.text.BLOCK_BYTES", block)
        if expected:
            assert list(Corpus(path)) == expected
        else:
            with pytest.raises(UserError, match="holds no text"):
                list(Corpus(path))


# ---- Other files ----


def test_compressed_text_is_known_by_its_first_bytes(tmp_path):
    for name in ("corpus.txt.gz", "corpus.txt"):
        assert read(tmp_path, gzip.compress("é\r\n東".encode()), name) == ["é\n東"]
    assert read(tmp_path, b"plain", "corpus.txt.gz") == ["plain"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_json_lines_with_a_text(tmp_path, pack):
    lines = [{"text": "one\n<|endoftext|>\nstill one", "meta": 3}, {"text": " "}, {"text": "\ntwo\r\nlines"}]
    data = "\n\n".join(json.dumps(line) for line in lines).encode()
    assert read(tmp_path, pack(data), "corpus.jsonl.gz") == ["one\n<|endoftext|>\nstill one", "two\nlines"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"text": "a"}\n{"txt": "b"}', 'line 2: the field "text" is missing'),
        (b'{"text": 3}', 'line 1: "text" must be a text, got 3'),
        (b'{"text": "a"', "line 1: not valid JSON"),
        (b'{"text": "a", "text": "b"}', "line 1: the key 'text' stands twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, says):
    with pytest.raises(UserError) as error:
        read(tmp_path, line, "corpus.jsonl")
    assert says in str(error.value)
    assert "corpus.jsonl" in str(error.value)


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path):
    folder = tmp_path / "my corpus"
    (folder / "b").mkdir(parents=True)
    (folder / ".git").mkdir()
    corpus(folder, b"third", "c.md")
    corpus(folder, b'{"text": "second"}', "b/x.jsonl")
    corpus(folder, gzip.compress(b"first\n<|endoftext|>\nand more"), "a.txt.gz")
    corpus(folder, b"\0", "picture.png")
    corpus(folder, b"hidden", ".git/config.txt")
    assert list(Corpus(folder)) == ["first", "and more", "second", "third"]


def test_a_folder_without_text_says_what_it_looked_for(tmp_path):
    corpus(tmp_path, b"\0", "picture.png")
    with pytest.raises(UserError, match=r"without a file of text; expected names that end with \.txt"):
        Corpus(tmp_path)


def test_a_path_with_blanks_umlauts_and_two_hundred_characters(tmp_path):
    folder = tmp_path / "Übung mit Leerzeichen" / ("ä" * 100)
    folder.mkdir(parents=True)
    assert read(folder, b"one", "x" * 200 + ".txt") == ["one"]


# ---- What is refused ----


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "holds no text"),
        (b"\xef\xbb\xbf \n\n", "holds no text"),
        (b"<|endoftext|>\n", "holds no text"),
        (b"ab\0cd", "byte 2 is NUL"),
        ("é".encode() + b"\xff", "byte 2 (0xff)"),
        (b"\xef\xbb\xbfab\xe9 cd", "byte 5 (0xe9)"),  # Latin-1 é; the byte-order mark counts
        ("é".encode()[:1], "byte 0 (0xc3)"),
        ("Ä".encode("utf-16"), "is UTF-16 text"),
        (gzip.compress(b"text" * 1000, mtime=0)[:-9], "truncated or damaged"),
    ],
)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_what_is_no_text_is_refused_with_the_place(tmp_path, monkeypatch, block, data, expected):
    if "UTF-16" in expected and block == 1:
        pytest.skip("a block that is shorter than a byte-order mark")
    monkeypatch.setattr("minigpt.corpora.text.BLOCK_BYTES", block)
    path = corpus(tmp_path, data)
    with pytest.raises(UserError) as error:
        list(Corpus(path))
    assert str(path) in str(error.value)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Corpus(tmp_path / "none.txt")


@given(data=st.binary(max_size=200) | st.text().map(str.encode) | st.binary(max_size=40).map(gzip.compress))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["fuzz.txt", "fuzz.jsonl"])
def test_any_bytes_are_documents_or_a_user_error(tmp_path, name, data):
    try:
        documents = read(tmp_path, data, name)
    except UserError as error:
        assert "fuzz" in str(error)  # noqa: PT017  (either outcome is right)
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert all(document.strip() and document == document.strip("\n") for document in documents)


# ---- The survey ----


def test_the_survey_counts_characters_and_its_digest_sees_every_border():
    found = survey(["ab", "ü"])
    assert list(found.sizes) == [2, 1]
    digests = {survey(texts).digest for texts in (["ab", "ü"], ["a", "bü"], ["abü"], ["ü", "ab"])}
    assert len(digests) == 4
