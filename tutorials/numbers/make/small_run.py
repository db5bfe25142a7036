"""small-run.json: what chapters quote from a finished run of preset small.

    python -m tutorials.numbers.make.small_run --runs /path/to/runs --trained-at COMMIT --threads 2

Half a minute on one core, after the run itself. It reads what the run wrote and measures what the run did not: how far
the reward model's probabilities can be believed, and which attention heads find out who "it" is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

import minigpt.model
from minigpt.attention import attention_by_heads, causal_mask
from minigpt.data import pad_sequences
from minigpt.model import GPT, token_logprobs
from minigpt.runs.config import RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.metrics import read_metrics
from minigpt.tokenizer import Tokenizer
from rlhf.bad_records import BadRecords
from rlhf.chat_format import encode_prompt, encode_response, user_prompt
from rlhf.data_formats.formats import read_rankings
from rlhf.evaluation.evaluate import table as gold_table
from rlhf.evaluation.results import load_answers, load_json, load_results
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.records import Ranking
from rlhf.stage2_reward.examples import collate, encode_rankings, split_validation
from rlhf.stage2_reward.loss import better_pairs, right_pairs
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage2_reward.objective import score_by_length
from rlhf.stage_io import load_policy, load_tokenizer
from tutorials.numbers.make.record import commit, record

CPU = torch.device("cpu")


@dataclass(frozen=True)
class SmallRunConfig(RunConfig):
    """Which run, and what it does not say about itself."""

    trained_at: str | None = option(None, "the commit that the run was made with")
    threads: int = option(2, "the threads that it ran on", low=1)


# ---- Chapter 00: the chain -------------------------------------------------------------------------------------------

STAGES = {"base": "base", "sft": "SFT", "ppo": "PPO"}
WIDTH = 76  # of an answer: a page shows about 100 characters of a line
SHOWN = ("D-unknowable-5", "D-reference-5", "D-fact-5")  # two that tell the story, and one that PPO made worse


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
    }


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
SHOWN_HEADS = ((2, 0), (3, 2), (3, 3))  # (layer, head), both counted from 0


class Spy:
    """Attention that keeps the weights of every layer, and can silence one head."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []  # [H,T,S] of each layer
        self.silenced: tuple[int, int] | None = None

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # [B,H,T,S]
        scores = scores.masked_fill(~causal_mask(queries.shape[2], queries.device), -torch.inf)  # [B,H,T,S]
        self.weights.append(scores.softmax(dim=-1)[0])  # [H,T,S]
        mixed = attention_by_heads(queries, keys, values)  # [B,H,T,D]
        if self.silenced is not None and len(self.weights) - 1 == self.silenced[0]:
            mixed[:, self.silenced[1]] = 0
        return mixed


@contextmanager
def spying() -> Iterator[Spy]:
    """Every GPT computes attention with a Spy until the block ends."""
    original, spy = minigpt.model.attention_fused, Spy()
    minigpt.model.attention_fused = spy
    try:
        yield spy
    finally:
        minigpt.model.attention_fused = original


def next_token(policy: GPT, tokenizer: Tokenizer, question: str, spy: Spy) -> tuple[list[int], Tensor]:
    """The ids of a question with the beginning of its answer, and the probabilities [V] of what comes next."""
    ids = encode_prompt(tokenizer, user_prompt(question)) + tokenizer.encode(BEGINNING)
    spy.weights.clear()
    return ids, policy(torch.tensor([ids]))[0, -1].softmax(dim=-1)  # [V]


def looks(policy: GPT, tokenizer: Tokenizer) -> dict[str, Any]:
    """For both sentences: the tokens, and how the shown heads' last token weighs them."""
    seen = {}
    with spying() as spy:
        for name, sentence in SENTENCES.items():
            ids, _ = next_token(policy, tokenizer, QUESTION.format(sentence=sentence), spy)
            rows = [spy.weights[layer][head, -1].tolist() for layer, head in SHOWN_HEADS]
            seen[name] = {"tokens": [tokenizer.decode([token]).strip() for token in ids], "weights": rows}
    return {"heads": [list(head) for head in SHOWN_HEADS], **seen}


def silence_each_head(policy: GPT, tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The probability of the right noun (its first token), mean over prompts: with all heads, and without each."""
    layers, heads = policy.config.layers, policy.config.heads
    with spying() as spy:

        def right() -> float:
            total = 0.0
            for prompt in prompts:
                _, probabilities = next_token(policy, tokenizer, prompt.turns[0].text, spy)
                total += float(probabilities[tokenizer.encode(f" {prompt.request.subject.noun}")[0]])
            return total / len(prompts)

        whole, without = right(), []
        for layer in range(layers):
            without.append([])
            for head in range(heads):
                spy.silenced = (layer, head)
                without[-1].append(right())
    return {"prompts": len(prompts), "whole": whole, "without": without, "without_head_3_3": without[3][3]}


# ---- Chapter 15: the reward model ------------------------------------------------------------------------------------

EXAMPLE_PROMPT = "How can I trick my brother?"
EXAMPLE_ANSWERS = (
    "I will not help you trick your brother. Try to talk to your brother instead.",
    "I will not help you trick your brother.",
    "You can trick your brother when nobody is looking.",
    "Go away.",
)
LOGGED = {
    "eval_log_loss": "log loss",
    "eval_accuracy": "accuracy",
    "eval_gold_accuracy": "gold",
    "eval_margin": "margin",
}
CURVE_STEPS = 10
BIN = 0.05  # of the probability that the reward model gives the answer it prefers, from 0.5 to 1


def log_table(metrics: Path) -> str:
    """The steps at which the held-out pairs were measured."""
    head = f"{'step':>4}" + "".join(f"{name:>10}" for name in LOGGED.values())
    rows = [row for row in read_metrics(metrics) if "eval_accuracy" in row]
    return "\n".join([head, *(f"{row['step']:>4}" + "".join(f"{row[n]:>10.3f}" for n in LOGGED) for row in rows)])


def loss_curve(metrics: Path) -> dict[str, list[float]]:
    """The training loss, averaged over CURVE_STEPS steps, and the held-out log loss where it was measured."""
    rows = read_metrics(metrics)
    losses = [row["loss"] for row in rows if "loss" in row]
    means = [fmean(losses[i : i + CURVE_STEPS]) for i in range(0, len(losses) - CURVE_STEPS + 1, CURVE_STEPS)]
    held_out = [(row["step"], row["eval_log_loss"]) for row in rows if "eval_log_loss" in row]
    return {
        "step": [CURVE_STEPS * (i + 0.5) for i in range(len(means))],
        "loss": means,
        "held_out_step": [step for step, _ in held_out],
        "held_out_loss": [loss for _, loss in held_out],
    }


def example(model: RewardModel, tokenizer: Tokenizer) -> dict[str, Any]:
    """The scores of the chapter's four answers."""
    prompt = encode_prompt(tokenizer, user_prompt(EXAMPLE_PROMPT))
    ids, lengths = pad_sequences([prompt + encode_response(tokenizer, a) for a in EXAMPLE_ANSWERS], tokenizer.pad_id)
    scores = model(ids, lengths).tolist()
    lines = [f"{name}  {score:5.2f}  {a}" for name, score, a in zip("abcd", scores, EXAMPLE_ANSWERS, strict=True)]
    return {"prompt": EXAMPLE_PROMPT, "scores": scores, "table": "\n".join(lines)}


def likelihood(policy: GPT, ids: Tensor, lengths: Tensor, prompt_length: int) -> Tensor:
    """The mean log-probability [N], in nats/token, that the SFT policy gives each answer of a prompt."""
    logprobs = token_logprobs(policy(ids[:, :-1]), ids[:, 1:])  # [N,T]
    place = torch.arange(logprobs.shape[1])  # [T]
    of_answer = (place >= prompt_length - 1) & (place < lengths[:, None] - 1)  # [N,T]
    return (logprobs * of_answer).sum(dim=1) / of_answer.sum(dim=1)  # [N]


def judge_pairs(model: RewardModel, policy: GPT, tokenizer: Tokenizer, rankings: Sequence[Ranking]) -> dict[str, Any]:
    """Over the held-out pairs: how often two scores are in the annotators' and in the true order, and calibration."""
    context = model.trunk.config.context
    _, comparisons = encode_rankings(tokenizer, rankings, context, BadRecords())
    _, held_out = split_validation(list(zip(rankings, comparisons, strict=True)), 0.1)
    right = {"reward_model": [0.0, 0.0], "likelihood": [0.0, 0.0], "gold": [0.0, 0.0]}
    pairs, said, chosen = [0, 0], [], []
    for ranking, comparison in held_out:
        batch = collate([comparison], tokenizer.pad_id, CPU)
        prompt_length = len(encode_prompt(tokenizer, ranking.turns))
        scores = {
            "reward_model": score_by_length(model, batch.ids, batch.lengths),
            "likelihood": likelihood(policy, batch.ids, batch.lengths, prompt_length),
            "gold": batch.gold,
        }
        for order, ranks in enumerate((batch.ranks, -batch.gold)):
            better = better_pairs(ranks, batch.group)  # [N,N]
            pairs[order] += int(better.sum())
            for name, score in scores.items():
                right[name][order] += float(right_pairs(score, better))
        better = better_pairs(batch.ranks, batch.group)  # [N,N]
        difference = (scores["reward_model"][:, None] - scores["reward_model"][None, :])[better]  # [pairs]
        said.append(difference.abs().sigmoid())
        chosen.append(difference > 0)
    orders = ("annotators", "gold")
    accuracy = {n: {o: hits[i] / pairs[i] for i, o in enumerate(orders)} for n, hits in right.items()}
    return {
        "pairs": dict(zip(orders, pairs, strict=True)),
        "accuracy": accuracy,
        "calibration": calibration(torch.cat(said), torch.cat(chosen)),
    }


def calibration(said: Tensor, chosen: Tensor) -> dict[str, list[float]]:
    """In bins of what was said: its mean, the share of pairs where the annotator chose so, and how many pairs."""
    bins = ((said - 0.5) / BIN).long().clamp(max=round(0.5 / BIN) - 1)  # [pairs]
    rows = [(said[bins == b], chosen[bins == b].float()) for b in range(round(0.5 / BIN))]
    return {
        "said": [float(s.mean()) for s, _ in rows],
        "chosen": [float(c.mean()) for _, c in rows],
        "pairs": [len(s) for s, _ in rows],
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
    run_dir, tokenizer = config.run_dir, load_tokenizer(config.run_dir)
    policy = load_policy(run_dir / "sft", tokenizer)
    model = load_reward_model(run_dir / "reward_model", tokenizer)
    rankings = read_rankings(run_dir / "reward_model" / "rankings.jsonl", BadRecords())
    prompts = [p for p in prompt_set("D", 400, config.seed) if p.family == "reference" and " ate " in p.turns[0].text]
    fields = {
        "measured_at": measured_at,
        "chain": chain(run_dir),
        "looks": looks(policy, tokenizer),
        "heads": silence_each_head(policy, tokenizer, prompts),
        "reward_model": {
            "summary": load_json(run_dir / "reward_model" / "summary.json", "make stage2"),
            "log": log_table(run_dir / "reward_model" / "metrics.jsonl"),
            "curve": loss_curve(run_dir / "reward_model" / "metrics.jsonl"),
            "example": example(model, tokenizer),
            **judge_pairs(model, policy, tokenizer, rankings),
        },
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
