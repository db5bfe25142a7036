"""Stage 3: PPO against the reward model (InstructGPT, section 3.5).

    python -m rlhf.stage3_ppo
    python -m rlhf.stage3_ppo --preset tiny
    python -m rlhf.stage3_ppo --paper instructgpt --beta 0.05

An iteration answers new prompts (set C), scores the answers, turns scores and the KL from the SFT model into
advantages, and learns from them for a few passes: `step` is that page, `training` the loop around it. --paper puts the
settings that a paper gives over those of the preset, and a flag wins over both.

Writes runs/<preset>/ppo/: config.json, metrics.jsonl, checkpoint.pt, samples.md, curves.svg, and rollouts.jsonl with
every answer, which the evaluation grades. Stopped by Ctrl-C, the same command resumes from the last saved state.
"""

from __future__ import annotations

from minigpt.data import TokenStream
from minigpt.pretrain import pretraining_data
from minigpt.runs.config import parse
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import made_from
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import load_reward_model
from rlhf.stage3_ppo import paper_presets
from rlhf.stage3_ppo.configuration import PRESETS, PPOConfig
from rlhf.stage3_ppo.training import STAGE, train_ppo
from rlhf.stage_io import load_policy, load_tokenizer


def pretraining_stream(config: PPOConfig, tokenizer: Tokenizer, context: int) -> TokenStream | None:
    """The text that the base model was trained on, as its config.json says; None without PPO-ptx."""
    if config.ptx_coefficient == 0:
        return None
    data = pretraining_data(config.stage_dir("pretrain"), tokenizer)
    return data.stream(context=context, batch_size=config.ptx_batch_size, seed=config.seed)


def read_config(argv: list[str]) -> PPOConfig:
    """The settings of a command line. The paper is read first: its row changes the defaults that --help shows."""
    typed = ["=".join(argv[i : i + 2]) if argument == "--paper" else argument for i, argument in enumerate(argv)]
    paper = parse(PPOConfig, [a for a in typed if a.startswith("--paper=")], description="", presets={}).paper
    row = paper_presets.overrides(paper)
    presets = {name: {**preset, **row} for name, preset in PRESETS.items()}
    return parse(PPOConfig, argv, description=__doc__, presets=presets)


def main(argv: list[str]) -> None:
    """Run stage 3 as the command line says."""
    config = read_config(argv)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: PPOConfig) -> None:
    """Train the SFT policy of a run against its reward model on prompts C, and write the PPO policy."""
    stage_dir = config.stage_dir(STAGE)
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    reward_model = config.place(load_reward_model(config.stage_dir("reward_model"), tokenizer)).requires_grad_(False)
    prompts = prompt_set("C", config.prompts, config.seed)
    before = ("pretrain", "sft", "reward_model") if config.ptx_coefficient else ("sft", "reward_model")
    inputs = [config.stage_dir(stage) / "checkpoint.pt" for stage in before]
    row = train_ppo(
        policy,
        [prompt.turns for prompt in prompts],
        tokenizer,
        config,
        reward_fn=reward_model,
        stage_dir=stage_dir,
        pretraining=pretraining_stream(config, tokenizer, policy.config.context),
        made_from=made_from(config, PRESETS, "rlhf.stage3_ppo.stage", inputs),
    )
    print(
        f"score {row['objective/scores']:.2f}, KL {row['objective/kl_nats_per_sequence']:.2f} nats/sequence "
        f"after {row['episode']} episodes in {row['seconds']:.0f} s; see {stage_dir / 'samples.md'}"
    )
