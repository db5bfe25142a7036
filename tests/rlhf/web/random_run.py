"""A run of tiny random models, and a listener that waits for the engine."""

import queue
from pathlib import Path

import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.tokenizer import Tokenizer
from rlhf.stage2_reward.network import RewardModel
from rlhf.web.engine.events import LAST

CONFIG = GPTConfig(vocab_size=296, context=64, layers=2, heads=2, channels=16)


def small_tokenizer():
    return Tokenizer.train(["The cat sleeps on the mat. What does the cat do? Wool is white. " * 20], CONFIG.vocab_size)


def save_model(folder, kind, model, tokenizer):
    payload = {"kind": kind, "config": to_dict(CONFIG), "model": model.state_dict(), "tokenizer": tokenizer.fingerprint}
    save_checkpoint(folder / "checkpoint.pt", payload)


def random_gpt(seed):
    """A model whose weights are large enough that its answers depend on what it has read."""
    model = GPT(CONFIG, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return model.eval()


def write_run(run_dir: Path, tokenizer):
    """The folder of a run with base, SFT and PPO, and a reward model, all random."""
    tokenizer.save(run_dir / "tokenizer.json")
    for seed, folder in enumerate(("pretrain", "sft", "ppo")):
        save_model(run_dir / folder, "gpt", random_gpt(seed), tokenizer)
    reward_model = RewardModel(random_gpt(9), torch.Generator().manual_seed(0))
    save_model(run_dir / "reward_model", "reward_model", reward_model, tokenizer)


class Collected(queue.Queue):
    """A listener that keeps every event; `all()` waits for the last one."""

    def __init__(self):
        super().__init__()
        self.events = []

    def next(self):
        self.events.append(self.get(timeout=30))
        return self.events[-1]

    def all(self):
        while not (self.events and isinstance(self.events[-1], LAST)):
            self.next()
        return self.events
