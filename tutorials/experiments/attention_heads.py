"""One head or several, with equally many parameters: when one word is asked for, and when four are wanted at once.

Claim. Several heads are why a word that could mean several things is resolved: each looks from an angle of its own.
Source. Articles on the transformer say so of "it"; Vaswani et al. 2017, section 3.2.2, say "with a single attention
head, averaging inhibits this".
Design. Chapter 05's sentences, "The _ gave the _ the _ near the _ .", four different nouns out of twelve, and its
reader: one layer of attention with 32 channels, then a linear layer that answers at the last token. Two tasks:
    one    the last word says which of the four nouns is meant, as "hungry" and "sweet" do for "it"; that one is named
    four   the last word says nothing, and all four nouns are named
Arms are 1, 2 and 4 heads, which share the 32 channels, so that the parameters are equally many. Each learns from 300
batches of 128 random sentences; there are 11,880 sentences, so most come about three times. Measured: the share of
right answers on 1,000 sentences drawn from another seed; a bar is the bootstrap interval over sentences of one of three
seeds (of the weights, and of what is drawn).
Prediction. Task one: one head is right in more than 0.95, and four are not better by more than 0.03, as one look is
enough for one noun. Task four: four heads are better than one by 0.2 or more, two lie between. So the claim, as it is
made of "it", does not hold here, and averaging does inhibit what needs several looks. (Written before any run of this
page. Of task four, chapter 05 had shown two seeds: 0.71 and 0.51 right with one head, 1.00 and 1.00 with four.)
Refutation. The claim holds if on task one four heads are better than one by more than 0.03, with an interval above
that in every seed; it does not if the interval lies below 0.03 in every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from tutorials.exercises.gifts import CLUES, WORDS, Reader, sentences
from tutorials.experiments.lab import Experiment, Lab, Summary, bootstrap_mean
from tutorials.experiments.lab.drawing import seed_lines
from tutorials.experiments.lab.measures import in_words

TASKS = {"one": "one noun is asked for", "four": "four nouns at once"}
ASKS = [WORDS.index(word) for word in ("The", "gave", "the", "near")]  # the last word of task one, for each clue
ENOUGH = 0.03  # a smaller difference in the share of right answers is none


@dataclass(frozen=True)
class Settings:
    """A step is a batch of `batch` sentences."""

    seeds: tuple[int, ...] = (0, 1, 2)
    heads: tuple[int, ...] = (1, 2, 4)
    steps: int = 300
    batch: int = 128
    tried: int = 1000


PRESETS = {"small": {}, "tiny": {"seeds": (0, 1), "heads": (1, 4), "steps": 5, "tried": 50}}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed} for seed in settings.seeds]


def draw_task(task: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sentences [B,T] and what must be named: all nouns [B,4], or the one that the last word asks for [B,1]."""
    ids, nouns = sentences(count, generator)  # [B,T], [B,4]
    if task == "four":
        return ids, nouns
    asked = torch.randint(len(CLUES), (count, 1), generator=generator)  # [B,1]
    ids[:, -1:] = torch.tensor(ASKS)[asked]
    return ids, nouns.gather(1, asked)


def learn(task: str, heads: int, settings: Settings, seed: int) -> Reader:
    """A reader that has learned a task. In task one its first answer alone is used."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(heads)
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.01)
    for _ in range(settings.steps):
        ids, nouns = draw_task(task, settings.batch, generator)
        scores = reader(ids)[:, : nouns.shape[1]]  # [B,1 or 4,12]
        loss = F.cross_entropy(scores.flatten(0, 1), nouns.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader


@torch.no_grad()
def measure(lab: Lab, settings: Settings, seed: int) -> dict[str, Any]:
    """For each task and number of heads the share of right answers of each sentence."""
    found: dict[str, Any] = {}
    for task in TASKS:
        ids, nouns = draw_task(task, settings.tried, torch.Generator().manual_seed(1_000_000 + seed))
        for heads in settings.heads:
            with torch.enable_grad():
                reader = learn(task, heads, settings, seed)
            right = reader(ids)[:, : nouns.shape[1]].argmax(dim=-1) == nouns  # [B,1 or 4]
            found[f"{task} {heads}"] = right.double().mean(dim=1).tolist()
    return found


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = [result for _, result in cells]  # one a seed
    arrays: dict[str, Any] = {"heads": list(settings.heads)}
    for task in TASKS:  # [H,S,3]: mean, low, high
        arrays[task] = [[bootstrap_mean(result[f"{task} {heads}"]) for result in found] for heads in settings.heads]
    most, fewest = settings.heads[-1], settings.heads[0]
    better = {
        task: [bootstrap_mean(np.subtract(result[f"{task} {most}"], result[f"{task} {fewest}"])) for result in found]
        for task in TASKS
    }
    holds = None
    if all(low > ENOUGH for _, low, _ in better["one"]):
        holds = True
    elif all(high < ENOUGH for _, _, high in better["one"]):
        holds = False
    shares = "; ".join(
        f"{words}: "
        + ", ".join(
            f"{np.array(arrays[task])[row, :, 0].mean():.3f} with {heads}" for row, heads in enumerate(settings.heads)
        )
        for task, words in TASKS.items()
    )
    text = (
        f"Right answers by number of heads. {shares}. {most} heads minus {fewest}: {in_words(better['one'])} where "
        f"one noun is asked for, {in_words(better['four'])} where four are wanted at once (mean of "
        f"{len(found)} seeds [ends of their intervals])"
    )
    labels = {**TASKS, "x": "heads that share 32 channels", "y": "right answers"}
    alt = f"Two lines over the number of heads, one a task, with the three seeds of each. {text}."
    return Summary(arrays, labels, alt, text, holds)


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for number, (task, marker, line) in enumerate((("one", "o", "-"), ("four", "s", "--"))):
        values = arrays[task]  # [H,S,3]
        places, seeds = np.indices(values.shape[:2])  # [H,S] each
        beside = places + 0.06 * (seeds - 1) + 0.03 * number
        seed_lines(axes, beside, values, labels[task], marker=marker, linestyle=line)
    axes.set(xlabel=labels["x"], ylabel=labels["y"], ylim=(0, 1.05))
    axes.set_xticks(range(len(arrays["heads"])), [str(heads) for heads in arrays["heads"]])
    axes.legend(frameon=False, loc="lower right")


EXPERIMENT = Experiment(
    claim="Several heads are why a word that could mean several things is resolved.",
    source="the articles; Vaswani et al. 2017, section 3.2.2",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
)
