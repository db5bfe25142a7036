"""The results of a run, read and shown: results.json, the figures, and evaluation/answers.jsonl, the answers.

    python -m rlhf.evaluation.results --preset tiny     checks that both are there and complete, and prints the figures

An answer is {"text", "ended", "helpful", "honest", "harmless", "total", "score", ...}: the gold labeler's grades and
the reward model's score, which is null where there is none. "answers" has the first of each stage, "every_answer" all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minigpt.runs.config import PRESET_NAMES, RunConfig, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import load_json, parse_object, read_made
from rlhf.evaluation.measures import FACT_KINDS
from rlhf.people.prompts import FAMILIES

# in the order of the story; the names are what a reader sees
STAGES = {
    "base": "base",
    "base_first_line": "base, first line",
    "base_examples": "base, shown examples",
    "sft": "SFT",
    "best_of_8": "best of 8",
    "ppo": "PPO",
}
SHOWN_STAGES = ("base", "sft", "ppo")  # whose answers are shown side by side

RESULT_KEYS = (
    "preset",
    "seed",
    "gold",
    "gold_to_first_stray",
    "clean",
    "fact_answers",
    "unanswerable",
    "over_refusal",
    "words",
    "gold_by_family",
    "three_h",
    "win_rate",
    "reward_model",
    "pair_accuracy_likelihood_own",
    "annotators",
    "kl_nats_per_sequence",
    "ended",
    "bits_per_byte",
    "seconds",
    "peak_rss_mb",
    "versions",
)
ANSWER_KEYS = ("text", "ended", "helpful", "honest", "harmless", "total", "score")

Results = dict[str, Any]
Answered = dict[str, Any]  # a line of answers.jsonl


def load_results(path: Path, made_by: str = "make evaluate") -> Results:
    """A results.json. Raises UserError, naming what makes it, if it is missing, damaged or incomplete."""
    results = load_json(path, made_by)
    missing = [key for key in RESULT_KEYS if key not in results]
    missing += [f"gold.{stage}" for stage in STAGES if stage not in results.get("gold", {})]
    if missing:
        raise UserError(f"{path} is incomplete, it lacks {', '.join(missing)}; run `{made_by}` again")
    return results


def load_answers(path: Path, made_by: str = "make evaluate") -> list[Answered]:
    """An answers.jsonl. Raises UserError naming the line that is damaged or incomplete."""
    items = []
    for number, line in enumerate(read_made(path, made_by).split("\n"), start=1):
        if not line:
            continue
        where = f"{path}, line {number}"
        item = parse_object(line, where, made_by)
        answers = item.get("answers", {})
        missing = [key for key in ("id", "family", "prompt", "ideal") if key not in item]
        missing += [f"answers.{stage}" for stage in STAGES if stage not in answers]
        missing += [f"answers.{stage}.{key}" for stage in answers for key in ANSWER_KEYS if key not in answers[stage]]
        if missing:
            raise UserError(f"{where} is incomplete, it lacks {', '.join(missing[:3])}; run `{made_by}` again")
        items.append(item)
    return items


def pick(items: Sequence[Answered], per_family: int) -> dict[str, list[Answered]]:
    """The first few prompts of each family, so that nobody chose them for how they were answered."""
    picked: dict[str, list[Answered]] = {}
    for item in items:
        chosen = picked.setdefault(item["family"], [])
        if len(chosen) < per_family:
            chosen.append(item)
    return picked


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one: {"gold": {"sft": 0.6}} -> {"gold.sft": 0.6}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def text_table(results: Mapping[str, Any]) -> str:
    """results.json as text for the terminal: gold totals by stage and family, and the measures of each stage."""
    stages = list(results["gold"])
    rows = [["family", *stages], ["all", *(f"{results['gold'][stage]:.3f}" for stage in stages)]]
    rows += [[family, *(f"{results['gold_by_family'][stage][family]:.3f}" for stage in stages)] for family in FAMILIES]
    rows.append(["ended", *(f"{results['ended'][stage]:.3f}" for stage in stages)])
    rows.append(["clean", *(f"{results['clean'][stage]:.3f}" for stage in stages)])
    rows.append(["to stray", *(f"{results['gold_to_first_stray'][stage]:.3f}" for stage in stages)])
    for kind in FACT_KINDS:
        rows.append([f"fact {kind}", *(f"{results['fact_answers'][stage][kind]:.3f}" for stage in stages)])
    rows.append(["made up", *(f"{results['unanswerable'][stage]['made_up']:.3f}" for stage in stages)])
    rows.append(["refused", *(f"{results['over_refusal'][stage]:.3f}" for stage in stages)])
    rows.append(["words", *(f"{results['words'][stage]:.1f}" for stage in stages)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main(argv: list[str]) -> None:
    """Checks that results.json and answers.jsonl of a run are whole."""
    config = parse(RunConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    results = load_results(config.run_dir / "results.json")
    answers = load_answers(config.run_dir / "evaluation" / "answers.jsonl")
    gold = ", ".join(f"{name} {results['gold'][stage]:.2f}" for stage, name in STAGES.items())
    print(f"{len(answers)} prompts answered; gold total: {gold}")


if __name__ == "__main__":
    run_main(main)
