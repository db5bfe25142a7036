"""Exercise 16.4, a bug hunt: the last token takes all the credit.

    python -m tutorials.exercises.bugs.ch16_wrong_credit      # two seconds: how often each token is right
    python -m tutorials.exercises check 16.4

A small policy, whole and working, writes answers of three tokens. It is to say 2 0 3. When an answer is complete, it is
paid for every token that is right, all at once, after its last token. REINFORCE with a baseline for each place learns
from that. The reward rises, nothing crashes, every shape is right. But only the last token learns what to say. One idea
in this file is wrong. Find it, and change at most three lines.
"""

import torch
from torch import Tensor

WANTED = (2, 0, 3)  # what each token should be
VOCABULARY, STEPS, ANSWERS, LEARNING_RATE = 4, 120, 32, 1.0


def rewards_of(tokens: Tensor) -> Tensor:
    """tokens [B,N] -> rewards [B,N]: nothing until the last token, then the share of tokens that are right."""
    rewards = torch.zeros(tokens.shape)  # [B,N]
    rewards[:, -1] = (tokens == torch.tensor(WANTED)).float().mean(dim=1)
    return rewards


def returns_of(rewards: Tensor) -> Tensor:
    """What each token is credited with: rewards [B,N] -> returns [B,N]."""
    return rewards.cumsum(dim=1)  # [B,N]


def loss_of(logprobs: Tensor, rewards: Tensor) -> Tensor:
    """REINFORCE: logprobs and rewards [B,N] -> scalar. The baseline of a place is the mean return there."""
    returns = returns_of(rewards)  # [B,N]
    advantages = returns - returns.mean(dim=0)  # [B,N]
    return -(advantages * logprobs).sum(dim=1).mean()


def train(steps: int = STEPS) -> Tensor:
    """Learn from the policy's own answers; the probability of the right token at each place, a row a step."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(len(WANTED), VOCABULARY, requires_grad=True)  # [N,V]: each place has its own distribution
    optimizer = torch.optim.SGD([logits], lr=LEARNING_RATE)
    right = []
    for _ in range(steps):
        logprobs = logits.log_softmax(dim=-1)  # [N,V]
        tokens = torch.multinomial(logprobs.detach().exp(), ANSWERS, replacement=True, generator=generator).T  # [B,N]
        chosen = logprobs.expand(ANSWERS, -1, -1).gather(2, tokens[:, :, None]).squeeze(2)  # [B,N]
        optimizer.zero_grad()
        loss_of(chosen, rewards_of(tokens)).backward()
        optimizer.step()
        right.append(logprobs.detach().exp()[torch.arange(len(WANTED)), torch.tensor(WANTED)])
    return torch.stack(right)


if __name__ == "__main__":
    print("step   right token at place 1, 2, 3      (a guess: 0.25)")
    for step, row in enumerate(train().tolist(), start=1):
        if step == 1 or step % 30 == 0:
            print(f"{step:4d}   " + "  ".join(f"{probability:.2f}" for probability in row))
