"""Prompts with the grades of some answers to them.

    python -m rlhf.people --set D --count 3

Each prompt is shown with a careful demonstration, a careless one with its habit, and a bad answer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from minigpt.runs.config import Settings, option, parse
from minigpt.runs.errors import run_main
from rlhf.chat_format import show
from rlhf.people.demonstrators import make_demonstrators
from rlhf.people.labeler import grade
from rlhf.people.prompts import SET_SHARES, prompt_set


@dataclass(frozen=True)
class PrintConfig(Settings):
    """The prompts to print."""

    set: str = option("D", "the prompt set", choices=tuple(SET_SHARES))
    count: int = option(10, "how many prompts", low=1)
    seed: int = option(0, "another seed, other prompts")


def main(argv: list[str]) -> None:
    """Prints prompts and their grades: of a careful demonstration, a careless one with its habit, and a bad answer."""
    config = parse(PrintConfig, argv, description=__doc__, presets={})
    people, rng = make_demonstrators(10, 0.5, config.seed), random.Random(config.seed)
    for prompt in prompt_set(config.set, config.count, config.seed):
        print(f"[{prompt.id}]\n{show(prompt.turns)}")
        habit, careless = rng.choice(people).write_carelessly(prompt.request, rng)
        answers = {"careful": prompt.ideal, f"careless ({habit})": careless, "bad": prompt.request.bad[0]}
        for label, answer in answers.items():
            graded = grade(prompt.request, answer, ended=True)
            print(f"  {label}: {answer}\n         {graded}")
        print()


if __name__ == "__main__":
    run_main(main)
