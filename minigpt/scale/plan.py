"""The cost of a model that is not built yet: memory of each GPU, FLOPs and days, for pretraining and for PPO.

    python -m minigpt.scale.plan --params 7e9 --gpus 64 --shard
    python -m minigpt.scale.plan --layers 12 --heads 12 --channels 768 --vocab-size 50257 --context 1024 --gpu-memory 24

All of it is arithmetic, explained in minigpt/scale/accounting.py; no model is built and nothing is measured. PPO is
that of InstructGPT: policy, reference, reward model and value model of one size, all on the same GPUs.
"""

from dataclasses import dataclass, replace

from minigpt.model import GPTConfig
from minigpt.runs.config import parse
from minigpt.runs.errors import UserError, run_main
from minigpt.scale import accounting
from minigpt.scale.accounting import FLOAT32, divided
from minigpt.scale.plan_config import GB, H100_TFLOPS, Machine, PlanConfig, Work, build_config, describe, in_words

MOST_GPUS = 2**20  # the largest number of GPUs that is tried
DAY = 24 * 60 * 60  # seconds


# ---- Memory: what one GPU holds, phase by phase ------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """A part of the work, and the bytes of one GPU at its worst moment: fixed ones, and those of each sequence."""

    name: str
    fixed: dict[str, int]
    each: dict[str, int]

    def held(self, batch: int) -> dict[str, int]:
        """The bytes of each thing that takes memory, with `batch` sequences at once."""
        return self.fixed | {name: batch * size for name, size in self.each.items()}

    def total(self, batch: int) -> int:
        """Bytes of everything, with `batch` sequences at once."""
        return sum(self.held(batch).values())

    def largest_batch(self, room: int) -> int:
        """The number of sequences at once that fit into `room` bytes."""
        return max(0, room - sum(self.fixed.values())) // sum(self.each.values())


def learning_bytes(config: GPTConfig, machine: Machine, optimizer: str, parameters: int) -> dict[str, int]:
    """Bytes that trained `parameters` need besides their weights. Gradients stay while micro-batches add to them.

    DDP sends them in buckets, which are a second copy (torch's default, gradient_as_bucket_view=False). FSDP divides
    them after each backward pass if a step is one micro-batch on each GPU, as assumed here; further ones it adds up
    whole.
    """
    held = {"gradients": FLOAT32 * divided(parameters, machine.parts)}
    if machine.gpus > 1 and not machine.shard:
        held["gradients in DDP's buckets"] = FLOAT32 * parameters
    return held | {"optimiser": accounting.optimizer_bytes(config, optimizer, parameters, machine.parts)}


def passing_bytes(config: GPTConfig, machine: Machine, precision: str) -> dict[str, int]:
    """Bytes that a forward and backward pass of any batch needs besides state."""
    held = {}
    if precision == "bfloat16":
        held["bfloat16 copies of weights"] = accounting.autocast_bytes(config, precision, machine.parts)
    if machine.shard:
        held["gathered by FSDP"] = accounting.gathered_bytes(config)
    return held


def pretraining_phases(config: GPTConfig, machine: Machine, work: Work) -> list[Phase]:
    """The passes, and the step of the optimiser, which needs no activations but works on copies of its own.

    SFT and the reward model take less: they read the tokens of answers only, or one of each.
    """
    P, T = config.parameter_count(), config.context
    state = {"weights": FLOAT32 * divided(P, machine.parts)}
    state |= learning_bytes(config, machine, work.optimizer, P)
    activations = {
        "activations": accounting.activation_bytes(config, T, None, work.precision, machine.device),
        "logits": T * accounting.logits_bytes(config),
    }
    phases = [Phase("pretraining", state | passing_bytes(config, machine, work.precision), activations)]
    if work.optimizer == "muon":
        orthogonalising = {"orthogonalising": accounting.muon_step_bytes(config, machine.device, machine.parts)}
        phases.append(Phase("Muon's step", state | orthogonalising, {}))
    return phases


def ppo_phases(config: GPTConfig, machine: Machine, work: Work) -> list[Phase]:
    """Sampling, and the update. The gradients of policy and value model are both there, as each stays until the next
    update of its own model.

    Reward and value model have a head of C weights and a bias; an output matrix that is not tied stays, but frozen.
    """
    P, T, response = config.parameter_count(), config.context, response_tokens(config, work)
    scalar = P + config.channels + 1
    trained = P + scalar - (0 if config.tied_embeddings else config.vocab_size * config.channels)
    models = {
        "weights": P,
        "weights of the reference": P,
        "weights of the reward model": scalar,
        "weights of the value model": scalar,
    }
    state = {name: FLOAT32 * divided(parameters, machine.parts) for name, parameters in models.items()}
    state |= learning_bytes(config, machine, "adamw", trained)
    whole_policy = {"the policy, whole": accounting.whole_policy_bytes(config, work.precision)} if machine.shard else {}
    writing = {"cache, choice of tokens": accounting.generation_bytes(config, T - response, T, work.precision)}
    activations = {
        "activations": accounting.activation_bytes(config, T, response, work.precision, machine.device),
        "logits": response * accounting.logits_bytes(config),
    }
    return [
        Phase("PPO sampling", state | whole_policy, writing),
        Phase("PPO update", state | passing_bytes(config, machine, work.precision), activations),
    ]


def response_tokens(config: GPTConfig, work: Work) -> int:
    """Raises UserError if a response leaves no room for a prompt."""
    asked = config.context // 2 if work.response_tokens is None else work.response_tokens
    if not 1 <= asked < config.context:
        raise UserError(f"--response-tokens: expected 1 to {config.context - 1}, one below the context, got {asked}")
    return asked


ACTIVITIES = {"pretraining": pretraining_phases, "PPO": ppo_phases}


def fits(activity: str, config: GPTConfig, machine: Machine, work: Work) -> bool:
    """True if one GPU can hold every phase, with one sequence at a time."""
    return all(phase.total(1) <= machine.room for phase in ACTIVITIES[activity](config, machine, work))


# ---- In words ----------------------------------------------------------------------------------------------------


def gigabytes(size: float) -> str:
    """Bytes in GB, three digits or more."""
    return f"{size / GB:,.1f}" if size >= 100 * GB else f"{size / GB:#.3g}"


def in_gpus(number: int) -> str:
    """1 -> "1 GPU", 2 -> "2 GPUs"."""
    return f"{number:,} GPU" + "s" * (number != 1)


def remedy(activity: str, config: GPTConfig, machine: Machine, work: Work) -> str:
    """The advice if an activity does not fit: to divide the model, to take more GPUs, or that neither is enough."""
    if machine.gpus > 1 and not machine.shard and fits(activity, config, replace(machine, shard=True), work):
        return "it fits with --shard"
    gpus = 2 * machine.gpus
    while gpus <= MOST_GPUS:
        if fits(activity, config, replace(machine, gpus=gpus, shard=True), work):
            return f"it fits with --shard on {in_gpus(gpus)}"
        gpus *= 2
    widest = replace(machine, gpus=MOST_GPUS, shard=True)
    worst = max(ACTIVITIES[activity](config, widest, work), key=lambda phase: phase.total(1))
    part, size = max(worst.held(1).items(), key=lambda item: item[1])
    return (
        f"no number of GPUs is enough, as --shard does not divide '{part}', {gigabytes(size)} GB in {worst.name}: "
        "take a smaller model, a shorter --context or more --gpu-memory"
    )


def complaint(activity: str, config: GPTConfig, machine: Machine, work: Work) -> str:
    """One sentence: what does not fit, by how much, and what to do."""
    worst = max(ACTIVITIES[activity](config, machine, work), key=lambda phase: phase.total(1))
    return (
        f"{activity} does not fit: with one sequence of {config.context:,} tokens at a time, {worst.name} takes "
        f"{gigabytes(worst.total(1))} GB of each GPU, and {gigabytes(machine.room)} are there; "
        f"{remedy(activity, config, machine, work)}"
    )


def pretraining_batch(config: GPTConfig, machine: Machine, work: Work) -> int:
    """Sequences at once on each GPU: as asked, or as many as fit, perhaps 0. Raises UserError if it asks for more."""
    largest = pretraining_phases(config, machine, work)[0].largest_batch(machine.room)
    if not fits("pretraining", config, machine, work):
        largest = 0
    if work.batch_size <= largest:
        return work.batch_size or largest
    if largest == 0:
        raise UserError(f"--batch-size {work.batch_size}: {complaint('pretraining', config, machine, work)}")
    needed = pretraining_phases(config, machine, work)[0].total(work.batch_size)
    raise UserError(
        f"--batch-size {work.batch_size}: {gigabytes(needed)} GB are needed on each GPU, and "
        f"{gigabytes(machine.room)} are there; the largest batch that fits is {largest}"
    )


def memory_table(config: GPTConfig, machine: Machine, work: Work, batch: int) -> list[str]:
    """A column for each phase, a row for each thing that takes memory, at the batches that the last row names."""
    pretraining, *muon = pretraining_phases(config, machine, work)
    columns = [(pretraining, batch), *((phase, None) for phase in muon)]
    columns += [(phase, phase.largest_batch(machine.room)) for phase in ppo_phases(config, machine, work)]
    names = dict.fromkeys(name for phase, _ in reversed(columns) for name in phase.held(1))  # PPO's first: it has most
    rows = [[f"GB on each GPU ({gigabytes(machine.room)} to use)", *(phase.name for phase, _ in columns)]]
    for name in names:
        held = [phase.held(max(1, at_once or 0)).get(name, 0) for phase, at_once in columns]
        rows.append([name, *(gigabytes(size) if size else "" for size in held)])
    rows.append(["sum", *(gigabytes(phase.total(max(1, at_once or 0))) for phase, at_once in columns)])
    fitting = ["" if at_once is None else f"{at_once:,}" for _, at_once in columns]
    rows.append([f"sequences of {config.context:,} tokens at once", *fitting])
    first = max(len(row[0]) for row in rows)
    return [row[0].ljust(first) + "".join(cell.rjust(15) for cell in row[1:]).rstrip() for row in rows]


def plan(config: GPTConfig, machine: Machine, work: Work) -> list[str]:
    """The answer, line by line. Raises UserError for a batch that does not fit, or a response without a prompt."""
    batch = pretraining_batch(config, machine, work)
    peak = machine.peak_tflops or H100_TFLOPS[work.precision]
    rate = machine.gpus * peak * 1e12 * machine.mfu  # FLOP/s
    tokens = work.tokens or accounting.CHINCHILLA_TOKENS * config.parameter_count()
    training = tokens * accounting.flops_per_token(config, config.context)
    response = response_tokens(config, work)
    ppo = accounting.ppo_flops(config, config.context, response, work.episodes, work.epochs)
    lines = [
        describe(config),
        f"{in_gpus(machine.gpus)} at {machine.mfu:.0%} (assumed) of {peak:g} TFLOP/s; {work.precision} products; "
        + ("sharded (FSDP2)" if machine.shard else "each with the whole model"),
        f"pretraining: {in_words(tokens)} tokens, {training:.3g} FLOPs, {training / rate / DAY:,.3g} days"
        + (f"; {machine.gpus * batch * config.context:,} tokens in one pass of all" if batch else ""),
        f"PPO: {in_words(work.episodes)} episodes of {config.context:,} tokens, {response:,} of "
        f"them the response, {ppo:.3g} FLOPs, at least {ppo / rate / DAY:,.3g} days",
        "(at least: sampling reads all weights for every token, so memory sets its pace and not this rate)",
        "",
        *memory_table(config, machine, work, batch),
    ]
    unfit = [name for name in ACTIVITIES if not fits(name, config, machine, work)]
    complaints = [complaint(name, config, machine, work) for name in unfit]
    return lines + [""] * bool(complaints) + complaints


def main(argv: list[str]) -> None:
    """Prints the plan."""
    config = parse(PlanConfig, argv, description=__doc__, presets={})
    print("\n".join(plan(build_config(config.shape), config.machine, config.work)))


if __name__ == "__main__":
    run_main(main)
