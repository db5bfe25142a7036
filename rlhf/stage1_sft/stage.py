"""Stage 1, supervised fine-tuning: the base model learns from demonstrations which of its abilities to use.

    python -m rlhf.stage1_sft
    python -m rlhf.stage1_sft --demonstrations mine.jsonl

The loss counts the tokens of the response only, its end token among them: the model is to answer prompts, not to write
them, and a policy that never saw the end token in its loss never stops (Ouyang et al. 2022, section 3.5).
Writes runs/<preset>/sft/: demonstrations.jsonl and what every training run writes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.data import IGNORE, TokenStream, epoch_order, pack_best_fit, pad_sequences
from minigpt.model import GPT
from minigpt.objective import next_token_loss_sum
from minigpt.runs.config import RunConfig, option, parse, to_dict
from minigpt.runs.errors import UserError
from minigpt.runs.metrics import Row
from minigpt.runs.usage import measure_usage
from minigpt.scale.distributed import micro_batch_for, process_group
from minigpt.tokenizer import Tokenizer
from minigpt.training import TrainingConfig, train
from rlhf.chat_format import Turn, encode_prompt, encode_response
from rlhf.data_formats.formats import read_demonstrations
from rlhf.data_formats.jsonl import BadLines
from rlhf.people.demonstrators import demonstrate, hire_demonstrators
from rlhf.people.prompts import prompt_set
from rlhf.records import Demonstration, write_demonstrations
from rlhf.samples import sample_page
from rlhf.stage1_sft.mixing import MixedObjective, pretraining_stream
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
    demonstration_count: int = option(900, "how many demonstrations the toy world writes; unused with --demonstrations")
    demonstrators: int = option(10, "simulated people who write them, each with habits of their own")
    careless_share: float = option(0.5, "share of careless demonstrations; 0 is complete answers only")
    validation_fraction: float = option(0.1, "share of the demonstrations held back to measure the loss on")
    epochs: float = option(2.0, "passes over the demonstrations; sets --steps")
    ptx_coefficient: float = option(
        0.0, "weight of the loss on pretraining text that is mixed in, so that less of it is forgotten"
    )
    ptx_batch_size: int = option(4, "rows of pretraining text in an optimiser step, where ptx-coefficient > 0")
    pack: bool = option(False, "several demonstrations in a row, each seeing itself alone: less padding, the same loss")
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.demonstration_count < 1:
            raise UserError(f"--demonstration-count: expected 1 or more, got {self.demonstration_count}")
        if not 0 <= self.validation_fraction < 1:
            raise UserError(f"--validation-fraction: expected from 0 to less than 1, got {self.validation_fraction}")
        if not 0 <= self.careless_share <= 1:
            raise UserError(f"--careless-share: expected from 0 to 1, got {self.careless_share}")
        if self.ptx_coefficient < 0:
            raise UserError(f"--ptx-coefficient: expected 0 or more, got {self.ptx_coefficient}")
        for name in ("demonstrators", "ptx_batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')}: expected 1 or more, got {getattr(self, name)}")
        if self.epochs <= 0:
            raise UserError(f"--epochs: expected more than 0, got {self.epochs}")


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
        "epochs": 6.0,
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
        "epochs": 6.0,
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


@dataclass(frozen=True)
class Example:
    """One demonstration as ids: the prompt, and the response with its end token."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]


# inputs, targets and, where a row holds several examples, the example that each token belongs to: [B,T] each
Batch = tuple[Tensor, Tensor, Tensor | None]


def encode_demonstration(tokenizer: Tokenizer, item: Demonstration, context: int, where: str) -> Example:
    """Raises `UserError`, naming `where`, if it does not fit into the context: cropping would cut off the end token."""
    prompt, response = encode_prompt(tokenizer, item.turns), encode_response(tokenizer, item.response)
    if len(prompt) + len(response) > context:
        raise UserError(
            f"{where}: prompt and answer have {len(prompt) + len(response)} tokens together, but the model's "
            f"context is {context}: shorten one of them, or train a model with a longer context"
        )
    return Example(tuple(prompt), tuple(response))


def encode_demonstrations(
    tokenizer: Tokenizer, items: Sequence[Demonstration], context: int, bad: BadLines
) -> tuple[list[Demonstration], list[Example]]:
    """The demonstrations that fit into the context, and the same as ids; those that do not go to `bad`."""
    fitting, examples = [], []
    for number, item in enumerate(items, start=1):
        with bad.tolerated():
            where = item.source or f"demonstration {number}"
            examples.append(encode_demonstration(tokenizer, item, context, where))
            fitting.append(item)
    return fitting, examples


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """inputs [B,T] and targets [B,T], where only tokens of the response are targets and all else is IGNORE.

    The mask belongs to the targets, which are shifted by one: the last prompt token predicts the first response token,
    and the last response token predicts the end token. Masking the inputs instead is off by one.
    """
    ids, lengths = pad_sequences([example.prompt + example.response for example in examples], pad_id)  # [B,T+1]
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()  # [B,T]
    first = torch.tensor([len(example.prompt) - 1 for example in examples])  # [B] where the first response token is due
    place = torch.arange(inputs.shape[1])  # [T]
    is_response = (place >= first[:, None]) & (place < lengths[:, None] - 1)  # [B,T]
    return inputs, targets.masked_fill(~is_response, IGNORE), None


def collate_packed(examples: Sequence[Example], pad_id: int, row_tokens: int) -> Batch:
    """inputs, targets and documents [R,T]: the targets of `collate`, but as many examples in a row as fit, R <= B.

    The last token of an example is a target and no input, as in a row of its own: it predicts nothing, least of all the
    beginning of the next example. `documents` numbers the examples of a row, and the padding -1; see GPT.hidden.
    """
    whole = [example.prompt + example.response for example in examples]
    supervised = [(IGNORE,) * (len(example.prompt) - 1) + example.response for example in examples]
    rows = pack_best_fit([len(ids) - 1 for ids in whole], row_tokens)
    inputs = [[token for i in row for token in whole[i][:-1]] for row in rows]
    targets = [[token for i in row for token in supervised[i]] for row in rows]
    documents = [[number for number, i in enumerate(row) for _ in whole[i][1:]] for row in rows]
    parts = ((inputs, pad_id), (targets, IGNORE), (documents, -1))
    padded = [pad_sequences(part, filler)[0] for part, filler in parts]  # [R,T] each
    return padded[0], padded[1], padded[2]


@torch.no_grad()
def introduce_chat_tokens(model: GPT, tokenizer: Tokenizer) -> None:
    """Gives the three chat tokens the embedding of the newline, which parted the speakers in the documents.

    Pretraining never saw them, so their embeddings are noise, and a few hundred demonstrations are few to learn them
    from. New tokens start better as old ones of a like meaning (Hewitt 2021, "Initializing new word embeddings for
    pretrained language models"). The end token's is longer: where a line would have ended, the answer is to end, and
    with equal embeddings the first steps would have to part two equally likely tokens.
    """
    (newline,) = tokenizer.encode("\n")
    chat_tokens = [tokenizer.user_id, tokenizer.assistant_id, tokenizer.end_id]
    tables = [model.token_embedding] if model.config.tied_embeddings else [model.token_embedding, model.unembedding]
    for table in tables:
        table.weight[chat_tokens] = table.weight[newline].clone()  # [C] to each of [3,C]
        table.weight[tokenizer.end_id] *= END_SCALE


class DemonstrationObjective:
    """Next-token prediction on responses only; see `minigpt.training.Objective`. A unit is a response token."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        training: Sequence[Example],
        held_out: Sequence[Example],
        prompts: Sequence[tuple[Turn, ...]],
        config: SFTConfig,
        device: torch.device,
        row_tokens: int = 0,
    ) -> None:
        """prompts: those that samples.md shows answers to. row_tokens: of a packed row; 0 is a row for each example."""
        self.tokenizer, self.training, self.held_out, self.prompts = tokenizer, training, held_out, prompts
        self.batch_size = min(config.training.batch_size, len(training))
        self.micro_batch_size = micro_batch_for(config.training.micro_batch_size, self.batch_size)
        self.seed, self.device, self.row_tokens = config.seed, device, row_tokens

    def steps_per_epoch(self) -> int:
        """Whole batches only: a last smaller one would weigh its tokens more."""
        return len(self.training) // self.batch_size

    def micro_batches(self, step: int) -> list[Batch]:
        epoch, index = divmod(step, self.steps_per_epoch())
        order = epoch_order(len(self.training), self.seed, epoch).tolist()
        chosen = [self.training[i] for i in order[index * self.batch_size : (index + 1) * self.batch_size]]
        size = self.micro_batch_size
        return [self._collate(chosen[i : i + size]) for i in range(0, len(chosen), size)]

    def _collate(self, examples: Sequence[Example]) -> Batch:
        pad_id, size = self.tokenizer.pad_id, self.row_tokens
        inputs, targets, documents = collate_packed(examples, pad_id, size) if size else collate(examples, pad_id)
        here = self.device
        return inputs.to(here), targets.to(here), None if documents is None else documents.to(here)

    def weight(self, micro: Batch) -> int:
        return int((micro[1] != IGNORE).sum())

    def tokens(self, micro: Batch) -> int:
        return micro[0].numel()

    def loss_sum(self, model: nn.Module, micro: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        inputs, targets, documents = micro
        supervised = (targets != IGNORE).nonzero(as_tuple=True)  # [M] rows and [M] columns, M response tokens
        logits, targets = model(inputs, documents=documents, read=supervised), targets[supervised]  # [M,V], [M]
        right = (logits.argmax(-1) == targets).sum()
        return next_token_loss_sum(logits, targets), {"mean_token_accuracy": right}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        sums, weight = {"loss": 0.0, "mean_token_accuracy": 0.0}, 0
        for start in range(0, len(self.held_out), 32):
            micro = self._collate(self.held_out[start : start + 32])
            loss, metrics = self.loss_sum(model, micro)
            sums["loss"] += loss.item()
            sums["mean_token_accuracy"] += float(metrics["mean_token_accuracy"])
            weight += self.weight(micro)
        return {name: value / weight for name, value in sums.items()} if weight else {}

    def samples(self, model: nn.Module) -> str:
        assert isinstance(model, GPT)
        return sample_page(model, self.tokenizer, self.prompts, self.seed)


def toy_demonstrations(count: int, seed: int, demonstrators: int, careless_share: float) -> list[Demonstration]:
    """Prompts A as simulated people answer them."""
    prompts = prompt_set("A", count, seed)
    people = hire_demonstrators(demonstrators, careless_share, seed)
    answers = demonstrate([prompt.request for prompt in prompts], people, seed)
    return [Demonstration(prompt.turns, answer) for prompt, answer in zip(prompts, answers, strict=True)]


def imitate(
    policy: GPT,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    config: SFTConfig,
    *,
    stage_dir: Path,
    held_out: Sequence[Example] = (),
    prompts: Sequence[tuple[Turn, ...]] = (),
    pretraining: TokenStream | None = None,
    start: Callable[[], None] | None = None,
) -> Row:
    """Train `policy` in place on the responses of `examples`. Returns the last row of metrics.jsonl.

    Stage 1 starts from the base model and people's answers. From the SFT policy and the best of its own answers it is
    rejection sampling (Touvron et al. 2023, section 3.2.3; "RAFT" in Dong et al. 2023, arXiv 2304.06767).
    held_out: what the loss is measured on. prompts: those that samples.md shows answers to. pretraining: text to mix
    in with config.ptx_coefficient, see `mixing`. start: see `train`.
    """
    objective = DemonstrationObjective(
        tokenizer,
        examples,
        held_out,
        prompts,
        config,
        config.torch_device(),
        row_tokens=policy.config.context if config.pack else 0,
    )
    steps = max(1, round(config.epochs * objective.steps_per_epoch()))
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=steps))
    mixed = objective
    if pretraining is not None:
        mixed = MixedObjective(objective, pretraining, config.ptx_coefficient, config.torch_device())
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
            "demonstrations": data_digest([*held_out, *examples]),
        },
        checkpoint_payload=checkpoint_payload("gpt", policy, tokenizer),
        start=start,
    )


def main(argv: list[str]) -> None:
    """Trains the SFT policy of a run."""
    config = parse(SFTConfig, argv, description=__doc__, presets=PRESETS)
    with process_group(), measure_usage(config.stage_dir(STAGE)):
        fine_tune(config)


def fine_tune(config: SFTConfig) -> None:
    """Demonstrations to SFT policy, starting from the base model of the same run."""
    tokenizer = load_tokenizer(config.run_dir)
    model = config.place(load_policy(config.stage_dir("pretrain"), tokenizer))
    introduce_chat_tokens(model, tokenizer)
    bad = BadLines(config.skip_bad)
    if config.demonstrations is None:
        items = toy_demonstrations(config.demonstration_count, config.seed, config.demonstrators, config.careless_share)
    else:
        items = read_demonstrations(Path(config.demonstrations), bad)
    items, examples = encode_demonstrations(tokenizer, items, model.config.context, bad)
    bad.finish(config.demonstrations or "the toy world", len(items))
    held_out = round(len(items) * config.validation_fraction)
    if held_out >= len(items):
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
    stage_dir = config.stage_dir(STAGE)
    row = imitate(
        model,
        examples[held_out:],
        tokenizer,
        config,
        stage_dir=stage_dir,
        held_out=examples[:held_out],
        prompts=[item.turns for item in items[:held_out]],
        pretraining=pretraining,
        start=lambda: write_demonstrations(stage_dir / "demonstrations.jsonl", items),
    )
    print(
        f"{len(items) - held_out} demonstrations, held-out loss {row.get('eval_loss', math.nan):.3f} nats/token; "
        f"answers to held-out prompts are in {stage_dir / 'samples.md'}"
    )
