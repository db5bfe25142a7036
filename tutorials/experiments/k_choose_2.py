"""Rank K answers at once and keep their pairs together: what K, and what shuffling the pairs costs.

Claim. Shuffled into one data set, the K·(K−1)/2 pairs of each prompt overfit in a single pass, as each answer is
learned from K−1 times; kept together they do not, and K forwards serve them instead of K·(K−1).
Source. Ouyang et al. 2022 (arXiv 2203.02155), section 3.5 with footnote 5: annotators rank K = 4 to 9 answers.
Design. Prompts with nine or more of stage 2's answers (up to two off-topic distractors), as ranked there. The budget
is the number of ANSWERS READ, 900 in every arm: reading is the work, and whoever has read nine answers only has
to place them. It buys 450 prompts with 2 answers (450 pairs), 225 with 4 (1,350) or 100 with 9 (3,600); equal numbers
of pairs would give K = 9 an eighth of the reading and of the prompts of K = 2. All start from the same SFT policy and
make three passes of 25 steps with the stage's settings, but for the batch:
    grouped    a step takes 36 answers: 18, 9 or 4 prompts with all of their pairs
    shuffled   a step takes as many pairs, 54 or 144, but from anywhere; K = 2 has nothing to shuffle
So the two arms of a K differ in nothing but the order of their pairs. Measured before the first pass and after each:
log loss (nats a pair) and accuracy in the annotators' order, on 90 held-out prompts with 9 answers each, and log loss
on up to 90 prompts learned from (K = 9: of 100); a bar is the bootstrap interval over prompts of one of three seeds
(of everything, pretraining too). And the processor time of forward and backward, a pair, in one step that is not
repeated. (Added later: one pass ends at step 25 of a schedule of 75, at 0.89 of the peak rate.)
Prediction. For careless demonstrators, knowing the run before (git, 955966e: all were careful; at K = 9 shuffled minus
grouped +0.014 after one pass, an interval with 0 in it, and +0.125 after three): the same. At K = 9 one shuffled pass
ends 0.01 nats above one grouped pass, undecided in one seed or more; three end 0.1 above; at K = 4 half as much. After
one pass K = 2 is 0.01 to 0.02 worse than K = 9. A shuffled pair costs 8 to 9 times a grouped one at K = 9, 3 at K = 4.
Refutation. The claim holds if, at the largest K, one shuffled pass ends with a higher held-out log loss than one
grouped pass, with an interval above 0 in every seed, and a shuffled pair costs (K−1)/2 times a grouped one or more; it
does not if these intervals lie below 0 in every seed, or if a shuffled pair costs less than twice as much.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigpt.runs.errors import UserError
from tutorials.exercises.shuffled_pairs import single_pairs
from tutorials.experiments.lab import Experiment, Lab, Summary, bootstrap_mean
from tutorials.experiments.lab.drawing import seed_lines
from tutorials.experiments.lab.measures import above_zero, in_words
from tutorials.experiments.lab.reward_learning import CPU, Watched, any_answers, choose, collected, learn, truly_differ

MOST = 9  # answers to a prompt
PANELS = {
    "held_out log_loss": "held out: log loss, nats a pair",
    "held_out accuracy": "held out: accuracy",
    "learned log_loss": "learned from: log loss, nats a pair",
}


@dataclass(frozen=True)
class Settings:
    """Annotators read `answers` in every arm; a step takes `step` of them, a multiple of all `ks`."""

    seeds: tuple[int, ...] = (0, 1, 2)
    ks: tuple[int, ...] = (2, 4, 9)
    answers: int = 900
    step: int = 36
    passes: int = 3
    held_out: int = 90


PRESETS = {"small": {}, "tiny": {"seeds": (0, 1), "ks": (2, 9), "answers": 36, "passes": 2, "held_out": 10}}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed, "k": k} for k in reversed(settings.ks) for seed in settings.seeds]


def batch_size(settings: Settings, k: int, way: str) -> int:
    """Rankings in a step: prompts with all of their pairs, or as many pairs as those have, alone."""
    return settings.step // k if way == "grouped" else settings.step * (k - 1) // 2


def measure(lab: Lab, settings: Settings, seed: int, k: int) -> dict[str, Any]:
    """For grouped and shuffled pairs each measure of each prompt after 0, 1, ... passes, and milliseconds a pair."""
    sft, found = lab.sft(lab.base(seed)), {}
    nine = any_answers(collected(lab.reward_model(sft)), MOST, random.Random(f"k_choose_2 {seed}"))
    learned = [choose(ranked, range(k)) for ranked in nine[settings.held_out :][: settings.answers // k]]
    if len(learned) < settings.answers // k:
        raise UserError(f"of prompts with {MOST} answers there are only {len(nine)}: set answers or held_out lower")
    seen = list(filter(truly_differ, learned))
    watched = {"held_out": nine[: settings.held_out], "learned": seen[: settings.held_out]}
    for way in ("grouped", "shuffled")[: k - 1]:  # a single pair a prompt cannot be shuffled
        objective = Watched(
            learned if way == "grouped" else single_pairs(learned),
            [],
            micro_batch_size=0,
            seed=seed,
            device=CPU,
            batch_size=batch_size(settings, k, way),
            pad_id=sft.tokenizer.pad_id,
            watched=watched,
        )
        model = learn(sft, objective, lab.config("reward_model", seed, lab.folder, {}).training, settings.passes)
        (batch,), started = objective.micro_batches(0), time.process_time()
        objective.loss_sum(model, batch)[0].backward()
        found[way] = {"milliseconds": 1000 * (time.process_time() - started) / batch_size(settings, k, "shuffled")}
        for whose, what in map(str.split, PANELS):
            found[way][f"{whose} {what}"] = [look[whose][what] for look in objective.looks]
    return found


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = {(way, cell["k"], cell["seed"]): measured for cell, result in cells for way, measured in result.items()}
    arms = sorted({(k, way) for way, k, _ in found})
    arrays: dict[str, Any] = {panel: [] for panel in PANELS}  # [arms,passes+1,S,3]: mean, low, high
    for panel, (k, way) in itertools.product(PANELS, arms):
        looks = zip(*(found[way, k, seed][panel] for seed in settings.seeds), strict=True)
        arrays[panel].append([[bootstrap_mean(values) for values in look] for look in looks])
    arrays["milliseconds"] = [[found[way, k, seed]["milliseconds"] for seed in settings.seeds] for k, way in arms]
    arrays["k"], arrays["arm"] = [k for k, _ in arms], [f"{way}, K = {k}" for k, way in arms]
    K, loss = settings.ks[-1], "held_out log_loss"
    pairs = [(found["shuffled", K, seed], found["grouped", K, seed]) for seed in settings.seeds]  # [S] of two arms
    worse, at_last = (
        [bootstrap_mean(np.subtract(shuffled[loss][look], grouped[loss][look])) for shuffled, grouped in pairs]
        for look in (1, settings.passes)
    )
    times = [shuffled["milliseconds"] / grouped["milliseconds"] for shuffled, grouped in pairs]
    overfits, dear = above_zero(worse), [ratio >= (K - 1) / 2 for ratio in times]
    holds = False if overfits is False or max(times) < 2 else (overfits and all(dear)) or None
    held_out, learned = (np.array(arrays[panel])[:, 1, :, 0].mean(axis=1) for panel in (loss, "learned log_loss"))
    one_pass = ", ".join(
        f"{way} {k} {held_out[arm]:.3f} ({learned[arm]:.3f} on what it learned)" for arm, (k, way) in enumerate(arms)
    )
    text = (
        f"K = {K}, held-out log loss: shuffled minus grouped pairs {in_words(worse)} nats after one pass, "
        f"{in_words(at_last)} after {settings.passes} (mean of {len(settings.seeds)} seeds [ends of their "
        f"intervals]); a shuffled pair costs {min(times):.1f} to {max(times):.1f} times a grouped one; after one "
        f"pass: {one_pass}"
    )
    labels = {**PANELS, "x": "passes over the pairs", "milliseconds": "processor time, ms a pair"}
    alt = f"Three panels of lines over the passes, and the time of a pair, for each K and order of pairs. {text}."
    return Summary(arrays, labels, alt, text, holds)


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    (*panels, time_panel), ks = figure.subplots(2, 2).ravel(), sorted(set(arrays["k"].tolist()))
    for number, (k, arm) in enumerate(zip(arrays["k"].tolist(), arrays["arm"].tolist(), strict=True)):
        color, marker = f"C{ks.index(k)}", "osD"[ks.index(k)]
        line, hatch = ("--", "//") if arm.startswith("shuffled") else ("-", "")
        for axes, panel in zip(panels, PANELS, strict=True):
            values = arrays[panel][number]  # [passes+1,S,3]
            passes, seeds = np.indices(values.shape[:2])  # [passes+1,S] each
            beside = passes + 0.09 * (number - 2) + 0.03 * (seeds - 1)  # or all bars would lie on one another
            seed_lines(axes, beside, values, arm, color=color, marker=marker, markersize=4, linestyle=line)
            axes.set(xlabel=labels["x"], ylabel=labels[panel], xticks=passes[:, 0])
        spent = arrays["milliseconds"][number]  # [S]
        time_panel.bar(arm, spent.mean(), color=color, hatch=hatch, alpha=0.6)
        time_panel.plot([arm] * len(spent), spent, "k.", markersize=4)
    time_panel.set_ylabel(labels["milliseconds"])
    time_panel.tick_params(axis="x", rotation=20, labelsize=7)
    panels[0].legend(fontsize=7)


EXPERIMENT = Experiment(
    claim="Shuffled pairs overfit in one pass; keeping the pairs of a prompt together costs K forwards, not K·(K−1).",
    source="Ouyang et al. 2022, section 3.5",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
    size=(7.6, 6.0),
)
