"""Stage 1, supervised fine-tuning: the base model learns from demonstrations which of its abilities to use.

    python -m rlhf.stage1_sft
    python -m rlhf.stage1_sft --demonstrations mine.jsonl

The loss counts the tokens of the response only, its end token among them: the model is to answer prompts, not to write
them, and a policy that never saw the end token in its loss never stops (Ouyang et al. 2022, section 3.5).
Writes runs/<preset>/sft/: demonstrations.jsonl and what every training run writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from minigpt.data import TokenStream
from minigpt.model import GPT
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.log.metrics import Row
from minigpt.runs.log.usage import measure_usage
from minigpt.runs.made_from import made_from
from minigpt.scale.distributed import process_group
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn
from rlhf.data_formats.formats import read_demonstrations
from rlhf.people.demonstrators import demonstrate, make_demonstrators
from rlhf.people.prompts import prompt_set
from rlhf.records import Demonstration, write_demonstrations
from rlhf.stage1_sft.examples import Example, encode_demonstrations
from rlhf.stage1_sft.mixing import MixedObjective, pretraining_stream
from rlhf.stage1_sft.objective import DemonstrationObjective
from rlhf.stage_io import checkpoint_payload, data_digest, load_policy, load_tokenizer, weights_digest

STAGE = "sft"
END_SCALE = 2.0  # how much longer than the newline's embedding the end token's is at first


@dataclass(frozen=True)
class SFTConfig(RunConfig):
    """Settings of stage 1."""

    demonstrations: str | None = option(
        None,
        "your demonstrations in a format of rlhf/data_formats, or rankings, of which the best answers are taken; "
        "none is the toy world's prompts A",
    )
    skip_bad: bool = option(
        False, "leave out records that are malformed or longer than the context, and say how many; else stop"
    )
    demonstration_count: int = option(
        900, "how many demonstrations the toy world writes; unused with --demonstrations", low=1
    )
    demonstrators: int = option(10, "simulated people who write them, each with habits of their own", low=1)
    careless_share: float = option(0.5, "share of careless demonstrations; 0 is complete answers only", low=0, high=1)
    validation_fraction: float = option(
        0.1, "share of the demonstrations held back to measure the loss on", low=0, below=1
    )
    epochs: float = option(2.0, "passes over the demonstrations; sets --steps", above=0)
    ptx_coefficient: float = option(
        0.0, "weight of the loss on pretraining text that is mixed in, so that less of it is forgotten", low=0
    )
    ptx_batch_size: int = option(2, "rows of pretraining text in an optimiser step, where ptx-coefficient > 0", low=1)
    pack: bool = option(False, "several demonstrations in a row, each seeing itself alone: less padding, the same loss")
    training: TrainingConfig = field(default_factory=TrainingConfig)


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "demonstration_count": 200,
        "epochs": 6.0,
        "batch_size": 16,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "warmup_steps": 5,
        "evaluate_every": 0,
        "checkpoint_every": 0,
    },
    # AdamW, gently: a few hundred demonstrations learned faster than this cost the model facts it knew. Enough passes
    # that the policy stops where it should, with pretraining text beside them (tests/benchmarks/LOG.md, 2026-11-29).
    "small": {
        "demonstration_count": 900,
        "epochs": 7.0,
        "ptx_coefficient": 0.15,
        "ptx_batch_size": 2,
        "batch_size": 16,
        "optimizer": "adamw",
        "learning_rate": 8e-4,
        "warmup_steps": 5,
        "evaluate_every": 0,
        "checkpoint_every": 0,
    },
    "medium": {
        "demonstration_count": 900,
        "epochs": 7.0,
        "ptx_coefficient": 0.15,
        "ptx_batch_size": 2,
        "batch_size": 16,
        "optimizer": "adamw",
        "learning_rate": 2e-4,
        "warmup_steps": 5,
        "evaluate_every": 0,
        "checkpoint_every": 0,
    },
}


@torch.no_grad()
def introduce_chat_tokens(model: GPT, tokenizer: Tokenizer) -> None:
    """Copies the embedding of the newline, which separates speakers in the documents, to the three chat tokens.

    Pretraining never saw them, so their embeddings are noise, and a few hundred demonstrations are few to learn them
    from. A new token starts better from the embedding of an old one with a similar meaning (Hewitt 2021, "Initializing
    new word embeddings for pretrained language models"). The end token's is longer: where a line would have ended, the
    answer is to end, and with equal embeddings the first steps would have to part two equally likely tokens.
    """
    (newline,) = tokenizer.encode("\n")
    chat_tokens = [tokenizer.user_id, tokenizer.assistant_id, tokenizer.end_id]
    tables = [model.token_embedding] if model.config.tied_embeddings else [model.token_embedding, model.unembedding]
    for table in tables:
        table.weight[chat_tokens] = table.weight[newline].clone()  # [C] to each of [3,C]
        table.weight[tokenizer.end_id] *= END_SCALE


def toy_demonstrations(count: int, seed: int, demonstrators: int, careless_share: float) -> list[Demonstration]:
    """Prompts A as simulated people answer them."""
    prompts = prompt_set("A", count, seed)
    people = make_demonstrators(demonstrators, careless_share, seed)
    answers = demonstrate([prompt.request for prompt in prompts], people, seed)
    return [Demonstration(prompt.turns, answer) for prompt, answer in zip(prompts, answers, strict=True)]


def imitate(
    policy: GPT,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    config: SFTConfig,
    *,
    stage_dir: Path,
    validation: Sequence[Example] = (),
    prompts: Sequence[tuple[Turn, ...]] = (),
    pretraining: TokenStream | None = None,
    made_from: Mapping[str, Any] | None = None,
    on_start: Callable[[Path], None] | None = None,
) -> Row:
    """Train `policy` in place on the responses of `examples`. Returns the last row of metrics.jsonl.

    Stage 1 starts from the base model and people's answers. From the SFT policy and the best of its own answers it is
    rejection sampling (Touvron et al. 2023, section 3.2.3; "RAFT" in Dong et al. 2023, arXiv 2304.06767).
    validation: what the loss is measured on. prompts: those that samples.md shows answers to. pretraining: text to mix
    in with config.ptx_coefficient, see `mixing`. The rest: see `train`.
    """
    objective = DemonstrationObjective(
        examples,
        validation,
        batch_size=config.training.batch_size,
        micro_batch_size=config.training.micro_batch_size,
        tokenizer=tokenizer,
        seed=config.seed,
        device=config.torch_device(),
        prompts=prompts,
        row_tokens=policy.config.context if config.pack else 0,
    )
    steps = max(1, round(config.epochs * objective.steps_per_epoch()))
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=steps))
    mixed = objective
    if pretraining is not None:
        mixed = MixedObjective(objective, pretraining, config.ptx_coefficient)
    return train(
        policy,
        mixed,
        config.training,
        stage_dir=stage_dir,
        seed=config.seed,
        describe={
            "config": to_dict(config),
            "tokenizer": tokenizer.fingerprint,
            "base": weights_digest(policy),
            "demonstrations": data_digest([*validation, *examples]),
        },
        checkpoint_payload=checkpoint_payload("gpt", policy, tokenizer),
        made_from=made_from,
        on_start=on_start,
    )


def main(argv: list[str]) -> None:
    """Trains the SFT policy of a run."""
    config = parse(SFTConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        run(config)


def run(config: SFTConfig) -> None:
    """Demonstrations to SFT policy, starting from the base model of the same run."""
    tokenizer = load_tokenizer(config.run_dir)
    model = config.place(load_policy(config.stage_dir("pretrain"), tokenizer))
    introduce_chat_tokens(model, tokenizer)
    bad = BadRecords(config.skip_bad)
    if config.demonstrations is None:
        items = toy_demonstrations(config.demonstration_count, config.seed, config.demonstrators, config.careless_share)
    else:
        items = read_demonstrations(Path(config.demonstrations), bad)
    items, examples = encode_demonstrations(tokenizer, items, model.config.context, bad)
    bad.finish(config.demonstrations or "the toy world", len(items))
    count = round(len(items) * config.validation_fraction)  # the first ones are for validation
    if count >= len(items):
        raise UserError(
            f"--validation-fraction {config.validation_fraction} leaves none of {len(items)} demonstrations"
        )
    pretraining = None
    if config.ptx_coefficient > 0:
        pretraining = pretraining_stream(
            config.stage_dir("pretrain"),
            tokenizer,
            context=model.config.context,
            rows=config.ptx_batch_size,
            seed=config.seed,
        )
        if pretraining is None:
            print("the base model comes without its pretraining text, so none is mixed in")
    stage_dir = config.stage_dir(STAGE)
    inputs = [config.stage_dir("pretrain") / "checkpoint.pt"]
    inputs += [Path(config.demonstrations)] if config.demonstrations else []
    row = imitate(
        model,
        examples[count:],
        tokenizer,
        config,
        stage_dir=stage_dir,
        validation=examples[:count],
        prompts=[item.turns for item in items[:count]],
        pretraining=pretraining,
        made_from=made_from(config, PRESETS, "rlhf.stage1_sft.stage", inputs),
        on_start=lambda folder: write_demonstrations(folder / "demonstrations.jsonl", items),
    )
    if count:
        measured = f"validation loss {row['eval_loss']:.3f} nats/token; answers to validation prompts are in "
        measured += str(stage_dir / "samples.md")
    else:
        measured = f"training loss {row['loss']:.3f} nats/token; none was held back, so there is no validation loss"
    print(f"{len(items) - count} demonstrations, {measured}")
