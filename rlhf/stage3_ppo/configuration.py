"""The settings of stage 3, with our presets by size; the papers' own values are in `paper_presets`."""

from __future__ import annotations

from dataclasses import dataclass, field

from minigpt.optim import OptimizerConfig
from minigpt.runs.config import RunConfig, option
from minigpt.runs.errors import UserError
from minigpt.runs.log.curves import Panel
from rlhf.stage_io import TEMPERATURE

# eps 1e-5 instead of 1e-8: the first Adam updates are nearly sign(gradient), and a larger eps damps them.
# No weight decay: the policy should stay near its reference, and decay pulls it towards 0.
# beta2 0.99 instead of 0.999: its memory of 100 updates fits a run of a few hundred (LOG.md: no clear gain measured).
PPO_OPTIMIZER = OptimizerConfig(
    optimizer="adamw",
    learning_rate=2e-4,
    weight_decay=0.0,
    betas=(0.9, 0.99),
    eps=1e-5,
    warmup_steps=4,
    schedule="linear",
)


@dataclass(frozen=True)
class PPOConfig(RunConfig):
    """Settings of PPO. An iteration is one rollout, then `epochs` passes over it."""

    paper: str = option(
        "none",
        help="take the settings a paper gives from this row of rlhf/stage3_ppo/paper_presets.py",
        choices=("none", "ziegler2019", "stiennon2020", "instructgpt"),
    )
    # rollout
    prompts: int = option(2000, help="prompts of set C; after all were used once they are shuffled anew", low=1)
    iterations: int = option(90, help="rollouts, each followed by its updates", low=1)
    batch_size: int = option(128, help="episodes in a rollout: one answer to each of this many prompts", low=1)
    max_new_tokens: int = option(48, help="an answer is cut after this many tokens", low=1)
    temperature: float = option(
        TEMPERATURE, help="logits are divided by it, in sampling and in every log-probability", above=0
    )
    # reward
    beta: float = option(0.1, help="weight of the KL penalty, at the start (Stiennon 0.05, InstructGPT 0.02)", low=0)
    kl_controller: str = option("fixed", help="fixed beta, or Ziegler's adaptive one", choices=("fixed", "adaptive"))
    kl_target: float = option(
        6.0, help="KL the adaptive controller steers to, in nats per sequence (Ziegler 6)", above=0
    )
    kl_horizon: float = option(
        10_000.0, help="episodes over which the adaptive controller reacts (Ziegler 10000)", above=0
    )
    missing_end_score: float | None = option(
        -1.0, help="score of an answer without end token (Ziegler -1); none leaves it the score it has"
    )
    whiten_rewards: bool = option(False, help="scale rewards to variance 1 (Ziegler on); also rescales the KL part")
    # advantages
    gamma: float = option(1.0, help="discount; 1 in every RLHF paper", low=0, high=1)
    lam: float = option(0.95, help="lambda of generalised advantage estimation", low=0, high=1)
    whiten_advantages: bool = option(True, help="advantages of a rollout to mean 0 and variance 1")
    # updates
    epochs: int = option(1, help="passes over a rollout (Ziegler, Stiennon 4; InstructGPT 1)", low=1)
    minibatch_size: int = option(32, help="episodes an optimiser step learns from (InstructGPT 64)", low=1)
    micro_batch_size: int = option(
        32, help="episodes in one forward pass; changes memory and speed, not the result", low=1
    )
    clip: float = option(0.2, help="the ratio is clipped to 1 +- this", above=0)
    value_clip: float = option(0.2, help="a value may move this far from the rollout's; 0 switches the clip off", low=0)
    value_learning_rate: float = option(7e-4, help="peak learning rate of the value model (InstructGPT 9e-6)", low=0)
    critic_warmup: int = option(6, help="first iterations in which only the value model learns", low=0)
    kl_stop: float = option(
        0.0, help="end a rollout's epochs when approxkl passes 1.5 x this; 0 never (Spinning Up 0.01)", low=0
    )
    ptx_coefficient: float = option(
        0.0, help="gamma of PPO-ptx: weight of the pretraining loss (InstructGPT 27.8)", low=0
    )
    ptx_batch_size: int = option(
        16, help="rows of pretraining text in an optimiser step, where ptx-coefficient > 0", low=1
    )
    optimization: OptimizerConfig = field(default=PPO_OPTIMIZER)
    # what is written down
    samples_every: int = option(10, help="iterations between the answers shown in samples.md", low=1)
    checkpoint_every: int = option(10, help="iterations between saves to resume from", low=1)

    def check_fields(self) -> None:
        if self.critic_warmup >= self.iterations:
            raise UserError(
                f"--critic-warmup: {self.critic_warmup} is not less than --iterations {self.iterations}, so the policy "
                "would never learn; lower the one or raise the other"
            )
        if self.batch_size % self.minibatch_size:
            raise UserError(
                f"--minibatch-size: {self.minibatch_size} does not divide --batch-size {self.batch_size}, and a "
                "smaller last minibatch would count its episodes more"
            )


# Larger learning rates than the papers': our models are a thousand times smaller.
PRESETS: dict[str, dict[str, object]] = {
    "tiny": {
        "prompts": 256,
        "iterations": 8,
        "batch_size": 64,
        "minibatch_size": 32,
        "critic_warmup": 1,
        "samples_every": 4,
        "checkpoint_every": 4,
    },
    # A little of PPO-ptx, against the alignment tax (tests/benchmarks/LOG.md, 2026-11-23).
    "small": {"iterations": 60, "learning_rate": 3e-4, "ptx_coefficient": 0.02, "ptx_batch_size": 4},
    "medium": {
        "batch_size": 256,
        "minibatch_size": 64,
        "micro_batch_size": 64,
        "learning_rate": 5e-5,
        "value_learning_rate": 1.75e-4,
        "ptx_coefficient": 0.05,
        "ptx_batch_size": 8,
    },
}

# what curves.svg shows; metrics.jsonl has more
PANELS = (
    Panel("score of the reward model", ("objective/scores",)),
    Panel(
        "KL from the reference, nats/sequence",
        ("objective/kl_nats_per_sequence", "objective/kl_k3_nats_per_sequence"),
    ),
    Panel("share of answers that end", ("val/ended_share",)),
    Panel("response length, tokens", ("val/response_length",)),
    Panel("entropy of the policy, nats/token", ("policy/entropy_avg",)),
    Panel("policy loss", ("loss/policy_avg",)),
    Panel("value loss", ("loss/value_avg",)),
    Panel("explained variance of the values", ("val/explained_variance",)),
    Panel("approximate KL of an update, nats/token", ("policy/approxkl_avg", "policy/approxkl_k3_avg")),
    Panel("clipped share of tokens", ("policy/clipfrac_avg", "val/clipfrac_avg")),
    Panel("KL coefficient", ("objective/beta",)),
)
