"""Iterations of our PPO with random weights, in the shape of the issue, and what each took.

Also run as `python -m tests.benchmarks.ppo_run` over an older state of the code, so it imports only what is old.
"""

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from minigpt.model import GPT, GPTConfig
from minigpt.tokenizer import Tokenizer
from tests.benchmarks.made_up import made_up_text

try:
    from minigpt.runs.log.metrics import read_metrics
    from rlhf.chat_format import Turn
    from rlhf.stage2_reward.network import RewardModel
    from rlhf.stage3_ppo.configuration import PPOConfig
    from rlhf.stage3_ppo.training import train_ppo
except ModuleNotFoundError:  # the names of the older state
    from minigpt.runlog import read_metrics
    from rlhf.conversation import Turn
    from rlhf.ppo_config import PPOConfig
    from rlhf.ppo_training import train_ppo
    from rlhf.reward_model import RewardModel

MARKS = 2  # tokens of a prompt that are no text: <|user|> and <|assistant|>


@dataclass(frozen=True)
class Shape:
    """The sizes of an iteration. Policy, reference, reward and value model are of one size."""

    layers: int = 4
    heads: int = 4
    channels: int = 128
    vocab_size: int = 1024
    prompts: int = 64
    prompt_tokens: int = 16
    new_tokens: int = 32
    epochs: int = 2
    minibatches: int = 2
    iterations: int = 7
    warm_up: int = 2  # of the iterations, not counted


def prompts_of(shape: Shape, tokenizer: Tokenizer, texts: list[str]) -> list[tuple[Turn, ...]]:
    """Questions that are exactly so many tokens long."""
    found, wanted = [], shape.prompt_tokens - MARKS
    for text in texts:
        ids = tokenizer.encode(text)
        for start in range(0, len(ids) - wanted, wanted):
            question = tokenizer.decode(ids[start : start + wanted])
            if len(tokenizer.encode(question)) == wanted:  # a merge across the cut would make it shorter
                found.append((Turn("user", question),))
            if len(found) == shape.prompts:
                return found
    raise ValueError(f"only {len(found)} prompts of {shape.prompt_tokens} tokens in the text, {shape.prompts} wanted")


def iterations(shape: Shape) -> list[dict[str, float]]:
    """Seconds of each counted iteration: as a whole, and of generate, score and train in it.

    A random policy writes the end token once in a thousand tokens, so a row is shorter than new_tokens by 1 or 2 % in
    the mean; TRL writes all of them.
    """
    texts = made_up_text(60_000, 2000)
    tokenizer = Tokenizer.train(texts, shape.vocab_size)
    prompts = prompts_of(shape, tokenizer, texts)
    config = GPTConfig(
        vocab_size=shape.vocab_size,
        context=shape.prompt_tokens + shape.new_tokens,
        layers=shape.layers,
        heads=shape.heads,
        channels=shape.channels,
    )
    minibatch = shape.prompts // shape.minibatches
    settings = PPOConfig(
        iterations=shape.iterations,
        batch_size=shape.prompts,
        max_new_tokens=shape.new_tokens,
        epochs=shape.epochs,
        minibatch_size=minibatch,
        micro_batch_size=minibatch,
        critic_warmup=0,
        checkpoint_every=shape.iterations + 1,
    )
    reward_model = RewardModel(GPT(config, seed=1), torch.Generator().manual_seed(1)).requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        stage_dir = Path(folder) / "ppo"
        train_ppo(GPT(config), prompts, tokenizer, settings, reward_fn=reward_model, stage_dir=stage_dir)
        rows = read_metrics(stage_dir / "metrics.jsonl")
    ends = [0.0, *(float(row["seconds"]) for row in rows)]
    return [
        {"seconds": ends[i + 1] - ends[i], **{part: row[f"time/{part}"] for part in ("generate", "score", "train")}}
        for i, row in enumerate(rows)
    ][shape.warm_up :]


if __name__ == "__main__":
    shape = Shape(**json.loads(sys.argv[1])) if sys.argv[1:] else Shape()
    print(json.dumps({"shape": asdict(shape), "iterations": iterations(shape)}))
