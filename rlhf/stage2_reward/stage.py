"""Stage 2: a model that scores an answer as the annotators would rank it.

The trunk is the SFT policy; its unembedding gives way to one linear unit, read at the last token of the answer. How it
learns from rankings is in `ranking`; where the rankings come from, in `comparisons`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minigpt.data import seeded_generator
from minigpt.model import GPT
from minigpt.runs.checkpoint import write_json
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.resume import is_stopped
from minigpt.runs.usage import measure_usage
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.data_formats.formats import read_demonstrations, read_rankings
from rlhf.data_formats.jsonl import BadLines
from rlhf.evaluation.results import load_json
from rlhf.people.prompts import prompt_set
from rlhf.records import Ranking, write_rankings
from rlhf.stage2_reward.comparisons import rank_answers, sample_answers, with_distractors
from rlhf.stage2_reward.likelihood import likelihood_accuracy
from rlhf.stage2_reward.network import RewardModel, normalise
from rlhf.stage2_reward.ranking import RankingObjective, collate, encode_rankings, evaluate_ranking, hold_out
from rlhf.stage_io import MADE_BY, checkpoint_payload, data_digest, load_policy, load_tokenizer, weights_digest

# ---- The command -------------------------------------------------------------------------------------------------

STAGE = "reward_model"


@dataclass(frozen=True)
class RewardModelConfig(RunConfig):
    """Where the rankings come from, and how long to learn from them."""

    rankings: str | None = option(
        None,
        help="your rankings or preferences in a format of rlhf/data_formats; none lets simulated annotators rank",
    )
    skip_bad: bool = option(
        False, help="leave out records that are malformed or longer than the context, and say how many; else stop"
    )
    prompts: int = option(3000, help="prompts of set B; unused with --rankings")
    answers: tuple[int, int] = option((4, 9), help="fewest and most answers to one prompt (InstructGPT 4 to 9)")
    max_new_tokens: int = option(48, help="an answer is cut after this many tokens")
    temperature: float = option(1.0, help="sampling temperature of the answers")
    annotators: int = option(10, help="simulated annotators")
    held_out: float = option(0.1, help="share of the ranked prompts, the last ones, to measure accuracy on")
    epochs: int | None = option(None, help="passes over the rankings, in place of --steps (InstructGPT 1)")
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

    def __post_init__(self) -> None:
        low, high = self.answers
        if not 2 <= low <= high:
            raise UserError(f"--answers: expected two numbers, 2 or more and rising, as in 4,9; got {low},{high}")
        if not 0 < self.held_out < 1:
            raise UserError(f"--held-out: expected a share between 0 and 1, got {self.held_out}")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"--epochs: expected 1 or more, got {self.epochs}")


PRESETS: dict[str, dict[str, object]] = {
    "tiny": {"prompts": 240, "steps": 40, "batch_size": 16, "evaluate_every": 20, "checkpoint_every": 20},
    # Many prompts once rather than few of them often: a second pass over the same answers soon overfits (R7).
    "small": {"epochs": 1},
    "medium": {"epochs": 1, "learning_rate": 2.5e-4},
}


def get_rankings(
    config: RewardModelConfig, policy: GPT, tokenizer: Tokenizer, bad: BadLines
) -> tuple[list[Ranking], dict[str, Any]]:
    """The user's rankings, or those of simulated annotators, and what is known about them.

    A stopped run goes on with those it had collected. To sample them again would take long, and on a machine that adds
    up in another order it would give other answers, so that the run could not go on.
    """
    if config.rankings is not None:
        return read_rankings(Path(config.rankings), bad), {"rankings": config.rankings}
    stage_dir = config.stage_dir(STAGE)
    if is_stopped(stage_dir) and (stage_dir / "annotators.json").exists():
        summary = load_json(stage_dir / "annotators.json", MADE_BY[STAGE])
        return read_rankings(stage_dir / "rankings.jsonl", BadLines()), summary
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
    answers = with_distractors(collected, config.seed, config.held_out)
    rankings, summary = rank_answers(answers, config.annotators, config.seed)
    return rankings, {"rankings": "simulated annotators", **summary}


def read_sequences(path: Path, tokenizer: Tokenizer, context: int) -> list[list[int]]:
    """The demonstrations of a file as ids, prompt included. Raises UserError if one is longer than the context."""
    items = read_demonstrations(path, BadLines())
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
        learn_from_rankings(config)


def learn_from_rankings(config: RewardModelConfig) -> None:
    """Rankings to reward model, starting from the SFT policy of the same run; and summary.json, how good it is."""
    device, stage_dir = config.torch_device(), config.stage_dir(STAGE)
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    context = policy.config.context
    # those of stage 1, the user's own if it was given any
    demonstrations = read_sequences(config.stage_dir("sft") / "demonstrations.jsonl", tokenizer, context)
    bad = BadLines(config.skip_bad)
    rankings, summary = get_rankings(config, policy, tokenizer, bad)
    _, comparisons = encode_rankings(tokenizer, rankings, context, bad)
    bad.finish(config.rankings or "rankings.jsonl", len(comparisons))
    learned, held_out = hold_out(comparisons, config.held_out)
    training = config.training
    objective = RankingObjective(
        learned,
        held_out,
        batch_size=training.batch_size,
        micro_batch_size=training.micro_batch_size,
        pad_id=tokenizer.pad_id,
        seed=config.seed,
        device=device,
    )
    if config.epochs is not None:
        training = replace(training, steps=config.epochs * objective.steps_per_epoch())
    describe = {
        "config": to_dict(config),
        "tokenizer": tokenizer.fingerprint,
        "policy": weights_digest(policy),
        "rankings": data_digest(comparisons),
        "demonstrations": data_digest(demonstrations),
    }
    own = [comparison.own_answers() for comparison in held_out]
    likelihood = likelihood_accuracy(
        policy.eval(), own, tokenizer.pad_id, device
    )  # before the policy becomes the trunk
    model = RewardModel(policy, seeded_generator(config.seed, 1)).to(device)

    def write_collected() -> None:
        if config.rankings is None:
            write_rankings(stage_dir / "rankings.jsonl", rankings)
            write_json(stage_dir / "annotators.json", summary)

    def finish() -> None:
        """The shift is part of the model: a checkpoint without it would score on another scale."""
        shift = normalise(model.eval(), demonstrations, tokenizer.pad_id)
        measured = evaluate_ranking(model, objective.held_out)
        epochs = training.steps / objective.steps_per_epoch()
        figures = {**summary, "held_out_prompts": len(held_out), "epochs": epochs, "shift": shift}
        figures |= {f"held_out_{name}": value for name, value in measured.items()}
        without_distractors = [c for c in own if c.has_pair]
        if without_distractors and without_distractors[0].gold is not None:
            measured_own = evaluate_ranking(
                model, [collate([c], tokenizer.pad_id, device) for c in without_distractors]
            )
            figures["held_out_gold_accuracy_own"] = measured_own.get("gold_accuracy")
            figures["held_out_accuracy_own"] = measured_own["accuracy"]
            figures["held_out_likelihood_gold_accuracy_own"] = likelihood
        write_json(stage_dir / "summary.json", figures)
        gold = f", of the true order {measured['gold_accuracy']:.1%}" if "gold_accuracy" in measured else ""
        print(f"held-out pairs in the annotators' order {measured['accuracy']:.1%}{gold}; see {stage_dir}/summary.json")

    train(
        model,
        objective,
        training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe=describe,
        checkpoint_payload=checkpoint_payload("reward_model", policy, tokenizer),
        start=write_collected,
        finish=finish,
    )
