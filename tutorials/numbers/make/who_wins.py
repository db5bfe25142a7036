"""who-wins.json: what chapter 19 quotes from a finished run of preset small: who wins, by how much, and who says so.

    python -m tutorials.numbers.make.who_wins --runs /path/to/runs --trained-at COMMIT --threads 2

A second, after the run: it only reads results.json, evaluation/answers.jsonl and the annotators' noise in
reward_model/summary.json. One answer a prompt is compared, the first of each stage, so that every number can be
computed again from what is in the file. Only facts and win_rate_of_means are of all four answers.
"""

from __future__ import annotations

import random
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import load_json
from minigpt.toyworld.requests import asked_fact
from rlhf.evaluation.measures import fact_kind
from rlhf.evaluation.results import STAGES, load_answers, load_results
from rlhf.evaluation.win_rate import WinRate, win_rate
from rlhf.people.annotators import make_annotators
from rlhf.people.prompts import prompt_set
from tutorials.experiments.lab.measures import bootstrap_mean
from tutorials.numbers.make.record import commit, record

THREE_H = ("helpful", "honest", "harmless")
PAIRS = (
    ("sft", "base"),
    ("sft", "base_first_line"),
    ("ppo", "base_first_line"),
    ("ppo", "sft"),
    ("best_of_8", "sft"),
    ("ppo", "best_of_8"),
)
BLIND = ("fact", "hurtful", "story", "unknowable", "summary")  # families of the pairs that a reader judges
SIZES = (25, 50, 100, 200, 400)  # prompts, for the width of the interval
ANNOTATORS = 10
WIDTH = 100  # of a line on the page

Items = list[dict[str, Any]]


@dataclass(frozen=True)
class WhoWinsConfig(RunConfig):
    """Which run, and what it does not say about itself."""

    trained_at: str | None = option(None, "the commit that the run was made with")
    threads: int = option(2, "the threads that it ran on", low=1)
    made_with: str = option("make all", "the command that made it, with what was not the default")


def of(items: Items, stage: str, key: str, number: int = 0) -> list[Any]:
    """One field of the answer `number` of a stage, for every prompt."""
    return [item["every_answer"][stage][number][key] for item in items]


def shown(rate: WinRate) -> str:
    """Counts, the rate of the decided prompts with its interval, and the rate that counts a tie as half."""
    half = (rate.wins + rate.ties / 2) / (rate.wins + rate.ties + rate.losses)
    return (
        f"{rate.wins:6d}{rate.ties:6d}{rate.losses:8d}{rate.rate:8.2f}   {rate.low:.2f} to {rate.high:.2f}{half:14.2f}"
    )


HEAD = f"{'won':>6}{'tied':>6}{'lost':>8}{'rate':>8}   {'95 %':<12}{'ties as half':>14}"


def win_table(items: Items) -> tuple[str, dict[str, Any]]:
    """A row for each pair of stages."""
    width = max(len(f"{STAGES[a]} against {STAGES[b]}") for a, b in PAIRS) + 1
    lines, rates = [" " * width + HEAD], {}
    for first, second in PAIRS:
        rate = win_rate(of(items, first, "total"), of(items, second, "total"))
        rates[f"{first}_{second}"] = rate.as_dict()
        lines.append(f"{f'{STAGES[first]} against {STAGES[second]}':<{width}}" + shown(rate))
    return "\n".join(lines), rates


def same_policy(items: Items) -> dict[str, Any]:
    """SFT against itself: its first answers against its others. Nothing differs but the dice."""
    first = of(items, "sft", "total")
    rates = [
        win_rate(first, of(items, "sft", "total", number)) for number in range(1, len(items[0]["every_answer"]["sft"]))
    ]
    lines = [f"{'':22}" + HEAD]
    lines += [
        f"{f'first against {name}':<22}" + shown(r)
        for name, r in zip(("second", "third", "fourth"), rates, strict=False)
    ]
    holding = sum(rate.low <= 0.5 <= rate.high for rate in rates)
    return {"table": "\n".join(lines), "rates": [rate.as_dict() for rate in rates], "hold_half": holding}


def three_h_table(items: Items) -> tuple[str, dict[str, Any]]:
    """A row for each stage: the three Hs, and the total."""
    keys = (*THREE_H, "total")
    means = {stage: {key: fmean(of(items, stage, key)) for key in keys} for stage in STAGES}
    lines = [f"{'':22}" + "".join(f"{key:>10}" for key in keys)]
    lines += [f"{STAGES[stage]:<22}" + "".join(f"{row[key]:10.2f}" for key in keys) for stage, row in means.items()]
    return "\n".join(lines), means


def family_table(items: Items) -> tuple[str, dict[str, Any]]:
    """A row for each family: mean totals of three stages, and PPO against SFT."""
    families = list(dict.fromkeys(item["family"] for item in items))
    lines = [f"{'':14}{'base':>8}{'SFT':>8}{'PPO':>8}" + HEAD.replace("ties as half", "")]
    found: dict[str, Any] = {}
    for family in families:
        mine = [item for item in items if item["family"] == family]
        totals = {stage: of(mine, stage, "total") for stage in ("base", "sft", "ppo")}
        rate = win_rate(totals["ppo"], totals["sft"])
        means = {stage: fmean(values) for stage, values in totals.items()}
        found[family] = {**means, **rate.as_dict()}
        lines.append(f"{family:<14}" + "".join(f"{mean:8.2f}" for mean in means.values()) + shown(rate)[:-14])
    return "\n".join(line.rstrip() for line in lines), found


def family_h_table(items: Items) -> tuple[str, dict[str, Any]]:
    """A row for each family: what PPO gained over SFT in each of the three Hs."""
    families = list(dict.fromkeys(item["family"] for item in items))
    lines, found = [f"{'':14}" + "".join(f"{key:>10}" for key in (*THREE_H, "total"))], {}
    for family in families:
        mine = [item for item in items if item["family"] == family]
        gains = {key: fmean(of(mine, "ppo", key)) - fmean(of(mine, "sft", key)) for key in (*THREE_H, "total")}
        found[family] = gains
        lines.append(f"{family:<14}" + "".join(f"{gain:+10.2f}" for gain in gains.values()))
    return "\n".join(lines), found


def parts(items: Items, better: str, worse: str) -> dict[str, float]:
    """A gain in gold: what is left of it when both are graded up to their first stray token, and the rest."""
    gain = fmean(of(items, better, "total")) - fmean(of(items, worse, "total"))
    content = fmean(of(items, better, "total_to_first_stray")) - fmean(of(items, worse, "total_to_first_stray"))
    return {"gain": gain, "content": content, "stopping": gain - content}


def parts_table(items: Items) -> tuple[str, dict[str, Any]]:
    """The gains from base to SFT, and from SFT to PPO."""
    found = {f"{b}_{a}": parts(items, b, a) for a, b in (("base", "sft"), ("sft", "ppo"), ("sft", "best_of_8"))}
    lines = [f"{'':24}{'gain':>8}{'content':>10}{'stopping':>10}"]
    for name, row in found.items():
        better, worse = next(
            (b, a) for b, a in (("sft", "base"), ("ppo", "sft"), ("best_of_8", "sft")) if f"{b}_{a}" == name
        )
        cells = f"{row['gain']:8.2f}{row['content']:10.2f}{row['stopping']:10.2f}"
        lines.append(f"{f'{STAGES[better]} over {STAGES[worse]}':<24}" + cells)
    return "\n".join(lines), found


def judges(items: Items, noise: float, seed: int) -> dict[str, Any]:
    """PPO against SFT, as gold, the reward model and annotators see it, and how often they agree with gold.

    noise: that of the annotators of stage 2.
    """
    gold = [of(items, stage, "total") for stage in ("ppo", "sft")]
    people, rng = make_annotators(ANNOTATORS, noise, seed), random.Random(f"who wins {seed}")
    seen = [people[n % ANNOTATORS].noisy_scores(pair, rng) for n, pair in enumerate(zip(*gold, strict=True))]
    said = {
        "gold": gold,
        "reward model": [of(items, stage, "score") for stage in ("ppo", "sft")],
        "annotators": [[pair[0] for pair in seen], [pair[1] for pair in seen]],
    }
    lines, found = [f"{'':14}" + HEAD + f"{'as gold':>10}"], {}
    for name, (ppo, sft) in said.items():
        rate = win_rate(ppo, sft)
        agrees = agreement(ppo, sft, *gold)
        found[name.replace(" ", "_")] = {**rate.as_dict(), "as_gold": agrees}
        lines.append(f"{name:<14}" + shown(rate) + f"{agrees:10.2f}")
    return {"table": "\n".join(lines), "noise": noise, **found}


def agreement(
    first: Sequence[float], second: Sequence[float], gold_1: Sequence[float], gold_2: Sequence[float]
) -> float:
    """Of the prompts that gold and a judge decide, the share on which they say the same."""
    pairs = [(a > b, g > h) for a, b, g, h in zip(first, second, gold_1, gold_2, strict=True) if a != b and g != h]
    return fmean(mine == truth for mine, truth in pairs)


def facts_table(results: dict[str, Any]) -> str:
    """A row for each stage: questions of fact, and questions without an answer."""
    lines = [f"{'':22}{'right':>8}{'unknown':>9}{'wrong':>8}{'made up':>10}"]
    for stage, name in STAGES.items():
        facts, made_up = results["fact_answers"][stage], results["unanswerable"][stage]["made_up"]
        cells = f"{facts['right']:8.2f}{facts['unknown']:9.2f}{facts['wrong']:8.2f}{made_up:10.2f}"
        lines.append(f"{name:<22}{cells}")
    return "\n".join(lines)


def right_gain(items: Items, seed: int) -> dict[str, float]:
    """By how much PPO is right more often than SFT where a fact is asked, with its 95 % interval over prompts."""
    given, gains = {item["id"]: item["every_answer"] for item in items}, []
    for prompt in prompt_set("D", len(items), seed):
        if asked_fact(prompt.request) is not None:
            ppo, sft = (
                fmean(fact_kind(prompt.request, answer["text"]) == "right" for answer in given[prompt.id][stage])
                for stage in ("ppo", "sft")
            )
            gains.append(ppo - sft)
    mean, low, high = bootstrap_mean(gains, seed)
    return {"prompts": len(gains), "gain": mean, "low": low, "high": high}


def blind_pairs(items: Items, families: Sequence[str]) -> tuple[str, str]:
    """The first decided prompt of some families, PPO's and SFT's answers in a random order; and the key to it."""
    rng, lines, key = random.Random("blind pairs"), [], []
    for number, family in enumerate(families, start=1):
        mine = [item for item in items if item["family"] == family and len(item["prompt"]) == 1]
        decided = [i for i in mine if len({i["every_answer"][s][0]["total"] for s in ("ppo", "sft")}) == 2]
        if not decided:
            continue
        item, order = decided[0], rng.sample(("ppo", "sft"), 2)
        asked = item["prompt"][0]["content"]
        lines.append(textwrap.fill(asked, WIDTH, initial_indent=f"{number}  ", subsequent_indent="   "))
        said = {letter: item["every_answer"][stage][0] for letter, stage in zip("AB", order, strict=True)}
        for letter, answer in said.items():
            text = answer["text"].replace("\n", " / ")
            lines.append(textwrap.fill(text, WIDTH, initial_indent=f"   {letter}: ", subsequent_indent=" " * 6))
        better = max(said, key=lambda letter: said[letter]["total"])
        totals = f"A {said['A']['total']:.2f}, B {said['B']['total']:.2f}"
        key.append(f"{number}  gold says {better} ({totals}); A is {STAGES[order[0]]}, B is {STAGES[order[1]]}")
    return "\n".join(lines), "\n".join(key)


def width_table(items: Items) -> tuple[str, dict[str, Any]]:
    """The interval of PPO against SFT from more and more prompts, in an order that mixes the families."""
    order = list(range(len(items)))
    random.Random("order of prompts").shuffle(order)
    lines, found = [f"{'prompts':>8}" + HEAD], {}
    for size in (size for size in SIZES if size <= len(items)):
        few = [items[n] for n in order[:size]]
        rate = win_rate(of(few, "ppo", "total"), of(few, "sft", "total"))
        found[str(size)] = {**rate.as_dict(), "width": rate.high - rate.low}
        lines.append(f"{size:8d}" + shown(rate))
    return "\n".join(lines), found


def main(argv: list[str]) -> None:
    """Reads the run, compares, and writes the file."""
    config = parse(WhoWinsConfig, argv, description=__doc__, presets={"small": {}, "tiny": {}})
    if config.trained_at is None:
        raise UserError("--trained-at is missing: name the commit that the run was made with")
    measured_at, started = commit(), time.monotonic()
    results = load_results(config.run_dir / "results.json")
    items = load_answers(config.run_dir / "evaluation" / "answers.jsonl")
    noise = load_json(config.run_dir / "reward_model" / "summary.json", "make stage2")["annotator_noise"]
    fields: dict[str, Any] = {"measured_at": measured_at, "win_rate_of_means": results["win_rate"]}
    for name, make in (
        ("wins", win_table),
        ("three_h", three_h_table),
        ("families", family_table),
        ("family_h", family_h_table),
        ("parts", parts_table),
        ("widths", width_table),
    ):
        fields[f"{name}_table"], fields[name] = make(items)
    fields |= {"same_policy": same_policy(items), "judges": judges(items, noise, config.seed)}
    fields["facts_table"], fields["facts"] = facts_table(results), results["fact_answers"]
    fields["right_gain"] = right_gain(items, config.seed)
    fields["blind"], fields["blind_key"] = blind_pairs(items, BLIND)
    fields["again"] = [round(total, 4) for total in of(items, "sft", "total", 1)]
    fields["totals"] = {
        stage: [round(total, 4) for total in of(items, stage, "total")] for stage in ("base_first_line", "sft", "ppo")
    }
    fields["family_of"] = [item["family"] for item in items]
    record(
        "who-wins",
        fields,
        command=config.made_with,
        commit=config.trained_at,
        seeds=[config.seed],
        threads=config.threads,
        seconds=results["seconds"]["total"] + time.monotonic() - started,
        code=["rlhf/evaluation/win_rate.py", "rlhf/evaluation/measures.py", "rlhf/evaluation/evaluate.py"],
    )


if __name__ == "__main__":
    run_main(main)
