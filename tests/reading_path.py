"""The files of the core, in the order to read them, with their lines: the table between the markers of README.md.

    python -m tests.reading_path

writes it. tests/test_reading_path.py checks that it is up to date, that the path stays within its lines, and that none
of its files imports a side room except through the lines listed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_text
from rlhf.report.readme import replace_between

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 3000

PATH: tuple[tuple[str, str], ...] = (
    ("minigpt/bpe.py", "byte-pair encoding; `tokenizer.py` adds special tokens and files to it"),
    ("minigpt/positions.py", "positions: sinusoidal, learned, rotary"),
    ("minigpt/attention.py", "attention as loops, by heads, fused; layouts of a batch"),
    ("minigpt/cache.py", "keys and values of earlier tokens"),
    ("minigpt/model.py", "the block, the GPT"),
    ("minigpt/generate.py", "sampling, with a KV cache"),
    ("minigpt/data.py", "documents to batches"),
    ("minigpt/training.py", "the supervised loop"),
    ("rlhf/chat_format.py", "turns of a conversation to ids"),
    ("rlhf/people/prompts.py", "what people ask"),
    ("rlhf/people/annotators.py", "how people rank answers"),
    ("rlhf/stage1_sft/examples.py", "demonstrations to ids and masks"),
    ("rlhf/stage1_sft/objective.py", "the loss on responses only"),
    ("rlhf/stage2_reward/network.py", "a trunk with a scalar head"),
    ("rlhf/stage2_reward/loss.py", "the K-wise loss"),
    ("rlhf/stage3_ppo/losses.py", "KL, advantages, clipped losses"),
    ("rlhf/stage3_ppo/rollout.py", "prompts to a batch of responses"),
    ("rlhf/stage3_ppo/step.py", "one iteration of PPO"),
)


def line_count(file: str) -> int:
    """The lines of a file of the repository."""
    return len((ROOT / file).read_text(encoding="utf-8").splitlines())


def table() -> str:
    """The path as a Markdown table, with the sum of its lines."""
    lines = ["| file | what it is | lines |", "|---|---|--:|"]
    lines += [f"| [{file}]({file}) | {what} | {line_count(file)} |" for file, what in PATH]
    return "\n".join([*lines, f"| | together | {sum(line_count(file) for file, _ in PATH):,} |"])


@dataclass(frozen=True)
class ReadingPathConfig(Settings):
    """The page to write."""

    readme: str = option("README.md", "the page with the markers")


def main(argv: list[str]) -> None:
    """Writes the table into README.md."""
    config = parse(ReadingPathConfig, argv, description=__doc__, presets={})
    path = Path(config.readme)
    write_text(path, replace_between(path.read_text(encoding="utf-8"), "path", table(), str(path)))


if __name__ == "__main__":
    run_main(main)
