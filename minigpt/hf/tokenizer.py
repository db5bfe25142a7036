"""Tokenizers in the format of Hugging Face's transformers: tokenizer.json, vocab.json and merges.txt.

A byte-level BPE consists of its merges, the order of its bytes and its pattern; several of the files hold the same.
They write a token as `printable` does ("Ġthe").

One difference matters to users of an export: transformers makes the end token of a text that spells "<|end|>", unless
it is called with split_special_tokens=True. Here that text is data, unless `Tokenizer.encode` allows special tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minigpt.runs.errors import UserError
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer, printable, unprintable

END_OF_TEXT, USER, ASSISTANT, END, PAD = SPECIAL_TOKENS

# The chat format in Jinja, for tokenizer.apply_chat_template(..., add_generation_prompt=True). It gives the ids of
# `rlhf.chat_format.encode_prompt` for the same turns, as long as no message contains a special token.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}" + USER + "{{ message['content'] }}"
    "{% elif message['role'] == 'assistant' %}" + ASSISTANT + "{{ message['content'] }}" + END + ""
    "{% else %}{{ raise_exception('this model knows only the roles user and assistant') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)

# Splits a text as PATTERN does and spells its bytes: the pre-tokenizer that GPT-2's own file names.
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


# ---- Writing -----------------------------------------------------------------------------------------------------


def vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """Every token as it is written in the files, with its id."""
    ordinary = {printable(tokenizer.token_bytes(token_id)): token_id for token_id in range(tokenizer.end_of_text_id)}
    return ordinary | {token: tokenizer.end_of_text_id + index for index, token in enumerate(tokenizer.special_tokens)}


def tokenizer_files(tokenizer: Tokenizer, end: str, context: int) -> dict[str, Any]:
    """The contents of the tokenizer's files by name: a dict is to be written as JSON, a str as it is.

    `end` is the token that ends a text of this model: <|end|> after SFT, <|endoftext|> before. `context` is the
    model's. Every format here is read by transformers 4 and 5.
    """
    vocab = vocabulary(tokenizer)
    merges = [f"{printable(left)} {printable(right)}" for left, right in tokenizer.merges]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = {vocab[token]: {"content": token, **flags} for token in tokenizer.special_tokens}
    named = {"bos_token": END_OF_TEXT, "eos_token": end, "pad_token": PAD}
    others = [token for token in tokenizer.special_tokens if token not in named.values()]
    return {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "normalizer": None,
            "added_tokens": [{"id": token_id, **token} for token_id, token in added.items()],
            "pre_tokenizer": BYTE_LEVEL,
            "post_processor": BYTE_LEVEL,
            "decoder": BYTE_LEVEL,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": vocab,
                "merges": merges,
            },
        },
        "tokenizer_config.json": {
            # the class that takes tokenizer.json as it stands
            "tokenizer_class": "PreTrainedTokenizerFast",
            **named,
            "additional_special_tokens": others,
            "added_tokens_decoder": {str(token_id): token for token_id, token in added.items()},
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": context,
            "chat_template": CHAT_TEMPLATE,
        },
        "special_tokens_map.json": {**named, "additional_special_tokens": others},
        "vocab.json": vocab,
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
    }


# ---- Reading -----------------------------------------------------------------------------------------------------


def read_tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """The tokenizer of a model's folder, and the size of that model's vocabulary.

    Read from tokenizer.json or, as GPT-2's were first published, from vocab.json and merges.txt. The Tokenizer always
    has our five special tokens at the end; GPT-2's model knows only the first of them, <|endoftext|>. What comes after
    all five are the user's own special tokens.
    Raises UserError, naming the file, unless it is a byte-level BPE with GPT-2's pattern and its ids are in the order
    bytes, merges, special tokens.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        vocab, merges = _from_tokenizer_json(path)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        path = folder / "vocab.json"
        vocab, lines = read_json(path), read_text(folder / "merges.txt").splitlines()
        merges = [line for line in lines if line and not line.startswith("#version")]
    else:
        raise UserError(f"{folder} has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt")
    tokenizer = _build(path, vocab, merges)
    expected = {token: token_id for token, token_id in vocabulary(tokenizer).items() if token_id < len(vocab)}
    strangers = [token for token in vocab if vocab[token] != expected.get(token)]
    if strangers or len(vocab) <= tokenizer.end_of_text_id:
        what = f"{strangers[0]!r} has id {vocab[strangers[0]]}" if strangers else f"{END_OF_TEXT} is missing"
        raise UserError(
            f"{path}: {what}, and expected were the bytes, the merges in their order, {END_OF_TEXT} and after it "
            "nothing or this project's other special tokens; no other order of ids can be taken over"
        )
    return tokenizer, len(vocab)


def _build(path: Path, vocab: Any, merges: Any) -> Tokenizer:
    """The tokenizer with these merges; the order of its bytes is read off the vocabulary."""
    try:
        byte_order = b"".join(unprintable(token) for token in sorted(vocab, key=vocab.__getitem__)[:256])
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]  # newer files hold lists
        special = sorted(vocab, key=vocab.__getitem__)[256 + len(pairs) :]
        own = special[len(SPECIAL_TOKENS) :] if special[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS) else []
        return Tokenizer([(unprintable(left), unprintable(right)) for left, right in pairs], byte_order, own)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"{path} is damaged or no byte-level BPE: expected the 256 bytes as the first tokens, and merges of two "
            "pieces each that spell different tokens"
        ) from None


def _from_tokenizer_json(path: Path) -> tuple[dict[str, int], list[Any]]:
    """Vocabulary, special tokens included, and merges. Raises UserError for any kind of tokenizer but GPT-2's."""
    data = read_json(path)
    try:
        model, before = data["model"], data["pre_tokenizer"] or {}
        found = {  # what it has, and what GPT-2's has
            "model.type": (model.get("type", "BPE"), "BPE"),  # GPT-2's own file is older than this key
            "model.byte_fallback": (model.get("byte_fallback", False), False),
            "model.ignore_merges": (model.get("ignore_merges", False), False),
            "normalizer": (data.get("normalizer"), None),
            "pre_tokenizer.type": (before.get("type"), "ByteLevel"),
            "pre_tokenizer.use_regex": (before.get("use_regex", True), True),
            "pre_tokenizer.add_prefix_space": (before.get("add_prefix_space", True), False),
        }
        wrong = [f"{key} is {has!r} and not {wanted!r}" for key, (has, wanted) in found.items() if has != wanted]
        if not wrong:
            added = {token["content"]: token["id"] for token in data.get("added_tokens") or ()}
            return {**model["vocab"], **added}, model["merges"]
    except (LookupError, TypeError, AttributeError):
        wrong = ["it is damaged, or not such a file at all"]
    raise UserError(
        f"{path} cannot be taken over: {wrong[0]}; only byte-level BPE with GPT-2's pattern is known here, not "
        "SentencePiece and not the patterns of other models"
    )


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises UserError, naming the file, if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is damaged: it is not UTF-8 text; fetch it again") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises UserError, naming the file, if there is none."""
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged: it is not JSON; fetch it again") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is no JSON object, which was expected here; fetch it again")
    return data
