"""Opening what an earlier stage has made: the tokenizer of a run, and the policy in a stage's checkpoint."""

from __future__ import annotations

from pathlib import Path

from minigpt.checkpoint import load_checkpoint
from minigpt.config import from_dict
from minigpt.model import GPT, GPTConfig
from minigpt.tokenizer import Tokenizer

MADE_BY = {"pretrain": "make pretrain", "sft": "make stage1", "reward_model": "make stage2", "ppo": "make stage3"}


def load_tokenizer(run_dir: Path) -> Tokenizer:
    """runs/<preset>/tokenizer.json. Raises UserError if it is missing or damaged."""
    return Tokenizer.load(run_dir / "tokenizer.json", made_by=MADE_BY["pretrain"])


def load_policy(stage_dir: Path, tokenizer: Tokenizer) -> GPT:
    """The GPT in <stage_dir>/checkpoint.pt, of pretraining, SFT or PPO, on the CPU and in evaluation mode.

    Raises UserError if it is missing, damaged, no GPT, or was trained with another tokenizer.
    """
    path = stage_dir / "checkpoint.pt"
    payload = load_checkpoint(
        path, kind="gpt", fingerprint=tokenizer.fingerprint, made_by=MADE_BY.get(stage_dir.name, "")
    )
    model = GPT(from_dict(GPTConfig, payload["config"], str(path)))
    model.load_state_dict(payload["model"])
    return model.eval()
