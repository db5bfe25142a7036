"""Everything about a run on one page: runs/<preset>/report.html.

    python -m rlhf.evaluation.report --preset small

The page is one file that needs no network: style and curves are inside. It shows what each stage did to the gold
labeler's grades, the same prompts answered by base, SFT and PPO side by side, all curves, and all settings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from minigpt.runs.config import PRESET_NAMES, RunConfig, parse
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_text
from rlhf.evaluation.measures import FACT_KINDS
from rlhf.evaluation.results import (
    SHOWN_STAGES,
    STAGES,
    Answered,
    Results,
    flatten,
    load_answers,
    load_json,
    load_results,
    pick,
)

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


# ---- Pieces of HTML ----------------------------------------------------------------------------------------------


def number(value: object) -> str:
    """A measured value as a reader wants it: without digits that mean nothing."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"
    return "–" if value is None else str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", bars: bool = False) -> str:
    """A table whose first column names the row. With `bars`, a number in [0, 1] also gets a bar of that length."""
    titles = "".join(f"<th{'' if i == 0 else ' class=number'} scope=col>{escape(t)}</th>" for i, t in enumerate(head))
    body = []
    for row in rows:
        cells = [f"<th scope=row>{escape(str(row[0]))}</th>"]
        for value in row[1:]:
            bar = bars and isinstance(value, (int, float)) and 0 <= value <= 1
            style = f' class="number bar" style="--x:{value:.3f}"' if bar else " class=number"
            cells.append(f"<td{style}>{escape(number(value))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<div class=wide><table>{above}<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def picture(path: Path, title: str) -> str:
    """An SVG file inside the page. As an image, because the ids inside two SVGs of one page would collide."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{escape(title)}: every metric over the steps" src="data:image/svg+xml;base64,{data}">'


# ---- Sections ----------------------------------------------------------------------------------------------------


def gold_section(results: Results) -> str:
    """Gold totals and 3H of each stage."""
    rows = []
    for stage, name in STAGES.items():
        three_h = results["three_h"].get(stage, {})
        parts = [three_h.get(part) for part in ("helpful", "honest", "harmless")]
        clean, content = results["clean"].get(stage), results["gold_to_first_stray"].get(stage)
        rows.append([name, results["gold"][stage], content, clean, *parts, results["ended"].get(stage)])
    intro = (
        "<p>The gold labeler knows the truth about the toy world and grades every answer as helpful, honest and "
        "harmless; the total is their product. No stage has seen prompts D; answers are sampled at temperature 1.</p>"
    )
    head = ["", "total", "to the first stray token", "clean", "helpful", "honest", "harmless", "ended by itself"]
    content = results["gold_to_first_stray"]["ppo"] - results["gold_to_first_stray"]["sft"]
    gain = results["gold"]["ppo"] - results["gold"]["sft"]
    split = (
        f"<p>PPO gains {number(gain)} in gold over SFT: {number(content)} by content, which is the gain up to the "
        f"first stray chat token or line break, and {number(gain - content)} by stopping there.</p>"
    )
    return intro + table(head, rows, "Means over prompts D.", bars=True) + split


def honesty_section(results: Results, run_dir: Path) -> str:
    """Answers to questions of fact and to those without an answer, side effects, and the calibration figure."""
    rows = []
    for stage, name in STAGES.items():
        facts = [results["fact_answers"][stage][kind] for kind in FACT_KINDS]
        made_up = results["unanswerable"][stage]["made_up"]
        rows.append([name, *facts, made_up, results["over_refusal"][stage], results["words"][stage]])
    head = ["", "right", '"I do not know"', "wrong", "made up", "harmless refused", "words"]
    caption = "Questions of fact: right, unknown, wrong. Questions without an answer: made up. Look-alikes: refused."
    drawn = run_dir / "evaluation" / "calibration.svg"
    figure = (
        f"<h3>Does it abstain where it would be wrong?</h3>{picture(drawn, 'Calibration')}" if drawn.is_file() else ""
    )
    return table(head, rows, caption, bars=True) + figure


def family_section(results: Results) -> str:
    """Gold totals by family."""
    by_family = results["gold_by_family"]
    stages = [stage for stage in STAGES if stage in by_family]
    families = list(dict.fromkeys(family for stage in stages for family in by_family[stage]))
    rows = [[family, *(by_family[stage].get(family) for stage in stages)] for family in families]
    return table(["kind of request", *(STAGES[stage] for stage in stages)], rows, "Gold total.", bars=True)


def win_section(results: Results) -> str:
    """Win rates with their intervals."""
    names = {name: " against ".join(STAGES[stage] for stage in name.split("_vs_")) for name in results["win_rate"]}
    rows = [
        [
            names[name],
            win["wins"],
            win["ties"],
            win["losses"],
            win["rate"],
            f"{number(win['low'])} to {number(win['high'])}",
        ]
        for name, win in results["win_rate"].items()
    ]
    intro = (
        "<p>For each prompt, whose answers have the higher gold total? The rate counts decided prompts only, ties are "
        "told apart; the interval is a 95 % bootstrap interval over prompts.</p>"
    )
    return intro + table(["", "wins", "ties", "losses", "win rate", "interval"], rows)


def measures_section(results: Results) -> str:
    """The figures that belong to no stage: reward model, annotators, KL, alignment tax."""
    rows = [
        ["reward model: held-out pairs in gold order", results["reward_model"]["pair_accuracy_gold"]],
        ["reward model: held-out pairs in the annotators' order", results["reward_model"]["pair_accuracy_annotators"]],
        [
            "own answers, without off-topic distractors: in gold order",
            results["reward_model"]["pair_accuracy_gold_own"],
        ],
        ["the same by the SFT policy's mean log-probability", results["pair_accuracy_likelihood_own"]],
        ["annotators: pairs on which two of them agree", results["annotators"]["agreement"]],
        ["KL of PPO from SFT, nats per sequence", results["kl_nats_per_sequence"]],
    ]
    rows += [[f"held-out text, bits per byte: {STAGES[stage]}", x] for stage, x in results["bits_per_byte"].items()]
    return table(["", ""], rows) + "<p class=soft>The rise in bits per byte from base to PPO is the alignment tax.</p>"


def answers_section(items: Sequence[Answered]) -> str:
    """The same prompts answered by each stage, side by side."""
    blocks = [f"<p class=soft>The first {PROMPTS_PER_FAMILY} prompts of each kind, not picked for their answers.</p>"]
    for family, chosen in pick(items, PROMPTS_PER_FAMILY).items():
        blocks.append(f"<h3>{escape(family)}</h3>")
        blocks += [prompt_block(item) for item in chosen]
    return "".join(blocks)


def prompt_block(item: Answered) -> str:
    """A prompt, its ideal answer, and what three stages answered."""
    turns = "\n".join(f"{message['role']}: {message['content']}" for message in item["prompt"])
    answers = "".join(answer_block(STAGES[stage], item["answers"][stage]) for stage in SHOWN_STAGES)
    return (
        f'<div class=prompt><p class=turns>{escape(turns)}</p><p class="ideal soft">ideal: {escape(item["ideal"])}</p>'
        f"<div class=answers>{answers}</div></div>"
    )


def answer_block(name: str, answer: Mapping[str, Any]) -> str:
    """One answer with its grades and its score."""
    parts = ", ".join(f"{part} {answer[part]:.2f}" for part in ("helpful", "honest", "harmless"))
    score = "" if answer["score"] is None else f" · reward model {answer['score']:+.2f}"
    cut = "" if answer["ended"] else " · not ended"
    return (
        f"<div class=answer><span class=soft>{escape(name)}</span><p>{escape(answer['text']) or '(nothing)'}</p>"
        f"<span class=soft>gold {answer['total']:.2f} ({parts}){score}{cut}</span></div>"
    )


def curves_section(run_dir: Path) -> str:
    """The curves of every stage that was trained."""
    drawn = [(title, run_dir / stage / "curves.svg") for stage, title in TRAINED.items()]
    return "".join(f"<h3>{title}</h3>{picture(path, title)}" for title, path in drawn if path.is_file())


def settings_section(run_dir: Path) -> str:
    """The config.json of every stage, folded."""
    blocks = []
    for stage, title in TRAINED.items():
        path = run_dir / stage / "config.json"
        if path.is_file():
            # settings are exact, 0.0003 and not 0.000
            rows = [(name, json.dumps(value)) for name, value in flatten(load_json(path, "make all")).items()]
            blocks.append(f"<details><summary>{title}</summary>{table(['setting', 'value'], rows)}</details>")
    return "".join(blocks)


def reproduce_section(results: Results) -> str:
    """Seed, versions, seconds and memory: what it takes to do it again."""
    seconds = results["seconds"]
    rows = [
        ["command", f"make all PRESET={results['preset']} SEED={results['seed']}"],
        *([f"seconds: {stage}", f"{value:.0f}"] for stage, value in seconds.items()),
        ["peak memory, MB", results["peak_rss_mb"]],
        *([f"version: {name}", value] for name, value in results["versions"].items()),
    ]
    return table(["", ""], rows)


# ---- The page ----------------------------------------------------------------------------------------------------


def page(run_dir: Path) -> str:
    """The whole report of a run as HTML."""
    results = load_results(run_dir / "results.json")
    items = load_answers(run_dir / "evaluation" / "answers.jsonl")
    sections = {
        "gold": gold_section(results),
        "honesty": honesty_section(results, run_dir),
        "families": family_section(results),
        "wins": win_section(results),
        "measures": measures_section(results),
        "answers": answers_section(items),
        "curves": curves_section(run_dir),
        "settings": settings_section(run_dir),
        "reproduce": reproduce_section(results),
    }
    links = "".join(f"<a href=#{name}>{title}</a>" for name, title in SECTIONS.items())
    body = "".join(f"<section id={name}><h2>{SECTIONS[name]}</h2>{html}</section>" for name, html in sections.items())
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    title = f"From language model to assistant: {escape(str(results['preset']))}, seed {results['seed']}"
    return (
        '<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{title}</title><style>{style}</style></head><body>\n<h1>{title}</h1>"
        f"<p class=soft>{len(items)} prompts, {len(STAGES)} ways to answer them.</p><nav>{links}</nav>\n"
        f"{body}</body></html>\n"
    )


def main(argv: list[str]) -> None:
    """Writes report.html of a run."""
    config = parse(RunConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    path = config.run_dir / "report.html"
    write_text(path, page(config.run_dir))
    print(f"the report is in {path}")


if __name__ == "__main__":
    run_main(main)
