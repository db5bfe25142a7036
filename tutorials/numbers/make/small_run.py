"""small-run.json, stage1-small.json and judge-small.json: what chapters quote from a finished run of preset small.

    python -m tutorials.numbers.make.small_run --runs /path/to/runs --trained-at COMMIT --threads 2

Half a minute on one core, after the run itself. It reads what the run wrote and measures what the run did not: which
attention heads find out who "it" is. `stage1` and `judge` write the other two files.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minigpt.inside import Head, Inside, look_inside
from minigpt.model import GPT
from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, user_prompt
from rlhf.evaluation.results import load_answers, load_results
from rlhf.evaluation.results import text_table as gold_table
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.stage_io import load_policy, load_tokenizer
from tutorials.numbers.make.judge import record_judge
from tutorials.numbers.make.record import commit, record
from tutorials.numbers.make.stage1 import record_stage1


@dataclass(frozen=True)
class SmallRunConfig(RunConfig):
    """Which run, and what it does not say about itself."""

    trained_at: str | None = option(None, "the commit that the run was made with")
    threads: int = option(2, "the threads that it ran on", low=1)


# ---- Chapter 00: the chain -------------------------------------------------------------------------------------------

STAGES = {"base": "base", "sft": "SFT", "ppo": "PPO"}
WIDTH = 76  # of an answer: a page shows about 100 characters of a line
SHOWN = ("D-unknowable-9", "D-reference-0", "D-list-1")  # two that tell the story, and one that PPO made worse


def chain(run_dir: Path) -> dict[str, Any]:
    """The table that `make all` ends with, its seconds, and some answers of each stage."""
    results = load_results(run_dir / "results.json")
    seconds = {stage: round(spent) for stage, spent in results["seconds"].items()}
    items = load_answers(run_dir / "evaluation" / "answers.jsonl")
    return {
        "gold_table": gold_table(results),
        "gold": results["gold"],
        "win_rate": results["win_rate"]["ppo_vs_sft"],
        "seconds": seconds,
        "answers": {item["id"]: answers(item) for item in items if item["id"] in SHOWN},
        "right_and_on": right_and_on(items),
    }


def right_and_on(items: Sequence[dict[str, Any]]) -> float:
    """The share of the base model's answers to questions without an answer that begin with a right line and go on."""
    given = [
        (whole, line)
        for item in items
        if item["family"] == "unknowable"
        for whole, line in zip(item["every_answer"]["base"], item["every_answer"]["base_first_line"], strict=True)
    ]
    return sum(not whole["clean"] and line["total"] >= 0.6 for whole, line in given) / len(given)


def answers(item: dict[str, Any]) -> str:
    """A prompt and each stage's answer with its gold total, line by line; a line end in an answer becomes " / "."""
    lines = [f"prompt  {item['prompt'][-1]['content']}"]
    for stage, name in STAGES.items():
        given = item["answers"][stage]
        text = given["text"].replace("\n", " / ")
        lines.append(f"{name:<6}  {text if len(text) <= WIDTH else text[:WIDTH] + '…'}  ({given['total']:.2f})")
    return "\n".join(lines)


# ---- Chapter 04: which heads find out who "it" is --------------------------------------------------------------------

QUESTION = "{sentence} What does the word it refer to?"
BEGINNING = "It refers to the"  # what comes next is the noun
SENTENCES = {
    "hungry": "The monkey ate the banana quickly and it looks hungry.",
    "ripe": "The monkey ate the banana because it was ripe.",
}
SHOWN_HEADS = ((0, 1), (0, 2), (0, 3), (2, 1), (3, 0))  # (layer, head), both counted from 0: the first for "ripe",
HUNGRY_HEADS = SHOWN_HEADS[1:3]  # two for "hungry", and
NOUN_HEADS = SHOWN_HEADS[3:]  # two for the noun


def inside(policy: GPT, tokenizer: Tokenizer, question: str, silent: Collection[Head] = ()) -> tuple[list[int], Inside]:
    """The ids of a question with the beginning of its answer, and what the policy computes over them."""
    ids = encode_prompt(tokenizer, user_prompt(question)) + tokenizer.encode(BEGINNING)
    return ids, look_inside(policy, ids, silent)


def looks(policy: GPT, tokenizer: Tokenizer) -> dict[str, Any]:
    """For both sentences: the tokens, and how the shown heads' last token weighs them."""
    seen = {}
    for name, sentence in SENTENCES.items():
        ids, found = inside(policy, tokenizer, QUESTION.format(sentence=sentence))
        rows = [found.weights[layer, head, -1].tolist() for layer, head in SHOWN_HEADS]
        seen[name] = {"tokens": [tokenizer.decode([token]).strip() for token in ids], "weights": rows}
    return {"heads": [list(head) for head in SHOWN_HEADS], **seen}


def silence_each_head(policy: GPT, tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The probability of the right noun (its first token), mean over prompts: with all heads, without each, without
    those that look at "hungry", and without those that look at the noun."""
    layers, heads = policy.config.layers, policy.config.heads

    def right(*silent: Head) -> float:
        total = 0.0
        for prompt in prompts:
            _, found = inside(policy, tokenizer, prompt.turns[0].text, silent)
            total += float(found.logits[-1].softmax(-1)[tokenizer.encode(f" {prompt.request.subject.noun}")[0]])
        return total / len(prompts)

    whole = right()
    without = [[right((layer, head)) for head in range(heads)] for layer in range(layers)]
    return {
        "prompts": len(prompts),
        "whole": whole,
        "without": without,
        **{f"without_head_{layer}_{head}": without[layer][head] for layer, head in SHOWN_HEADS},
        "without_hungry_heads": right(*HUNGRY_HEADS),
        "without_noun_heads": right(*NOUN_HEADS),
    }


# ---- The command -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def main(argv: list[str]) -> None:
    """Reads the run, measures, and writes the file."""
    config = parse(SmallRunConfig, argv, description=__doc__, presets={"small": {}})
    if config.trained_at is None:
        raise UserError("--trained-at is missing: name the commit that the run was made with")
    torch.set_num_threads(1)
    measured_at, started = commit(), time.monotonic()
    for record_other in (record_stage1, record_judge):
        record_other(config.run_dir, config.trained_at, config.seed, config.threads)
    run_dir, tokenizer = config.run_dir, load_tokenizer(config.run_dir)
    policy = load_policy(run_dir / "sft", tokenizer)
    prompts = [p for p in prompt_set("D", 400, config.seed) if p.family == "reference" and " ate " in p.turns[0].text]
    fields = {
        "measured_at": measured_at,
        "chain": chain(run_dir),
        "looks": looks(policy, tokenizer),
        "heads": silence_each_head(policy, tokenizer, prompts),
    }
    record(
        "small-run",
        fields,
        command="make all",
        commit=config.trained_at,
        seeds=[config.seed],
        threads=config.threads,
        seconds=fields["chain"]["seconds"]["total"] + time.monotonic() - started,
        code=[
            "minigpt/pretrain.py",
            "rlhf/stage1_sft/stage.py",
            "rlhf/stage2_reward/stage.py",
            "rlhf/stage2_reward/loss.py",
            "rlhf/stage3_ppo/training.py",
        ],
    )


if __name__ == "__main__":
    run_main(main)
