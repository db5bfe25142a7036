"""Exercise 18.4, a bug hunt: the clip that never clips.

    python -m tutorials.exercises.bugs.ch18_never_clips      # two seconds: the log of the first update, and the end
    python -m tutorials.exercises check 18.4

PPO, whole and working, with the five answers of chapter 16 and noisy scores: 200 policies side by side, each takes 64
steps on its own sixteen samples. It trains, nothing crashes, and the log looks better than good: in no step is anything
clipped, and the approximate KL of the update is 0. At the end the policies are as sure of themselves as if there were
no clip. One idea in this file is wrong. Find it, and change at most three lines.
"""

import torch
from torch import Tensor

PROBABILITIES = (0.15, 0.25, 0.30, 0.20, 0.10)  # of five answers, at the start
REWARDS = (1.0, 0.5, 0.0, 0.0, -1.0)  # what they are worth; scores have noise on top
POLICIES, SAMPLES, STEPS, CLIP, RATE = 200, 16, 64, 0.2, 1.0


def logprobs_of(logits: Tensor, drawn: Tensor) -> Tensor:
    """log π of the drawn answers: logits [B,V], drawn [B,K] -> [B,K]."""
    return logits.log_softmax(dim=-1).gather(1, drawn)


def update(logits: Tensor, drawn: Tensor, scores: Tensor, steps: int, log: list[str] | None = None) -> Tensor:
    """All steps on one rollout, by gradient descent: logits [B,V] before -> after.

    drawn [B,K] are the sampled answers, scores [B,K] what they were paid; `log` takes a line a step.
    """
    advantages = scores - scores.mean(dim=1, keepdim=True)  # [B,K]
    for step in range(steps):
        logits = logits.detach().requires_grad_()
        now = logprobs_of(logits, drawn)  # [B,K]
        old = now.detach()  # [B,K]
        ratio = (now - old).exp()  # [B,K]
        plain, clipped = ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages  # [B,K] each
        loss = -torch.minimum(plain, clipped).mean(dim=1).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = logits - RATE * gradient
        if log is not None:
            share, moved = (clipped < plain).float().mean(), 0.5 * (now - old).detach().square().mean()
            log.append(f"step {step + 1:2d}: clipfrac {share:.2f}, approxkl {moved:.4f}")
    return logits.detach()


def train() -> tuple[Tensor, list[str]]:
    """The policies [B,V] after one rollout, and its log."""
    generator, log = torch.Generator().manual_seed(0), []
    start, rewards = torch.tensor(PROBABILITIES), torch.tensor(REWARDS)
    drawn = torch.multinomial(start, POLICIES * SAMPLES, replacement=True, generator=generator).view(POLICIES, SAMPLES)
    scores = rewards[drawn] + torch.randn(POLICIES, SAMPLES, generator=generator)  # [B,K]
    logits = update(start.log().repeat(POLICIES, 1), drawn, scores, STEPS, log)
    return logits.softmax(dim=-1), log


if __name__ == "__main__":
    policies, log = train()
    for step in (1, 4, 16, 64):
        print(log[step - 1])
    print(f"probability of the favourite, mean of {POLICIES} policies: {policies.max(dim=-1).values.mean():.2f}")
