"""What a policy answers to a few prompts, as Markdown: the samples.md of a stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from minigpt.generate import generate
from minigpt.model import GPT
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, decode_response, encode_prompt, show

SHOWN_PROMPTS = 10  # how many of them a page shows
SAMPLE_TOKENS = 56  # an answer is cut after this many


def sample_page(policy: GPT, tokenizer: Tokenizer, prompts: Sequence[tuple[Turn, ...]], seed: int) -> str:
    """The first prompts with one answer each, sampled at temperature 1; the same seed, the same random numbers."""
    shown = prompts[:SHOWN_PROMPTS]
    if not shown:
        return ""
    written = generate(
        policy,
        [encode_prompt(tokenizer, turns) for turns in shown],
        max_new_tokens=SAMPLE_TOKENS,
        stop_tokens=[tokenizer.end_id],
        pad_id=tokenizer.pad_id,
        generator=torch.Generator().manual_seed(seed),
    )
    blocks = []
    for turns, ids, length in zip(shown, written.tokens, written.lengths, strict=True):
        answer = decode_response(tokenizer, ids[: int(length)].tolist())
        blocks.append(f"~~~text\n{show((*turns, Turn('assistant', answer)))}\n~~~\n")
    return "\n".join(blocks)
