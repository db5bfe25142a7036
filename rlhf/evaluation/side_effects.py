"""The side effects of feedback, and how they grow when nothing holds the policy near its reference.

    python -m rlhf.evaluation.side_effects                      # PPO again with β = 0
    python -m rlhf.evaluation.side_effects --beta 0.02 --iterations 60

Trains PPO with another β from the SFT policy and the reward model of a run, and measures what it does beside what it is
paid for: harmless requests refused, "I do not know" to facts that the documents state often, length. With β = 0 the
score rises without end and the gold total turns down (Gao et al. 2022, arXiv 2210.10760; Stiennon et al. 2020, figure
5). Writes runs/<preset>/side_effects/beta-<β>/: what every PPO run writes, side_effects.json, gold.jsonl and gold.svg.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse, with_overrides
from minigpt.runs.errors import run_main
from minigpt.runs.files import write_json
from minigpt.runs.seeds import seeded_generator
from rlhf.evaluation.answers import Answers, policy_answers
from rlhf.evaluation.measures import measure_stage
from rlhf.evaluation.rollouts import graded_rows, write_graded
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.stage2_reward.network import load_reward_model
from rlhf.stage3_ppo import configuration
from rlhf.stage3_ppo.training import train_ppo
from rlhf.stage_io import load_policy, load_tokenizer


@dataclass(frozen=True)
class SideEffectsConfig(RunConfig):
    """Settings of the training, and the number of prompts to measure on."""

    beta: float = option(0.0, "weight of the KL penalty", low=0)
    iterations: int = option(90, "rollouts of PPO", low=8)
    count: int = option(400, "prompts of set D", low=10)
    samples: int = option(4, "answers to each prompt", low=1)
    max_new_tokens: int = option(48, "an answer is cut after this many tokens", low=1)


def side_effects(prompts: list[Prompt], answers: Answers) -> dict[str, float]:
    """Gold total, score, and the three side effects of one policy's answers; of facts that the documents state often
    only where the prompts ask for one."""
    measured = measure_stage(prompts, answers)
    every = [answer for given in answers for answer in given]
    common = measured["fact_answers_by_frequency"].get("common")
    return {
        "gold": fmean(answer.grade.total for answer in every),
        "score": fmean(answer.score or 0.0 for answer in every),
        "over_refusal": measured["over_refusal"],
        **({"unknown_of_common_facts": common["unknown"]} if common else {}),
        "words": measured["words"],
    }


def run(config: SideEffectsConfig) -> dict[str, dict[str, float]]:
    """PPO with this β, and the side effects of SFT, of the run's own PPO and of this one."""
    tokenizer, run_dir = load_tokenizer(config.run_dir), config.run_dir
    sft = config.place(load_policy(run_dir / "sft", tokenizer))
    reward_model = config.place(load_reward_model(run_dir / "reward_model", tokenizer)).requires_grad_(False)
    stage_dir = run_dir / "side_effects" / f"beta-{config.beta:g}"
    ppo_config = with_overrides(
        configuration.PPOConfig(),
        {
            **configuration.PRESETS[config.preset],
            "preset": config.preset,
            "runs": config.runs,
            "seed": config.seed,
            "device": config.device,
            "beta": config.beta,
            "iterations": config.iterations,
            "ptx_coefficient": 0.0,
        },
    )

    asked = prompt_set("C", ppo_config.prompts, config.seed)
    policy = config.place(load_policy(run_dir / "sft", tokenizer))
    train_ppo(
        policy,
        [prompt.turns for prompt in asked],
        tokenizer,
        ppo_config,
        reward_fn=reward_model,
        stage_dir=stage_dir,
    )
    write_graded(stage_dir, graded_rows(stage_dir))
    prompts = prompt_set("D", config.count, config.seed)
    policies = {"sft": sft, f"beta_{config.beta:g}": policy}
    if (run_dir / "ppo" / "checkpoint.pt").is_file():
        policies["ppo"] = config.place(load_policy(run_dir / "ppo", tokenizer))
    found: dict[str, dict[str, float]] = {}
    for name, each in policies.items():
        answers, kl = policy_answers(
            each,
            sft,
            reward_model,
            tokenizer,
            prompts,
            samples=config.samples,
            max_new_tokens=config.max_new_tokens,
            temperature=ppo_config.temperature,
            generator=seeded_generator(config.seed, "evaluation"),
        )
        found[name] = {**side_effects(prompts, answers), "kl_nats_per_sequence": kl}
    write_json(stage_dir / "side_effects.json", found)
    return found


def main(argv: list[str]) -> None:
    """Trains with another β and prints the side effects beside those of the other stages."""
    config = parse(SideEffectsConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    for name, figures in run(config).items():
        print(f"{name:10}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    run_main(main)
