"""A run of tiny random models, and an engine on it."""

import queue

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import RunConfig, to_dict
from minigpt.tokenizer import Tokenizer
from rlhf.stage2_reward.network import RewardModel
from rlhf.web.engine.events import LAST
from rlhf.web.engine.worker import Engine
from rlhf.web.stages import stages

CONFIG = GPTConfig(vocab_size=296, context=64, layers=2, heads=2, channels=16)


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


@pytest.fixture(scope="session")
def tokenizer():
    return Tokenizer.train(["The cat sleeps on the mat. What does the cat do? Wool is white. " * 20], CONFIG.vocab_size)


@pytest.fixture
def config(tmp_path, tokenizer):
    """The settings of a run with base, SFT and PPO, and a reward model, all random."""
    run_dir = tmp_path / "tiny"
    tokenizer.save(run_dir / "tokenizer.json")
    for seed, folder in enumerate(("pretrain", "sft", "ppo")):
        save_model(run_dir / folder, "gpt", random_gpt(seed), tokenizer)
    reward_model = RewardModel(random_gpt(9), torch.Generator().manual_seed(0))
    save_model(run_dir / "reward_model", "reward_model", reward_model, tokenizer)
    return RunConfig(runs=str(tmp_path), preset="tiny", device="cpu")


@pytest.fixture
def found(config):
    return stages(config.runs, config.preset)


@pytest.fixture
def engine(config):
    engine = Engine(config)
    yield engine
    engine.stop()


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
