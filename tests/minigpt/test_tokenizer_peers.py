"""Encoding equals merging by hand, tiktoken, and Hugging Face's tokenizers on our export; GPT-2's files can be read."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest
import regex
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import PATTERN
from minigpt.hf.tokenizer import read_tokenizer, tokenizer_files
from minigpt.runs.errors import UserError
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.minigpt.hf.gpt2_files import GPT2_BYTES, GPT2_LETTERS, write_gpt2_files

CORPUS = [
    "The quick brown fox doesn't jump over 12 lazy dogs in 2026; it's    asleep, they'll say.\n\n\tif x == y:  # why?",
    "Naïve café, Übergrößen: 東京の狐は速い。 Эта лиса быстрая. שועל مرحبا नमस्ते สวัสดี 🦊🦊 👩‍🚀 𝔣𝔬𝔵 aaaaaaaaa !!!! ---",
]
STRINGS = 2000


def in_gpt2_order(tokenizer: Tokenizer) -> Tokenizer:
    return Tokenizer(tokenizer.merges, GPT2_BYTES)


@pytest.fixture(scope="module")
def ours() -> Tokenizer:
    return Tokenizer.train(CORPUS * 2, 256 + 130 + 5)


def save_files(tokenizer: Tokenizer, folder, names=None):
    """The exported files, or some of them, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tokenizer_files(tokenizer, "<|end|>", 64).items():
        if names is None or name in names:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return folder


# ---- Three peers -------------------------------------------------------------------------------------------------


def slow_pieces(text: str, merges: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """BPE as it was published: merge after merge, in the order learned, joins its pair wherever it stands.

    No ranks, no search for the lowest one: the loop is over the merges and not over what is left to join.
    """
    encoded: list[bytes] = []
    for pretoken in regex.findall(PATTERN, text):
        pieces = [bytes([value]) for value in pretoken.encode("utf-8")]
        neighbours = set(pairwise(pieces))
        for pair in merges:
            if pair not in neighbours:
                continue
            joined = []
            while pieces:
                size = 2 if tuple(pieces[:2]) == pair else 1
                joined.append(b"".join(pieces[:size]))
                del pieces[:size]
            pieces = joined
            neighbours = set(pairwise(pieces))
        encoded += pieces
    return encoded


def independent_tiktoken(merges: Sequence[tuple[bytes, bytes]], byte_order: bytes) -> tiktoken.Encoding:
    ranks = {bytes([value]): rank for rank, value in enumerate(byte_order)}
    for number, (left, right) in enumerate(merges):
        ranks[left + right] = 256 + number
    special = {token: len(ranks) + number for number, token in enumerate(SPECIAL_TOKENS)}
    gpt2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""  # as OpenAI published it
    return tiktoken.Encoding("independent", pat_str=gpt2, mergeable_ranks=ranks, special_tokens=special)


def probe() -> tiktoken.Encoding:
    """An encoding that shows whether a letter, a digit or a mark stands in one pre-token with what comes after it."""
    ranks = {bytes([value]): value for value in range(256)}
    for before in b"a1!":
        for lead in range(0xC0, 0x100):
            ranks[bytes([before, lead])] = len(ranks)
    return tiktoken.Encoding("probe", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


PROBE = probe()


@cache
def is_disputed(character: str) -> bool:
    """`regex` and tiktoken have Unicode tables of different years: do they take this character for different things?"""
    if character < "\x80":
        return False
    return any(
        (len(regex.findall(PATTERN, before + character)) == 1) != (PROBE.encode_ordinary(before + character)[0] > 255)
        for before in "a1!"
    )


# ---- Strings of every kind ---------------------------------------------------------------------------------------

# a surrogate is no character: no text that was decoded from UTF-8 holds one
plane_0 = st.integers(0, 0xFFFF - 0x800).map(lambda code: chr(code if code < 0xD800 else code + 0x800))
other_planes = st.builds(lambda plane, code: chr(0x10000 * plane + code), st.integers(1, 16), st.integers(0, 0xFFFF))
familiar = st.sampled_from([*CORPUS[0].split(" "), *CORPUS[1].split(" "), *"'., \n\té東🦊1"])
blanks = st.text(" \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2003\u2028\u202f\u3000\ufeff", min_size=1, max_size=6)
broken_utf8 = st.binary(max_size=12).map(lambda data: data.decode("utf-8", errors="replace"))
spellings = st.sampled_from([*SPECIAL_TOKENS, "<|end", "|>", "<|", "<|end|><|end|>", "<|endof", "<|END|>"])
long_runs = st.builds(lambda piece, count: piece * count, familiar | plane_0, st.integers(2, 60))
anything = st.text(max_size=8)
pieces = st.one_of(plane_0, other_planes, familiar, familiar, blanks, broken_utf8, spellings, long_runs, anything)
texts = st.lists(pieces, max_size=12).map("".join)


def test_two_thousand_strings_of_every_kind_are_encoded_as_by_hand_by_tiktoken_and_by_tokenizers(ours, tmp_path):
    seen, disputed, planes, cases = 0, 0, set(), []
    for name, tokenizer in (("bytes in order", ours), ("bytes in GPT-2's order", in_gpt2_order(ours))):
        ids = {bytes([value]): token_id for token_id, value in enumerate(tokenizer.byte_order)}
        ids |= {left + right: 256 + number for number, (left, right) in enumerate(tokenizer.merges)}
        path = str(save_files(tokenizer, tmp_path / name) / "tokenizer.json")
        export, plain = tokenizers.Tokenizer.from_file(path), tokenizers.Tokenizer.from_file(path)
        plain.encode_special_tokens = True  # a special token's spelling is text
        cases.append((name, tokenizer, ids, independent_tiktoken(ours.merges, tokenizer.byte_order), export, plain))

    @settings(max_examples=STRINGS, deadline=None, derandomize=True, database=None)
    @given(text=texts)
    def check(text):
        nonlocal seen, disputed
        seen += 1
        planes.update(ord(character) >> 16 for character in text)
        agreed = "".join(character for character in text if not is_disputed(character))
        disputed += agreed != text
        by_hand = slow_pieces(agreed, ours.merges)
        for name, tokenizer, ids, peer, export, plain in cases:
            encoded = tokenizer.encode(text)
            assert tokenizer.encode(agreed) == [ids[piece] for piece in by_hand], f"{name}: not BPE"
            assert encoded == peer.encode_ordinary(text), f"{name}: not tiktoken's ids"
            assert encoded == plain.encode(text).ids, f"{name}: tokenizer.json is not this tokenizer"
            with_special = tokenizer.encode(text, allow_special=True)
            assert with_special == peer.encode(text, allowed_special="all"), f"{name}: special tokens"
            assert with_special == export.encode(text).ids, f"{name}: special tokens of the export"
            assert tokenizer.decode(encoded) == plain.decode(encoded, skip_special_tokens=False) == text

    check()
    assert seen >= STRINGS
    assert planes == set(range(17)), "a plane of Unicode was never drawn"
    assert disputed < seen / 4, "if most strings lose characters, merging by hand is compared with little"


def test_any_ids_decode_as_with_tiktoken_and_tokenizers(ours, tmp_path):
    """Sampled ids stop inside characters, and are whole special tokens: broken UTF-8 from the other side."""
    export = tokenizers.Tokenizer.from_file(str(save_files(ours, tmp_path) / "tokenizer.json"))
    peer = independent_tiktoken(ours.merges, ours.byte_order)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(ids=st.lists(st.integers(0, ours.vocab_size - 1), max_size=20))
    def check(ids):
        assert ours.decode_bytes(ids) == peer.decode_bytes(ids)
        # tokenizers decodes stretches between special tokens; without them it is the same text
        ordinary = [token_id for token_id in ids if token_id < ours.end_of_text_id]
        assert ours.decode(ordinary) == export.decode(ordinary, skip_special_tokens=False)

    check()


# ---- The order of the bytes --------------------------------------------------------------------------------------


def test_another_order_of_bytes_is_another_language_and_survives_its_file(ours, tmp_path):
    other = in_gpt2_order(ours)
    assert other.fingerprint != ours.fingerprint, "a model of one order would take the ids of the other for its own"
    assert [other.token_bytes(token_id) for token_id in (0, 93, 198, 220, 255)] == [b"!", b"~", b"\n", b" ", b"\xad"]
    assert other.encode("!\n") == [0, 198]
    assert other.token_bytes(256) == ours.token_bytes(256), "merges follow the bytes in either"
    other.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.byte_order, loaded.fingerprint) == (GPT2_BYTES, other.fingerprint)
    assert loaded.encode(CORPUS[1]) == other.encode(CORPUS[1])


def test_the_usual_order_has_the_file_and_the_fingerprint_it_always_had(ours, tmp_path):
    """Else every checkpoint made so far would be refused as one of another tokenizer."""
    merges = [[left.hex(), right.hex()] for left, right in ours.merges]
    content = json.dumps([1, PATTERN, merges, list(SPECIAL_TOKENS)])
    assert ours.fingerprint == hashlib.sha256(content.encode("ascii")).hexdigest()
    ours.save(tmp_path / "tokenizer.json")
    keys = set(json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8")))
    assert keys == {"format", "fingerprint", "pattern", "special_tokens", "merges"}


@pytest.mark.parametrize("order", [bytes(255), bytes([0, *range(255)]), bytes([*range(256), 0]), b""])
def test_an_order_that_misses_a_byte_is_refused(order):
    with pytest.raises(ValueError, match="every byte"):
        Tokenizer([], order)


@pytest.mark.parametrize("value", [3, None, "", "abc", ["!"], "東" * 256])
def test_a_damaged_order_in_a_file_is_refused(ours, tmp_path, value):
    path = tmp_path / "tokenizer.json"
    in_gpt2_order(ours).save(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"byte_order": value}), encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        Tokenizer.load(path)


# ---- GPT-2's files -----------------------------------------------------------------------------------------------


def tokenizer_json(tokenizer: Tokenizer, folder):
    """tokenizer.json as it lies beside GPT-2's weights, and its path: older than model.type and than use_regex."""
    vocab = json.loads((write_gpt2_files(tokenizer, folder) / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": True}
    end = {"id": len(vocab) - 1, "content": "<|endoftext|>", **flags}
    before = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return folder / "tokenizer.json", {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [end],
        "normalizer": None,
        "pre_tokenizer": before,
        "post_processor": before,
        "decoder": before,
        "model": {"dropout": None, "unk_token": None, "fuse_unk": False, "vocab": vocab, "merges": lines},
    }


def test_gpt2s_vocab_and_merges_are_read_as_tokenizers_reads_them(ours, tmp_path):
    assert set(GPT2_LETTERS) == set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    folder = write_gpt2_files(ours, tmp_path)
    tokenizer, known = read_tokenizer(folder)
    assert (tokenizer.byte_order, tokenizer.merges) == (GPT2_BYTES, ours.merges)
    assert known == tokenizer.end_of_text_id + 1 == 256 + len(ours.merges) + 1, "GPT-2 knows one special token"
    model = tokenizers.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    peer = tokenizers.Tokenizer(model)
    peer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in (*CORPUS, "\n\n  x", "\0\x7f\x80\xad"):
        assert tokenizer.encode(text) == peer.encode(text).ids, "the order of the bytes was ignored"
    assert tokenizer.encode("<|endoftext|>", allow_special=True) == [known - 1]
    assert tokenizer.encode("<|end|>", allow_special=True) == [known + 2], "ours come after GPT-2's"


def test_gpt2s_tokenizer_json_says_the_same_in_its_old_and_in_its_new_form(ours, tmp_path):
    path, old = tokenizer_json(ours, tmp_path)
    path.write_text(json.dumps(old), encoding="utf-8")
    tokenizer, known = read_tokenizer(tmp_path)
    assert tokenizer.fingerprint == in_gpt2_order(ours).fingerprint
    assert known == len(old["model"]["vocab"])
    tokenizers.Tokenizer.from_file(str(path)).save(str(path))  # rewrites it as today, with merges as lists
    new = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(new["model"]["merges"][0], list), "then this tests nothing that the old form does not"
    again, _ = read_tokenizer(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("names", [None, {"vocab.json", "merges.txt"}])
@pytest.mark.parametrize("gpt2_order", [False, True])
def test_our_own_export_is_read_back_as_the_same_tokenizer(ours, tmp_path, names, gpt2_order):
    tokenizer = in_gpt2_order(ours) if gpt2_order else ours
    back, known = read_tokenizer(save_files(tokenizer, tmp_path, names))
    assert (back.fingerprint, known) == (tokenizer.fingerprint, tokenizer.vocab_size)


def test_windows_line_ends_in_merges_txt_change_nothing(ours, tmp_path):
    write_gpt2_files(ours, tmp_path)
    path = tmp_path / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_tokenizer(tmp_path)[0].merges == ours.merges


# ---- What is refused ---------------------------------------------------------------------------------------------


def changed(**parts):
    return lambda data: {**data, **parts}


def in_model(**parts):
    return lambda data: {**data, "model": {**data["model"], **parts}}


LLAMA_3 = {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel", "use_regex": False}]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (in_model(type="Unigram"), "model.type is 'Unigram'"),
        (in_model(type="WordPiece", merges=None), "model.type is 'WordPiece'"),
        (in_model(byte_fallback=True), "model.byte_fallback is True"),
        (in_model(ignore_merges=True), "model.ignore_merges"),
        (changed(pre_tokenizer=None), "pre_tokenizer.type is None"),
        (changed(pre_tokenizer={"type": "Metaspace"}), "pre_tokenizer.type is 'Metaspace'"),
        (changed(pre_tokenizer=LLAMA_3), "pre_tokenizer.type is 'Sequence'"),
        (changed(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}), "add_prefix_space is True"),
        (changed(pre_tokenizer={"type": "ByteLevel", "use_regex": False}), "use_regex is False"),
        (changed(normalizer={"type": "NFC"}), "normalizer is {'type': 'NFC'}"),
        (changed(added_tokens=[{"id": 0, "content": "<s>"}]), "expected the 256 bytes as the first tokens"),
        (changed(added_tokens=[{"id": 300, "content": "<s>"}]), "'<s>' has id 300"),
        (changed(added_tokens=[{"content": "<s>"}]), "damaged"),
        (changed(model=3), "damaged"),
        (in_model(vocab=[1, 2]), "damaged"),
        (in_model(vocab={"a": "b", "c": 1}), "damaged"),
        (in_model(merges=[["a", "b", "c"]]), "damaged"),
        (in_model(merges=["a b", "a b"]), "damaged"),
        (in_model(merges=["東 京"]), "damaged"),
        (in_model(merges=[]), "has id"),
        (lambda data: {}, "damaged"),
        (lambda data: [], "no JSON object"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused_in_one_sentence(ours, tmp_path, change, says):
    path, data = tokenizer_json(ours, tmp_path)
    path.write_text(json.dumps(change(data)), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_tokenizer(tmp_path)
    assert says in str(error.value), str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("special", "says"),
    [
        ((), "<|endoftext|> is missing"),
        (("<s>", "</s>"), "'<s>' has id"),
        (("<|endoftext|>", "<|im_start|>"), "'<|im_start|>' has id"),
        ((*SPECIAL_TOKENS[:4], "<mask>", SPECIAL_TOKENS[4]), "'<mask>' has id"),
    ],
)
def test_special_tokens_in_other_places_are_refused(ours, tmp_path, special, says):
    write_gpt2_files(ours, tmp_path, special)
    with pytest.raises(UserError) as error:
        read_tokenizer(tmp_path)
    assert says in str(error.value), str(error.value)


def test_merges_in_another_order_than_their_ids_are_refused(ours, tmp_path):
    """Ids are ranks: where the two orders differ, encoding by ids joins other pairs first."""
    write_gpt2_files(ours, tmp_path)
    path = tmp_path / "merges.txt"
    head, first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, second, first, *rest]), encoding="utf-8")
    with pytest.raises(UserError, match="merges in their order"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_a_damaged_file_is_named(ours, tmp_path, name, content):
    write_gpt2_files(ours, tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        read_tokenizer(tmp_path)


def test_no_tokenizer_at_all(tmp_path):
    with pytest.raises(UserError, match="has no tokenizer: expected"):
        read_tokenizer(tmp_path)
