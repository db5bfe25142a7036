"""The settings of PPO in three papers, field by field, with the place where the paper gives them.

`python -m rlhf.stage3_ppo --paper instructgpt` lays a row over the defaults. Only what the paper or its code states is
in a row; the rest stays ours. The learning rates are those of models a thousand times larger: on ours they change
almost nothing in a few thousand episodes, which is worth seeing once. A flag on the command line still wins.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cited:
    """A value and where it is written."""

    value: object
    source: str


# "code": openai/lm-human-preferences, launch.py (sentiment) and lm_human_preferences/train_policy.py
ZIEGLER2019 = {
    "temperature": Cited(0.7, "code, launch.py books_task: policy.temperature"),
    "max_new_tokens": Cited(24, "code, launch.py books_task: response_length"),
    "batch_size": Cited(512, "code, launch.py: ppo.batch_size"),
    "minibatch_size": Cited(512, "code, train_policy.py PpoHParams: nminibatches 1"),
    "epochs": Cited(4, "code, train_policy.py PpoHParams: noptepochs"),
    "learning_rate": Cited(1e-5, "code, launch.py: ppo.lr, style tasks; 2e-6 for summarisation"),
    "value_learning_rate": Cited(1e-5, "one optimiser for policy and value: the same rate"),
    "schedule": Cited("linear", "code, train_policy.py: linear to 0 over all updates"),
    "final_lr_fraction": Cited(0.0, "code, train_policy.py: linear to 0 over all updates"),
    "warmup_steps": Cited(0, "code, train_policy.py: no warm-up"),
    "gradient_clip": Cited(0.0, "code, utils/core.py: gradients are not clipped"),
    "eps": Cited(1e-5, "code, utils/core.py: Adam epsilon 1e-5"),
    "beta": Cited(0.15, "code, launch.py: rewards.kl_coef, sentiment and descriptiveness"),
    "kl_controller": Cited("adaptive", "paper, section 2.2; code, launch.py: rewards.adaptive_kl on"),
    "kl_target": Cited(6.0, "code, launch.py: rewards.adaptive_kl.target, nats per sequence"),
    "kl_horizon": Cited(10_000.0, "code, train_policy.py AdaptiveKLParams: horizon"),
    "missing_end_score": Cited(-1.0, "code, lm_tasks.py: penalty_reward_value"),
    "whiten_rewards": Cited(True, "code, train_policy.py PpoHParams: whiten_rewards; off for summarisation"),
    "gamma": Cited(1.0, "code, train_policy.py PpoHParams"),
    "lam": Cited(0.95, "code, train_policy.py PpoHParams"),
    "clip": Cited(0.2, "code, train_policy.py PpoHParams: cliprange"),
    "value_clip": Cited(0.2, "code, train_policy.py PpoHParams: cliprange_value"),
    "critic_warmup": Cited(0, "code, train_policy.py: none"),
    "ptx_coefficient": Cited(0.0, "the method is younger: InstructGPT, section 3.5"),
}

# Stiennon et al. 2020, arXiv 2009.01325: section 3.4 and appendix B.1, 1.3B model
STIENNON2020 = {
    "batch_size": Cited(512, "appendix B.1: batch size 512 for the 1.3B model, 256 for 6.7B"),
    "epochs": Cited(4, "appendix B.1: 4 PPO epochs per batch of rollouts"),
    "learning_rate": Cited(1.5e-5, "appendix B.1: initial rate of the 1.3B model"),
    "value_learning_rate": Cited(1.5e-5, "appendix B.1: no separate rate is given"),
    "schedule": Cited("linear", "appendix B.1: linear decay"),
    "beta": Cited(0.05, "appendix B.1: KL reward coefficient"),
    "kl_controller": Cited("fixed", "appendix B.1"),
    "gamma": Cited(1.0, "appendix B.1"),
    "lam": Cited(0.95, "appendix B.1"),
    "ptx_coefficient": Cited(0.0, "the method is younger: InstructGPT, section 3.5"),
}

# Ouyang et al. 2022, arXiv 2203.02155: section 3.5 and appendix C.4
INSTRUCTGPT = {
    "temperature": Cited(1.0, "appendix C.4"),
    "batch_size": Cited(512, "appendix C.4: batch size for each iteration"),
    "minibatch_size": Cited(64, "appendix C.4: 8 minibatches of 64"),
    "epochs": Cited(1, "appendix C.4: a single inner epoch"),
    "schedule": Cited("constant", "appendix C.4: constant after the warm-up"),
    "warmup_steps": Cited(10, "appendix C.4: over the first 10 iterations, from one tenth of the peak"),
    "betas": Cited((0.9, 0.95), "appendix C: Adam's betas, all models"),
    "value_learning_rate": Cited(9e-6, "appendix C.4: value functions of the 1.3B and 6B policies"),
    "beta": Cited(0.02, "section 3.5 and appendix C.4: KL reward coefficient"),
    "kl_controller": Cited("fixed", "appendix C.4"),
    "clip": Cited(0.2, "appendix C.4: PPO clip ratio"),
    "gamma": Cited(1.0, "appendix C.4: no discount"),
    "ptx_coefficient": Cited(27.8, "appendix C.4: pretraining loss coefficient"),
    "ptx_batch_size": Cited(512, "appendix C.4: 8 times as many pretraining examples as RL episodes, 8 × 64"),
}

PAPERS: dict[str, dict[str, Cited]] = {
    "ziegler2019": ZIEGLER2019,
    "stiennon2020": STIENNON2020,
    "instructgpt": INSTRUCTGPT,
}


def overrides(paper: str) -> dict[str, object]:
    """The settings of a row as `config.with_overrides` takes them; none for "none"."""
    return {name: cited.value for name, cited in PAPERS[paper].items()} if paper != "none" else {}
