"""Exercise 17.5, a bug hunt: β has no effect.

    python -m tutorials.exercises.bugs.ch17_no_effect      # three seconds: where the policy ends, for two β
    python -m tutorials.exercises check 17.5

PPO, whole and working, in the chapter's world of eight answers. It is to maximise the mean score minus β times the KL
from the reference. The loss has the KL in it, it trains, nothing crashes. But β = 0.5 and β = 5 end at the same policy,
which says nothing but the answer with the highest score. One idea in this file is wrong. Find it, and change at most
three lines.
"""

import torch
from torch import Tensor

REFERENCE = (0.15, 0.25, 0.28, 0.18, 0.08, 0.05, 0.009, 0.001)  # probabilities of eight answers
SCORES = (1.0, 0.5, 0.0, 0.0, -1.0, 0.2, 0.8, 3.0)
STEPS, ANSWERS, CLIP, LEARNING_RATE = 400, 256, 0.2, 0.05


def loss_of(logprobs: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor, scores: Tensor, beta: float) -> Tensor:
    """One step's loss: log π of the sampled answers now, when they were sampled, and under the reference; all [B]."""
    kl = logprobs - ref_logprobs  # [B]
    rewards = scores  # [B]
    advantages = rewards - rewards.mean()  # [B]
    ratio = (logprobs - old_logprobs).exp()  # [B]
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)  # [B]
    return -(gain - beta * kl).mean()


def train(beta: float, steps: int = STEPS) -> Tensor:
    """PPO from the reference on; the probabilities of the eight answers at the end."""
    generator = torch.Generator().manual_seed(0)
    reference, scores = torch.tensor(REFERENCE).log(), torch.tensor(SCORES)
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=LEARNING_RATE)
    for _ in range(steps):
        policy = logits.log_softmax(dim=0)
        answers = torch.multinomial(policy.detach().exp(), ANSWERS, replacement=True, generator=generator)  # [B]
        old = policy.detach()[answers]  # [B]
        for _ in range(2):
            now = logits.log_softmax(dim=0)[answers]  # [B]
            optimizer.zero_grad()
            loss_of(now, old, reference[answers], scores[answers], beta).backward()
            optimizer.step()
    return logits.detach().softmax(dim=0)


if __name__ == "__main__":
    for beta in (0.5, 5.0):
        print(f"β = {beta}: " + "  ".join(f"{p:.2f}" for p in train(beta).tolist()))
