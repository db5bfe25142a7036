"""GPT-2's tokenizer files as OpenAI published them, written without the code under test."""

import json
from pathlib import Path

from minigpt.tokenizer import Tokenizer

# GPT-2's own order of the bytes, as its vocab.json has it, written out and not computed: "!" is token 0, "~" is 93.
GPT2_BYTES = bytes(
    [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x21), *range(0x7F, 0xA1), 0xAD]
)
# The letters that its files write for them: 188 bytes stand for themselves, the others for the letters from 256 on.
GPT2_LETTERS = [*map(chr, GPT2_BYTES[:188]), *map(chr, range(256, 256 + 68))]


def spelled(token: bytes) -> str:
    return "".join(GPT2_LETTERS[GPT2_BYTES.index(value)] for value in token)


def write_gpt2_files(tokenizer: Tokenizer, folder: Path, special: tuple[str, ...] = ("<|endoftext|>",)) -> Path:
    """vocab.json and merges.txt with this tokenizer's merges: bytes in GPT-2's order, merges, <|endoftext|>."""
    tokens = [*GPT2_LETTERS, *(spelled(left + right) for left, right in tokenizer.merges), *special]
    lines = ["#version: 0.2", *(f"{spelled(left)} {spelled(right)}" for left, right in tokenizer.merges)]
    vocab = json.dumps({token: number for number, token in enumerate(tokens)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(vocab, encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
