"""The gold total of the answers that PPO learned from, iteration by iteration.

    python -m rlhf.evaluation.rollouts

Training writes its answers to rollouts.jsonl and cannot grade them: nothing in stage 3 imports the gold labeler. Here
they are graded when the run has ended. Where the score rises and the gold total no longer does, the reward model is
over-optimised (Gao et al. 2022, arXiv 2210.10760). Writes runs/<preset>/evaluation/gold.jsonl and gold.svg;
`python -m rlhf.evaluation` does the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from minigpt.runs.config import PRESET_NAMES, RunConfig, parse
from minigpt.runs.errors import run_main
from minigpt.runs.files import load_json, write_text
from minigpt.runs.log.curves import Panel, draw_curves
from minigpt.runs.log.metrics import Row, read_metrics
from rlhf.evaluation.answers import gold_total
from rlhf.people.prompts import prompt_set
from rlhf.stage3_ppo.training import ROLLOUTS
from rlhf.stage_io import MADE_BY

KL = "objective/kl_nats_per_sequence"
PANELS = (
    Panel("score of the reward model", ("objective/scores",)),
    Panel("gold total (never trained on)", ("objective/gold",)),
    Panel("KL from the reference, nats/sequence", (KL,)),
)


def graded_rows(ppo_dir: Path) -> list[Row]:
    """The rows of metrics.jsonl, each with the mean gold total of its answers as objective/gold."""
    config = load_json(ppo_dir / "config.json", MADE_BY["ppo"])["config"]
    prompts = prompt_set("C", config["prompts"], config["seed"])  # those of the run, in its order
    graded = []
    for row, rollout in zip(read_metrics(ppo_dir / "metrics.jsonl"), read_metrics(ppo_dir / ROLLOUTS), strict=True):
        answers = zip(rollout["prompts"], rollout["responses"], rollout["ended"], strict=True)
        totals = [gold_total(prompts[number], text, ended) for number, text, ended in answers]
        graded.append({**row, "objective/gold": fmean(totals)})
    return graded


def write_graded(folder: Path, rows: Sequence[Row]) -> None:
    """Writes gold.jsonl, with the score, the gold total and the KL of each iteration, and gold.svg."""
    names = ("iteration", "objective/scores", "objective/gold", KL)
    lines = [json.dumps({name: row[name] for name in names}) for row in rows]
    write_text(folder / "gold.jsonl", "".join(line + "\n" for line in lines))
    draw_curves(rows, folder / "gold.svg", "The answers that PPO learned from", PANELS)


def grade_run(run_dir: Path) -> list[Row]:
    """The graded rows of a run's PPO, which are also written to its evaluation folder."""
    rows = graded_rows(run_dir / "ppo")
    write_graded(run_dir / "evaluation", rows)
    return rows


def main(argv: list[str]) -> None:
    """Prints score, gold total and KL of the first and of the last iteration."""
    config = parse(RunConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    rows = grade_run(config.run_dir)
    for row in (rows[0], rows[-1]):
        figures = f"score {row['objective/scores']:.2f}, gold {row['objective/gold']:.2f}, KL {row[KL]:.2f}"
        print(f"iteration {row['iteration']}: {figures} nats/sequence")
    print(f"the curves are in {config.run_dir / 'evaluation' / 'gold.svg'}")


if __name__ == "__main__":
    run_main(main)
