"""The scores of exercise 15.5 without any padding: each answer alone, read at its last token."""

import torch
from torch import Tensor

from minigpt.model import GPT, GPTConfig
from rlhf.stage2_reward.network import RewardModel


def score_answers(answers: list[list[int]], seed: int) -> Tensor:
    """The package's reward model with the same fresh weights, one answer at a time -> [B]."""
    trunk = GPT(GPTConfig(vocab_size=12, context=16, layers=2, heads=2, channels=16), seed=seed)
    model = RewardModel(trunk, torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        scores = [model(torch.tensor([answer]), torch.tensor([len(answer)]))[0] for answer in answers]
    return torch.stack(scores)
