"""`plug` for chapter 16: a small language model learns to say a word from the student's own function."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minigpt.model import GPT
from tutorials.exercises import sentences
from tutorials.exercises.measure import BANDIT, BASELINES
from tutorials.exercises.plugs.common import installed, student_function, student_module
from tutorials.exercises.registry import Exercise
from tutorials.exercises.sentences import END, NOUNS, answer_logprobs, count_word, read, reinforce_loss, say
from tutorials.models import quiet_and_alone

WORD, STEPS, SEED = "banana", 40, 0
BEGINNINGS = [read(f". The {noun}") for noun in NOUNS]


def print_shares(columns: dict[str, Sequence[float]], rows: int = 8) -> None:
    """How many answers have the word, a column for each run, each row the mean of a few steps."""
    steps = len(next(iter(columns.values())))
    size = steps // rows
    print(f"{'steps':>9}" + "".join(f"{name:>16}" for name in columns) + f"      answers with the word {WORD!r}")
    for start in range(0, steps, size):
        means = [sum(values[start : start + size]) / size for values in columns.values()]
        print(f"{start + 1:4d} –{start + size:3d}" + "".join(f"{mean:16.2f}" for mean in means))


def learn_to_say_a_word(exercise: Exercise) -> None:
    """REINFORCE on the small language model, with the package's loss and with the student's."""
    print("a small language model learns to say a word, twice …", file=sys.stderr)
    with quiet_and_alone():
        speaker = sentences.imitate()
        _, ours = sentences.reinforce(speaker, WORD, steps=STEPS, seed=SEED)
        with installed(sentences, "reinforce_loss", student_function(exercise)):
            policy, yours = sentences.reinforce(speaker, WORD, steps=STEPS, seed=SEED)
        said = say(policy, [[END]] * 3, torch.Generator().manual_seed(SEED)).texts()
    print_shares({"chapter's loss": [row["score"] for row in ours], "yours": [row["score"] for row in yours]})
    print("your model says now:", *said, sep="\n    ")


def advantages_of_the_batch(scores: Tensor, group: Tensor) -> Tensor:
    """One baseline for all prompts: the mean of the batch."""
    return scores - scores.mean()


def learn_from_groups(speaker: GPT, advantages: Callable[[Tensor, Tensor], Tensor]) -> list[float]:
    """REINFORCE on beginnings of sentences, two to eight answers to each: the share with the word, a step a number."""
    policy, generator = copy.deepcopy(speaker), torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    shares = []
    for _ in range(STEPS):
        counts = torch.randint(2, 9, (len(BEGINNINGS),), generator=generator)
        group = torch.arange(len(BEGINNINGS)).repeat_interleave(counts)  # [B]
        said = say(policy, [BEGINNINGS[prompt] for prompt in group.tolist()], generator)
        scores = count_word(said, WORD).clamp(max=1)  # [B]
        loss = reinforce_loss(answer_logprobs(policy, said), advantages(scores, group), 0.0, said.mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares.append(float(scores.mean()))
    return shares


def compare_baselines(exercise: Exercise) -> None:
    """One baseline for the whole batch, and the student's for each answer."""
    print("a small language model completes twelve beginnings, with two kinds of baseline …", file=sys.stderr)
    with quiet_and_alone():
        speaker = sentences.imitate()
        whole = learn_from_groups(speaker, advantages_of_the_batch)
        yours = learn_from_groups(speaker, student_function(exercise))
    print_shares({"mean of batch": whole, "yours": yours})


def measure_variance(exercise: Exercise) -> None:
    """The variance for the bandit of the chapter, by the student's function and by drawing."""
    variance = student_function(exercise)
    probabilities, rewards = (torch.tensor(values) for values in BANDIT)
    generator = torch.Generator().manual_seed(SEED)
    print(f"{'':14}{'rewards':>10}{'baseline':>10}{'variance':>10}{'of 20,000 draws':>18}")
    for shift in (0.0, 10.0):
        for name, baseline_of in BASELINES.items():
            r, b = rewards + shift, baseline_of(probabilities, rewards + shift)
            drawn = torch.multinomial(probabilities, 20_000, replacement=True, generator=generator)
            estimates = (r[drawn] - b)[:, None] * (torch.eye(len(r))[drawn] - probabilities)
            counted = float(estimates.var(dim=0).sum())
            label = f"{name}_{shift:.0f}"
            print(f"{label:14}{f'+{shift:.0f}':>10}{b:10.3f}{variance(probabilities, r, b):10.3f}{counted:18.3f}")
    print("write the column `variance` into answers.toml, and why it came out like that")


def train_on_credit(exercise: Exercise) -> None:
    """The repaired program's own training."""
    last = student_module(exercise).train()[-1]
    print("the right token at place 1, 2, 3: " + "  ".join(f"{p:.2f}" for p in last.tolist()))


PLUGS = {
    "16.1": learn_to_say_a_word,
    "16.2": compare_baselines,
    "16.3": measure_variance,
    "16.4": train_on_credit,
}
