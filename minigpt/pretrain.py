"""Pretrain a GPT on the toy world, or on your own text: documents, tokenizer, token stream, training.

    python -m minigpt.pretrain
    python -m minigpt.pretrain --preset tiny
    python -m minigpt.pretrain --corpus my.txt        # or .txt.gz, .jsonl, a folder of these, or nanoGPT's train.bin

Writes runs/<preset>/tokenizer.json, runs/<preset>/tokens/ with the text as ids, and runs/<preset>/pretrain/:
config.json, metrics.jsonl, checkpoint.pt, samples.md, curves.svg. Stopped by Ctrl-C, the same command resumes where it
stopped.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective
from minigpt.pretraining_data import TOKENS, DataConfig, PretrainingData, data_again, keep_tokens, prepare
from minigpt.runs.config import from_dict, parse, to_dict
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.files import remove_leftovers, write_text
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import made_from
from minigpt.scale.distributed import process_group
from minigpt.scale.precision import dtype_name, dtype_of
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train

STAGE = "pretrain"


@dataclass(frozen=True)
class PretrainConfig(DataConfig):
    """Settings of pretraining."""

    model: GPTConfig = field(default_factory=GPTConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check_fields(self) -> None:
        super().check_fields()
        if self.model.context < 2:
            raise UserError(f"--context: expected 2 or more, a beginning and what comes next, got {self.model.context}")


PRESETS: dict[str, dict[str, Any]] = {
    # The whole chain in under a minute: enough to see every part move, too little to learn the facts. Its rows begin
    # anywhere, as they did when the chapters' small models were measured.
    "tiny": {
        "documents": 1500,
        "layers": 2,
        "channels": 64,
        "heads": 4,
        "context": 128,
        "vocab_size": 1024,
        "steps": 300,
        "batch_size": 16,
        "evaluate_every": 150,
        "checkpoint_every": 150,
    },
    # Small batches, many steps and high learning rates for a short run (tests/benchmarks/LOG.md, 2026-11-23 and 25), of
    # rows that begin with a document (2026-11-30): with 1,800 steps seeds that nobody had chosen missed goals.
    "small": {
        "documents": 30000,
        "row_start": "document",
        "layers": 4,
        "channels": 128,
        "heads": 4,
        "context": 128,
        "vocab_size": 1536,
        "steps": 2400,
        "batch_size": 8,
        "learning_rate": 0.018,
        "matrix_learning_rate": 0.03,
        "final_lr_fraction": 0.05,
        "evaluate_every": 600,
        "checkpoint_every": 600,
    },
    # 26 M parameters, for a GPU (`python -m minigpt.scale.plan --layers 8 --heads 8 --channels 512 --vocab-size 2048
    # --context 256`). Never run at this size: no GPU was at hand. In all stages the rates of AdamW are those of small
    # over 4, as the model is 4 times as wide (Yang et al. 2022, arXiv 2203.03466); Muon's depend little on the width.
    "medium": {
        "documents": 200000,
        "row_start": "document",
        "layers": 8,
        "channels": 512,
        "heads": 8,
        "context": 256,
        "vocab_size": 2048,
        "steps": 3000,
        "batch_size": 64,
        "learning_rate": 0.0045,
        "warmup_steps": 100,
        "final_lr_fraction": 0.05,
        "evaluate_every": 1000,
        "checkpoint_every": 1000,
    },
}


def pretraining_data(stage_dir: Path, tokenizer: Tokenizer) -> PretrainingData:
    """The training and the validation tokens of a finished run, read again as its config.json says."""
    path = stage_dir / "config.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        data, digest = described["config"], described["text"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it names the text of the run; run `make pretrain` first") from None
    except (ValueError, LookupError, TypeError):
        raise UserError(f"{path} is damaged or no settings of pretraining; run `make pretrain` again") from None
    config = from_dict(PretrainConfig, data, str(path))
    return data_again(config, digest, tokenizer, stage_dir.parent / TOKENS)


def main(argv: list[str]) -> None:
    """Trains the tokenizer and the base model of a run."""
    config = parse(PretrainConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: PretrainConfig) -> None:
    """Text to tokenizer to token stream to base model, all of it written to the run's folder."""
    device = config.torch_device()
    least_tokens = (config.training.batch_size + 1) * config.model.context  # see TokenStream
    data = prepare(config, config.model.vocab_size, least_tokens)
    tokenizer = data.tokenizer
    model_config = dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size)
    objective = LanguageModelObjective(
        tokenizer,
        data.training,
        data.validation,
        context=model_config.context,
        batch_size=config.training.batch_size,
        micro_batch_size=config.training.micro_batch_size,
        seed=config.seed,
        device=device,
        begin_with=data.begin_with,
    )
    model = config.place(GPT(model_config, seed=config.seed))
    print(
        f"{data.learned}{len(data.training):,} tokens of {tokenizer.vocab_size} kinds; "
        f"{model.parameter_count():,} parameters on {device}, {dtype_name(dtype_of(model))}\n{data.divided}"
    )
    stage_dir = config.stage_dir(STAGE)

    row = train(
        model,
        objective,
        config.training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe={"config": to_dict(config), "tokenizer": tokenizer.fingerprint, "text": data.digest},
        made_from=made_from(config, PRESETS, "minigpt.pretrain", []),  # the corpus: see rlhf/settings.py
        checkpoint_payload={"kind": "gpt", "config": to_dict(model_config), "tokenizer": tokenizer.fingerprint},
        on_start=lambda folder: tokenizer.save(folder / "tokenizer.json"),
    )
    publish_tokenizer(config.run_dir)
    keep_tokens(data, config.run_dir / TOKENS)
    print(
        f"validation loss {row['eval_loss']:.3f} nats/token, {row['eval_bits_per_byte']:.3f} bits per byte "
        f"after {row['step']} steps in {row['seconds']:.0f} s; see {stage_dir / 'samples.md'}"
    )


def publish_tokenizer(run_dir: Path) -> None:
    """Copy pretrain/tokenizer.json to where all stages read it, once the model beside it is complete. Until then the
    model of an earlier run, and its tokenizer, stay in use."""
    remove_leftovers(run_dir)
    write_text(run_dir / "tokenizer.json", (run_dir / STAGE / "tokenizer.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_main(main)
