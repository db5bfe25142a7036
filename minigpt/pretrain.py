"""Pretrain a GPT on the toy world, or on your own text: documents, tokenizer, token stream, training.

    python -m minigpt.pretrain
    python -m minigpt.pretrain --preset tiny
    python -m minigpt.pretrain --corpus my.txt

Writes runs/<preset>/tokenizer.json and runs/<preset>/pretrain/: config.json, metrics.jsonl, checkpoint.pt, samples.md,
curves.svg. Stopped by Ctrl-C, the same command goes on where it stopped.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt.data import read_corpus, split_documents
from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective
from minigpt.runs.checkpoint import remove_leftovers
from minigpt.runs.config import RunConfig, from_dict, option, parse, to_dict
from minigpt.runs.errors import UserError, run_main
from minigpt.runs.usage import measure_usage
from minigpt.scale.distributed import process_group
from minigpt.scale.precision import dtype_name, dtype_of
from minigpt.tokenizer import Tokenizer
from minigpt.toyworld import documents
from minigpt.training import TrainingConfig, train

STAGE = "pretrain"


@dataclass(frozen=True)
class PretrainConfig(RunConfig):
    """Settings of pretraining."""

    corpus: str | None = option(None, "a UTF-8 text file to learn from; none is the toy world")
    documents: int = option(6000, "documents the toy world writes; unused with --corpus", low=2)
    validation_fraction: float = option(
        0.04, "share of the documents held back to measure the loss on", above=0, below=1
    )
    model: GPTConfig = field(default_factory=GPTConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


PRESETS: dict[str, dict[str, Any]] = {
    # The whole chain in under a minute: enough to see every part move, too little to learn the facts.
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
    # Small batches, many steps and high learning rates for a short run (tests/benchmarks/LOG.md, 2026-11-23 and 25).
    "small": {
        "documents": 30000,
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


def load_documents(config: PretrainConfig) -> list[str]:
    """What the model will read, from the user's file or from the toy world."""
    return documents(config.documents, config.seed) if config.corpus is None else read_corpus(config.corpus)


def pretraining_documents(stage_dir: Path) -> tuple[list[str], list[str]]:
    """The documents that a finished run learned from and those it held back, read again as its config.json says.

    Raises UserError if they are no longer the same: what was held back then may be what was learned from, and the loss
    on it would measure memory.
    """
    path = stage_dir / "config.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        data, digest = described["config"], described["text"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it names the text of the run; run `make pretrain` first") from None
    except (ValueError, LookupError, TypeError):
        raise UserError(f"{path} is damaged or no settings of pretraining; run `make pretrain` again") from None
    config = from_dict(PretrainConfig, data, str(path))
    training, held_out = split_documents(load_documents(config), config.validation_fraction, config.seed)
    if _digest(training + held_out) != digest:
        source = "the toy world" if config.corpus is None else config.corpus
        raise UserError(f"{source} has changed since {stage_dir} was trained on it; run `make pretrain` again")
    return training, held_out


def main(argv: list[str]) -> None:
    """Trains the tokenizer and the base model of a run."""
    config = parse(PretrainConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: PretrainConfig) -> None:
    """Text to tokenizer to token stream to base model, all of it written to the run's folder."""
    device = config.torch_device()
    training, validation = split_documents(load_documents(config), config.validation_fraction, config.seed)
    # Trained anew each time. It takes seconds, depends on the text alone, and an old one can never be used by mistake.
    tokenizer = Tokenizer.train(training, config.model.vocab_size)
    model_config = dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size)
    objective = LanguageModelObjective(
        tokenizer,
        training,
        validation,
        context=model_config.context,
        batch_size=config.training.batch_size,
        micro_batch_size=config.training.micro_batch_size,
        seed=config.seed,
        device=device,
    )
    model = config.place(GPT(model_config, seed=config.seed))
    print(
        f"{len(training)} documents, {len(objective.stream.tokens):,} tokens of {tokenizer.vocab_size} kinds; "
        f"{model.parameter_count():,} parameters on {device}, {dtype_name(dtype_of(model))}"
    )
    stage_dir = config.stage_dir(STAGE)

    def save_tokenizer(_: Path) -> None:
        """Nothing is written before: a complaint about the text, the settings or a stopped run leaves all as it was."""
        remove_leftovers(config.run_dir)
        tokenizer.save(config.run_dir / "tokenizer.json")

    text = _digest(training + validation)
    row = train(
        model,
        objective,
        config.training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe={"config": to_dict(config), "tokenizer": tokenizer.fingerprint, "text": text},
        checkpoint_payload={"kind": "gpt", "config": to_dict(model_config), "tokenizer": tokenizer.fingerprint},
        on_start=save_tokenizer,
    )
    print(
        f"validation loss {row['eval_loss']:.3f} nats/token, {row['eval_bits_per_byte']:.3f} bits per byte "
        f"after {row['step']} steps in {row['seconds']:.0f} s; see {stage_dir / 'samples.md'}"
    )


def _digest(texts: list[str]) -> str:
    """SHA-256 of the texts, so that a corpus edited between two sessions is not mistaken for the same one."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


if __name__ == "__main__":
    run_main(main)
