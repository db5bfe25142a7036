"""Marks from 1 to 7, or an order? Reward models that learn from either, as annotators use the scale less alike.

Claim. Ranking makes inconsistent annotators usable: two people who agree which answer is better give it other marks.
Source. The articles on ChatGPT say so; Ouyang et al. 2022 (arXiv 2203.02155), section 3.5, rank K answers to a prompt.
Design. The answers are those that stage 2 collected. Ten simulated annotators see their gold totals through equal
noise; each has an offset and a scale of the 1-7 scale, and `inconsistency` says how many times further apart those lie
than usual (0: all alike). Each reward model starts from the same SFT policy and takes one pass over the same 500
prompts in the same batches with the stage's settings, and what a person perceives of an answer is the same number in
each way of asking. Only the question differs, and so the loss:
    ranks         one person puts all answers to a prompt in order   K-wise loss
    marks         the same person marks each of them from 1 to 7     squared error, all marks scaled to mean 0, spread 1
    standardised  the same marks, each person's own mean and spread taken out
    dealt         each answer to a prompt is marked by another person
Measured: the share of a prompt's pairs in their TRUE order, mean of 200 held-out ones; a bar is the bootstrap interval
over prompts of one of three seeds (of everything, pretraining too). The axis shows how often two people's marks for an
answer are at most a point apart. That ranks do not depend on the inconsistency is built into the annotators, so `ranks`
is trained once a seed. What is measured is what marks lose by it; without it they tell more, how good the best one is.
Prediction. For careless demonstrators, knowing the run before (git, 955966e: all were careful; ranks 0.752, marks
0.724, 0.673, 0.640, 0.599, dealt 0.617): answers differ in more ways now and are further apart, so ranks reach 0.73 and
marks lose less: 0.71 without inconsistency, 0.69 with the usual one, 0.63 with 4 times that, dealt 0.02 above, and
standardised ones get half of the loss back. It holds. (The stage's settings are those of ranks; no others were tried.)
Refutation. The claim holds if, at the largest inconsistency, ranks are better than marks, and marks worse than without
inconsistency, both with an interval above 0 in every seed; it does not if one of the two lies below 0 in every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlhf.people.annotators import make_annotators, measured_agreement
from rlhf.stage2_reward.comparisons import annotator_noise
from rlhf.stage2_reward.objective import RankingObjective
from tutorials.experiments.lab import Experiment, Lab, Summary, bootstrap_mean
from tutorials.experiments.lab.drawing import LINES, seed_lines
from tutorials.experiments.lab.marks import MarksObjective, close_marks, give_marks, give_ranks, judges, standardise
from tutorials.experiments.lab.measures import above_zero, in_words
from tutorials.experiments.lab.reward_learning import CPU, collected, learn, per_prompt, truly_differ

WAYS = ("ranks", "marks", "standardised", "dealt")


@dataclass(frozen=True)
class Settings:
    """`prompts` are learned from, `held_out` are measured on."""

    seeds: tuple[int, ...] = (0, 1, 2)
    inconsistencies: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)
    prompts: int = 500
    held_out: int = 200
    annotators: int = 10


PRESETS = {"small": {}, "tiny": {"seeds": (0, 1), "inconsistencies": (0.0, 4.0), "prompts": 96, "held_out": 40}}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed, "inconsistency": far} for far in settings.inconsistencies for seed in settings.seeds]


def measure(lab: Lab, settings: Settings, seed: int, inconsistency: float) -> dict[str, Any]:
    """What each way of asking leads to, prompt by prompt, and how often two people agree."""
    sft = lab.sft(lab.base(seed))
    everything = collected(lab.reward_model(sft))
    learned, rest = everything[: settings.prompts], everything[settings.prompts :]
    held_out = [comparison for comparison in rest if truly_differ(comparison)][: settings.held_out]
    golds = [comparison.gold for comparison in learned]
    people = make_annotators(settings.annotators, annotator_noise(golds)[0], seed, inconsistency)
    neighbours, (alone, dealt) = people[1:] + people[:1], (judges(golds, len(people), way) for way in (False, True))
    ranks, again = give_ranks(golds, people, "first"), give_ranks(golds, neighbours, "second")
    marks, marks_again = give_marks(golds, people, alone, "first"), give_marks(golds, neighbours, alone, "second")
    dealt_marks = give_marks(golds, people, dealt, "first")
    targets = {"marks": marks, "standardised": standardise(marks, alone), "dealt": dealt_marks}
    if inconsistency == settings.inconsistencies[0]:  # all alike: nothing to standardise, nobody to deal to
        targets = {"ranks": marks, "marks": marks}
    training = lab.config("reward_model", seed, lab.folder, {}).training
    found = {}
    for way, target in targets.items():
        center, scale = np.concatenate(target).mean(), np.concatenate(target).std()
        taught = [
            replace(comparison, ranks=tuple(order), gold=tuple((mark - center) / scale for mark in given))
            for comparison, order, given in zip(learned, ranks, target, strict=True)
        ]
        learning = RankingObjective if way == "ranks" else MarksObjective
        objective = learning(
            taught,
            [],
            batch_size=training.batch_size,
            micro_batch_size=0,
            seed=seed,
            device=CPU,
            pad_id=sft.tokenizer.pad_id,
        )
        found[way] = per_prompt(learn(sft, objective, training), held_out, sft.tokenizer.pad_id)["gold_accuracy"]
    agreement = {"marks": close_marks(marks, marks_again), "ranks": measured_agreement(ranks, again)}
    return {"gold_accuracy": found, "agreement": agreement}


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = {(cell["seed"], cell["inconsistency"]): result for cell, result in cells}
    seeds, levels = settings.seeds, settings.inconsistencies
    tried = {"ranks": levels[:1], "marks": levels, "standardised": levels[1:], "dealt": levels[1:]}
    accuracy = {way: [[found[s, far]["gold_accuracy"][way] for s in seeds] for far in tried[way]] for way in WAYS}
    arrays: dict[str, Any] = {"inconsistency": levels}
    arrays |= {way: [[bootstrap_mean(values) for values in level] for level in accuracy[way]] for way in WAYS}
    arrays["agreement"] = [[100 * found[seed, far]["agreement"]["marks"] for seed in seeds] for far in levels]
    (ranks,), marks, standardised = (accuracy[way] for way in WAYS[:3])
    gain, loss, alike, usual, mended = (
        [bootstrap_mean(np.subtract(first, second)) for first, second in zip(one, other, strict=True)]
        for one, other in (
            (ranks, marks[-1]),
            (marks[0], marks[-1]),
            (ranks, marks[0]),
            (ranks, marks[1]),
            (ranks, standardised[0]),
        )
    )
    mean = {way: np.array(arrays[way])[..., 0].mean(axis=1) for way in WAYS}  # [levels] each
    agree = fmean(result["agreement"]["ranks"] for _, result in cells)
    from_marks = ", ".join(
        f"{value:.3f} where {np.mean(close):.0f} % of two people's are close"
        for value, close in zip(mean["marks"], arrays["agreement"], strict=True)
    )
    text = (
        f"true order after learning from ranks (two people agree on {agree:.0%} of pairs) {mean['ranks'][0]:.3f}; from "
        f"marks {from_marks}, and there standardised {mean['standardised'][-1]:.3f}, dealt {mean['dealt'][-1]:.3f}; "
        f"ranks beat those last marks by {in_words(gain)}, which have lost {in_words(loss)} by inconsistency; ranks - "
        f"marks at x{levels[0]:g} {in_words(alike)}, at x{levels[1]:g} {in_words(usual)}; ranks - standardised there "
        f"{in_words(mended)} (mean of {len(seeds)} seeds [ends of their intervals])"
    )
    alt = f"A line for each way of asking, over the agreement of two annotators' marks: {text}."
    labels = {
        "x": "marks of two annotators at most one point apart, % of answers",
        "times": "inconsistency ×",
        "y": "held-out pairs in their true order",
        "ranks": "ranks, K-wise loss",
        "marks": "marks",
        "standardised": "marks, standardised by person",
        "dealt": "marks, each answer by another person",
    }
    return Summary(arrays, labels, alt, text, above_zero(gain, loss))


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    axes = figure.add_subplot()
    for way, style in zip(WAYS, LINES, strict=False):
        x, values = arrays["agreement"], arrays[way]  # [all levels,S], [levels,S,3]
        if way == "ranks":
            values = values.repeat(len(x), axis=0)  # the same at every inconsistency
        seed_lines(axes, x[-len(values) :], values, labels[way], **style)
    for place, far in zip(arrays["agreement"].mean(axis=1), arrays["inconsistency"], strict=True):
        axes.text(place, 1, f"{labels['times']}{far:g}", transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    axes.set(xlabel=labels["x"], ylabel=labels["y"])
    axes.legend(fontsize=8, loc="lower right")


EXPERIMENT = Experiment(
    claim="Ranking makes inconsistent annotators usable.",
    source="the articles; Ouyang et al. 2022, section 3.5",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
    size=(6.4, 4.2),
)
