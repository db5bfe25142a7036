"""Over-optimisation: the proxy keeps rising while the true reward turns and falls.

Claim. A policy optimised against a learned reward model does ever better by that model, but by what the model stands
for only up to a point, then worse; more preference data moves that point out. With d = √KL from the SFT policy,
best-of-n gains d·(a − b·d) and reinforcement learning d·(a − b·log d).
Source. Gao, Schulman and Hilton 2022, "Scaling laws for reward model overoptimization", arXiv 2210.10760, sections 3.1
to 3.3. The articles give it as the reason for the KL penalty of InstructGPT.
Design. The proxy: a reward model trained once over simulated rankings of 150, 600 or 3,000 prompts. Gold: the labeler
behind those annotators, without their noise; nothing is trained on it. PPO without ptx: beta 0 against each proxy, 0.03
and 0.1 against the weakest; equal settings, rollouts and updates. No rollout asks a prompt again, so its means are
those of unseen prompts. Best-of-n for n = 1, 2, 4 … 1,024 from ONE pool of 1,024 SFT answers to each of 16 prompts, the
same for all proxies, by the estimators of best_of_k.py: expected_best is unbiased, and kl_of_best is no bound.
(Added during the run: near n = 1,024 it is too low, so the law is fitted up to 256. PPO's score counts a cut answer as
-1, that of best-of-n does not; PPO answers prompts C, best-of-n prompts D. A proxy passes once over nine tenths of its
prompts, in about 22, 90 or 445 updates: more data are more updates too.) Three seeds, from the base model on; bars are
the standard deviation over seeds. A seed's peak is looked up where the OTHER seeds are highest: the highest of its own
noisy means would be too high. Sized on seed 0, which is therefore no fresh evidence: four settings of PPO were tried
there with gold in view, and what decided was first 3,000 prompts.
Prediction. For careless demonstrators, knowing the run before (git, 955966e: all were careful; gold 0.63, at most 0.67,
0.28 in the end) and the chain's 0.55 to 0.74 at beta 0.1: there is more to gain, so at beta 0 and 150 prompts gold
rises by 0.08 and ends 0.15 below its peak, while the score rises; 3,000 prompts: by 0.17, 0.05 below. Beta 0.1: no
fall. Best of 1,024 is below SFT with 150 prompts, 0.1 above with 3,000. Both laws' peaks in the order of the data.
Refutation. It holds if in every seed, at beta 0 and with the least data, gold at the peak is above its start and end
while the score at the end is above the score at the peak. It does not hold if gold, in the mean over seeds, is highest
at the start or at the end. Otherwise it is undecided. (Added later: only seeds decide; a phase's mean is sure to 0.02.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlhf.evaluation.rollouts import graded_rows
from rlhf.people.prompts import prompt_set
from tutorials.experiments.lab import Experiment, Lab, Summary, bootstrap_mean
from tutorials.experiments.lab.drawing import LINES, line_with_bars
from tutorials.experiments.lab.laws import fit_each, law, peaks_in_words
from tutorials.experiments.lab.measures import in_phases, in_words, spread_in_words
from tutorials.experiments.lab.pool import best_of_n, sample_pool

WARMUP = 4  # iterations in which only the value model learns, so that WARMUP + 1 rollouts are of the SFT policy
LABELS = {
    "best_of_n": "best of n (prompts D)",
    "reinforcement": "PPO (prompts C), β = 0 unless said",
    "d": "√KL from SFT, √nats",
    "score": "gain by the proxy, std. dev.\n(PPO: −1 for cut answers)",
    "gold": "gain in gold\n(never trained on)",
}


@dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...] = (0, 1, 2)
    data: tuple[int, ...] = (150, 600, 3000)  # prompts whose answers were ranked for the proxy
    betas: tuple[float, ...] = (0.03, 0.1)  # besides 0
    iterations: int = 40
    batch_size: int = 64
    learning_rate: float = 4e-4
    phases: int = 6  # after the start, the rollouts are shown in so many groups
    pool: int = 1024
    pool_prompts: int = 16


TINY = {
    "seeds": (0, 1),
    "data": (40, 160),
    "betas": (0.1,),
    "iterations": 8,
    "batch_size": 32,
    "phases": 2,
    "pool": 64,
    "pool_prompts": 4,
}


def cells(settings: Settings) -> list[dict[str, Any]]:
    arms = [(data, 0.0) for data in settings.data] + [(settings.data[0], beta) for beta in settings.betas]
    return [{"seed": seed, "data": data, "beta": beta} for seed in settings.seeds for data, beta in [(0, 0.0), *arms]]


def measure(lab: Lab, settings: Settings, seed: int, data: int, beta: float) -> dict[str, Any]:
    """PPO against one proxy: numbers of each rollout. Data 0: best-of-n by all proxies."""
    sft = lab.sft(lab.base(seed))
    if not data:
        proxies = [lab.reward_model(sft, prompts=data).model for data in settings.data]
        return best_of_n(sample_pool(sft, proxies, prompt_set("D", settings.pool_prompts, seed), settings.pool, seed))
    policy = lab.ppo(
        lab.reward_model(sft, prompts=data),
        beta=beta,
        ptx_coefficient=0.0,
        iterations=settings.iterations,
        prompts=settings.iterations * settings.batch_size,
        batch_size=settings.batch_size,
        minibatch_size=32,
        critic_warmup=WARMUP,
        learning_rate=settings.learning_rate,
        schedule="constant",
    )
    rows, names = graded_rows(policy.stage_dir), ("kl_nats_per_sequence", "gold", "scores")
    return {name.split("_")[0]: [row[f"objective/{name}"] for row in rows] for name in names}


def turning(gold: np.ndarray, score: np.ndarray, d: np.ndarray) -> tuple[bool | None, str]:
    """Whether gold rises and falls while the score rises, and the same in words. [S,phases+1] each."""
    mean, at = gold.mean(0), d.mean(0)
    peaks = [int(np.delete(gold, s, axis=0).mean(0).argmax()) for s in range(len(gold))]  # where the others are highest
    rise, fall = ([float(gold[s, peak] - gold[s, end]) for s, peak in enumerate(peaks)] for end in (0, -1))
    more = [float(score[s, -1] - score[s, peak]) for s, peak in enumerate(peaks)]
    top = int(mean.argmax())
    return False if top in (0, len(mean) - 1) else True if min(*rise, *fall, *more) > 0 else None, (
        f"PPO without KL penalty took gold from {mean[0]:.2f} to {mean[top]:.2f} at √KL {at[top]:.1f} and to "
        f"{mean[-1]:.2f} at {at[-1]:.1f} (up {spread_in_words(rise)}, down {spread_in_words(fall)}), "
        f"while the score rose by {score[:, -1].mean():.1f} standard deviations"
    )


def summarise(settings: Settings, found: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Summary:
    of = {(cell["data"], cell["beta"], cell["seed"]): result for cell, result in found}
    arms, seeds, R = list(dict.fromkeys(key[:2] for key in of if key[0])), settings.seeds, len(settings.data)
    pools = {key: np.array([of[0, 0.0, seed][key] for seed in seeds]) for key in ("sd", "kl", "scores", "gold")}
    runs = {
        key: np.array([[in_phases(of[*arm, seed][key], WARMUP + 1, settings.phases) for seed in seeds] for arm in arms])
        for key in ("kl", "scores", "gold")
    }  # [A,S,phases+1]
    unit = pools["sd"].T[..., None]  # [R,S,1]
    d, bon_d = np.sqrt(runs["kl"].clip(0)), np.sqrt(pools["kl"].swapaxes(0, 1).clip(0))  # [A,S,phases+1], [R,S,n]
    score, bon_score = runs["scores"], pools["scores"].swapaxes(0, 1) / unit
    score = (score - score[..., :1]) / unit[[settings.data.index(data) for data, _ in arms]]
    gold, bon_gold = runs["gold"], pools["gold"].mean(2).swapaxes(0, 1)  # [R,S,n]
    arrays = {"d": d.mean(1), "bon_d": bon_d.mean(1)}
    curves = {
        "score": score,
        "gold": gold - gold[..., :1],
        "bon_score": bon_score - bon_score[..., :1],
        "bon_gold": bon_gold - bon_gold[..., :1],
    }
    for name, curve in curves.items():
        arrays |= {name: curve.mean(1), f"{name}_sd": curve.std(1, ddof=1)}
    known = sum(4 * n <= settings.pool for n in of[0, 0.0, seeds[0]]["n"])  # there kl_of_best is right
    fits = {
        "law": fit_each("reinforcement", d[:R], curves["gold"][:R]),
        "bon_law": fit_each("best_of_n", bon_d[..., :known], curves["bon_gold"][..., :known]),
    }
    arrays |= {f"{name}{what}": values for name, fit in fits.items() for what, values in fit.items()}
    holds, words = turning(gold[0], score[0], d[0])
    change = [bootstrap_mean(of_seed) for of_seed in pools["gold"][:, 0, :, -1] - pools["gold"][:, 0, :, 0]]
    tops = {name: peaks_in_words(fit, settings.data) for name, fit in fits.items()}
    words += (
        f"; best of {settings.pool:,}: gold {in_words(change)} (mean of seeds [ends of intervals]); laws of best "
        f"of n are highest at √KL {tops['bon_law']}, those of PPO at {tops['law']}"
    )
    labels = {str(i): f"{data:,} prompts" + (f", β = {beta:g}" if beta else "") for i, (data, beta) in enumerate(arms)}
    alt = "Score of the proxy (above) and gold (below) over √KL from SFT, best-of-n (left) and PPO (right). " + words
    return Summary(arrays, {**LABELS, **labels}, alt, words, holds)


def draw(figure: Figure, arrays: dict[str, np.ndarray], labels: dict[str, str]) -> None:
    for row, name in zip(figure.subplots(2, 2, sharex="col", sharey="row"), ("score", "gold"), strict=True):
        for axes, prefix, kind in zip(row, ("bon_", ""), ("best_of_n", "reinforcement"), strict=True):
            for i, x in enumerate(arrays[f"{prefix}d"]):
                y, error = arrays[prefix + name][i], arrays[f"{prefix}{name}_sd"][i]
                line_with_bars(axes, x, y, error, label=labels[str(i)], **LINES[i])
            axes.set(xlabel=labels["d"] if name == "gold" else None, title=labels[kind] if name == "score" else None)
        row[0].set_ylabel(labels[name])
    for axes, prefix, kind in zip(row, ("bon_", ""), ("best_of_n", "reinforcement"), strict=True):
        for (a, b), x in zip(arrays[f"{prefix}law"], arrays[f"{prefix}d"], strict=False):
            fine = np.linspace(0.05, x.max(), 60)
            axes.plot(fine, law(kind, fine, a, b), color="0.6", linewidth=1, zorder=0)
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)


EXPERIMENT = Experiment(
    claim="Against a learned reward model a policy does ever better by that model, but by what it stands for only up "
    "to a point, and then worse.",
    source="Gao, Schulman and Hilton 2022, arXiv 2210.10760",
    settings=Settings,
    presets={"small": {}, "tiny": TINY},
    cells=cells,
    measure=measure,
    summarise=summarise,
    draw=draw,
    size=(7.0, 5.6),
)
