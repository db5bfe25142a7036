"""Does alignment beat size? The three stages at three sizes of model, and every model against every other.

Claim. The small aligned model is preferred to the large unaligned one.
Source. Ouyang et al. 2022 (arXiv 2203.02155), abstract: "outputs from the 1.3B parameter InstructGPT model are
preferred to outputs from the 175B GPT-3", 1:135 in parameters, 1:13 here; GPT-3 also got examples (section 3.5).
Design. Models of 984,192, 196,928 and 73,888 parameters go through the whole chain with the settings of the preset:
equal documents, steps, demonstrations, rankings, PPO episodes and rates. (Added later: the rates were chosen at the
largest size; each size has its own reward model, where InstructGPT's 6B judged all.) Six ways to answer, one answer to
each of the same 400 prompts D at temperature 1:
    base         the prompt as plain text, and what the base model writes up to the end of its document
    first line   the same up to the first end of a line: a control, it tells the base model where its answer ends
    examples     the two shortest answered prompts of set A come first, and the line ends it too. Prompt and answer
                 take up to 94 of the 128 tokens of the context: there is room for two short examples, not for ten
    SFT, best of 8 (of SFT's answers, the one the reward model likes best), PPO
A higher gold total is preferred, a tie counts half. Three seeds: other documents, models and prompts. The bars of a
preference are its bootstrap interval over prompts, one for each seed; those of a mean its deviation over seeds.
Prediction. For careless demonstrators, knowing the run before (git, 955966e: all were careful; preferred on 0.57, 0.31,
0.44) and the chain (large base 0.11, first line 0.39, examples 0.21, SFT 0.55, PPO 0.74): the smallest PPO policy is
preferred to the largest base model on 0.8 of the prompts, with examples on 0.65, first line on 0.45: does not hold, by
the first line. The middle size beats all three. Within a size: base < examples < first line < SFT < PPO, best of 8.
Refutation. The claim holds if the smallest PPO policy is preferred to the largest base model, asked in each of the
three ways, with the interval above 1/2 in every seed; it does not if for one way it lies below 1/2 in every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigpt.runs.seeds import seeded_generator
from rlhf.alternatives.best_of_k import sample_candidates
from rlhf.evaluation.answers import base_answers, picked_answers
from rlhf.evaluation.evaluate import THREE_H, gold_per_prompt, mean_over_prompts
from rlhf.evaluation.few_shot import line_answers, shortest_examples
from rlhf.people.prompts import prompt_set
from tutorials.experiments.lab import MAX_NEW_TOKENS, TEMPERATURE, Experiment, Lab, Summary, ask
from tutorials.experiments.lab.drawing import lines_over_seeds, seed_bars
from tutorials.experiments.lab.measures import above_zero
from tutorials.experiments.lab.preferences import draw_preferences, preferences

SIZES = ("small", "medium", "large")
UNALIGNED = ("base", "first line", "examples")
WAYS = (*UNALIGNED, "SFT", "best of 8", "PPO")


@dataclass(frozen=True)
class Settings:
    """`channels` and `layers` are those of SIZES; the largest are the models that all experiments share."""

    seeds: tuple[int, ...] = (0, 1, 2)
    channels: tuple[int, int, int] = (32, 64, 128)
    layers: tuple[int, int, int] = (2, 2, 4)
    prompts: int = 400
    examples: int = 2


PRESETS = {"small": {}, "tiny": {"seeds": (0,), "channels": (16, 32, 64), "layers": (1, 1, 2), "prompts": 90}}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed, "size": size} for size in reversed(SIZES) for seed in settings.seeds]


def measure(lab: Lab, settings: Settings, seed: int, size: str) -> dict[str, Any]:
    """All six ways of one size: the gold total of each prompt, and means of helpful, honest and harmless."""
    number = SIZES.index(size)
    base = lab.base(seed, channels=settings.channels[number], layers=settings.layers[number])
    sft = lab.sft(base)
    reward_model = lab.reward_model(sft)
    ppo = lab.ppo(reward_model)
    prompts, tokenizer = prompt_set("D", settings.prompts, seed), base.tokenizer
    shots = shortest_examples(tokenizer, prompt_set("A", 300, seed), settings.examples)

    def drawing() -> dict[str, Any]:
        """Every way draws from a generator of the same seed: what differs is less often luck."""
        return {
            "max_new_tokens": MAX_NEW_TOKENS,
            "temperature": TEMPERATURE,
            "generator": seeded_generator(seed, "answers of stages"),
        }

    candidates = sample_candidates(sft.model, reward_model.model, tokenizer, prompts, k=8, **drawing())
    answers = {
        "base": base_answers(base.model, tokenizer, prompts, samples=1, **drawing()),
        "first line": line_answers(base.model, tokenizer, prompts, [], **drawing()),
        "examples": line_answers(base.model, tokenizer, prompts, shots, **drawing()),
        "SFT": ask(sft.model, sft, reward_model, prompts, samples=1, seed=seed).answers,
        "best of 8": picked_answers(prompts, candidates),
        "PPO": ask(ppo.model, sft, reward_model, prompts, samples=1, seed=seed).answers,
    }
    return {
        "parameters": base.model.parameter_count(),
        "examples": shots,
        "gold": {way: [round(total, 3) for total in gold_per_prompt(given)] for way, given in answers.items()},
        "three_h": [[mean_over_prompts(answers[w], attrgetter(f"grade.{part}")) for w in WAYS] for part in THREE_H],
    }


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = {(cell["seed"], cell["size"]): result for cell, result in cells}
    tables = [[found[seed, size]["gold"][way] for way in WAYS for size in SIZES] for seed in settings.seeds]  # [S,M,P]
    measured = [preferences(table) for table in tables]
    mean, low, high = (np.stack([one[key] for one in measured]) for key in ("mean", "low", "high"))  # [S,M,M] each
    rows = [len(SIZES) * WAYS.index("PPO") + number for number in range(len(SIZES))]
    columns = [len(SIZES) * WAYS.index(way) + len(SIZES) - 1 for way in UNALIGNED]
    over = {name: values[:, rows][:, :, columns] for name, values in (("over", mean), ("low", low), ("high", high))}
    three_h = [[found[seed, size]["three_h"] for size in SIZES] for seed in settings.seeds]  # [S,sizes,3,ways]
    ends = over["over"][:, 0].mean(0), over["low"][:, 0].min(0), over["high"][:, 0].max(0)  # [3] each
    said = [f"{way} {at:.2f} [{least:.2f}, {most:.2f}]" for way, at, least, most in zip(UNALIGNED, *ends, strict=True)]
    parameters = [found[settings.seeds[0], size]["parameters"] for size in SIZES]
    arrays = {
        **over,
        "parameters": parameters,
        "three_h": three_h,
        "matrix": mean.mean(axis=0),
        "matrix_low": low,
        "matrix_high": high,
    }
    text = (
        f"PPO with {parameters[0]:,} parameters is preferred to the base model with {parameters[2]:,} asked as "
        f"{', '.join(said)} (mean of {len(settings.seeds)} seeds [extreme ends of intervals])"
    )
    alt = (
        f"Left: {text}. Right: how often each of {len(WAYS)} ways at three sizes is preferred to each other, means "
        "over seeds; their intervals are in the JSON only. Below: helpful, honest and harmless of all ways, a line "
        "for each size."
    )
    labels = {
        "x": "over the largest base model, asked as",
        "preference": "share of prompts preferred on",
        "size": "PPO, parameters",
        "mean": "mean grade",
        "matrix_x": "over this one (each: small, medium, large)",
        "matrix_y": "this one",
    }
    smallest = np.stack([over[key][:, 0] for key in ("over", "low", "high")], axis=-1)  # [S,3 opponents,3]
    return Summary(arrays, labels, alt, text, above_zero(*(smallest - 0.5).swapaxes(0, 1)))


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    grid = figure.add_gridspec(2, 6, height_ratios=(1.25, 1))
    claim, matrix = figure.add_subplot(grid[0, :3]), figure.add_subplot(grid[0, 3:])
    sizes = [f"{parameters:,}" for parameters in arrays["parameters"]]
    for line, size in enumerate(sizes):
        seed_bars(claim, *(arrays[key][:, line] for key in ("over", "low", "high")), line, len(sizes), size)
    claim.axhline(0.5, color="0.4", linestyle=":")
    claim.set(xlabel=labels["x"], ylabel=labels["preference"], ylim=(0, 1.02))
    claim.set_xticks(range(len(UNALIGNED)), UNALIGNED)
    claim.legend(title=labels["size"], fontsize=8, loc="lower right")
    draw_preferences(matrix, arrays["matrix"], WAYS, labels)
    for place, part in enumerate(THREE_H):
        axes = figure.add_subplot(grid[1, 2 * place : 2 * place + 2])
        lines_over_seeds(axes, arrays["three_h"][:, :, place], WAYS, sizes)
        axes.set(title=part, ylim=(0, 1.02), yticks=(0, 0.5, 1), ylabel="" if place else labels["mean"])
        axes.set_xticks(range(len(WAYS)), WAYS, rotation=40, ha="right")


EXPERIMENT = Experiment(
    claim="The small aligned model is preferred to the large unaligned one.",
    source="Ouyang et al. 2022, abstract",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
    size=(9.0, 7.0),
)
