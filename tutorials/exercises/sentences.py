"""A small language model to learn on: it says who ate whom, and chapter 16 teaches it to say a word.

    speaker = imitate()                       # a GPT that has read the 264 sentences of chapter 04
    said = say(speaker, [[END]] * 64, generator)
    policy, log = reinforce(speaker, "banana")

Two seconds each on one core, without any file. The model is the package's GPT; a token is a word.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.data import length_mask
from minigpt.generate import generate
from minigpt.model import GPT, GPTConfig, token_logprobs
from rlhf.stage3_ppo.losses import gae, masked_sum, policy_loss, shape_rewards, value_loss, whiten

NOUNS = ["monkey", "banana", "fox", "pear", "duck", "cake", "mouse", "plum", "goat", "fish", "bear", "egg"]
WORDS = [".", *NOUNS, "The", "ate", "the", "quickly", "and", "it", "looks", "hungry", "tastes", "sweet"]
END = WORDS.index(".")  # ends a sentence, and stands before each one
LONGEST = 14  # tokens of an answer; a sentence has 11


def read(text: str) -> list[int]:
    """Words to token ids."""
    return [WORDS.index(word) for word in text.split()]


def all_sentences() -> Tensor:
    """Who ate whom, with both ends: [264,12], each between two END."""
    sentences = [
        read(f". The {eater} ate the {eaten} quickly and it {end} .")
        for eater in NOUNS
        for eaten in NOUNS
        if eater != eaten
        for end in ("looks hungry", "tastes sweet")
    ]
    return torch.tensor(sentences)


def imitate(steps: int = 100, seed: int = 0) -> GPT:
    """A GPT of one layer, trained on all sentences: the supervised model that everything below starts from."""
    ids = all_sentences()  # [B,T+1]
    model = GPT(GPTConfig(vocab_size=len(WORDS), context=16, layers=1, heads=2, channels=32), seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = -token_logprobs(model(ids[:, :-1]), ids[:, 1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@dataclass(frozen=True)
class Said:
    """Sampled answers: ids [B,T] of prompt and answer, tokens [B,N] of the answer, mask [B,N], ended [B]."""

    ids: Tensor
    tokens: Tensor
    mask: Tensor
    ended: Tensor

    def texts(self) -> list[str]:
        """The answers in words."""
        rows = zip(self.tokens.tolist(), self.mask.sum(1).tolist(), strict=True)
        return [" ".join(WORDS[token] for token in tokens[:length]) for tokens, length in rows]


def say(model: GPT, prompts: list[list[int]], generator: torch.Generator) -> Said:
    """One sampled answer to each prompt; all prompts are of one length."""
    written = generate(
        model, prompts, max_new_tokens=LONGEST, stop_tokens=[END], pad_id=END, generator=generator
    )  # fmt: skip
    ids = torch.cat([torch.tensor(prompts), written.tokens], dim=1)  # [B,T]
    return Said(ids, written.tokens, length_mask(written.lengths, written.tokens.shape[1]), written.ended)


def answer_logprobs(model: GPT, said: Said) -> Tensor:
    """log π of each token of the answers: [B,N]."""
    logprobs = token_logprobs(model(said.ids[:, :-1]), said.ids[:, 1:])  # [B,T-1]
    return logprobs[:, -said.tokens.shape[1] :]  # [B,N]


def count_word(said: Said, word: str) -> Tensor:
    """How often the word is in each answer: [B]."""
    return ((said.tokens == WORDS.index(word)) & said.mask).sum(dim=1).float()


def reinforce_loss(logprobs: Tensor, scores: Tensor, baseline: float, mask: Tensor) -> Tensor:
    """REINFORCE (Williams 1992): logprobs [B,N], scores [B] -> scalar, whose gradient is minus the policy gradient."""
    weighted = (scores - baseline)[:, None] * logprobs  # [B,N]
    return -masked_sum(weighted, mask) / len(scores)


def reinforce(
    speaker: GPT, word: str, most: float = 1.0, baseline: bool = True, steps: int = 40, seed: int = 0
) -> tuple[GPT, list[dict[str, float]]]:
    """A copy of the speaker that has learned to say `word`; and a log, one line a step.

    The score of an answer is how often it has the word, `most` times at most.
    """
    policy, prompts = copy.deepcopy(speaker), [[END]] * 64
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    generator, log = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        said = say(policy, prompts, generator)
        scores = count_word(said, word).clamp(max=most)  # [B]
        logprobs = answer_logprobs(policy, said)  # [B,N]
        loss = reinforce_loss(logprobs, scores, float(scores.mean()) if baseline else 0.0, said.mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log.append(measure(speaker, said, scores, logprobs.detach()))
    return policy, log


@torch.no_grad()
def measure(speaker: GPT, said: Said, scores: Tensor, logprobs: Tensor) -> dict[str, float]:
    """What one line of the log says about the answers that were just sampled; in nats an answer."""
    log_ratio = masked_sum(logprobs - answer_logprobs(speaker, said), said.mask)
    return {
        "score": float(scores.mean()),
        "kl": float(log_ratio) / len(scores),
        "entropy": -float(masked_sum(logprobs, said.mask)) / len(scores),
        "ended": float(said.ended.float().mean()),
    }


# ---- Chapter 17: PPO -----------------------------------------------------------------------------------------------


def ppo(
    speaker: GPT, word: str, beta: float, steps: int = 60, epochs: int = 2, seed: int = 0
) -> tuple[GPT, list[dict[str, float]]]:
    """A copy of the speaker that says `word` and stays near the speaker; and a log, one line a step.

    PPO with chapter 17's functions. Its value model is as small as can be: one number for each place of an answer.
    """
    policy, places = copy.deepcopy(speaker), torch.zeros(LONGEST, requires_grad=True)
    optimizer = torch.optim.Adam([{"params": policy.parameters()}, {"params": [places], "lr": 0.05}], lr=1e-3)
    generator, log = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        said = say(policy, [[END]] * 64, generator)
        scores = count_word(said, word).clamp(max=1)  # [B]
        with torch.no_grad():
            old, reference = answer_logprobs(policy, said), answer_logprobs(speaker, said)  # [B,N] each
            values = places.detach().clone()[: old.shape[1]].expand_as(old)  # [B,N]
            rewards = shape_rewards(scores, old, reference, said.mask, beta)  # [B,N]
            advantages, returns = gae(rewards, values, said.mask, gamma=1.0, lam=0.95)  # [B,N] each
            advantages = whiten(advantages, said.mask)  # [B,N]
        log.append(measure(speaker, said, scores, old))
        for _ in range(epochs):
            loss, _ = policy_loss(answer_logprobs(policy, said), old, advantages, said.mask, clip=0.2)
            now = places[: old.shape[1]].expand_as(old)  # [B,N]
            loss = loss + value_loss(now, values, returns, said.mask, clip=0.2)[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return policy, log
