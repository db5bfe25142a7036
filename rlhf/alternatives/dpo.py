"""Direct preference optimisation (DPO): the policy is trained on the rankings of stage 2, without a reward model.

    python -m rlhf.alternatives.dpo
    python -m rlhf.alternatives.dpo --rankings mine.jsonl --beta 0.1

The policy that PPO looks for has a closed form, π*(y|x) = π_ref(y|x)·exp(r(x,y)/β)/Z(x). Solved for the reward it says

    r(x, y) = β·log(π(y|x)/π_ref(y|x)) + β·log Z(x)                      Rafailov et al. 2023, arXiv 2305.18290, eq. 5

and as Z is the same for all answers to a prompt, it cancels in every comparison. So the reward model's loss
(stage2_reward/loss.py) trains the policy, with these implicit rewards in place of scores. For K = 2 that is the paper's
eq. 7; for more it is the same mean over all pairs that stage 2 takes.

Writes runs/<preset>/dpo/: config.json, metrics.jsonl, samples.md, checkpoint.pt, curves.svg. Stopped by Ctrl-C, the
same command resumes where it stopped.
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
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import made_from
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn
from rlhf.data_formats.formats import read_rankings
from rlhf.stage2_reward.examples import Comparison, RankedBatch, encode_rankings, split_validation
from rlhf.stage2_reward.objective import RankingObjective
from rlhf.stage_io import checkpoint_payload, data_digest, load_policy, load_tokenizer, sample_page, weights_digest

STAGE = "dpo"

# ---- The loss ----------------------------------------------------------------------------------------------------


def implicit_rewards(logprobs: Tensor, ref_logprobs: Tensor, beta: float) -> Tensor:
    """β·(log π − log π_ref) of whole answers, each [N] in nats: the reward that this policy is optimal for, up to a
    constant of the prompt (eq. 5). At the start, where π = π_ref, all are 0 and the loss is log 2."""
    return beta * (logprobs - ref_logprobs)


def sequence_logprobs(model: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
    """log π of prompt and answer together, all tokens but the first: ids [N,T] padded right, lengths [N] -> [N] nats.

    No mask hides the prompt: its log-probability is the same for all answers to it, so that in the difference of two
    rewards it cancels, and its gradient with it. A sum, not a mean over tokens: the mean would be another objective, in
    which a long answer's tokens count less.
    """
    inputs, targets = ids[:, :-1], ids[:, 1:]  # [N,T-1]
    real = length_mask(lengths - 1, inputs.shape[1])  # [N,T-1]
    # with `at` the logits are float32: rounded to bfloat16, they would differ more than the first rewards do
    logprobs = token_logprobs(model(inputs, at=real), targets[real])  # [M]
    return logprobs.new_zeros(real.shape).masked_scatter(real, logprobs).sum(dim=1)  # [N]


def score_answers(policy: nn.Module, reference: GPT, batch: RankedBatch, beta: float) -> Tensor:
    """Implicit rewards [N] of the answers in a batch, right up to a constant of each prompt, see sequence_logprobs."""
    policy.eval()  # no dropout: its noise in log π would pass for a difference from the reference
    logprobs = sequence_logprobs(policy, batch.ids, batch.lengths)  # [N]
    with torch.no_grad():
        ref_logprobs = sequence_logprobs(reference, batch.ids, batch.lengths)  # [N]
    return implicit_rewards(logprobs, ref_logprobs, beta)  # [N]


class PreferenceObjective(RankingObjective):
    """Rankings for the policy: those of the reward model, with implicit rewards for scores."""

    def __init__(
        self,
        training: Sequence[Comparison],
        validation: Sequence[Comparison],
        *,
        reference: GPT,
        beta: float,
        tokenizer: Tokenizer,
        prompts: Sequence[tuple[Turn, ...]],
        **settings: Any,
    ) -> None:
        """prompts: those that samples.md shows answers to. settings: see RankingObjective."""
        super().__init__(training, validation, pad_id=tokenizer.pad_id, **settings)
        self.reference, self.beta = reference.eval(), beta
        self.tokenizer, self.prompts = tokenizer, prompts

    def scores(self, model: nn.Module, batch: RankedBatch) -> Tensor:
        return score_answers(model, self.reference, batch, self.beta)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Without minimum, mean and maximum: an implicit reward means something in a difference only."""
        return {name: value for name, value in super().evaluate(model).items() if not name.endswith("_reward")}

    def loss_sum(self, model: nn.Module, micro: RankedBatch) -> tuple[Tensor, dict[str, Tensor | float]]:
        loss, metrics = super().loss_sum(model, micro)
        return loss, {"accuracy": metrics["accuracy"]}

    def samples(self, model: GPT) -> str:
        return sample_page(model, self.tokenizer, self.prompts, self.seed)


# ---- The command -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DPOConfig(RunConfig):
    """Settings of DPO."""

    rankings: str | None = option(
        None,
        help="your rankings or preferences in a format of rlhf/data_formats; none takes those of stage 2",
    )
    skip_bad: bool = option(
        False, help="leave out records that are malformed or longer than the context, and say how many; else stop"
    )
    beta: float = option(0.5, help="reward that a nat of distance from the SFT policy costs (Rafailov 0.1)", above=0)
    validation_fraction: float = option(
        0.1, help="share of the ranked prompts, the last ones, to measure accuracy on", above=0, below=1
    )
    epochs: int | None = option(None, help="passes over the rankings, in place of --steps", low=1)
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


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 20, "evaluate_every": 10, "checkpoint_every": 10},
    "small": {},
    "medium": {"learning_rate": 2.5e-5},
}


def main(argv: list[str]) -> None:
    """Trains the DPO policy of a run."""
    config = parse(DPOConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: DPOConfig) -> None:
    """Rankings to DPO policy, starting from the SFT policy of the same run, which is also the reference."""
    device, stage_dir = config.torch_device(), config.stage_dir(STAGE)
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    path = Path(config.rankings) if config.rankings else config.stage_dir("reward_model") / "rankings.jsonl"
    if config.rankings is None and not path.exists():
        raise UserError(f"{path} is missing: stage 2 collects it; run `make stage2` first, or name yours by --rankings")
    bad = BadRecords(config.skip_bad)
    rankings, comparisons = encode_rankings(tokenizer, read_rankings(path, bad), policy.config.context, bad)
    bad.finish(path, len(comparisons))
    training_part, validation_part = split_validation(comparisons, config.validation_fraction)
    training = config.training
    objective = PreferenceObjective(
        training_part,
        validation_part,
        reference=copy.deepcopy(policy).requires_grad_(False),
        beta=config.beta,
        tokenizer=tokenizer,
        prompts=[ranking.turns for ranking in rankings[len(training_part) :]],
        batch_size=training.batch_size,
        micro_batch_size=training.micro_batch_size,
        seed=config.seed,
        device=device,
    )
    if config.epochs is not None:
        training = replace(training, steps=config.epochs * objective.steps_per_epoch())
    inputs = [config.stage_dir("sft") / "checkpoint.pt", path]
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
        made_from=made_from(config, PRESETS, "rlhf.alternatives.dpo", inputs),
        checkpoint_payload=checkpoint_payload("gpt", policy, tokenizer),
    )
    print(
        f"validation pairs in the annotators' order {row['eval_accuracy']:.1%} by the implicit rewards; "
        f"the policy is in {stage_dir / 'checkpoint.pt'}"
    )


if __name__ == "__main__":
    run_main(main)
