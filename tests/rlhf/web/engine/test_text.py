"""Characters arrive whole, whatever tokens they are made of."""

import pytest

from rlhf.web.engine.text import TextStream, token_texts


@pytest.mark.parametrize("text", ["naïve café", "猫は白い", "a😀b", "plain"])
def test_a_character_of_several_tokens_appears_when_it_is_whole(tokenizer, text):
    stream = TextStream(tokenizer)
    pieces = [stream.add(byte) for byte in text.encode()]  # ids 0 … 255 are the bytes
    assert "".join(pieces) == text
    assert all("�" not in piece for piece in pieces), "a part of a character was shown"
    assert len([piece for piece in pieces if piece]) == len(text)
    assert stream.end() == ""


def test_bytes_that_are_no_character_become_one_that_says_so(tokenizer):
    stream = TextStream(tokenizer)
    assert [stream.add(byte) for byte in b"a\xe7\x8c"] == ["a", "", ""]
    assert stream.end() == "�"
    stream = TextStream(tokenizer)
    assert [stream.add(byte) for byte in b"\xe7a"] == ["", "�a"]


def test_every_token_has_a_text(tokenizer):
    texts = token_texts(tokenizer)
    assert len(texts) == tokenizer.vocab_size
    assert texts[tokenizer.end_id] == "<|end|>"
    assert texts[0xE7] == "\\xe7"
    assert texts[ord("a")] == "a"
