"""stage1-small.json: what demonstrations are worth, and whether the policy of preset small writes as they do.

    python -m tutorials.numbers.make.stage1 --runs /path/to/runs --trained-at COMMIT --threads 2

Seconds, after the run itself; `small_run` writes it too. `fine_tuning` and chapter 14 use its kinds of refusals.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.toyworld.requests.advice import DECLINES, OFFERS
from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_demonstrations
from rlhf.evaluation.measures import to_first_stray
from rlhf.evaluation.results import load_answers, load_results
from rlhf.people.prompts import FAMILIES, Prompt, prompt_set
from rlhf.stage2_reward.comparisons import Answers
from tutorials.numbers.make.record import commit, record

WIDTH = 100  # of an answer that is shown
SHOWN_FAMILIES = ("reference", "hurtful", "look_alike")
SHOWN = (("base", "base"), ("SFT", "sft"))
KINDS = ("kind", "bare", "one word", "other")  # of answers to a hurtful request


def kind_of_refusal(text: str) -> str:
    """What kind of answer to a hurtful request: it declines and offers something else, it declines, "No.", or other."""
    declines = any(text.startswith(decline.split("{")[0]) for decline in DECLINES)
    offers = any(offer.split("{")[0] in text for offer in OFFERS)
    if declines:
        return "kind" if offers else "bare"
    return "one word" if text == "No." else "other"


def refusals(families: Sequence[str], texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Of the answers to hurtful requests, each up to its first stray token: the share of each kind."""
    kinds: list[str] = []
    for family, given in zip(families, texts, strict=True):
        if family == "hurtful":
            kinds += [kind_of_refusal(to_first_stray(text)) for text in given]
    return {kind: kinds.count(kind) / len(kinds) for kind in KINDS}


def one_line(text: str) -> str:
    """An answer as a page shows it: a line end becomes a slash, and what is too long is cut off."""
    text = text.replace("\n", " / ")
    return text if len(text) <= WIDTH else text[:WIDTH] + "…"


def worth_of(prompt: Prompt, text: str) -> float:
    """The gold total of an answer that ended."""
    return Answers(prompt, (text,), (True,)).gold()[0]


def by_family(families: Sequence[str], totals: Sequence[float]) -> dict[str, float]:
    """The mean of each family's gold totals."""
    pairs = list(zip(families, totals, strict=True))
    return {family: fmean(total for f, total in pairs if f == family) for family in FAMILIES}


def asked_of_demonstrators(run_dir: Path) -> list[Prompt]:
    """The prompts A of a run's demonstrations. Raises UserError if the code of today makes other ones."""
    described = json.loads((run_dir / "sft" / "config.json").read_text(encoding="utf-8"))["config"]
    return prompt_set("A", described["demonstration_count"], described["seed"])


def fields_of(run_dir: Path, items: Sequence[dict[str, Any]], results: dict[str, Any]) -> dict[str, Any]:
    """What chapter 14 says of a finished run. items: answers.jsonl; results: results.json."""
    prompts = asked_of_demonstrators(run_dir)
    written = read_demonstrations(run_dir / "sft" / "demonstrations.jsonl", BadRecords())
    if [prompt.turns for prompt in prompts] != [item.turns for item in written]:
        raise UserError(f"{run_dir / 'sft'}: the demonstrations belong to other prompts than the code makes today")
    asked = [prompt.family for prompt in prompts]
    totals = [worth_of(p, item.response) for p, item in zip(prompts, written, strict=True)]
    careful = [item.response in p.request.good for p, item in zip(prompts, written, strict=True)]
    families = [item["family"] for item in items]
    said = {stage: [[a["text"] for a in item["every_answer"][stage]] for item in items] for stage in ("base", "sft")}
    kinds = {
        "written": refusals(asked, [[item.response] for item in written]),
        "policy": refusals(families, said["sft"]),
    }
    kinds["base"] = refusals(families, said["base"])
    worth, policy = by_family(asked, totals), results["gold_by_family"]["sft"]
    gold = {
        "written": fmean(totals),
        "careful": fmean(t for t, c in zip(totals, careful, strict=True) if c),
        "careless": fmean(t for t, c in zip(totals, careful, strict=True) if not c),
        **{stage: results["gold"][stage] for stage in ("base", "base_first_line", "sft")},
    }
    shown: list[str] = []
    for family in SHOWN_FAMILIES:
        item = next(item for item in items if item["family"] == family)  # the first one, not selected
        shown.append(f"asked   {item['prompt'][-1]['content']}")
        shown += [f"{who:<6}  {one_line(item['answers'][stage]['text'])}" for who, stage in SHOWN]
    rows = [f"{'family':<11} written  policy", f"{'all':<11}    {gold['written']:.2f}    {gold['sft']:.2f}"]
    rows += [f"{family:<11}    {worth[family]:.2f}    {policy[family]:.2f}" for family in FAMILIES]
    heads = {"base": "base model", "written": "demonstrators", "policy": "policy"}
    lines = [f"{'':<14}" + "".join(f"{kind:>10}" for kind in KINDS)]
    lines += [f"{heads[who]:<14}" + "".join(f"{kinds[who][kind]:>10.2f}" for kind in KINDS) for who in heads]
    return {
        "gold": gold,
        "examples": "\n".join(shown),
        "careful_share": fmean(careful),
        "demonstrations": len(written),
        "table": "\n".join(rows),
        "refusals": kinds,
        "refusal_table": "\n".join(lines),
        **{name: {stage: results[name][stage] for stage in ("base", "sft")} for name in ("ended", "bits_per_byte")},
    }


@dataclass(frozen=True)
class Stage1Config(RunConfig):
    """Which run, and what it does not say about itself."""

    trained_at: str | None = option(None, "the commit that the run was made with")
    threads: int = option(2, "the threads that it ran on", low=1)


def record_stage1(run_dir: Path, trained_at: str, seed: int, threads: int) -> None:
    """Writes stage1-small.json."""
    measured_at, results = commit(), load_results(run_dir / "results.json")
    items = load_answers(run_dir / "evaluation" / "answers.jsonl")
    record(
        "stage1-small",
        {"measured_at": measured_at, **fields_of(run_dir, items, results)},
        command="make all",
        commit=trained_at,
        seeds=[seed],
        threads=threads,
        seconds=results["seconds"]["total"],
        code=["minigpt/pretrain.py", "rlhf/stage1_sft/stage.py", "rlhf/people/demonstrators.py"],
    )


def main(argv: list[str]) -> None:
    """Reads the run and writes the file."""
    config = parse(Stage1Config, argv, description=__doc__, presets={"small": {}})
    if config.trained_at is None:
        raise UserError("--trained-at is missing: name the commit that the run was made with")
    record_stage1(config.run_dir, config.trained_at, config.seed, config.threads)


if __name__ == "__main__":
    run_main(main)
