"""The parts that all stages share: tokenizer and policy of a run, fingerprints of weights and data, sample pages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from minigpt.generate import generate
from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import load_checkpoint, load_weights
from minigpt.runs.config import from_dict, to_dict
from minigpt.runs.seeds import seeded_generator
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, decode_response, encode_prompt, show

CHAIN = ("pretrain", "sft", "reward_model", "ppo")  # what `make all` trains, in this order
MADE_BY = {
    "pretrain": "make pretrain",
    "sft": "make stage1",
    "reward_model": "make stage2",
    "ppo": "make stage3",
    "dpo": "make dpo",
    "grpo": "make grpo",
}
# The temperature at which answers are sampled: to be ranked, in PPO and GRPO, in the evaluation and in the chat.
# It is below 1 because this small model gives a few per cent of probability to tokens that are plainly wrong, and an
# answer has a dozen tokens (LOG.md, 2026-11-30). Ziegler et al. 2019 sample at 0.7 (lm-human-preferences, launch.py).
TEMPERATURE = 0.8
SHOWN_PROMPTS = 10  # prompts in samples.md
SAMPLE_TOKENS = 56  # an answer in samples.md is cut after this many


def load_tokenizer(run_dir: Path) -> Tokenizer:
    """runs/<preset>/tokenizer.json. Raises UserError if it is missing or damaged."""
    return Tokenizer.load(run_dir / "tokenizer.json", made_by=MADE_BY["pretrain"])


def load_policy(stage_dir: Path, tokenizer: Tokenizer) -> GPT:
    """The GPT in <stage_dir>/checkpoint.pt, of pretraining, SFT or PPO, on the CPU and in evaluation mode.

    Raises UserError if it is missing, damaged, no GPT, not what its config says, or of another tokenizer.
    """
    path = stage_dir / "checkpoint.pt"
    made_by = MADE_BY.get(stage_dir.name, "")
    payload = load_checkpoint(path, kind="gpt", fingerprint=tokenizer.fingerprint, made_by=made_by)
    model = GPT(from_dict(GPTConfig, payload["config"], str(path)))
    load_weights(model, payload, path, made_by)
    return model.eval()


def checkpoint_payload(kind: str, model: GPT, tokenizer: Tokenizer) -> dict[str, Any]:
    """The self-description of a checkpoint; its weights are added when it is saved. For a reward model: its trunk."""
    return {"kind": kind, "config": to_dict(model.config), "tokenizer": tokenizer.fingerprint}


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights: an earlier stage that was run again has made another model."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode("utf-8") + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def data_digest(items: object) -> str:
    """SHA-256 of the encoded data of a stage: a stopped run is not resumed on data that was edited."""
    return hashlib.sha256(repr(items).encode("utf-8")).hexdigest()


def sample_page(policy: GPT, tokenizer: Tokenizer, prompts: Sequence[tuple[Turn, ...]], seed: int) -> str:
    """The first prompts with one answer each, as Markdown: sampled at TEMPERATURE, always with the same numbers."""
    shown = prompts[:SHOWN_PROMPTS]
    if not shown:
        return ""
    written = generate(
        policy,
        [encode_prompt(tokenizer, turns) for turns in shown],
        max_new_tokens=SAMPLE_TOKENS,
        stop_tokens=[tokenizer.end_id],
        pad_id=tokenizer.pad_id,
        temperature=TEMPERATURE,
        generator=seeded_generator(seed, "samples of answers"),
    )
    blocks = []
    for turns, ids, length in zip(shown, written.tokens, written.lengths, strict=True):
        answer = decode_response(tokenizer, ids[: int(length)].tolist())
        blocks.append(f"~~~text\n{show((*turns, Turn('assistant', answer)))}\n~~~\n")
    return "\n".join(blocks)
