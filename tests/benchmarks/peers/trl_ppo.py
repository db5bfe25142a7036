"""TRL's experimental PPOTrainer, random weights, in the shape of ppo_run.Shape: what each iteration took.

    .venv-bench/bin/python tests/benchmarks/peers/trl_ppo.py

Runs in an environment of its own (requirements-bench.txt), which has none of our packages, so the shape is written here
once more. Its settings are chosen for speed: float32 on a CPU, no gradient checkpointing, no samples, one micro-batch
for each minibatch.
"""

import json
import sys
import tempfile
import time

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

LAYERS, HEADS, CHANNELS, VOCABULARY = 4, 4, 128, 1024
PROMPTS, PROMPT_TOKENS, NEW_TOKENS, EPOCHS, MINIBATCHES = 64, 16, 32, 2, 2
ITERATIONS, WARM_UP = 7, 2
PAD, END = 0, 1


class Clock(TrainerCallback):
    """The moment at which each iteration ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *arguments: object, **named: object) -> None:
        self.ends.append(time.perf_counter())


def tokenizer() -> PreTrainedTokenizerFast:
    """A vocabulary without meaning: only its size and its pad and end tokens count."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w2"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=f"w{PAD}", eos_token=f"w{END}")


def main() -> None:
    """Trains, and prints one line of JSON."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=PROMPT_TOKENS + NEW_TOKENS,
        n_embd=CHANNELS,
        n_layer=LAYERS,
        n_head=HEADS,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=END,
        num_labels=1,
    )
    ids = torch.randint(2, VOCABULARY, (PROMPTS * ITERATIONS, PROMPT_TOKENS)).tolist()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = PPOConfig(
            output_dir=folder,
            total_episodes=PROMPTS * ITERATIONS,
            per_device_train_batch_size=PROMPTS,
            gradient_accumulation_steps=1,
            num_mini_batches=MINIBATCHES,
            num_ppo_epochs=EPOCHS,
            response_length=NEW_TOKENS,
            temperature=1.0,
            local_rollout_forward_batch_size=PROMPTS,
            num_sample_generations=0,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1000,
            learning_rate=2e-4,
        )
        trainer = PPOTrainer(
            args=settings,
            processing_class=tokenizer(),
            model=GPT2LMHeadModel(config),
            ref_model=GPT2LMHeadModel(config),
            reward_model=GPT2ForSequenceClassification(config),
            value_model=GPT2ForSequenceClassification(config),
            train_dataset=Dataset.from_dict({"input_ids": ids}),
            eval_dataset=Dataset.from_dict({"input_ids": ids[:PROMPTS]}),
            callbacks=[clock],
        )
        trainer.train()
    seconds = [after - before for before, after in zip(clock.ends[WARM_UP - 1 :], clock.ends[WARM_UP:])]  # noqa: B905
    print(json.dumps({"iterations": [{"seconds": second} for second in seconds]}))


if __name__ == "__main__":
    sys.exit(main())
