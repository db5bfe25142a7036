"""The PPO loop: iterations of rollout and updates, and the files that a run keeps.

Four networks: the policy, its frozen reference, the frozen reward model, and a value model that starts as the reward
model. The mathematics is in `ppo_losses`, a rollout in `rollout`, the passes over it in `ppo_update`, the settings in
`ppo_config`; `ppo` is the command. From Python:

    train_ppo(policy, prompts, tokenizer, PPOConfig(), reward_fn=lambda prompts, responses: [...], stage_dir=folder)
"""

from __future__ import annotations

import copy
import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.data import TokenStream, seeded_generator
from minigpt.generate import check_prompts
from minigpt.model import GPT
from minigpt.optim import Optimizer, lr_factor
from minigpt.runs.checkpoint import write_text
from minigpt.runs.config import to_dict
from minigpt.runs.curves import draw_curves
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.interrupt import uninterrupted
from minigpt.runs.metrics import Row, RunLog
from minigpt.runs.progress import Progress
from minigpt.runs.resume import ResumeFiles
from minigpt.scale.compilation import compile_blocks
from minigpt.scale.distributed import is_main, load_model_state, model_state, shard, world_size
from minigpt.scale.precision import dtype_name, dtype_of
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt, show
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.configuration import PANELS, PPOConfig
from rlhf.stage3_ppo.losses import AdaptiveKLController, FixedKLController
from rlhf.stage3_ppo.rollout import (
    RewardFunction,
    Rollout,
    prompt_rows,
    prompt_text,
    sample_responses,
    score_episodes,
    score_rollout,
)
from rlhf.stage3_ppo.step import (
    Learner,
    check_starts_at_reference,
    compute_targets,
    ended_share_collapses,
    rollout_metrics,
)
from rlhf.stage_io import checkpoint_payload, data_digest, weights_digest

STAGE = "ppo"
SAMPLES = 6  # answers of a rollout that samples.md shows

# What only an experimenter knows, for the log: prompt numbers, responses, ended -> gold totals. Never trained on.
GoldFunction = Callable[[Sequence[int], Sequence[str], Sequence[bool]], Sequence[float]]


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
    gold: GoldFunction | None = None,
) -> Row:
    """Train `policy` in place. Returns the last row of metrics.jsonl.

    reward_fn: a reward model, or any Python function of (texts of prompts, texts of responses) -> scores.
    value_model: trained in place too; by default a copy of the reward model or, with a function, the policy's trunk
    under a new head. pretraining: text for PPO-ptx, needed if and only if config.ptx_coefficient is not 0.
    Raises UserError if a guard finds that something is wrong: see ppo_update.
    """
    if (pretraining is None) != (config.ptx_coefficient == 0):
        raise ValueError("pretraining text is needed if and only if ptx_coefficient is not 0")
    if value_model is None:
        fresh = seeded_generator(config.seed, 1)
        source = reward_fn if isinstance(reward_fn, RewardModel) else RewardModel(copy.deepcopy(policy), fresh)
        value_model = ValueModel.from_reward_model(source)
    run = Run(policy, value_model, prompts, tokenizer, config, reward_fn, stage_dir, pretraining, gold)
    return run.run()


@dataclass
class RunState:
    """Where a run stands, apart from weights, optimisers and generator: all of it is saved to resume from."""

    iteration: int = 0
    episodes: int = 0
    seconds: float = 0.0
    beta: float = 0.0
    policy_updates: int = 0
    samples: list[list[Any]] = field(default_factory=list)  # [[iteration, markdown], ...]


class Run:
    """One PPO run: the loop, and the files it keeps."""

    def __init__(
        self,
        policy: GPT,
        value_model: ValueModel,
        prompts: Sequence[tuple[Turn, ...]],
        tokenizer: Tokenizer,
        config: PPOConfig,
        reward_fn: RewardModel | RewardFunction,
        stage_dir: Path,
        pretraining: TokenStream | None,
        gold: GoldFunction | None,
    ) -> None:
        self.policy, self.value_model = policy.eval(), value_model.eval()
        self.config, self.tokenizer, self.reward_fn = config, tokenizer, reward_fn
        self.reference = copy.deepcopy(policy).requires_grad_(False)  # before a saved state changes the policy
        self.prompts, self.texts = prompts, [prompt_text(turns) for turns in prompts]
        self.prompt_ids = [encode_prompt(tokenizer, turns) for turns in prompts]
        check_prompts(self.prompt_ids, policy.config.context)  # before any file of an earlier run is touched
        self.gold, self.stage_dir = gold, stage_dir
        self.files = ResumeFiles(stage_dir, self._describe(pretraining), unit="iteration")
        self._divide()
        for model in (policy, value_model):
            compile_blocks(model, config.optimization.compile)
        value_optimization = dataclasses.replace(config.optimization, learning_rate=config.value_learning_rate)
        optimizers = Optimizer(policy, config.optimization), Optimizer(value_model, value_optimization)
        self.learner = Learner(policy, value_model, *optimizers, config, pretraining)
        self.controller = (
            AdaptiveKLController(config.beta, config.kl_target, config.kl_horizon)
            if config.kl_controller == "adaptive"
            else FixedKLController(config.beta)
        )
        self.generator = seeded_generator(config.seed, 2)
        self.state = RunState(beta=config.beta)
        resumed = self._resume()
        self.files.begin(fresh=not resumed)
        self.log = RunLog(stage_dir / "metrics.jsonl", self.state.iteration if resumed else None)

    def _divide(self) -> None:
        """Checks that each process gets a part of every minibatch, and with --shard a part of each model."""
        for name in ("minibatch_size", "ptx_batch_size"):
            if getattr(self.config, name) % world_size():
                raise UserError(
                    f"--{name.replace('_', '-')}: {getattr(self.config, name)} cannot be divided equally among "
                    f"{world_size()} processes; choose a multiple"
                )
        if self.config.optimization.shard:
            frozen = [self.reference, *([self.reward_fn] if isinstance(self.reward_fn, RewardModel) else [])]
            for model in (self.policy, self.value_model, *frozen):
                shard(model)

    def run(self) -> Row:
        """Take the remaining iterations, and write the final files."""
        try:
            self._take_iterations()
            with suppress(KeyboardInterrupt), uninterrupted():  # pressed now, it comes too late: the run has ended
                result = {"model": model_state(self.policy), **checkpoint_payload("gpt", self.policy, self.tokenizer)}
                self.files.end(self.state.iteration, result)
        except DivergedError as error:
            raise UserError(
                f"iteration {self.state.iteration + 1}: {error}; likely a learning rate that is too high "
                f"(--learning-rate {self.config.optimization.learning_rate}, --value-learning-rate "
                f"{self.config.value_learning_rate}), scores far larger than 1, or non-finite starting weights; "
                f"{self.files.go_back()}"
            ) from None
        return self.log.rows[-1]

    def _take_iterations(self) -> None:
        """The iterations that remain, and the curves. Ctrl-C saves nothing: half of an iteration's updates may be made,
        and it is repeated from the last saved state."""
        config, state = self.config, self.state
        try:
            with Progress(STAGE, config.iterations, state.iteration, unit="iteration") as progress:
                while state.iteration < config.iterations:
                    row = self._iterate()
                    progress.update(
                        f"score {row['objective/scores']:.2f}, KL {row['objective/kl']:.2f} nats, "
                        f"ended {row['val/ended_share']:.0%}"
                    )
                    if state.iteration % config.checkpoint_every == 0:
                        self._save()
        except KeyboardInterrupt:
            self._draw()
            print(f"stopped in iteration {state.iteration + 1}; {self.files.go_back()}")
            raise
        self._draw()

    # ---- One iteration ----

    def _iterate(self) -> Row:
        """Rollout, targets, updates, and the row that says how it went."""
        config, state, started = self.config, self.state, time.monotonic()
        rollout, seconds = self._roll_out()
        if state.policy_updates == 0:
            check_starts_at_reference(rollout, dtype_of(self.policy))
        beta, factor = self.controller.beta, lr_factor(state.iteration, config.iterations, config.optimization)
        targets = compute_targets(rollout, config, beta)
        metrics = rollout_metrics(rollout, targets, beta)
        clock = time.monotonic()
        learned = self.learner.learn(rollout, targets, factor, state.iteration >= config.critic_warmup, self.generator)
        self.controller.update(metrics["objective/kl_nats_per_sequence"], config.batch_size)
        seconds["time/train"] = time.monotonic() - clock
        golds = self._golds(rollout)
        with uninterrupted():
            state.iteration += 1
            state.episodes += config.batch_size
            state.seconds += time.monotonic() - started
            state.beta, state.policy_updates = self.controller.beta, self.learner.policy_updates
            row = {
                "step": state.iteration,
                "episode": state.episodes,
                "seconds": round(state.seconds, 3),
                **metrics,
                **({"objective/gold": sum(golds) / len(golds)} if golds else {}),
                **learned,
                **seconds,
                "eps": config.batch_size / sum(seconds.values()),
                "lr": config.optimization.learning_rate * factor,
            }
            self._show(rollout, targets.scores, golds)
            self.log.append(row)
            self._watch_ended()
        return row

    def _roll_out(self) -> tuple[Rollout, dict[str, float]]:
        """Answers to this iteration's prompts, scored by everyone; and the seconds that took."""
        config, started = self.config, time.monotonic()
        rows = prompt_rows(len(self.prompts), config.batch_size, config.seed, self.state.iteration)
        episodes = sample_responses(
            self.policy,
            self.prompt_ids,
            rows,
            self.tokenizer,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            generator=self.generator,
        )
        sampled = time.monotonic()
        scores = score_episodes(self.reward_fn, episodes, self.texts, self.tokenizer, config.micro_batch_size)  # [B]
        rollout = score_rollout(
            episodes,
            scores,
            self.reference,
            self.value_model,
            temperature=config.temperature,
            micro_batch_size=config.micro_batch_size,
        )
        return rollout, {"time/generate": sampled - started, "time/score": time.monotonic() - sampled}

    def _golds(self, rollout: Rollout) -> list[float]:
        episodes = rollout.episodes
        if self.gold is None:
            return []
        return list(self.gold(episodes.prompts.tolist(), episodes.texts(self.tokenizer), episodes.ended.tolist()))

    def _watch_ended(self) -> None:
        warning = ended_share_collapses([row["val/ended_share"] for row in self.log.rows])
        if warning and is_main():
            print(f"warning: iteration {self.state.iteration}: {warning}; {self.files.go_back()}", file=sys.stderr)

    # ---- Files ----

    def _show(self, rollout: Rollout, scores: Tensor, golds: list[float]) -> None:
        """Every samples_every iterations, and after the first and the last: a few answers for samples.md."""
        state, config, episodes = self.state, self.config, rollout.episodes
        if state.iteration not in (1, config.iterations) and state.iteration % config.samples_every:
            return
        blocks = []
        for i, response in enumerate(episodes.texts(self.tokenizer)[:SAMPLES]):
            conversation = show((*self.prompts[int(episodes.prompts[i])], Turn("assistant", response)))
            end = "" if episodes.ended[i] else ", cut: no end token"
            gold = f", gold {golds[i]:.2f}" if golds else ""
            quoted = "\n".join(f"> {line}  " for line in conversation.splitlines())  # two spaces keep the line break
            blocks.append(f"{quoted}\n\nscore {float(scores[i]):.2f}{gold}{end}")
        state.samples.append([state.iteration, "\n\n".join(blocks)])
        page = "".join(f"\n## Iteration {iteration}\n\n{text}\n" for iteration, text in state.samples)
        write_text(self.stage_dir / "samples.md", f"# Samples: {STAGE}\n\nBefore the update of each iteration.\n{page}")

    def _draw(self) -> None:
        draw_curves(self.log.rows, self.stage_dir / "curves.svg", STAGE, PANELS)

    def _describe(self, pretraining: TokenStream | None) -> Mapping[str, Any]:
        """All that decides the result, see resume.ResumeFiles; but what a reward function does, nobody can tell."""
        models = {"policy": self.policy, "value_model": self.value_model}
        if isinstance(self.reward_fn, RewardModel):
            models["reward_model"] = self.reward_fn
        data = {"prompts": self.prompt_ids}
        if pretraining is not None:
            data["pretraining"] = pretraining.tokens.tolist()
        return {
            "config": to_dict(self.config),
            "tokenizer": self.tokenizer.fingerprint,
            "computes_in": dtype_name(dtype_of(self.policy)),  # see training.train
            **{name: data_digest(items) for name, items in data.items()},
            **{name: weights_digest(model) for name, model in models.items()},
        }

    def _save(self) -> None:
        self.log.sync()
        learner = self.learner
        payload = {
            "model": model_state(self.policy),
            "optimizer": learner.policy_optimizer.state_dict(),
            "value_model": model_state(self.value_model),
            "value_optimizer": learner.value_optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "state": asdict(self.state),
        }
        with uninterrupted():
            self.files.save(self.state.iteration, {**checkpoint_payload("gpt", self.policy, self.tokenizer), **payload})

    def _resume(self) -> bool:
        """Take up the saved state if there is one."""
        saved = self.files.load()
        if saved is None:
            return False
        load_model_state(self.policy, saved["model"])
        load_model_state(self.value_model, saved["value_model"])
        self.learner.policy_optimizer.load_state_dict(saved["optimizer"])
        self.learner.value_optimizer.load_state_dict(saved["value_optimizer"])
        self.generator.set_state(saved["generator"])
        self.state = RunState(**saved["state"])
        self.controller.beta, self.learner.policy_updates = self.state.beta, self.state.policy_updates
        return True
