"""Everything about a run on one page: runs/<preset>/report.html.

    python -m rlhf.report --preset small

The page is one file that needs no network: style and curves are inside. It shows what each stage did to the gold
labeler's grades, the same prompts answered by base, SFT and PPO side by side, all curves, and all settings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from minigpt.runs.config import PRESET_NAMES, RunConfig, parse
from minigpt.runs.files import load_json, write_text
from rlhf.evaluation.results import (
    SHOWN_STAGES,
    STAGES,
    Results,
    flatten,
    load_answers,
    load_results,
    pick,
)
from rlhf.report.goals import figures_of
from rlhf.report.tables import Table, gain_of_ppo, gold_table, honesty_table

HERE = Path(__file__).parent
TEMPLATE = "page.html.jinja"
PROMPTS_PER_FAMILY = 3
TRAINED = {
    "pretrain": "Pretraining",
    "sft": "Stage 1: SFT",
    "reward_model": "Stage 2: reward model",
    "ppo": "Stage 3: PPO",
}
SECTIONS = {
    "gold": "What each stage did",
    "honesty": "Honesty and side effects",
    "families": "By kind of request",
    "wins": "Who wins against SFT",
    "measures": "Reward model, KL, alignment tax",
    "answers": "The same prompts, side by side",
    "curves": "Curves",
    "settings": "Settings",
    "reproduce": "To make it again",
}


# ---- Tables that only the report has -----------------------------------------------------------------------------


def shown(value: object) -> str:
    """A cell of a table: a number without digits that mean nothing, a dash for None, a text as it is."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"
    return "–" if value is None else str(value)


def family_table(results: Results) -> Table:
    """Gold totals by family."""
    by_family = results["gold_by_family"]
    stages = [stage for stage in STAGES if stage in by_family]
    families = list(dict.fromkeys(family for stage in stages for family in by_family[stage]))
    rows = [[family, *(by_family[stage].get(family) for stage in stages)] for family in families]
    return Table(["kind of request", *(STAGES[stage] for stage in stages)], rows, "Gold total.", bars=True)


def win_table(results: Results) -> Table:
    """Win rates with their intervals."""
    rows = []
    for name, win in results["win_rate"].items():
        against = " against ".join(STAGES[stage] for stage in name.split("_vs_"))
        decided = win["wins"] + win["losses"] > 0
        interval = f"{shown(win['low'])} to {shown(win['high'])}" if decided else "none decided"
        rows.append([against, win["wins"], win["ties"], win["losses"], win["rate"] if decided else None, interval])
    return Table(["", "wins", "ties", "losses", "win rate", "interval"], rows)


def measures_table(results: Results) -> Table:
    """The figures that belong to no stage: reward model, annotators, KL, alignment tax."""
    reward_model = results["reward_model"]
    rows = [
        ["reward model: validation pairs in gold order", reward_model["pair_accuracy_gold"]],
        ["reward model: validation pairs in the annotators' order", reward_model["pair_accuracy_annotators"]],
        ["own answers, without off-topic distractors: in gold order", reward_model["pair_accuracy_gold_own"]],
        ["the same by the SFT policy's mean log-probability", results["pair_accuracy_likelihood_own"]],
        ["annotators: pairs on which two of them agree", results["annotators"]["agreement"]],
        ["KL of PPO from SFT, nats per sequence", results["kl_nats_per_sequence"]],
    ]
    rows += [[f"validation text, bits per byte: {STAGES[stage]}", x] for stage, x in results["bits_per_byte"].items()]
    return Table(["", ""], rows)


def reproduce_table(results: Results) -> Table:
    """Seed, versions, seconds and memory: what it takes to make the run again."""
    rows = [
        ["command", f"make all PRESET={results['preset']} SEED={results['seed']}"],
        *([f"seconds: {stage}", f"{value:.0f}"] for stage, value in results["seconds"].items()),
        ["peak memory, MB", results["peak_rss_mb"]],
        *([f"version: {name}", value] for name, value in results["versions"].items()),
    ]
    return Table(["", ""], rows)


# ---- Files of the run --------------------------------------------------------------------------------------------


def images(drawings: Mapping[str, Path]) -> list[dict[str, str]]:
    """The SVG files that exist, in base64. As images, because the ids inside two SVGs of one page would collide."""
    return [
        {"title": title, "data": base64.b64encode(path.read_bytes()).decode("ascii")}
        for title, path in drawings.items()
        if path.is_file()
    ]


def settings_tables(run_dir: Path) -> dict[str, Table]:
    """The config.json of every stage, by the stage's title; settings are exact, 0.0003 and not 0.000."""
    tables = {}
    for stage, title in TRAINED.items():
        path = run_dir / stage / "config.json"
        if path.is_file():
            rows = [(name, json.dumps(value)) for name, value in flatten(load_json(path, "make all")).items()]
            tables[title] = Table(["setting", "value"], rows)
    return tables


# ---- The page ----------------------------------------------------------------------------------------------------


def page(run_dir: Path) -> str:
    """The whole report of a run as HTML."""
    results = load_results(run_dir / "results.json")
    items = load_answers(run_dir / "evaluation" / "answers.jsonl")
    figures = figures_of(results)
    calibration = "Does it abstain where it would be wrong?"
    values: dict[str, Any] = {
        "title": f"From language model to assistant: {results['preset']}, seed {results['seed']}",
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "sections": SECTIONS,
        "stages": STAGES,
        "shown_stages": SHOWN_STAGES,
        "prompt_count": len(items),
        "prompts_per_family": PROMPTS_PER_FAMILY,
        "tables": {
            "gold": gold_table(figures),
            "honesty": honesty_table(figures),
            "families": family_table(results),
            "wins": win_table(results),
            "measures": measures_table(results),
            "reproduce": reproduce_table(results),
        },
        "gain": gain_of_ppo(figures),
        "answered": pick(items, PROMPTS_PER_FAMILY),
        "calibration": images({calibration: run_dir / "evaluation" / "calibration.svg"}),
        "curves": images(
            {title: run_dir / stage / "curves.svg" for stage, title in TRAINED.items()}
            | {"Stage 3: gold total of the answers it learned from": run_dir / "evaluation" / "gold.svg"}
        ),
        "settings": settings_tables(run_dir),
    }
    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,  # prompts and answers may hold anything
        undefined=StrictUndefined,  # a name that is misspelled in the template is an error
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["shown"] = shown
    return templates.get_template(TEMPLATE).render(values).lstrip()


def main(argv: list[str]) -> None:
    """Writes report.html of a run."""
    config = parse(RunConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    path = config.run_dir / "report.html"
    write_text(path, page(config.run_dir))
    print(f"the report is in {path}")
