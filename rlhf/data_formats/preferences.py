"""Rankings for other programs: every pair of answers as one line of TRL's preference format.

    python -m rlhf.data_formats.preferences --rankings runs/small/reward_model/rankings.jsonl --trl pairs.jsonl

Reads every format of `formats`. Writes {"prompt", "chosen", "rejected"}, each a list of messages, so that TRL puts the
chat template of its own model around them; a prompt that is a text would be glued to its answer. K answers give up to
K·(K−1)/2 pairs; ties are no pairs. TRL gives every answer an end token, also those that had been cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import UserError, run_main
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn
from rlhf.data_formats.formats import read_rankings
from rlhf.records import Ranking, messages, pairs, write_lines


@dataclass(frozen=True)
class PreferencesConfig(Settings):
    """From where to where."""

    rankings: str | None = option(None, "the rankings or preferences to read, in a format of rlhf/data_formats")
    trl: str | None = option(None, "the file to write, one pair a line")
    skip_bad: bool = option(False, "leave out records that are malformed, and say how many; else stop")


def trl_preferences(ranking: Ranking) -> Iterator[dict[str, Any]]:
    """Each pair as TRL's trainers read it, with an explicit prompt and conversational."""
    answers = [messages([Turn("assistant", text)]) for text in ranking.responses]
    for better, worse in pairs(ranking):
        yield {"prompt": messages(ranking.turns), "chosen": answers[better], "rejected": answers[worse]}


def main(argv: list[str]) -> None:
    """Writes the pairs and says how many there are."""
    config = parse(PreferencesConfig, argv, description=__doc__, presets={})
    if config.rankings is None or config.trl is None:
        raise UserError("name the file to read by --rankings, and the one to write by --trl")
    source, target = Path(config.rankings), Path(config.trl)
    if source.resolve() == target.resolve():
        raise UserError(f"--trl: {target} is the file to be read, and pairs are not made rankings again; name another")
    bad = BadRecords(config.skip_bad)
    rankings = read_rankings(source, bad)
    lines = [line for ranking in rankings for line in trl_preferences(ranking)]
    if not lines:
        raise UserError(f"{source} holds ties only, so there is no pair to write")
    bad.finish(source, len(rankings))
    write_lines(target, lines)
    cut = sum(not ended for ranking in rankings for ended in ranking.ended)
    print(f"{len(lines)} pairs of {len(rankings)} rankings, {cut} answers of which had been cut off, are in {target}")


if __name__ == "__main__":
    run_main(main)
