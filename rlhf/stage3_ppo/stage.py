"""Stage 3: PPO against the reward model (InstructGPT, section 3.5).

    python -m rlhf.stage3_ppo
    python -m rlhf.stage3_ppo --preset tiny
    python -m rlhf.stage3_ppo --paper instructgpt --beta 0.05

An iteration: answer new prompts (set C), score the answers, turn scores and the KL from the SFT model into advantages,
and learn from them for a few passes; `ppo_training` is the loop. --paper lays the settings that a paper gives over the
preset, and a flag wins over both.

Writes runs/<preset>/ppo/: config.json, metrics.jsonl, checkpoint.pt, samples.md, curves.svg. Stopped by Ctrl-C, the
same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from minigpt.data import TokenStream, tokenize_documents
from minigpt.pretrain import pretraining_documents
from minigpt.runs.config import parse
from minigpt.runs.usage import measure_usage
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from rlhf.people.labeler import grade
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import load_reward_model
from rlhf.stage3_ppo import paper_presets
from rlhf.stage3_ppo.configuration import PRESETS, PPOConfig
from rlhf.stage3_ppo.training import STAGE, train_ppo
from rlhf.stage_io import load_policy, load_tokenizer


def pretraining_stream(config: PPOConfig, tokenizer: Tokenizer, context: int) -> TokenStream | None:
    """The text that the base model was trained on, read again as its config.json says; None without PPO-ptx."""
    if config.ptx_coefficient == 0:
        return None
    documents, _ = pretraining_documents(config.stage_dir("pretrain"))
    tokens = tokenize_documents(tokenizer, documents)  # [N]
    return TokenStream(tokens, context=context, batch_size=config.ptx_batch_size, seed=config.seed)


def read_config(argv: list[str]) -> PPOConfig:
    """The command line. The paper is looked up first, because its row changes the defaults that --help shows."""
    typed = ["=".join(argv[i : i + 2]) if argument == "--paper" else argument for i, argument in enumerate(argv)]
    paper = parse(PPOConfig, [a for a in typed if a.startswith("--paper=")], description="", presets={}).paper
    row = paper_presets.overrides(paper)
    presets = {name: {**preset, **row} for name, preset in PRESETS.items()}
    return parse(PPOConfig, argv, description=__doc__, presets=presets)


def main(argv: list[str]) -> None:
    """Runs stage 3."""
    config = read_config(argv)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        improve_policy(config)


def improve_policy(config: PPOConfig) -> None:
    """The SFT policy and the reward model of the same run to the PPO policy, on prompts C."""
    stage_dir = config.stage_dir(STAGE)
    tokenizer = load_tokenizer(config.run_dir)
    policy = config.place(load_policy(config.stage_dir("sft"), tokenizer))
    reward_model = config.place(load_reward_model(config.stage_dir("reward_model"), tokenizer)).requires_grad_(False)
    prompts = prompt_set("C", config.prompts, config.seed)

    def gold(rows: Sequence[int], responses: Sequence[str], ended: Sequence[bool]) -> list[float]:
        answers = zip(rows, responses, ended, strict=True)
        return [grade(prompts[row].request, response, end).total for row, response, end in answers]

    row = train_ppo(
        policy,
        [prompt.turns for prompt in prompts],
        tokenizer,
        config,
        reward_fn=reward_model,
        stage_dir=stage_dir,
        pretraining=pretraining_stream(config, tokenizer, policy.config.context),
        gold=gold,
    )
    print(
        f"score {row['objective/scores']:.2f}, gold {row['objective/gold']:.2f}, "
        f"KL {row['objective/kl']:.2f} nats/sequence "
        f"after {row['episode']} episodes in {row['seconds']:.0f} s; see {stage_dir / 'samples.md'}"
    )
