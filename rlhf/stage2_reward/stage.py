"""Stage 2: a reward model, which scores an answer as annotators would rank it.

    python -m rlhf.stage2_reward
    python -m rlhf.stage2_reward --rankings mine.jsonl

The trunk is the SFT policy; its unembedding is replaced by one linear unit, read at the last token of the answer
(`network`). `comparisons` collects rankings, `examples` encodes them, `loss` and `objective` are what is learned.
Writes runs/<preset>/reward_model/: rankings.jsonl, annotators.json, summary.json and what every training run writes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minigpt.model import GPT
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.files import load_json, write_json
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import made_from
from minigpt.runs.resume import is_stopped, working_folder
from minigpt.runs.seeds import seeded_generator
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.bad_records import BadRecords
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.people.prompts import prompt_set
from rlhf.records import Ranking, write_rankings
from rlhf.stage2_reward.comparisons import rank_answers, sample_answers, with_distractors
from rlhf.stage2_reward.examples import Comparison, collate, encode_rankings, split_validation
from rlhf.stage2_reward.likelihood import likelihood_accuracy
from rlhf.stage2_reward.network import STAGE, RewardModel, normalise
from rlhf.stage2_reward.objective import RankingObjective, ranking_measures
from rlhf.stage_io import (
    MADE_BY,
    TEMPERATURE,
    checkpoint_payload,
    data_digest,
    load_policy,
    load_tokenizer,
    weights_digest,
)


@dataclass(frozen=True)
class RewardModelConfig(RunConfig):
    """Settings of stage 2: the source of the rankings, and the length of the training."""

    rankings: str | None = option(
        None,
        help="your rankings or preferences in a format of rlhf/data_formats; none lets simulated annotators rank",
    )
    skip_bad: bool = option(
        False, help="leave out records that are malformed or longer than the context, and say how many; else stop"
    )
    prompts: int = option(4000, help="prompts of set B; unused with --rankings", low=1)
    answers: tuple[int, int] = option((4, 9), help="fewest and most answers to one prompt (InstructGPT 4 to 9)", low=2)
    max_new_tokens: int = option(48, help="an answer is cut after this many tokens", low=1)
    temperature: float = option(TEMPERATURE, help="sampling temperature of the answers", low=0)
    annotators: int = option(10, help="simulated annotators", low=1)
    validation_fraction: float = option(
        0.1, help="share of the ranked prompts, the last ones, to measure accuracy on", above=0, below=1
    )
    epochs: int | None = option(None, help="passes over the rankings, in place of --steps (InstructGPT 1)", low=1)
    training: TrainingConfig = field(
        default=TrainingConfig(
            steps=600,
            batch_size=6,
            optimizer="muon",
            learning_rate=1e-3,
            matrix_learning_rate=0.006,
            warmup_steps=10,
            evaluate_every=200,
            checkpoint_every=200,
        )
    )

    def check_fields(self) -> None:
        fewest, most = self.answers
        if fewest > most:
            raise UserError(f"--answers: expected the fewest and then the most, as in 4,9, got {fewest},{most}")


PRESETS: dict[str, dict[str, object]] = {
    "tiny": {"prompts": 240, "steps": 40, "batch_size": 16, "evaluate_every": 20, "checkpoint_every": 20},
    # Many prompts once rather than few of them often: a second pass over the same answers soon overfits
    # (InstructGPT, C.2). Validation pairs are scored before and after: nothing is chosen by the looks in between.
    "small": {"epochs": 1, "evaluate_every": 0},
    "medium": {"epochs": 1, "learning_rate": 2.5e-4},
}


def get_rankings(
    config: RewardModelConfig, policy: GPT, tokenizer: Tokenizer, bad: BadRecords
) -> tuple[list[Ranking], dict[str, Any]]:
    """The user's rankings, or those of simulated annotators, and a summary of them for summary.json.

    A stopped run is resumed with the rankings that it had collected. Sampling them again would take long, and on a
    machine that sums in another order it would give other answers, so that the run could not be resumed.
    """
    if config.rankings is not None:
        return read_rankings(Path(config.rankings), bad), {"rankings": config.rankings}
    stage_dir = config.stage_dir(STAGE)
    begun = working_folder(stage_dir)
    if is_stopped(stage_dir) and (begun / "annotators.json").exists():
        summary = load_json(begun / "annotators.json", MADE_BY[STAGE])
        return read_rankings(begun / "rankings.jsonl", BadRecords()), summary
    collected = list(
        sample_answers(
            policy,
            tokenizer,
            prompt_set("B", config.prompts, config.seed),
            answers=config.answers,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed,
        )
    )
    # sampled in order of K: shuffled, so that the held-out prompts at the end are like the others
    random.Random(f"comparisons {config.seed}").shuffle(collected)
    answers = with_distractors(collected, config.seed, config.validation_fraction)
    rankings, summary = rank_answers(answers, config.annotators, config.seed)
    return rankings, {"rankings": "simulated annotators", **summary}


def read_sequences(path: Path, tokenizer: Tokenizer, context: int) -> list[list[int]]:
    """The demonstrations of a file as ids, prompt included. Raises UserError if one is longer than the context."""
    items = read_demonstrations(path, BadRecords())
    sequences = [encode_prompt(tokenizer, item.turns) + encode_response(tokenizer, item.response) for item in items]
    for item, sequence in zip(items, sequences, strict=True):
        if len(sequence) > context:
            raise UserError(
                f"{item.source}: the demonstration has {len(sequence)} tokens with its "
                f"prompt, but the model's context is {context}: shorten it, or train a model with a longer context"
            )
    return sequences


def main(argv: list[str]) -> None:
    """Trains the reward model of a run."""
    config = parse(RewardModelConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: RewardModelConfig) -> None:
    """Rankings to reward model, starting from the SFT policy of the same run; and summary.json, how good it is."""
    stage_dir, sft_dir = config.stage_dir(STAGE), config.stage_dir("sft")
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(sft_dir, tokenizer))
    # those of stage 1, the user's own if it was given any
    demonstrations = read_sequences(sft_dir / "demonstrations.jsonl", tokenizer, policy.config.context)
    rankings, comparisons, collected = get_comparisons(config, policy, tokenizer)
    learned, validation = split_validation(comparisons, config.validation_fraction)
    objective = make_objective(config, learned, validation, tokenizer)
    training = config.training
    if config.epochs is not None:
        training = replace(training, steps=config.epochs * objective.steps_per_epoch())
    describe = {
        "config": to_dict(config),
        "tokenizer": tokenizer.fingerprint,
        "policy": weights_digest(policy),
        "rankings": data_digest(comparisons),
        "demonstrations": data_digest(demonstrations),
    }
    # before the policy becomes the trunk
    likelihood = likelihood_accuracy(policy.eval(), validation, tokenizer.pad_id, objective.device)
    model = RewardModel(policy, seeded_generator(config.seed, "reward head")).to(objective.device)
    own_data = [Path(config.rankings)] if config.rankings else []
    inputs = [sft_dir / "checkpoint.pt", sft_dir / "demonstrations.jsonl", *own_data]

    def write_rankings_and_summary(folder: Path) -> None:
        if config.rankings is None:
            write_rankings(folder / "rankings.jsonl", rankings)
            write_json(folder / "annotators.json", collected)

    def finish_model(folder: Path) -> None:
        # the shift is part of the model: a checkpoint without it would score on another scale
        shift = normalise(model.eval(), demonstrations, tokenizer.pad_id)
        figures = {**collected, "epochs": training.steps / objective.steps_per_epoch(), "shift": shift}
        figures |= validation_figures(model, objective, validation, likelihood)
        write_json(folder / "summary.json", figures)

    train(
        model,
        objective,
        training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe=describe,
        checkpoint_payload=checkpoint_payload("reward_model", policy, tokenizer),
        made_from=made_from(config, PRESETS, "rlhf.stage2_reward.stage", inputs),
        on_start=write_rankings_and_summary,
        on_finish=finish_model,
    )
    print_summary(stage_dir)


def get_comparisons(
    config: RewardModelConfig, policy: GPT, tokenizer: Tokenizer
) -> tuple[list[Ranking], list[Comparison], dict[str, Any]]:
    """The rankings, those that fit into the context as ids, and the summary of get_rankings."""
    bad = BadRecords(config.skip_bad)
    rankings, summary = get_rankings(config, policy, tokenizer, bad)
    _, comparisons = encode_rankings(tokenizer, rankings, policy.config.context, bad)
    bad.finish(config.rankings or "rankings.jsonl", len(comparisons))
    return rankings, comparisons, summary


def make_objective(
    config: RewardModelConfig, learned: Sequence[Comparison], validation: Sequence[Comparison], tokenizer: Tokenizer
) -> RankingObjective:
    """The objective of these comparisons, with the batch sizes of the config."""
    return RankingObjective(
        learned,
        validation,
        batch_size=config.training.batch_size,
        micro_batch_size=config.training.micro_batch_size,
        pad_id=tokenizer.pad_id,
        seed=config.seed,
        device=config.torch_device(),
    )


@torch.no_grad()
def validation_figures(
    model: RewardModel, objective: RankingObjective, validation: Sequence[Comparison], likelihood: float
) -> dict[str, float]:
    """The figures of the finished model on validation prompts, for summary.json; every answer is scored once."""
    scores = [objective.scores(model, batch) for batch in objective.validation]  # [N] each
    figures = {"held_out_prompts": len(validation)}
    measures = ranking_measures(scores, objective.validation)
    figures |= {f"held_out_{name}": value for name, value in measures.items()}
    each = torch.cat(scores).split([len(comparison.sequences) for comparison in validation])  # [K] of each prompt
    return figures | own_answer_figures(each, validation, objective.pad_id, likelihood)


def own_answer_figures(
    scores: Sequence[Tensor], validation: Sequence[Comparison], pad_id: int, likelihood: float
) -> dict[str, float]:
    """Accuracies on pairs of the policy's own answers, without off-topic distractors; {} where gold is unknown. scores:
    [K] of each prompt, the distractors' among them."""
    pairs = [(s, answers) for s, c in zip(scores, validation, strict=True) if (answers := c.own_answers()).has_pair]
    if not pairs or pairs[0][1].gold is None:
        return {}
    batches = [collate([answers], pad_id, s.device) for s, answers in pairs]
    measured = ranking_measures([s[: len(answers.ranks)] for s, answers in pairs], batches)
    return {
        "held_out_accuracy_own": measured["accuracy"],
        "held_out_gold_accuracy_own": measured.get("gold_accuracy", math.nan),
        "held_out_likelihood_gold_accuracy_own": likelihood,
    }


def print_summary(stage_dir: Path) -> None:
    """Prints the agreement of the finished model with the annotators, and with the gold labeler where it is known."""
    figures = load_json(stage_dir / "summary.json", MADE_BY[STAGE])
    gold = f", of the true order {figures['held_out_gold_accuracy']:.1%}" if "held_out_gold_accuracy" in figures else ""
    print(
        f"validation pairs in the annotators' order {figures['held_out_accuracy']:.1%}{gold}; "
        f"see {stage_dir / 'summary.json'}"
    )
