"""tinyshakespeare, character by character: what loss does our training reach in the time that nanoGPT's recipe takes?

Model size and context are those of nanoGPT's recipe for a CPU (L4 H4 C128 T64); optimiser, schedule, batch and
positions are ours. The yardstick's 2,000 steps are not all taken: a few hundred are timed, in pieces between our runs.
Nothing but steps counts, on either side; the loss is that of the whole validation split, in windows of 64 characters.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from minigpt.data import validation_batches
from minigpt.model import GPT, GPTConfig
from minigpt.objective import Batch, evaluate_language_model, next_token_loss_sum
from minigpt.runs.errors import UserError
from minigpt.runs.folder import RunFolder
from minigpt.training import Run, TrainingConfig
from tests.benchmarks.peers import plain_gpt2 as plain
from tests.benchmarks.report import ROOT, Options, Part, Result

DEFAULT_TEXT = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
VALIDATION_SHARE = 0.1  # the end of the text, as nanoGPT splits it
SAME_LOSS, SHARE_OF_TIME = plain.VALIDATION_LOSS, 22 / 89
BEST_LOSS = 1.62
PIECES, PIECE_STEPS = 5, 60  # of the yardstick


def find_text(path: str, needed: bool) -> Path | None:
    """The text, None if it is neither there nor needed. Raises UserError if it is missing."""
    if Path(path).is_file():
        return Path(path)
    if not needed:
        return None
    raise UserError(
        f"{path} is missing: it is tinyshakespeare, 1.1 MB, input.txt of karpathy/char-rnn, data/tinyshakespeare; give "
        "its place with --text, or leave it out by naming other parts with --only"
    )


class Characters:
    """The text as numbers [N], one kind for each character that occurs, split into training and validation."""

    def __init__(self, text: str) -> None:
        kinds = {character: number for number, character in enumerate(sorted(set(text)))}
        ids = torch.tensor([kinds[character] for character in text])  # [N]
        cut = round(len(ids) * (1 - VALIDATION_SHARE))
        self.vocab_size, self.training, self.validation = len(kinds), ids[:cut], ids[cut:]  # [N] each


class Windows:
    """Next-character prediction in windows anywhere in the text; see training.Objective."""

    def __init__(self, text: Tensor, context: int, config: TrainingConfig) -> None:
        self.text, self.context, self.config = text, context, config  # text [N]

    def micro_batches(self, step: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(step)
        rows = (self.config.batch_size, 1)
        starts = torch.randint(len(self.text) - self.context, rows, generator=generator)  # [B,1]
        windows = self.text[starts + torch.arange(self.context + 1)]  # [B,T+1]
        size = self.config.micro_batch_size or self.config.batch_size
        return list(zip(windows[:, :-1].split(size), windows[:, 1:].split(size), strict=True))

    def weight(self, micro: Batch) -> int:
        return micro[1].numel()

    def tokens(self, micro: Batch) -> int:
        return micro[0].numel()

    def loss_sum(self, model: GPT, micro: Batch) -> tuple[Tensor, dict[str, float]]:
        return next_token_loss_sum(model(micro[0]), micro[1]), {}

    def evaluate(self, model: GPT) -> dict[str, float]:
        return {}

    def samples(self, model: GPT) -> str:
        return ""


def recipe(steps: int, matrix_learning_rate: float, warmup_steps: int) -> TrainingConfig:
    """Ours: Muon, rotary positions, a rate that falls to 0 on a straight line (LOG.md, 2026-11-25)."""
    return TrainingConfig(
        steps=steps,
        batch_size=16,
        learning_rate=0.018,
        matrix_learning_rate=matrix_learning_rate,
        weight_decay=0.1,
        schedule="linear",
        final_lr_fraction=0.0,
        warmup_steps=warmup_steps,
        evaluate_every=0,
        checkpoint_every=0,
    )


# As many steps as should take at most 22/89, and all, of the yardstick's time; a short run bears higher rates.
SHORT = recipe(250, matrix_learning_rate=0.04, warmup_steps=10)
LONG = recipe(1000, matrix_learning_rate=0.03, warmup_steps=20)


def train_ours(characters: Characters, config: GPTConfig, training: TrainingConfig) -> tuple[float, float]:
    """Seconds of all steps, and the validation loss after them."""
    model = GPT(config)
    folder = RunFolder(Path("tinyshakespeare"), describe={})  # never begun, so nothing is written
    run = Run(model, Windows(characters.training, config.context, training), training, folder, {}, seed=0)
    started = time.perf_counter()
    for _ in range(training.steps):
        run.step()
    seconds = time.perf_counter() - started
    return seconds, validation_loss(model, characters.validation, config.context)


def validation_loss(model: torch.nn.Module, tokens: Tensor, context: int) -> float:
    """Nats a character over the whole split [N]."""
    model.eval()
    with torch.inference_mode():
        batches = validation_batches(tokens, context=context, batch_size=64)
        return evaluate_language_model(model, batches, byte_count=len(tokens))["loss"]


class Yardstick:
    """The plain GPT-2 on the same text, step by step."""

    def __init__(self, characters: Characters) -> None:
        self.model = plain.PlainGPT2(characters.vocab_size, plain.CONTEXT, plain.LAYERS, plain.HEADS, plain.CHANNELS)
        self.optimizer, self.taken = plain.adamw(self.model), 0
        self.windows = Windows(characters.training, plain.CONTEXT, TrainingConfig(batch_size=plain.BATCH))

    def seconds_of_steps(self, steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            for group in self.optimizer.param_groups:
                group["lr"] = plain.learning_rate(self.taken)
            plain.training_step(self.model, self.optimizer, *self.windows.micro_batches(self.taken)[0])
            self.taken += 1
        return time.perf_counter() - started


def measure(options: Options) -> Part:
    """A piece of the yardstick, the short run, pieces, the long run, a last piece."""
    if options.quick:
        characters, piece = Characters("to be or not to be, that is the question. " * 60), 1
        short, long = recipe(2, matrix_learning_rate=0.04, warmup_steps=1), recipe(3, 0.03, warmup_steps=1)
    elif options.text is None:
        raise ValueError("find_text() must have asked for it")
    else:
        characters = Characters(options.text.read_text(encoding="utf-8"))
        short, long, piece = SHORT, LONG, PIECE_STEPS
    config = GPTConfig(
        vocab_size=characters.vocab_size,
        context=plain.CONTEXT,
        layers=plain.LAYERS,
        heads=plain.HEADS,
        channels=plain.CHANNELS,
    )
    yardstick = Yardstick(characters)
    yardstick.seconds_of_steps(1)  # not counted
    pieces = [yardstick.seconds_of_steps(piece)]
    short_seconds, short_loss = train_ours(characters, config, short)
    pieces += [yardstick.seconds_of_steps(piece) for _ in range(PIECES - 2)]
    long_seconds, long_loss = train_ours(characters, config, long)
    pieces.append(yardstick.seconds_of_steps(piece))
    whole = median(pieces) / piece * plain.STEPS

    def took(what: str, seconds: float, goal: float) -> Result:
        return Result(what, seconds, "s", f"s: {plain.STEPS:,} plain steps", whole, seconds / whole, goal, at_most=True)

    def loss(what: str, value: float, goal: float) -> Result:
        return Result(what, value, "nats", "to reach", goal, value / goal, 1.0, at_most=True)

    return Part(
        [
            took(f"tinyshakespeare, {short.steps:,} steps", short_seconds, SHARE_OF_TIME),
            loss("  validation loss after them", short_loss, SAME_LOSS),
            took(f"tinyshakespeare, {long.steps:,} steps", long_seconds, 1.0),
            loss("  validation loss after them", long_loss, BEST_LOSS),
        ],
        data={"plain_pieces_seconds": pieces, "piece_steps": piece},
    )
