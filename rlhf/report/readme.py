"""Writes the measured parts of README.md from a run, so that no number in it was typed by hand.

    python -m rlhf.report.readme --preset small

Replaces what stands between <!-- results:start --> and <!-- results:end -->, and between <!-- samples:start --> and
<!-- samples:end -->. The results of several seeds (tests/expected/, made by `make expected`) are shown as medians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import write_text
from rlhf.evaluation.results import SHOWN_STAGES, STAGES, Answered, Results, load_answers, load_results, pick
from rlhf.report.goals import GOALS, figures_of, medians
from rlhf.report.tables import Gain, Table, gain_of_ppo, gold_table, honesty_table

SHOWN_PROMPTS = 8


@dataclass(frozen=True)
class ReadmeConfig(RunConfig):
    """The page to write, and the folder of other seeds."""

    readme: str = option("README.md", "the page to write into")
    expected: str = option("tests/expected", "folder with the results of several seeds; it may be missing")


def replace_between(page: str, name: str, text: str, where: str) -> str:
    """`page` with `text` between its two markers. Raises UserError unless each is there once, in order."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise UserError(f"{where} needs the markers {start} and {end}, each once and in this order; add them")
    before, after = page.split(start)[0], page.split(end)[1]
    return f"{before}{start}\n{text.strip()}\n{end}{after}"


def three_digits(value: float) -> str:
    """Two decimals, or none from 100 on; a proper minus sign, and none before a zero."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:z.2f}".replace("-", "−")


def markdown(table: Table) -> list[str]:
    """The lines of a table in Markdown."""
    cells = [[name, *("–" if x is None else three_digits(x) for x in figures)] for name, *figures in table.rows]
    lines = [f"| {' | '.join(table.head)} |".replace("|  |", "| |"), "|---|" + "--:|" * (len(table.head) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in cells]


def gain_text(gain: Gain) -> str:
    """One sentence: how PPO's gain in gold splits into content and stopping."""
    return (
        f"PPO gains {three_digits(gain.total)} in gold over SFT: {three_digits(gain.content)} by content (up to the "
        f"first stray token), {three_digits(gain.stopping)} by stopping there."
    )


def results_text(results: Results, seeds: Sequence[Results]) -> str:
    """Markdown tables: what each stage did, its honesty and side effects, and what was promised.

    seeds: the same preset with several seeds.
    """
    runs = list(seeds) or [results]
    middle = medians(runs)
    numbers = ", ".join(str(run["seed"]) for run in runs)
    which = f"medians of seeds {numbers}" if len(runs) > 1 else f"seed {numbers}"
    temperature = results.get("temperature", 1.0)  # until 2026-11-30 it was always 1, and results.json did not say it
    lines = [
        f"Preset `{runs[0]['preset']}`, {which}; means over prompts that no stage has seen, at "
        f"temperature {temperature:g}.",
        "",
        *markdown(gold_table(middle)),
        "",
        honesty_table(middle).caption,
        "",
        *markdown(honesty_table(middle)),
        "",
        gain_text(gain_of_ppo(middle)),
    ]
    lines += ["", f"| | must reach | {'median' if len(runs) > 1 else 'measured'} | met |", "|---|--:|--:|---|"]
    for goal in GOALS:
        # three decimals: at two, 0.798 would read as the 0.80 that it misses
        value = goal.measure(middle)
        shown = f"{value:.0f}" if abs(value) >= 100 else f"{value:z.3f}".replace("-", "−")
        lines.append(f"| {goal.name} | {goal.text} | {shown} | {'yes' if goal.met(middle) else '**no**'} |")
    wins = figures_of(results)
    low, high = (three_digits(wins[f"win_rate.ppo_vs_sft.{end}"]) for end in ("low", "high"))
    lines += ["", f"The 95 % interval of PPO's win rate over SFT, seed {results['seed']}: {low} to {high}."]
    return "\n".join(lines)


def cell(text: str) -> str:
    """A text that stays inside its cell of a Markdown table and says what it says."""
    for character in "\\`*_[]<>|#~":
        text = text.replace(character, "\\" + character)
    return "<br>".join(line for line in text.splitlines() if line.strip()) or "*(nothing)*"


def samples_text(items: Sequence[Answered]) -> str:
    """A Markdown table: one prompt of each of the first families, and three answers with their gold totals."""
    chosen = [family[0] for family in pick(items, 1).values()][:SHOWN_PROMPTS]
    titles = " | ".join(STAGES[stage] for stage in SHOWN_STAGES)
    lines = [f"| prompt | {titles} |", "|---|" + "---|" * len(SHOWN_STAGES)]
    for item in chosen:
        # a line each for the turns of a conversation, so that it is plain who said what
        spoken = "\n".join(
            message["content"] if message["role"] == "user" else f"— {message['content']}" for message in item["prompt"]
        )
        answers = [item["answers"][stage] for stage in SHOWN_STAGES]
        cells = [f"{cell(a['text'])}{'' if a['ended'] else ' …'} *({a['total']:.2f})*" for a in answers]
        lines.append(f"| {cell(spoken)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Rewrites the two marked parts of the page."""
    config = parse(ReadmeConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    path = Path(config.readme)
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the page with --readme") from None
    results = load_results(config.run_dir / "results.json")
    items = load_answers(config.run_dir / "evaluation" / "answers.jsonl")
    seeds = [load_results(file) for file in sorted(Path(config.expected).glob("seed-*.json"))]
    seeds = [run for run in seeds if run["preset"] == results["preset"]]
    page = replace_between(page, "results", results_text(results, seeds), str(path))
    page = replace_between(page, "samples", samples_text(items), str(path))
    write_text(path, page)
    print(f"{path} now shows {config.run_dir}")


if __name__ == "__main__":
    run_main(main)
