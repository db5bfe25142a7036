"""Stage 2: a model that scores an answer as the annotators would rank it.

The trunk is the SFT policy; its unembedding gives way to one linear unit, read at the last token of the answer. How it
learns from rankings is in `ranking`; where the rankings come from, in `comparisons`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.checkpoint import load_checkpoint, load_weights, write_json
from minigpt.config import RunConfig, from_dict, option, parse, to_dict
from minigpt.data import pad_sequences, seeded_generator
from minigpt.distributed import process_group
from minigpt.errors import UserError, run_main
from minigpt.model import GPT, GPTConfig, Places
from minigpt.resume import is_stopped
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from minigpt.usage import measure_usage
from rlhf.comparisons import rank_answers, sample_answers, with_strays
from rlhf.conversation import encode_prompt, encode_response
from rlhf.formats import read_demonstrations, read_rankings
from rlhf.jsonl import BadLines
from rlhf.models import MADE_BY, checkpoint_payload, data_digest, load_policy, load_tokenizer, weights_digest
from rlhf.ranking import RankingObjective, encode_rankings, evaluate_ranking, hold_out
from rlhf.records import Ranking, write_rankings
from rlhf.results import load_json
from rlhf.tasks import prompt_set

# ---- The model ---------------------------------------------------------------------------------------------------


class RewardModel(nn.Module):
    """A GPT trunk with a scalar head. `shift` is subtracted from every score; `normalise` sets it.

    It is also the value model of PPO: the same network, read at every position instead of at the last one.
    """

    def __init__(self, trunk: GPT, generator: torch.Generator) -> None:
        """Takes `trunk` over, not a copy. The head starts as N(0, 1/(C+1)), bias 0, so that scores begin near ±1 and
        the loss near log 2 (Stiennon et al. 2020, appendix B.1)."""
        super().__init__()
        channels = trunk.config.channels
        self.trunk = trunk
        if not trunk.config.tied_embeddings:
            trunk.unembedding.requires_grad_(False)  # nobody asks for the next token here
        self.head = nn.Linear(channels, 1)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 1 / math.sqrt(channels + 1), generator=generator)
            self.head.bias.zero_()
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B,T] padded on the right, lengths [B] of prompt and response together -> scores [B].

        The last real token is found by its length. Searching for the first pad instead goes wrong as soon as a pad
        is also a token, or there is none (R2).
        """
        last = (torch.arange(len(ids), device=ids.device), (lengths - 1).clamp(min=0))  # [B] rows and columns
        return self.values(ids, read=last)  # [B]

    def values(self, ids: Tensor, read: Places | None = None) -> Tensor:
        """ids [B,T] -> the value after each token [B,T], or after each of M [M]; see GPT.hidden."""
        return self.head(self.trunk.hidden(ids, read=read)).squeeze(-1) - self.shift  # [B,T] or [M]


def load_reward_model(stage_dir: Path, tokenizer: Tokenizer) -> RewardModel:
    """The model in <stage_dir>/checkpoint.pt, on the CPU, in evaluation mode. Raises UserError as load_policy does."""
    path = stage_dir / "checkpoint.pt"
    made_by = MADE_BY.get(stage_dir.name, "")
    payload = load_checkpoint(path, kind="reward_model", fingerprint=tokenizer.fingerprint, made_by=made_by)
    model = RewardModel(GPT(from_dict(GPTConfig, payload["config"], str(path))), torch.Generator())
    load_weights(model, payload, path, made_by)
    return model.eval()


# ---- The scale of the scores -------------------------------------------------------------------------------------


@torch.no_grad()
def normalise(model: RewardModel, sequences: Sequence[Sequence[int]], pad_id: int, batch_size: int = 64) -> float:
    """Sets the shift so that demonstrations score 0 on average (InstructGPT, section 3.5), and returns it.

    The loss sees differences only, so the zero of the scores is arbitrary until here; PPO compares it with the fixed
    score of an answer that has no end. A shift moves all scores alike: no ranking changes.
    """
    model.shift.zero_()
    total = torch.zeros(())
    for start in range(0, len(sequences), batch_size):
        ids, lengths = pad_sequences(sequences[start : start + batch_size], pad_id)
        total += model(ids.to(model.shift.device), lengths.to(model.shift.device)).sum().cpu()
    model.shift.copy_(total / len(sequences))
    return float(model.shift)


# ---- The command -------------------------------------------------------------------------------------------------

STAGE = "reward_model"


@dataclass(frozen=True)
class RewardModelConfig(RunConfig):
    """Where the rankings come from, and how long to learn from them."""

    rankings: str | None = option(
        None, help="your rankings or preferences in a format of rlhf/formats.py; none lets simulated annotators rank"
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
            steps=600, batch_size=6, optimizer="muon", learning_rate=1e-3, matrix_learning_rate=0.006,
            warmup_steps=10, evaluate_every=200, checkpoint_every=200,
        )
    )  # fmt: skip

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
            policy, tokenizer, prompt_set("B", config.prompts, config.seed), answers=config.answers,
            max_new_tokens=config.max_new_tokens, temperature=config.temperature, seed=config.seed,
        )
    )  # fmt: skip
    # sampled in order of K: shuffled, so that the held-out prompts at the end are like the others
    random.Random(f"comparisons {config.seed}").shuffle(collected)
    rankings, summary = rank_answers(with_strays(collected, config.seed), config.annotators, config.seed)
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
        learned, held_out, batch_size=training.batch_size,
        micro_batch_size=training.micro_batch_size, pad_id=tokenizer.pad_id, seed=config.seed, device=device,
    )  # fmt: skip
    if config.epochs is not None:
        training = replace(training, steps=config.epochs * objective.steps_per_epoch())
    describe = {
        "config": to_dict(config), "tokenizer": tokenizer.fingerprint, "policy": weights_digest(policy),
        "rankings": data_digest(comparisons), "demonstrations": data_digest(demonstrations),
    }  # fmt: skip
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
        write_json(stage_dir / "summary.json", figures)
        gold = f", of the true order {measured['gold_accuracy']:.1%}" if "gold_accuracy" in measured else ""
        print(f"held-out pairs in the annotators' order {measured['accuracy']:.1%}{gold}; see {stage_dir}/summary.json")

    train(
        model, objective, training, stage_dir=stage_dir, seed=config.seed, describe=describe,
        checkpoint_payload=checkpoint_payload("reward_model", policy, tokenizer),
        start=write_collected, finish=finish,
    )  # fmt: skip


if __name__ == "__main__":
    run_main(main)
