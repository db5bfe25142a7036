"""Does it work without experts? A class of thirty ranks in the browser, and the model learns from what it ranked.

Claim. The rankings of one class are enough: PPO on a reward model of 1,000 ranked prompts beats the SFT policy.
Source. Ouyang et al. 2022 (arXiv 2203.02155), table 6: InstructGPT's reward model learned from 33,000 prompts, ranked
by 40 people. Stiennon et al. 2020 (arXiv 2009.01325), section 4.3: doubling the comparisons adds 1.1 % of accuracy.
Design. The model with 196,928 parameters. Its SFT policy gives up to four different answers to each of 1,200 prompts B.
Thirty simulated annotators, whose noise is calibrated as in stage 2, join the real classroom (`rlhf.web`) by HTTP, all
at once, and rank 40 prompts each, every prompt once. What the server exports is compared with what they meant to say,
ranking by ranking: equal rankings give the same reward model, as stage 2 is a function of them. Then, for the first
100, 300 and 1,000 prompts in an order drawn for the seed: a reward model (three passes over nine tenths of them), and
30 iterations of PPO against it from the SFT policy, without PPO-ptx. There are no off-topic distractors: a class has
none. Gold is the mean over 200 prompts D of 8 answers each at temperature 1, the accuracy the share of the pairs of
SFT's answers that a reward model puts in the gold order. Three seeds of everything; a bar is the bootstrap interval
over the prompts of one.
Prediction. Every ranking arrives as it was meant. Of SFT's pairs the reward models order 0.58, 0.64 and 0.68. Over SFT
(0.31) PPO gains nothing with 100 prompts, 0.03 with 300, undecided in one seed or more, and 0.07 with 1,000, in every
seed. (Known from `rounds`: 1,000 prompts with four to nine answers each brought 0.09 with this model.)
Refutation. The claim holds if PPO on the most prompts has more gold than SFT, with the interval of the difference,
prompt by prompt, above 0 in every seed, and every ranking has arrived as it was meant. It does not if the interval lies
below 0 in every seed, or if one ranking is lost or changed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_rankings
from rlhf.people.annotators import make_annotators
from rlhf.people.prompts import prompt_set
from rlhf.records import Ranking
from rlhf.stage2_reward.comparisons import annotator_noise, sample_answers
from rlhf.web.prepare import as_item
from tutorials.experiments.lab import MAX_NEW_TOKENS, TEMPERATURE, Experiment, Lab, Summary, ask, bootstrap_mean
from tutorials.experiments.lab.again import learn_from, ppo_from
from tutorials.experiments.lab.classroom import labelled_by_a_class, prompt_key, sorted_rankings
from tutorials.experiments.lab.drawing import seed_bars
from tutorials.experiments.lab.measures import above_zero, in_words
from tutorials.experiments.lab.pair_order import pair_accuracy


@dataclass(frozen=True)
class Settings:
    """`people` rank `per_person` prompts each; `sizes` are learned from. The model is the medium one of `stages`."""

    seeds: tuple[int, ...] = (0, 1, 2)
    people: int = 30
    per_person: int = 40
    answers: int = 4
    sizes: tuple[int, ...] = (100, 300, 1000)
    channels: int = 64
    layers: int = 2
    epochs: int = 3
    iterations: int = 30
    critic_warmup: int = 3
    evaluated: int = 200
    samples: int = 8


PRESETS = {
    "small": {},
    "tiny": {
        "seeds": (0, 1),
        "people": 4,
        "per_person": 12,
        "sizes": (20, 40),
        "epochs": 1,
        "iterations": 2,
        "critic_warmup": 1,
        "evaluated": 40,
        "samples": 2,
    },
}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed} for seed in settings.seeds]


def measure(lab: Lab, settings: Settings, seed: int) -> dict[str, Any]:
    """Gold of SFT and of PPO on each number of prompts, the reward models' accuracy, and how many rankings arrived."""
    sft = lab.sft(lab.base(seed, channels=settings.channels, layers=settings.layers))
    wanted = settings.people * settings.per_person
    sampled = sample_answers(
        sft.model,
        sft.tokenizer,
        prompt_set("B", round(1.2 * wanted), seed),  # some prompts have but one answer, and are dropped
        answers=(settings.answers, settings.answers),
        max_new_tokens=MAX_NEW_TOKENS,
        temperature=TEMPERATURE,
        seed=seed,
    )
    collected = sorted(sampled, key=lambda answers: answers.prompt.id)[:wanted]
    made = [as_item(answers) for answers in collected]
    noise, _ = annotator_noise([answers.gold() for answers in collected])
    (annotator,) = make_annotators(1, noise, seed)  # all have the same noise, and ranks know no offset and no scale
    meant = {}
    for item in made:
        key = prompt_key(item.prompt)
        ranks = annotator.rank(item.gold, random.Random(f"class {seed} {key}"))
        meant[key] = dict(zip(item.texts, ranks, strict=True))
    path = labelled_by_a_class(lab.folder / "class", made, settings.people, settings.per_person, meant)
    exported = sorted_rankings(list(read_rankings(path, BadRecords())), seed)
    direct = [
        Ranking(a.prompt.turns, a.texts, tuple(meant[prompt_key(i.prompt)][t] for t in a.texts), a.ended, i.gold, True)
        for a, i in zip(collected, made, strict=True)
    ]
    arrived = sum(one == other for one, other in zip(exported, sorted_rankings(direct, seed), strict=False))
    models = [learn_from(lab, sft, exported[:size], epochs=settings.epochs) for size in settings.sizes]
    legs = {"iterations": settings.iterations, "critic_warmup": settings.critic_warmup}
    policies = [
        ppo_from(lab, sft.model, model, f"ppo-{size}", seed, **legs)
        for size, model in zip(settings.sizes, models, strict=True)
    ]
    asked_of = prompt_set("D", settings.evaluated, seed)
    asked = [ask(p, sft, models[-1], asked_of, samples=settings.samples, seed=seed) for p in (sft.model, *policies)]
    return {
        "gold": [[round(gold, 4) for gold in one.gold] for one in asked],
        "kl": [one.kl for one in asked],
        "accuracy": [bootstrap_mean(pair_accuracy(model, asked_of, asked[0].answers)) for model in models],
        "noise": noise,
        "labels": [arrived, len(exported), len(direct)],
    }


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = [result for _, result in cells]
    gold = np.array([result["gold"] for result in found])  # [S,1 + sizes,P]
    ends = np.array([[bootstrap_mean(policy) for policy in seed] for seed in gold])  # [S,1 + sizes,3]
    gains = [[bootstrap_mean(seed[n] - seed[0]) for seed in gold] for n in range(1, gold.shape[1])]  # [sizes][S]
    accuracy = np.array([result["accuracy"] for result in found])  # [S,sizes,3]
    labels = np.array([result["labels"] for result in found])  # [S,3]: arrived as meant, exported, meant
    whole = bool((labels[:, :1] == labels).all())
    said = ", ".join(f"{in_words(gain)} with {size:,}" for size, gain in zip(settings.sizes, gains, strict=True))
    text = (
        f"{labels[:, 0].sum():,} of {labels[:, 2].sum():,} rankings arrived as they were meant; gold of SFT "
        f"{ends[:, 0, 0].mean():.3f}, and PPO adds {said} ranked prompts (mean of {len(found)} seeds [ends of "
        f"intervals]); of SFT's pairs the reward models order "
        f"{', '.join(f'{share:.2f}' for share in accuracy[..., 0].mean(0))}"
    )
    arrays = {
        "gold": ends[..., 0],
        "gold_low": ends[..., 1],
        "gold_high": ends[..., 2],
        "accuracy": accuracy[..., 0],
        "accuracy_low": accuracy[..., 1],
        "accuracy_high": accuracy[..., 2],
        "sizes": settings.sizes,
        "labels": labels,
        "kl": [result["kl"] for result in found],
    }
    words = {"x": "ranked prompts", "gold": "gold total, mean over prompts", "order": "pairs in the gold order, share"}
    alt = f"Left: gold of SFT and of PPO by ranked prompts. Right: the reward models' accuracy. {text}."
    return Summary(arrays, words, alt, text, above_zero(gains[-1]) if whole else False)


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    left, right = figure.subplots(1, 2)
    sizes = [f"{size:,}" for size in arrays["sizes"].tolist()]
    for axes, key, names in ((left, "gold", ["0 (SFT)", *sizes]), (right, "accuracy", sizes)):
        seed_bars(axes, arrays[key], arrays[f"{key}_low"], arrays[f"{key}_high"], 0, 1, "one seed")
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel=labels["x"], ylabel=labels["gold" if key == "gold" else "order"])
    left.legend(fontsize=8)


EXPERIMENT = Experiment(
    claim="The rankings of one class are enough: PPO on a reward model of 1,000 ranked prompts beats the SFT policy.",
    source="Ouyang et al. 2022, table 6",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
    size=(8.4, 3.8),
)
