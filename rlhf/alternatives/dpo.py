"""Direct preference optimisation: the rankings of stage 2 teach the policy itself, without a reward model or rollouts.

    python -m rlhf.alternatives.dpo
    python -m rlhf.alternatives.dpo --rankings mine.jsonl --beta 0.1

The policy that PPO looks for has a closed form, π*(y|x) = π_ref(y|x)·exp(r(x,y)/β)/Z(x). Solved for the reward it says

    r(x, y) = β·log(π(y|x)/π_ref(y|x)) + β·log Z(x)                      Rafailov et al. 2023, arXiv 2305.18290, eq. 5

and as Z is the same for all answers to a prompt, it cancels in every comparison. So the reward model's own loss can be
put on the policy: the scores of `ranking.kwise_loss` become implicit rewards. For K = 2 that is the paper's eq. 7; for
more it is the same mean over all pairs that stage 2 takes.

Writes runs/<preset>/dpo/: config.json, metrics.jsonl, samples.md, checkpoint.pt, curves.svg. Stopped by Ctrl-C, the
same command goes on where it stopped.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.data import length_mask
from minigpt.model import GPT, token_logprobs
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.usage import measure_usage
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.chat_format import Turn
from rlhf.data_formats.formats import read_rankings
from rlhf.data_formats.jsonl import BadLines
from rlhf.samples import sample_page
from rlhf.stage2_reward.ranking import (
    Comparison,
    RankedBatch,
    RankingObjective,
    encode_rankings,
    evaluate_ranking,
    hold_out,
    score_by_length,
)
from rlhf.stage_io import checkpoint_payload, data_digest, load_policy, load_tokenizer, weights_digest

STAGE = "dpo"

# ---- The loss ----------------------------------------------------------------------------------------------------


def implicit_rewards(logprobs: Tensor, ref_logprobs: Tensor, beta: float) -> Tensor:
    """β·(log π − log π_ref) of whole answers, each [N] in nats: the reward that this policy is optimal for, up to a
    constant of the prompt (eq. 5). At the start, where π = π_ref, all are 0 and the loss is log 2."""
    return beta * (logprobs - ref_logprobs)


def sequence_logprobs(model: GPT, ids: Tensor, lengths: Tensor) -> Tensor:
    """log π of prompt and answer together, all tokens but the first: ids [N,T] padded right, lengths [N] -> [N] nats.

    No mask hides the prompt: its log-probability is the same for all answers to it, so that in the difference of two
    rewards it cancels, and its gradient with it. A sum, not a mean over tokens: the mean would be another objective, in
    which a long answer's tokens count less.
    """
    # not model(ids): its logits may be bfloat16's, and their rounding would be larger than the rewards at first
    logprobs = token_logprobs(model.logits(model.hidden(ids[:, :-1])), ids[:, 1:])  # [N,T-1]
    real = length_mask(lengths - 1, logprobs.shape[1])  # [N,T-1]
    return torch.where(real, logprobs, 0.0).sum(dim=1)  # [N]


class ImplicitReward:
    """Scores of rankings' answers by what the policy has moved from its reference, as `RankingObjective` wants them."""

    def __init__(self, reference: GPT, beta: float) -> None:
        self.reference, self.beta = reference.eval(), beta

    def __call__(self, policy: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [N,T], lengths [N] -> [N]; right up to a constant of each prompt, see sequence_logprobs."""
        policy.eval()  # no dropout: its noise in log π would pass for a difference from the reference

        def part(ids: Tensor, lengths: Tensor) -> Tensor:
            with torch.no_grad():
                reference = sequence_logprobs(self.reference, ids, lengths)  # [n]
            return implicit_rewards(sequence_logprobs(policy, ids, lengths), reference, self.beta)  # [n]

        return score_by_length(part, ids, lengths)


class PreferenceObjective(RankingObjective):
    """Rankings for the policy: those of the reward model with another score."""

    def __init__(
        self,
        training: Sequence[Comparison],
        held_out: Sequence[Comparison],
        *,
        tokenizer: Tokenizer,
        prompts: Sequence[tuple[Turn, ...]],
        **settings: Any,
    ) -> None:
        """prompts: those that samples.md shows answers to. settings: see RankingObjective."""
        super().__init__(training, held_out, pad_id=tokenizer.pad_id, **settings)
        self.tokenizer, self.prompts = tokenizer, prompts

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Without minimum, mean and maximum: an implicit reward means something in a difference only."""
        measured = evaluate_ranking(model, self.held_out, self.score) if self.held_out else {}
        return {name: value for name, value in measured.items() if not name.endswith("_reward")}

    def loss_sum(self, model: nn.Module, micro: RankedBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        loss, metrics = super().loss_sum(model, micro)
        return loss, {"accuracy": metrics["accuracy"]}

    def samples(self, model: nn.Module) -> str:
        assert isinstance(model, GPT)
        return sample_page(model, self.tokenizer, self.prompts, self.seed)


# ---- The command -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DPOConfig(RunConfig):
    """Where the rankings come from, and how far to follow them."""

    rankings: str | None = option(
        None,
        help="your rankings or preferences in a format of rlhf/data_formats; none takes those of stage 2",
    )
    skip_bad: bool = option(
        False, help="leave out records that are malformed or longer than the context, and say how many; else stop"
    )
    beta: float = option(0.5, help="how dear a nat of distance from the SFT policy is, in rewards (Rafailov 0.1)")
    held_out: float = option(0.1, help="share of the ranked prompts, the last ones, to measure accuracy on")
    epochs: int | None = option(None, help="passes over the rankings, in place of --steps")
    training: TrainingConfig = field(
        default=TrainingConfig(
            steps=300,
            batch_size=6,
            optimizer="adamw",
            learning_rate=1e-4,
            weight_decay=0.0,
            warmup_steps=10,
            schedule="linear",
            evaluate_every=100,
            checkpoint_every=100,
        )
    )

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise UserError(f"--beta: expected more than 0, got {self.beta}")
        if not 0 < self.held_out < 1:
            raise UserError(f"--held-out: expected a share between 0 and 1, got {self.held_out}")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"--epochs: expected 1 or more, got {self.epochs}")


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 20, "evaluate_every": 10, "checkpoint_every": 10},
    "small": {},
    "medium": {"learning_rate": 2.5e-5},
}


def main(argv: list[str]) -> None:
    """Trains the DPO policy of a run."""
    config = parse(DPOConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        follow_rankings(config)


def follow_rankings(config: DPOConfig) -> None:
    """Rankings to DPO policy, starting from the SFT policy of the same run, which is also the reference."""
    device, stage_dir = config.torch_device(), config.stage_dir(STAGE)
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    path = Path(config.rankings) if config.rankings else config.stage_dir("reward_model") / "rankings.jsonl"
    if config.rankings is None and not path.exists():
        raise UserError(f"{path} is missing: stage 2 collects it; run `make stage2` first, or name yours by --rankings")
    bad = BadLines(config.skip_bad)
    rankings, comparisons = encode_rankings(tokenizer, read_rankings(path, bad), policy.config.context, bad)
    bad.finish(path, len(comparisons))
    learned, held_out = hold_out(comparisons, config.held_out)
    training = config.training
    objective = PreferenceObjective(
        learned,
        held_out,
        tokenizer=tokenizer,
        prompts=[ranking.turns for ranking in rankings[len(learned) :]],
        batch_size=training.batch_size,
        micro_batch_size=training.micro_batch_size,
        seed=config.seed,
        device=device,
        score=ImplicitReward(copy.deepcopy(policy).requires_grad_(False), config.beta),
    )
    if config.epochs is not None:
        training = replace(training, steps=config.epochs * objective.steps_per_epoch())
    row = train(
        policy,
        objective,
        training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe={
            "config": to_dict(config),
            "tokenizer": tokenizer.fingerprint,
            "policy": weights_digest(policy),
            "rankings": data_digest(comparisons),
        },
        checkpoint_payload=checkpoint_payload("gpt", policy, tokenizer),
    )
    print(
        f"held-out pairs in the annotators' order {row['eval_accuracy']:.1%} by the implicit rewards; "
        f"the policy is in {stage_dir / 'checkpoint.pt'}"
    )


if __name__ == "__main__":
    run_main(main)
