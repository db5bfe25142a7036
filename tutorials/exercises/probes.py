"""Probe environments for PPO: worlds so small that each leaves one way to go wrong. Chapter 18 debugs with them.

    for probe in PROBES:
        found = run(probe)          # about a second each on one core: the package's PPO, nothing replaced
        print(probe.name, found, probe.problem(found))

The policy is a GPT that has learned to answer "yes" or "no", as often the one as the other. The order matters: a probe
that fails while those before it pass leaves few places to look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from minigpt.data import pad_sequences
from minigpt.model import GPT, GPTConfig, token_logprobs
from minigpt.runs.config import with_overrides
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, encode_response, user_prompt
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.networks import PPO, first_value_model
from rlhf.stage3_ppo.step import ppo_iteration

PROMPTS, ANSWERS = ("left", "right"), ("yes", "no")
TOKENIZER = Tokenizer.train([*PROMPTS, *ANSWERS] * 4, 271)  # each of the four words is one token
IDS = [encode_prompt(TOKENIZER, user_prompt(prompt)) for prompt in PROMPTS]
SETTINGS = {
    "iterations": 40,
    "batch_size": 64,
    "minibatch_size": 16,
    "learning_rate": 0.003,
    "value_learning_rate": 0.01,
    "warmup_steps": 0,
    "critic_warmup": 0,
    "missing_end_score": None,
    "beta": 0.0,
    "lam": 1.0,
}


@dataclass(frozen=True)
class Found:
    """What PPO has learned: for each prompt the values at each place of an answer, and the probability of "yes"."""

    values: dict[str, list[float]]
    yes: dict[str, float]


@dataclass(frozen=True)
class Probe:
    """A world: the score of (prompt, answer), how many tokens an answer may have, and what must be found."""

    name: str
    score: Callable[[str, str], float]
    values: dict[str, list[float]]  # what the value model must predict
    yes: dict[str, float] | None = None  # None: every answer is as good, and only the value model learns
    gamma: float = 1.0
    look_at: str = ""

    def problem(self, found: Found) -> str:
        """Where to look if the probe has failed, else ""."""
        pairs = [(found.values[p], self.values[p]) for p in PROMPTS if self.yes is None]
        pairs += [([found.yes[p]], [self.yes[p]]) for p in PROMPTS if self.yes is not None]
        far = max(abs(x - y) for got, right in pairs for x, y in zip(got, right, strict=True))
        return "" if far < 0.15 else self.look_at


PROBES = (
    Probe(
        "one step",
        lambda prompt, answer: 1.0,
        {"left": [1.0], "right": [1.0]},
        look_at="the value model: its loss, its optimiser, its learning rate",
    ),
    Probe(
        "the prompt decides",
        lambda prompt, answer: 1.0 if prompt == "left" else -1.0,
        {"left": [1.0], "right": [-1.0]},
        look_at="which row belongs to which: scores, values and prompts of a batch",
    ),
    Probe(
        "two steps",
        lambda prompt, answer: 1.0,
        {"left": [0.5, 1.0], "right": [0.5, 1.0]},
        gamma=0.5,
        look_at="time: where the score is paid, GAE, the shift by one",
    ),
    Probe(
        "two actions",
        lambda prompt, answer: 1.0 if answer == "yes" else -1.0,
        {"left": [1.0], "right": [1.0]},
        {"left": 1.0, "right": 1.0},
        look_at="the policy: advantages, ratio, the sign of its loss, its optimiser",
    ),
    Probe(
        "prompt and action",
        lambda prompt, answer: 1.0 if (answer == "yes") == (prompt == "left") else -1.0,
        {"left": [1.0], "right": [1.0]},
        {"left": 1.0, "right": 0.0},
        look_at="which advantage belongs to which answer; whether the policy reads the prompt at all",
    ),
)


def yes_or_no(steps: int = 60) -> GPT:
    """A GPT of one layer that has learned to answer "yes" or "no" to both prompts, each half of the time."""
    rows = [ids + encode_response(TOKENIZER, answer) for ids in IDS for answer in ANSWERS]
    ids, _ = pad_sequences(rows, TOKENIZER.pad_id)  # [4,T+1]
    shape = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=16, layers=1, heads=2, channels=16)
    model = GPT(shape, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        answer = token_logprobs(model(ids[:, :-1]), ids[:, 1:])[:, -2:]  # [4,2], the word and the end token
        optimizer.zero_grad()
        (-answer.mean()).backward()
        optimizer.step()
    return model.eval()


def prepare(probe: Probe) -> PPO:
    """The package's PPO in the world of a probe."""
    policy, settings = yes_or_no(), {**SETTINGS, "max_new_tokens": len(probe.values["left"]), "gamma": probe.gamma}
    if probe.yes is None:  # only the value model learns
        settings["learning_rate"] = 0.0
    config = with_overrides(PPOConfig(), settings)

    def reward(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        return [probe.score(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]

    turns = [user_prompt(prompt) for prompt in PROMPTS]
    ppo = PPO(policy, first_value_model(policy, reward, seed=0), reward, turns, TOKENIZER, config)
    ppo.prepare_training()
    return ppo


def run(probe: Probe) -> Found:
    """Forty iterations of PPO in the world of a probe, and what was learned."""
    ppo, values = prepare(probe), {}
    for iteration in range(ppo.config.iterations):
        batch, _, _ = ppo_iteration(ppo, iteration)
    for number, prompt in enumerate(PROMPTS):
        rows = batch.prompts == number  # [B]
        first, tokens = len(IDS[number]) - 1, len(probe.values[prompt])
        values[prompt] = batch.values[rows, first : first + tokens].mean(dim=0).tolist()
    return Found(values, probabilities_of_yes(ppo.policy))


@torch.no_grad()
def probabilities_of_yes(policy: GPT) -> dict[str, float]:
    """How often the policy answers "yes", for each prompt."""
    (yes,) = TOKENIZER.encode("yes")
    return {p: float(policy(torch.tensor([ids]))[0, -1].softmax(0)[yes]) for p, ids in zip(PROMPTS, IDS, strict=True)}
