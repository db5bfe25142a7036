"""Reward models that learn from a choice of the rankings that stage 2 has collected, and how they judge held-out ones.

Two experiments ask how annotators should be asked. Both start from the SFT policy and run the stage's own training loop
on answers and ranks that the stage has written down. They differ in what they take of them, and in the loss.
"""

from __future__ import annotations

import copy
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minigpt.runs.seeds import seeded_generator
from minigpt.training import TrainingConfig, train
from rlhf.bad_records import BadRecords
from rlhf.data_formats.formats import read_rankings
from rlhf.stage2_reward.examples import Comparison, collate, encode_rankings
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage2_reward.objective import RankingObjective, ranking_measures
from rlhf.stage_io import checkpoint_payload
from tutorials.experiments.lab.models import Trained

PROMPTS_AT_ONCE = 40  # scored side by side
CPU = torch.device("cpu")


def collected(reward_model: Trained) -> list[Comparison]:
    """What stage 2 has ranked, as ids, in its order, which is random."""
    rankings = read_rankings(reward_model.stage_dir / "rankings.jsonl", BadRecords())
    return encode_rankings(reward_model.tokenizer, rankings, reward_model.model.trunk.config.context, BadRecords())[1]


def choose(comparison: Comparison, places: Sequence[int]) -> Comparison:
    """The same prompt with only the answers at these places. Their ranks keep their order, and need not begin at 0."""
    parts = (comparison.sequences, comparison.ranks, comparison.gold)
    return Comparison(*(None if part is None else tuple(part[place] for place in places) for part in parts))


def any_answers(comparisons: Sequence[Comparison], count: int, rng: random.Random) -> list[Comparison]:
    """`count` random answers to every prompt that has as many, where they truly differ."""
    many = [comparison for comparison in comparisons if len(comparison.ranks) >= count]
    chosen = [choose(comparison, rng.sample(range(len(comparison.ranks)), count)) for comparison in many]
    return list(filter(truly_differ, chosen))


def truly_differ(comparison: Comparison) -> bool:
    """Whether one of the answers is better than another in truth: only then is there a true order to find."""
    return comparison.gold is not None and len(set(comparison.gold)) > 1


def learn(sft: Trained, objective: RankingObjective, training: TrainingConfig, passes: int = 1) -> RewardModel:
    """A reward model that starts from the SFT policy and passes over the objective's data. The loop evaluates before
    the first pass and after each. The folder that it leaves is dropped: what is measured, is measured on the way."""
    model = RewardModel(copy.deepcopy(sft.model), seeded_generator(sft.seed, "reward head"))
    steps = objective.steps_per_epoch()
    config = replace(training, steps=passes * steps, evaluate_every=steps, checkpoint_every=0)
    payload = checkpoint_payload("reward_model", sft.model, sft.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        stage_dir = Path(folder) / "reward_model"
        train(model, objective, config, stage_dir=stage_dir, describe={}, checkpoint_payload=payload, seed=sft.seed)
    return model.eval()


@torch.no_grad()
def per_prompt(model: nn.Module, comparisons: Sequence[Comparison], pad_id: int) -> dict[str, list[float]]:
    """For each prompt the accuracy and log loss in the annotators' order, and the accuracy in the true one; the answers
    to each must truly differ."""
    measures: dict[str, list[float]] = {"accuracy": [], "log_loss": [], "gold_accuracy": []}
    for start in range(0, len(comparisons), PROMPTS_AT_ONCE):
        part = comparisons[start : start + PROMPTS_AT_ONCE]
        batch = collate(part, pad_id, CPU)
        scores = model(batch.ids, batch.lengths).split([len(one.ranks) for one in part])  # [K] each
        for comparison, own in zip(part, scores, strict=True):
            alone = collate([comparison], pad_id, CPU)
            found = ranking_measures([own], [alone])
            for name, values in measures.items():
                values.append(found[name])
    return measures


class Watched(RankingObjective):
    """Rankings whose learner is looked at prompt by prompt whenever the loop evaluates."""

    def __init__(self, *args: Any, watched: Mapping[str, Sequence[Comparison]], **options: Any) -> None:
        """`watched`: comparisons to look at, under names; the rest is RankingObjective's."""
        super().__init__(*args, **options)
        self.watched = watched
        self.looks: list[dict[str, dict[str, list[float]]]] = []  # for each look and name what per_prompt finds

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        self.looks.append({name: per_prompt(model, them, self.pad_id) for name, them in self.watched.items()})
        return {}
