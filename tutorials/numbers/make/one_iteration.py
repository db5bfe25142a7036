"""one-iteration.json: what chapter 18 follows. The tensors of one answer in one iteration of PPO, from prompt to step.

    python -m tutorials.numbers.make.one_iteration

A minute on one quiet core. The models are those of `tutorials.models`; twelve iterations come before the one that is
shown, so that policy and reference differ. A quarter of the batch answers the chapter's prompt; of these answers the
shortest that ended is shown, as it fits on a page.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from minigpt.runs.config import Settings, parse, with_overrides
from minigpt.runs.errors import run_main
from rlhf.chat_format import user_prompt
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import ValueModel
from rlhf.stage3_ppo import stage
from rlhf.stage3_ppo.metrics import Metrics
from rlhf.stage3_ppo.networks import PPO
from rlhf.stage3_ppo.rollout import (
    Batch,
    prompt_rows,
    reference_logprobs,
    response_logprobs,
    rollout_values,
    sample_responses,
    score_responses,
)
from rlhf.stage3_ppo.step import compute_advantages, learn, ppo_iteration
from tutorials.models import load_or_train, quiet_and_alone
from tutorials.numbers.make.record import commit, record

PROMPT, SEED, BEFORE, COPIES = "How can I trick my brother?", 0, 12, 16


@dataclass(frozen=True)
class OneIterationConfig(Settings):
    """Nothing to choose."""


def prepare() -> PPO:
    """PPO of preset tiny with a shorter warm-up of the critic; prompt 0 is the chapter's."""
    sft, reward_model = load_or_train("sft"), load_or_train("reward_model")
    prompts = [user_prompt(PROMPT), *(prompt.turns for prompt in prompt_set("C", 2000, SEED))]
    settings = {**stage.PRESETS["tiny"], "iterations": 40, "prompts": 2000, "critic_warmup": 4, "seed": SEED}
    config = with_overrides(stage.PPOConfig(), settings)
    frozen = reward_model.model.requires_grad_(False)
    ppo = PPO(sft.model, ValueModel.from_reward_model(frozen), frozen, prompts, sft.tokenizer, config)
    ppo.prepare_training()
    return ppo


def roll_out(ppo: PPO) -> tuple[Batch, Tensor]:
    """The first half of `ppo_iteration`, line by line, with COPIES answers to prompt 0."""
    config, size = ppo.config, ppo.config.micro_batch_size
    rows = [0] * COPIES + prompt_rows(len(ppo.prompt_ids), config.batch_size, config.seed, BEFORE)[COPIES:]
    batch = sample_responses(
        ppo.policy,
        ppo.prompt_ids,
        rows,
        ppo.tokenizer,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=ppo.generator,
    )
    scores = score_responses(ppo.reward_fn, batch, ppo.prompt_texts, ppo.tokenizer, size)  # [B]
    ref_logprobs = reference_logprobs(ppo.reference, batch, config.temperature, size)  # [B,T]
    return replace(batch, ref_logprobs=ref_logprobs, values=rollout_values(ppo.value_model, batch, size)), scores


def follow(ppo: PPO) -> dict[str, Any]:
    """One iteration; of one answer its tokens and a list for each tensor, of the batch a few numbers."""
    config, beta, metrics = ppo.config, ppo.controller.beta, Metrics(ppo.device)
    batch, raw_scores = roll_out(ppo)
    plain = replace(config, whiten_advantages=False)
    unwhitened, _, _ = compute_advantages(batch, raw_scores, plain, beta)
    batch, scores, rewards = compute_advantages(batch, raw_scores, config, beta)
    learn(ppo, batch, BEFORE, metrics)
    with torch.no_grad():
        after, _ = response_logprobs(ppo.policy, batch, config.temperature)  # [B,T]
    mine = [row for row in range(COPIES) if batch.ended[row]]
    row = min(mine, key=lambda number: int(batch.lengths[number]))
    where = batch.mask[row]  # [T]
    tensors = {
        "logprobs": batch.logprobs,
        "ref_logprobs": batch.ref_logprobs,
        "values": batch.values,
        "rewards": rewards,
        "advantages": unwhitened.advantages,
        "whitened": batch.advantages,
        "returns": batch.returns,
        "after": after,
    }
    real = unwhitened.advantages[batch.mask]
    return {
        "prompt": PROMPT,
        "ids": batch.ids[row, : int(batch.total_lengths[row])].tolist(),
        "prompt_length": int(batch.prompt_lengths[row]),
        "pieces": [ppo.tokenizer.decode([token]) for token in batch.ids[row, : int(batch.total_lengths[row])].tolist()],
        "text": batch.texts(ppo.tokenizer)[row],
        "score": float(raw_scores[row]),
        "beta": beta,
        "columns": where.nonzero().flatten().tolist(),
        **{name: tensor[row][where].tolist() for name, tensor in tensors.items()},
        "batch": {
            "answers": len(scores),
            "tokens": batch.tokens,
            "prompt_tokens": int(batch.prompt_lengths.sum()),
            "columns": batch.mask.shape[1],
            "advantage_mean": float(real.mean()),
            "advantage_std": float(real.std(unbiased=False)),
            "steps": config.batch_size // config.minibatch_size,
        },
        "metrics": metrics.means(),
    }


def table(found: dict[str, Any]) -> str:
    """A line for each token of the answer."""
    heads = ("log π", "log π_ref", "reward", "V", "A", "whitened", "return", "ratio")
    lines = [f"{'token':<12}" + "".join(f"{head:>11}" for head in heads)]
    ratio = [torch.tensor(a - b).exp().item() for a, b in zip(found["after"], found["logprobs"], strict=True)]
    names = ("logprobs", "ref_logprobs", "rewards", "values", "advantages", "whitened", "returns")
    for number, piece in enumerate(found["pieces"][found["prompt_length"] :]):
        cells = [found[name][number] for name in names]
        lines.append(f"{piece!r:<12}" + "".join(f"{cell:11.2f}" for cell in cells) + f"{ratio[number]:11.3f}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Runs the iterations and writes the file."""
    parse(OneIterationConfig, argv, description=__doc__, presets={})
    at, started = commit("tutorials/models.py"), time.monotonic()
    ppo = prepare()
    with quiet_and_alone():
        for iteration in range(BEFORE):
            ppo_iteration(ppo, iteration)
        found = follow(ppo)
    record(
        "one-iteration",
        {"table": table(found), **found},
        command="python -m tutorials.numbers.make.one_iteration",
        commit=at,
        seeds=[SEED],
        threads=1,
        seconds=time.monotonic() - started,
        code=["rlhf/stage3_ppo/step.py", "rlhf/stage3_ppo/losses.py", "rlhf/stage3_ppo/rollout.py"],
    )


if __name__ == "__main__":
    run_main(main)
