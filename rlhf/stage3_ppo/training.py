"""The loop around PPO's page: iterations, and the files that a run keeps.

`step` is one iteration, `rollout` the sampling, `losses` the mathematics, `configuration` the settings; `stage` is the
command. From Python:

    train_ppo(policy, prompts, tokenizer, PPOConfig(), reward_fn=lambda prompts, responses: [...], stage_dir=folder)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.data import TokenStream
from minigpt.model import GPT
from minigpt.runs.config import to_dict
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.folder import RunFolder
from minigpt.runs.interrupt import uninterrupted
from minigpt.runs.log.metrics import Row, RunLog
from minigpt.runs.log.progress import Progress
from minigpt.scale.distributed import world_size
from minigpt.scale.precision import dtype_name, dtype_of
from minigpt.scale.sharding import load_model_state, model_state
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, show
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.configuration import PANELS, PPOConfig
from rlhf.stage3_ppo.guards import ended_share_collapses
from rlhf.stage3_ppo.networks import PPO, first_value_model
from rlhf.stage3_ppo.rollout import Batch, RewardFunction
from rlhf.stage3_ppo.step import learning_rate_factors, ppo_iteration
from rlhf.stage_io import checkpoint_payload, data_digest, weights_digest

STAGE = "ppo"
ROLLOUTS = "rollouts.jsonl"  # all answers of each iteration; rlhf/evaluation/rollouts.py grades them afterwards
SAMPLES = 6  # answers of a rollout that samples.md shows


def train_ppo(
    policy: GPT,
    prompts: Sequence[tuple[Turn, ...]],
    tokenizer: Tokenizer,
    config: PPOConfig,
    *,
    reward_fn: RewardModel | RewardFunction,
    stage_dir: Path,
    value_model: ValueModel | None = None,
    pretraining: TokenStream | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> Row:
    """Train `policy` in place. Returns the last row of metrics.jsonl.

    reward_fn: a reward model, or any Python function of (texts of prompts, texts of responses) -> scores.
    value_model: trained in place too; by default a copy of the reward model or, with a function, the policy's trunk
    under a new head. pretraining: text for PPO-ptx, needed if and only if config.ptx_coefficient is not 0. made_from:
    see RunFolder.
    Raises UserError if a check of `guards` fails.
    """
    if (pretraining is None) != (config.ptx_coefficient == 0):
        raise ValueError("pretraining text is needed if and only if ptx_coefficient is not 0")
    if value_model is None:
        value_model = first_value_model(policy, reward_fn, config.seed)
    check_divisible(config)
    ppo = PPO(policy, value_model, reward_fn, prompts, tokenizer, config, pretraining)
    folder = RunFolder(
        stage_dir,
        describe(ppo),
        unit="iteration",
        made_from=made_from,
        panels=PANELS,
        samples_note="Before the update of each iteration.",
        samples_title="Iteration {}",
    )
    ppo.prepare_training()
    run = Run(ppo, prompts, folder)
    run.restore()
    run.begin()
    try:
        run.take_iterations()
        with suppress(KeyboardInterrupt), uninterrupted():  # pressed now, it comes too late: the run has ended
            folder.end(
                run.state.iteration, {**checkpoint_payload("gpt", policy, tokenizer), "model": model_state(policy)}
            )
    except KeyboardInterrupt:  # nothing is saved: half of an iteration's updates may be made
        folder.stopped(f"in iteration {run.state.iteration + 1}")
        raise
    except DivergedError as error:
        raise UserError(
            f"iteration {run.state.iteration + 1}: {error}; likely a learning rate that is too high "
            f"(--learning-rate {config.optimization.learning_rate}, --value-learning-rate "
            f"{config.value_learning_rate}), scores far larger than 1, or non-finite starting weights; "
            f"{folder.recovery_hint()}"
        ) from None
    return folder.rows[-1]


def check_divisible(config: PPOConfig) -> None:
    """Raises UserError unless each of several processes gets an equal part of every minibatch."""
    for name in ("minibatch_size", "ptx_batch_size"):
        if getattr(config, name) % world_size():
            raise UserError(
                f"--{name.replace('_', '-')}: {getattr(config, name)} cannot be divided equally among "
                f"{world_size()} processes; choose a multiple"
            )


def describe(ppo: PPO) -> Mapping[str, Any]:
    """All that decides the result, see RunFolder. What a reward function computes cannot be described."""
    models = {"policy": ppo.policy, "value_model": ppo.value_model}
    if isinstance(ppo.reward_fn, RewardModel):
        models["reward_model"] = ppo.reward_fn
    data: dict[str, object] = {"prompts": ppo.prompt_ids}
    if ppo.pretraining is not None:
        data["pretraining"] = ppo.pretraining.digest()
    return {
        "config": to_dict(ppo.config),
        "tokenizer": ppo.tokenizer.fingerprint,
        "computes_in": dtype_name(dtype_of(ppo.policy)),  # see minigpt.training.train
        **{name: data_digest(items) for name, items in data.items()},
        **{name: weights_digest(model) for name, model in models.items()},
    }


@dataclass
class RunState:
    """The progress of a run, apart from weights, optimisers and generator: all of it is saved to resume from."""

    iteration: int = 0  # iterations completed
    episodes: int = 0
    seconds: float = 0.0
    beta: float = 0.0
    policy_updates: int = 0


class Run:
    """One PPO run: the iterations, and what is written after each of them."""

    def __init__(self, ppo: PPO, prompts: Sequence[tuple[Turn, ...]], folder: RunFolder) -> None:
        self.ppo, self.config, self.prompts, self.folder = ppo, ppo.config, prompts, folder
        self.state = RunState()

    def begin(self) -> None:
        """Start or continue the files of the run."""
        self.folder.begin()
        resumed = self.state.iteration if self.folder.saved is not None else None
        self.rollouts = RunLog(self.folder.path / ROLLOUTS, resumed, "iteration")

    def take_iterations(self) -> None:
        """The iterations that remain, and the curves."""
        config, state = self.config, self.state
        with Progress(STAGE, config.iterations, state.iteration, unit="iteration") as progress:
            while state.iteration < config.iterations:
                row = self.iterate()
                progress.update(
                    f"score {row['objective/scores']:.2f}, KL {row['objective/kl_nats_per_sequence']:.2f} nats, "
                    f"ended {row['val/ended_share']:.0%}"
                )
                if state.iteration % config.checkpoint_every == 0:
                    self.save()
        self.folder.draw_curves()

    def iterate(self) -> Row:
        """One iteration of PPO, its row of metrics.jsonl, and now and then samples."""
        config, state, started = self.config, self.state, time.monotonic()
        batch, scores, metrics = ppo_iteration(self.ppo, state.iteration)
        policy_factor, value_factor = learning_rate_factors(state.iteration, config)
        with uninterrupted():
            state.iteration += 1
            state.episodes += config.batch_size
            state.seconds += time.monotonic() - started
            row = {
                "iteration": state.iteration,
                "episode": state.episodes,
                "seconds": round(state.seconds, 3),
                **metrics,
                "eps": config.batch_size / sum(metrics[f"time/{part}"] for part in ("generate", "score", "train")),
                "learning_rate": config.optimization.learning_rate * policy_factor,
                "value_learning_rate": config.value_learning_rate * value_factor,
            }
            self.log_rollout(batch, scores)
            self.show(batch, scores)
            self.folder.log(row)
            shares = [row["val/ended_share"] for row in self.folder.rows]
            self.folder.warn(f"iteration {state.iteration}", ended_share_collapses(shares))
        return row

    def log_rollout(self, batch: Batch, scores: Tensor) -> None:
        """Write the answers of an iteration to rollouts.jsonl: numbers of the prompts, texts, scores."""
        self.rollouts.append(
            {
                "iteration": self.state.iteration,
                "prompts": batch.prompts.tolist(),
                "responses": batch.texts(self.ppo.tokenizer),
                "ended": batch.ended.tolist(),
                "scores": scores.tolist(),
            }
        )

    def show(self, batch: Batch, scores: Tensor) -> None:
        """Every samples_every iterations, and after the first and the last: a few answers for samples.md."""
        iteration, config = self.state.iteration, self.config
        if iteration not in (1, config.iterations) and iteration % config.samples_every:
            return
        blocks = []
        for i, response in enumerate(batch.texts(self.ppo.tokenizer)[:SAMPLES]):
            conversation = show((*self.prompts[int(batch.prompts[i])], Turn("assistant", response)))
            end = "" if batch.ended[i] else ", cut: no end token"
            quoted = "\n".join(f"> {line}  " for line in conversation.splitlines())  # two spaces keep the line break
            blocks.append(f"{quoted}\n\nscore {float(scores[i]):.2f}{end}")
        self.folder.show(iteration, "\n\n".join(blocks))

    def save(self) -> None:
        """Write a state to resume from."""
        ppo, state = self.ppo, self.state
        state.beta, state.policy_updates = ppo.controller.beta, ppo.policy_updates
        payload = {
            "model": model_state(ppo.policy),
            "optimizer": ppo.policy_optimizer.state_dict(),
            "value_model": model_state(ppo.value_model),
            "value_optimizer": ppo.value_optimizer.state_dict(),
            "generator": ppo.generator.get_state(),
            "state": asdict(state),
        }
        with uninterrupted():
            self.rollouts.sync()
            self.folder.save(state.iteration, {**checkpoint_payload("gpt", ppo.policy, ppo.tokenizer), **payload})

    def restore(self) -> None:
        """Continue from the saved state if there is one."""
        saved, ppo = self.folder.load(), self.ppo
        if saved is None:
            return
        load_model_state(ppo.policy, saved["model"])
        load_model_state(ppo.value_model, saved["value_model"])
        ppo.policy_optimizer.load_state_dict(saved["optimizer"])
        ppo.value_optimizer.load_state_dict(saved["value_optimizer"])
        ppo.generator.set_state(saved["generator"])
        self.state = RunState(**saved["state"])
        ppo.controller.beta, ppo.policy_updates = self.state.beta, self.state.policy_updates
