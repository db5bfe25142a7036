"""`python -m minigpt.toyworld`: prints documents of the small world, or its facts."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from minigpt.toyworld.documents import documents
from minigpt.toyworld.facts import FACTS


@dataclass(frozen=True)
class PrintConfig(Settings):
    """Settings of the output."""

    count: int = option(10, "how many documents", low=1)
    seed: int = option(0, "another seed, other documents")
    facts: bool = option(False, "print every fact instead, in its first wording")


def main(argv: list[str]) -> None:
    """Prints what the flags ask for."""
    config = parse(PrintConfig, argv, description=__doc__, presets={})
    if config.facts:
        print("\n".join(fact.relation.state(fact.subject)[0] for fact in FACTS))
    else:
        print("\n\n".join(documents(config.count, config.seed)))


if __name__ == "__main__":
    run_main(main)
