"""fine-tuning.json: what chapter 14 quotes. Stage 1 on the small base model of the tutorials, done in many ways.

    python -m tutorials.numbers.make.fine_tuning

Five minutes on one core. Every run starts from the same base model and takes the same number of steps; what differs is
which tokens are in the loss, who wrote the demonstrations and how many there are, or how much pretraining text is mixed
in. The base model is `load_or_train("base")`; the other settings are those of preset tiny.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from minigpt.data import IGNORE, TokenStream, byte_count, pad_sequences, validation_batches
from minigpt.model import GPT
from minigpt.objective import evaluate_language_model
from minigpt.optim import Optimizer, lr_factor
from minigpt.pretrain import pretraining_data
from minigpt.runs.config import Settings, parse, with_overrides
from minigpt.runs.errors import run_main
from minigpt.tokenizer import Tokenizer
from minigpt.training import Objective
from rlhf.chat_format import encode_prompt
from rlhf.people.demonstrators import demonstrate, make_demonstrators
from rlhf.people.prompts import Prompt, prompt_set
from rlhf.records import Demonstration
from rlhf.stage1_sft import stage as sft
from rlhf.stage1_sft.examples import Batch, Example, collate, encode_demonstration
from rlhf.stage1_sft.mixing import MixedObjective
from rlhf.stage1_sft.objective import DemonstrationObjective
from rlhf.stage3_ppo.rollout import sample_responses
from tutorials.models import Trained, load_or_train
from tutorials.numbers.make.record import commit, record
from tutorials.numbers.make.stage1 import refusals, worth_of

CPU = torch.device("cpu")
STEPS, SEED, PEOPLE = 100, 0, 10
DEMONSTRATIONS, HELD_OUT, ASKED, SAMPLES, LONGEST = 200, 100, 150, 2, 48
HURTFUL, REFUSALS = 100, 5  # prompts, and answers to each
LOSSES = ("responses", "prompts too", "no end token", "padding too")
COUNTS, SHARES, COEFFICIENTS = (25, 50, 200, 800), (0.0, 0.5, 1.0), (0.15, 0.5)


@dataclass(frozen=True)
class FineTuningConfig(Settings):
    """Nothing to choose."""


# ---- Stage 1, done in another way ------------------------------------------------------------------------------------


def targets_of(kind: str, examples: Sequence[Example], pad_id: int) -> Batch:
    """The batch of `collate` with other targets: one of LOSSES. WRONG on purpose, but for "responses"."""
    batch = collate(examples, pad_id)
    ids, lengths = pad_sequences([example.prompt + example.response for example in examples], pad_id)  # [B,T+1], [B]
    following = ids[:, 1:]  # [B,T]
    column = torch.arange(following.shape[1])  # [T]
    real = column < lengths[:, None] - 1  # [B,T], the target is no padding
    if kind == "prompts too":
        return Batch(batch.inputs, following.masked_fill(~real, IGNORE))
    if kind == "padding too":
        return Batch(batch.inputs, torch.where(real, batch.targets, following))
    if kind == "no end token":
        return Batch(batch.inputs, batch.targets.masked_fill(column == lengths[:, None] - 2, IGNORE))
    return batch


class OtherLoss(DemonstrationObjective):
    """The objective of stage 1 with the targets of `kind`."""

    kind = "responses"

    def collate(self, examples: Sequence[Example]) -> Batch:
        return targets_of(self.kind, examples, self.tokenizer.pad_id)


def objective_of(kind: str, examples: Sequence[Example], tokenizer: Tokenizer) -> OtherLoss:
    """Batches of 16 demonstrations with the targets of `kind`."""
    objective = OtherLoss(
        examples, examples, batch_size=16, micro_batch_size=0, tokenizer=tokenizer, seed=SEED, device=CPU
    )
    objective.kind = kind
    return objective


def fine_tune(base: Trained, objective: Objective[Any], end_scale: float = sft.END_SCALE) -> GPT:
    """A copy of the base model after STEPS steps on `objective`: the steps of `minigpt.training.train`, no files."""
    config = with_overrides(sft.SFTConfig(), {**sft.PRESETS["tiny"], "steps": STEPS}).training
    policy = copy.deepcopy(base.model).train()
    sft.introduce_chat_tokens(policy, base.tokenizer)
    with torch.no_grad():
        policy.token_embedding.weight[base.tokenizer.end_id] *= end_scale / sft.END_SCALE
    optimizer = Optimizer(policy, config)
    for step in range(STEPS):
        micros = objective.micro_batches(step)
        units = sum(objective.weight(micro) for micro in micros)
        optimizer.zero_grad()
        for micro in micros:
            loss, _ = objective.loss_sum(policy, micro)
            (loss / units).backward()
        optimizer.clip_gradients()
        optimizer.step(lr_factor(step, STEPS, config))
    return policy.eval()


# ---- What comes of it ------------------------------------------------------------------------------------------------


class Measure:
    """The same prompts, held-out demonstrations and held-out documents for every model."""

    def __init__(self, base: Trained, examples: Sequence[Example]) -> None:
        self.tokenizer, self.prompts = base.tokenizer, prompt_set("D", ASKED, SEED)
        self.hurtful = [prompt for prompt in prompt_set("D", 10 * HURTFUL, SEED) if prompt.family == "hurtful"]
        self.right = objective_of("responses", examples, base.tokenizer)
        held_out = pretraining_data(base.stage_dir, base.tokenizer).validation
        self.documents = validation_batches(held_out, context=128, batch_size=32, most_tokens=1 << 14)
        self.bytes = byte_count(base.tokenizer, self.documents)

    def bits_per_byte(self, model: GPT) -> float:
        return evaluate_language_model(model, self.documents, self.bytes)["bits_per_byte"]

    def sampled(self, policy: GPT, prompts: Sequence[Prompt], samples: int) -> list[list[tuple[str, bool]]]:
        """Answers to every prompt, at temperature 1, and whether each ended."""
        batch = sample_responses(
            policy,
            [encode_prompt(self.tokenizer, prompt.turns) for prompt in prompts],
            [row for row in range(len(prompts)) for _ in range(samples)],
            self.tokenizer,
            max_new_tokens=LONGEST,
            temperature=1.0,
            generator=torch.Generator().manual_seed(SEED),
        )
        given = list(zip(batch.texts(self.tokenizer), batch.ended.tolist(), strict=True))
        return [given[start : start + samples] for start in range(0, len(given), samples)]

    def refusals(self, policy: GPT) -> dict[str, float]:
        """The kinds of answers to hurtful requests, of which there must be more than a few."""
        given = self.sampled(policy, self.hurtful, REFUSALS)
        return refusals(["hurtful"] * len(given), [[text for text, _ in row] for row in given])

    def __call__(self, policy: GPT) -> dict[str, Any]:
        """Held-out loss on responses, bits per byte, and what the answers are like."""
        every = [answer for given in self.sampled(policy, self.prompts, SAMPLES) for answer in given]
        return {
            "loss": self.right.evaluate(policy)["loss"],
            "bits_per_byte": self.bits_per_byte(policy),
            "ended": fmean(ended for _, ended in every),
            "words": fmean(len(text.split()) for text, _ in every),
        }


# ---- The runs --------------------------------------------------------------------------------------------------------


def written(base: Trained, prompts: Sequence[Prompt], share: float) -> tuple[list[Example], dict[str, Any]]:
    """Demonstrations as ids, and what they are worth."""
    people = make_demonstrators(PEOPLE, share, SEED)
    texts = demonstrate([prompt.request for prompt in prompts], people, SEED)
    examples = [
        encode_demonstration(base.tokenizer, Demonstration(prompt.turns, text), 128, "the toy world")
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    worth = fmean(worth_of(prompt, text) for prompt, text in zip(prompts, texts, strict=True))
    return examples, {
        "gold": worth,
        "refusals": refusals([prompt.family for prompt in prompts], [[text] for text in texts]),
    }


def kind_share(shares: dict[str, float]) -> float:
    """Of the sentences that decline, the share that offers something else."""
    return shares["kind"] / (shares["kind"] + shares["bare"])


LOSS_HEADS = {
    "own_loss": "own loss",
    "loss": "held out",
    "ended": "ended",
    "words": "words",
    "bits_per_byte": "bits/byte",
}


def tables(fields: dict[str, Any]) -> dict[str, str]:
    """The tables of the chapter, as text."""
    losses = [f"{'in the loss':<14}" + "".join(f"{head:>11}" for head in LOSS_HEADS.values())]
    losses += [
        f"{kind:<14}" + "".join(f"{found[name]:>11.2f}" for name in LOSS_HEADS)
        for kind, found in fields["losses"].items()
    ]
    counts = [f"{'demonstrations':<16}{'passes':>8}{'learned':>9}{'held out':>10}"]
    counts += [
        f"{count:<16}{16 * STEPS / int(count):>8.0f}{found['own_loss']:>9.2f}{found['loss']:>10.2f}"
        for count, found in fields["counts"].items()
    ]
    shares = [f"{'careless share':<16}{'demonstrators':>14}{'policy':>8}{'refusals':>10}"]
    shares += [
        f"{share:<16}{kind_share(fields['demonstrations'][share]['refusals']):>14.2f}"
        f"{kind_share(found['refusals']):>8.2f}{found['refusals']['kind'] + found['refusals']['bare']:>10.2f}"
        for share, found in fields["shares"].items()
    ]
    mixed = [f"{'weight of text':<16}{'held out':>9}{'bits/byte':>11}", f"{'before':<16}{'':>9}"]
    mixed[1] += f"{fields['base']['bits_per_byte']:>11.2f}"
    mixed += [f"{w:<16}{found['loss']:>9.2f}{found['bits_per_byte']:>11.2f}" for w, found in fields["mixed"].items()]
    return {name: "\n".join(rows) for name, rows in zip(TABLES, (losses, counts, shares, mixed), strict=True)}


REFUSING = (f"{max(COUNTS)} demonstrations", *(f"careless {share}" for share in SHARES))
TABLES = ("loss_table", "count_table", "share_table", "mixed_table")


def main(argv: list[str]) -> None:
    """Runs everything and writes the file."""
    parse(FineTuningConfig, argv, description=__doc__, presets={})
    torch.set_num_threads(1)
    at, started = commit(), time.monotonic()
    base = load_or_train("base")
    prompts = prompt_set("A", max(COUNTS) + HELD_OUT, SEED)
    by_share = {share: written(base, prompts, share) for share in SHARES}
    usual = by_share[0.5][0]
    measure = Measure(base, usual[:HELD_OUT])
    learned = {share: examples[HELD_OUT:] for share, (examples, _) in by_share.items()}
    fields: dict[str, Any] = {"demonstrations": {str(share): worth for share, (_, worth) in by_share.items()}}

    def run(name: str, objective: Objective[Any], **settings: Any) -> dict[str, Any]:
        policy = fine_tune(base, objective, **settings)
        found = measure(policy)
        if name in REFUSING:
            found["refusals"] = measure.refusals(policy)
        if isinstance(objective, OtherLoss):
            found["own_loss"] = objective.evaluate(policy)["loss"]  # on what it learned from, as its own log counts
        print(name, {key: round(value, 3) for key, value in found.items() if isinstance(value, float)}, flush=True)
        return found

    fields["base"] = {"bits_per_byte": measure.bits_per_byte(base.model)}
    few = learned[0.5][:DEMONSTRATIONS]
    fields["losses"] = {kind: run(kind, objective_of(kind, few, base.tokenizer)) for kind in LOSSES}
    usual_run = fields["losses"]["responses"]
    fields["counts"] = {
        str(count): run(f"{count} demonstrations", objective_of("responses", learned[0.5][:count], base.tokenizer))
        if count != DEMONSTRATIONS
        else usual_run
        for count in COUNTS
    }
    fields["shares"] = {
        str(share): run(f"careless {share}", objective_of("responses", learned[share], base.tokenizer))
        if share != 0.5
        else fields["counts"][str(max(COUNTS))]
        for share in SHARES
    }
    tokens = pretraining_data(base.stage_dir, base.tokenizer).training
    fields["mixed"] = {"0.0": usual_run}
    for coefficient in COEFFICIENTS:
        stream = TokenStream(tokens, context=128, batch_size=2, seed=SEED)
        mixed = MixedObjective(objective_of("responses", few, base.tokenizer), stream, coefficient)
        fields["mixed"][str(coefficient)] = run(f"mixed {coefficient}", mixed)
    one = run("end token × 1", objective_of("responses", few, base.tokenizer), end_scale=1.0)
    fields["end_scale"] = {"1.0": one, "2.0": usual_run}
    record(
        "fine-tuning",
        fields | tables(fields),
        command="python -m tutorials.numbers.make.fine_tuning",
        commit=at,
        seeds=[SEED],
        threads=1,
        seconds=time.monotonic() - started,
        code=["rlhf/stage1_sft/stage.py", "rlhf/stage1_sft/objective.py", "rlhf/stage1_sft/examples.py"],
    )


if __name__ == "__main__":
    run_main(main)
