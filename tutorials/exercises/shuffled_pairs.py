"""The experiment of exercise 15.3: one reward model learns from grouped pairs, one from shuffled pairs.

Both start from the same SFT policy, take the same number of steps with as many pairs in each, and see every pair of the
training rankings once. Grouped, a step holds all pairs of a few prompts. Shuffled, it holds pairs from anywhere, so
that an answer comes back in K−1 different steps of the same epoch (InstructGPT, section 3.5).
"""

from __future__ import annotations

import copy
import itertools
import random
import sys
from collections.abc import Sequence
from typing import Any

import torch

from minigpt.model import GPT
from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_rankings
from rlhf.stage2_reward.examples import Comparison, RankedBatch, collate, encode_ranking, split_validation
from rlhf.stage2_reward.loss import kwise_loss
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage2_reward.objective import evaluate_ranking
from tutorials.models import load_or_train

HELD_OUT = 0.3
PROMPTS_A_STEP = 2
LEARNING_RATE = 1e-3
SEED = 0
CPU = torch.device("cpu")


def single_pairs(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Every pair as a ranking of two answers of its own; ties are left out."""
    pairs = []
    for c in comparisons:
        for i in range(len(c.ranks)):
            for j in range(i + 1, len(c.ranks)):
                if c.ranks[i] != c.ranks[j]:
                    pairs.append(Comparison((c.sequences[i], c.sequences[j]), (c.ranks[i], c.ranks[j]), None))
    return pairs


def batches(comparisons: Sequence[Comparison], steps: int, pad_id: int) -> list[RankedBatch]:
    """Shuffled and dealt to `steps` batches that are as equal as can be."""
    order = list(comparisons)
    random.Random(SEED).shuffle(order)
    edges = [round(step * len(order) / steps) for step in range(steps + 1)]
    return [collate(order[start:end], pad_id, CPU) for start, end in itertools.pairwise(edges)]


def train(policy: GPT, data: Sequence[RankedBatch]) -> RewardModel:
    """One epoch of AdamW on the K-wise loss, a mean over prompts (or over single pairs)."""
    model = RewardModel(copy.deepcopy(policy), torch.Generator().manual_seed(SEED)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    for batch in data:
        scores = model(batch.ids, batch.lengths)  # [N]
        loss = kwise_loss(scores, batch.ranks, batch.group) / (int(batch.group.max()) + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def measure() -> dict[str, Any]:
    """Train both; their losses on the rankings they learned from and on held-out ones, in nats a pair."""
    sft, ranked = load_or_train("sft"), load_or_train("reward_model").stage_dir / "rankings.jsonl"
    pad_id, context = sft.tokenizer.pad_id, sft.model.config.context
    rankings = read_rankings(ranked, BadRecords())
    comparisons = [encode_ranking(sft.tokenizer, ranking, context, "rankings.jsonl") for ranking in rankings]
    learned, held_out = split_validation([c for c in comparisons if len(set(c.ranks)) == len(c.ranks)], HELD_OUT)
    steps = len(learned) // PROMPTS_A_STEP
    measured: dict[str, Any] = {"answer_counts": [len(c.ranks) for c in learned], "seed": SEED, "steps": steps}
    for kind, data in (("grouped", learned), ("shuffled", single_pairs(learned))):
        print(f"one epoch on {kind} pairs …", file=sys.stderr)
        model = train(sft.model, batches(data, steps, pad_id))
        for name, part in (("training_loss", learned), ("loss", held_out)):
            whole = [collate(part[i : i + 8], pad_id, CPU) for i in range(0, len(part), 8)]
            measured[f"{kind}_{name}"] = evaluate_ranking(model, whole)["log_loss"]
    return measured
