"""Once or in rounds? Annotators rank the newest policy's answers three times, or those of the SFT policy all at once.

Claim. Rounds of stages 2 and 3 beat one round with as many prompts ranked, as the reward model then sees the newest
policy's answers. (The articles say, and so did this page before the run, that each round makes the model stronger; the
criterion below never asked for that. What each round adds is measured too.)
Source. Ouyang et al. 2022 (arXiv 2203.02155), section 3.1: "Steps 2 and 3 can be iterated continuously; more comparison
data is collected on the current best policy, which is used to train a new RM and then a new policy."
Design. Two arms on the model with 196,928 parameters, from the same SFT policy, differ in whose answers are ranked:
    three rounds   1,000 prompts B answered by the newest policy and ranked; reward model; 30 iterations of PPO; thrice
    one round      the same 3,000 prompts answered by the SFT policy; one reward model; the same PPO, three times
Equal are the prompts ranked, the annotators and their noise, the PPO episodes (3 x 3,840), and that each leg of PPO
goes on from the policy before, which becomes its reference. As in Stiennon et al. 2020 (arXiv 2009.01325) a new reward
model learns from all labels so far (nine tenths of them, the rest is held out) and from the SFT policy on: one that
went on from the old one would see the first labels three times, and overfit. No PPO-ptx. Gold is the mean over 200
prompts D of 8 answers each at temperature 1, the accuracy of a reward model the share of the pairs of these answers
that it puts in the gold order. Three seeds. Bars of gold: bootstrap over prompts, one for each seed; of accuracy:
deviation over seeds.
Prediction. For careless demonstrators, knowing the run before (git, 955966e: all were careful; 0.455 with rounds, 0.445
with one; all was gained in the first leg): legs two and three add 0.02 each with rounds, nothing with one, so
three rounds end 0.03 ahead, undecided in one seed or more. The first reward model orders 0.75 of the pairs of SFT, 0.62
of those of the last policy; the last one 0.66 there, that of one round 0.63.
Refutation. The claim holds if three rounds end with more gold than one, with the interval of the difference, prompt by
prompt, above 0 in every seed. It does not if the interval lies below 0 in every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlhf.people.prompts import prompt_set
from tutorials.experiments.lab import Experiment, Lab, Summary, ask, bootstrap_mean
from tutorials.experiments.lab.again import annotate, learn_from, ppo_from
from tutorials.experiments.lab.drawing import lines_over_seeds, seed_bars
from tutorials.experiments.lab.measures import above_zero, in_words
from tutorials.experiments.lab.pair_order import pair_accuracy

ARMS = ("three rounds", "one round")
CONTROL = "of one round"
REWARD_MODELS = ("of the first round", "of the last round", CONTROL)


@dataclass(frozen=True)
class Settings:
    """`prompts` are ranked and `iterations` of PPO made in each round; the model is the medium one of `stages`."""

    seeds: tuple[int, ...] = (0, 1, 2)
    rounds: int = 3
    channels: int = 64
    layers: int = 2
    prompts: int = 1000
    iterations: int = 30
    critic_warmup: int = 3
    evaluated: int = 200
    samples: int = 8


TINY = {"seeds": (0, 1), "rounds": 2, "prompts": 40, "iterations": 2, "critic_warmup": 1, "evaluated": 40, "samples": 4}
PRESETS = {"small": {}, "tiny": TINY}


def cells(settings: Settings) -> list[dict[str, Any]]:
    return [{"seed": seed, "arm": arm} for arm in ARMS for seed in settings.seeds]


def measure(lab: Lab, settings: Settings, seed: int, arm: str) -> dict[str, Any]:
    """One arm: gold and KL of its policies, the SFT policy first, and how well reward models order their answers."""
    sft = lab.sft(lab.base(seed, channels=settings.channels, layers=settings.layers))
    rounds, prompts = range(settings.rounds), prompt_set("B", settings.rounds * settings.prompts, seed)
    parts, seeds = [prompts[r :: len(rounds)] for r in rounds], [len(rounds) * seed + r for r in rounds]
    of_sft, noise = [], None  # the first round shows how careful the annotators are, and so they stay
    for r in rounds:
        rankings, noise = annotate(sft.model, sft, parts[r], seeds[r], noise)
        of_sft.append(rankings)
    everything = [ranking for rankings in of_sft for ranking in rankings]
    control = newest = learn_from(lab, sft, everything, epochs=1)
    labels, models, policies = list(of_sft[0]), {CONTROL: control}, [sft.model]
    for r in rounds:
        if arm == ARMS[0]:
            if r:
                labels += annotate(policies[-1], sft, parts[r], seeds[r], noise)[0]
            newest = learn_from(lab, sft, labels, epochs=1)
            models |= {REWARD_MODELS[0]: newest} if r == 0 else {REWARD_MODELS[1]: newest}
        legs = {"iterations": settings.iterations, "critic_warmup": settings.critic_warmup}
        policies.append(ppo_from(lab, policies[-1], newest, f"ppo-{r}", seeds[r], **legs))
    asked_of = prompt_set("D", settings.evaluated, seed)
    asked = [ask(policy, sft, control, asked_of, samples=settings.samples, seed=seed) for policy in policies]
    order = {name: [pair_accuracy(rm, asked_of, one.answers) for one in asked] for name, rm in models.items()}
    return {
        "gold": [[round(gold, 4) for gold in one.gold] for one in asked],
        "kl": [one.kl for one in asked],
        "accuracy": {name: [bootstrap_mean(shares) for shares in found] for name, found in order.items()},
        "rankings": len(labels if arm == ARMS[0] else everything),
        "noise": noise,
    }


def summarise(settings: Settings, cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Summary:
    found = {(cell["seed"], cell["arm"]): result for cell, result in cells}
    gold = np.array([[found[seed, arm]["gold"] for arm in ARMS] for seed in settings.seeds])  # [S,arms,rounds + 1,P]
    ends = np.array([[[bootstrap_mean(one) for one in arm] for arm in seed] for seed in gold])  # [S,arms,rounds + 1,3]
    ahead = [bootstrap_mean(three[-1] - one[-1]) for three, one in gold]  # [S] of mean, low, high
    legs = [  # by what each leg of PPO adds to gold, the legs of three rounds first
        ", ".join(
            in_words([bootstrap_mean(of_seed[r] - of_seed[r - 1]) for of_seed in gold[:, number]])
            for r in range(1, settings.rounds + 1)
        )
        for number in range(len(ARMS))
    ]
    rankings = np.array([[found[seed, arm]["rankings"] for arm in ARMS] for seed in settings.seeds])  # [S,arms]
    most = [" to ".join(f"{count:,}" for count in (counts.min(), counts.max())) for counts in rankings.T]
    rounds = [found[seed, ARMS[0]]["accuracy"] for seed in settings.seeds]
    accuracy = np.array([[one[name] for name in REWARD_MODELS] for one in rounds])  # [S,reward models,rounds + 1,3]
    final, order = ends[:, :, -1, 0].mean(0), accuracy[..., 0].mean(0)  # [arms], [reward models,rounds + 1]
    text = (
        f"gold {final[0]:.3f} with {settings.rounds} rounds of labels, {final[1]:.3f} with one: "
        f"{in_words(ahead)} (mean of {len(gold)} seeds [ends of intervals]); the legs of PPO add {legs[0]} with "
        f"rounds of labels ({most[0]} rankings), {legs[1]} with one ({most[1]}); the first reward model orders "
        f"{order[0, 0]:.2f} of SFT's pairs and {order[0, -1]:.2f} of the last policy's, the last one "
        f"{order[1, -1]:.2f}, that of one round {order[2, -1]:.2f}"
    )
    alt = f"Left: gold after each round, both arms. Right: how well three reward models order the same answers. {text}."
    labels = {
        "x": "policy after",
        "gold": "gold total, mean over prompts",
        "x_order": "answers of the policy after",
        "order": "pairs in the gold order, share",
        "models": "reward model",
    }
    arrays = {
        "gold": ends[..., 0],
        "gold_low": ends[..., 1],
        "gold_high": ends[..., 2],
        "order": accuracy[..., 0],
        "order_low": accuracy[..., 1],
        "order_high": accuracy[..., 2],
        "rankings": rankings,
        "kl": [[found[seed, arm]["kl"] for arm in ARMS] for seed in settings.seeds],
        "difference": [mean for mean, _, _ in ahead],
    }
    return Summary(arrays, labels, alt, text, above_zero(ahead))


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: Mapping[str, str]) -> None:
    left, right = figure.subplots(1, 2)
    for line, arm in enumerate(ARMS):
        seed_bars(left, *(arrays[key][:, line] for key in ("gold", "gold_low", "gold_high")), line, len(ARMS), arm)
    names = ["SFT", *(f"round {r}" for r in range(1, arrays["gold"].shape[-1]))]
    left.set(xlabel=labels["x"], ylabel=labels["gold"])
    left.set_xticks(range(len(names)), names)
    left.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # above: nothing is hidden
    lines_over_seeds(right, arrays["order"], names, REWARD_MODELS)
    right.set(xlabel=labels["x_order"], ylabel=labels["order"])
    right.legend(title=labels["models"], fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


EXPERIMENT = Experiment(
    claim="Rounds of stages 2 and 3 beat one round with as many prompts ranked.",
    source="Ouyang et al. 2022, section 3.1",
    settings=Settings,
    presets=PRESETS,
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
    size=(8.4, 3.8),
)
