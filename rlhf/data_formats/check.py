"""A report on a file: its format, how much of it a model can read, and its first record as the model sees it.

    python -m rlhf.data_formats check mine.jsonl
    python -m rlhf.data_formats check mine.jsonl --runs runs --preset small --context 256

Lengths are counted with the tokenizer of the run, runs/<preset>/tokenizer.json, and against the context of its model.
Before there is a run, they are counted in bytes, of which a token has several.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from minigpt.corpora.json_lines import shown
from minigpt.corpora.text import Corpus, survey
from minigpt.model import GPTConfig
from minigpt.pretrain import PRESETS
from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.tokenizer import Tokenizer
from rlhf.bad_records import BadRecords
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.chat_format import show as show_turns
from rlhf.data_formats.formats import Format, read_records
from rlhf.data_formats.sources import container
from rlhf.records import Demonstration, Ranking

SHOWN_TOKENS = 60  # of the first record; the middle of a longer one is left out


@dataclass(frozen=True)
class CheckConfig(RunConfig):
    """The run whose tokenizer and context the file is measured with."""

    context: int | None = option(None, "tokens that fit into the model; none is the context of the run's model", low=2)


def check(path: Path, tokenizer: Tokenizer, context: int, unit: str = "tokens") -> list[str]:
    """The lines that describe a file. Raises UserError if none of its records can be read."""
    kind = container(path)
    if kind == "JSON lines" and _is_text(path):
        return _describe_text(path)
    bad, names = BadRecords(skip=True), {}

    def build(found: Format, data: dict[str, Any], where: str) -> Demonstration | Ranking:
        names[found.name] = names.get(found.name, 0) + 1
        return found.build(data, where)

    try:
        records = read_records(path, build, bad)
    except UserError:
        if not bad.count:
            raise
        raise UserError(f"{path}: {kind}, of which no record can be read; the first: {bad.reasons[0]}") from None
    lengths = sorted(max(len(ids) for ids, _ in encoded(tokenizer, record)) for record in records)
    what = "rankings" if isinstance(records[0], Ranking) else "demonstrations"
    stage = "stage2_reward --rankings" if what == "rankings" else "stage1_sft --demonstrations"
    ninety = lengths[-(-9 * len(lengths) // 10) - 1]
    return [
        f"{path}: {kind}, {max(names, key=names.__getitem__)}",
        f"{len(records):,} {what} can be read, for `python -m rlhf.{stage}`; {bad.count:,} records cannot",
        *(f"  {reason}" for reason in bad.reasons),
        f"{sum(length <= context for length in lengths):,} of them fit into a context of {context} {unit}; half have "
        f"at most {median(lengths):,.0f} {unit}, 90 % at most {ninety:,}, the longest {lengths[-1]:,}",
        "",
        f"The first of them, {records[0].source}:",
        show_turns(records[0].turns),
        "",
        *[line for ids, learned in encoded(tokenizer, records[0]) for line in show_tokens(tokenizer, ids, learned)],
    ]


def encoded(tokenizer: Tokenizer, record: Demonstration | Ranking) -> list[tuple[list[int], list[bool]]]:
    """Each sequence that a stage makes of a record: its ids, and at which of them it learns. A demonstration teaches
    the tokens of its response; of a ranking, the reward model reads a score at the last token of each answer."""
    prompt = encode_prompt(tokenizer, record.turns)
    if isinstance(record, Demonstration):
        response = encode_response(tokenizer, record.response)
        return [(prompt + response, [False] * len(prompt) + [True] * len(response))]
    made = []
    for text, ended in zip(record.responses, record.ended, strict=True):
        response = encode_response(tokenizer, text, sampled=record.sampled)
        ids = prompt + (response if ended else response[:-1])
        made.append((ids, [False] * (len(ids) - 1) + [True]))
    return made


def show_tokens(tokenizer: Tokenizer, ids: Sequence[int], learned: Sequence[bool]) -> list[str]:
    """A table of id, mask and text; in a long sequence, what is in the middle is left out."""
    half = SHOWN_TOKENS // 2
    lines = ["    id  mask  token"]
    for place, (token, mask) in enumerate(zip(ids, learned, strict=True)):
        if len(ids) > SHOWN_TOKENS and place == half:
            lines.append(f"     …        {len(ids) - SHOWN_TOKENS} more")
        if len(ids) <= SHOWN_TOKENS or place < half or place >= len(ids) - half:
            text = tokenizer.token_bytes(token).decode("utf-8", errors="backslashreplace")
            lines.append(f"{token:6}  {int(mask):4}  {text!r}")
    return [*lines, ""]


def _is_text(path: Path) -> bool:
    """True if the file holds no JSON object: then it is text."""
    try:
        first = next(iter(Corpus(path)))
    except UserError:
        return False
    return not first.lstrip().startswith("{")


def _describe_text(path: Path) -> list[str]:
    found = survey(Corpus(path))
    return [
        f"{path}: text, for `python -m minigpt.pretrain --corpus`",
        f"{len(found.sizes):,} documents, {sum(found.sizes):,} characters, the longest {max(found.sizes):,}",
    ]


# ---- The command -------------------------------------------------------------------------------------------------


def tokenizer_and_context(config: CheckConfig) -> tuple[Tokenizer, int, str]:
    """The tokenizer of the run, or one of bytes; the context asked for, or that of the run's model; what is counted."""
    path, unit = config.run_dir / "tokenizer.json", "tokens"
    tokenizer = Tokenizer.load(path) if path.is_file() else Tokenizer([])
    if not path.is_file():
        unit = "bytes"
    context = PRESETS.get(config.preset, {}).get("context", GPTConfig().context)
    try:
        described = json.loads((config.stage_dir("pretrain") / "config.json").read_text(encoding="utf-8"))
        context = int(described["config"]["model"]["context"])
    except (OSError, ValueError, LookupError, TypeError):
        pass  # no run yet, or one that was converted
    return tokenizer, config.context or context, unit


def parse_command(argv: list[str]) -> tuple[list[str], CheckConfig]:
    """The file to look at, if there is one, and the settings."""
    files = [argument for argument in argv[:1] if not argument.startswith("-")]
    return files, parse(CheckConfig, argv[len(files) :], description=__doc__, presets={name: {} for name in PRESETS})


def main(argv: list[str]) -> None:
    """Describes one file."""
    files, config = parse_command(argv)
    if not files:
        raise UserError(
            f"name the file to look at, as in `python -m rlhf.data_formats check mine.jsonl`, got {shown(argv)}"
        )
    tokenizer, context, unit = tokenizer_and_context(config)
    print(*check(Path(files[0]), tokenizer, context, unit), sep="\n")


if __name__ == "__main__":
    run_main(main)
