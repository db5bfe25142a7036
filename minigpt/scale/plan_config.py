"""Settings of `python -m minigpt.scale.plan`: a model, a machine, the work; and the shape that a size becomes."""

from dataclasses import dataclass, field

from minigpt.model import MLPS, NORMS, POSITIONS, GPTConfig
from minigpt.runs.config import Settings, option
from minigpt.runs.errors import UserError
from minigpt.scale.accounting import DEVICES, PRECISIONS

GB = 10**9  # bytes, as sellers of memory count, not 2^30

# NVIDIA H100 SXM, in TFLOP/s, as other pages quote its datasheet: dense bfloat16 is half of the printed 1,979, which
# assume sparsity. float32 is that of the ordinary cores: torch multiplies without TF32 unless it is told otherwise.
H100_TFLOPS = {"bfloat16": 989.0, "float32": 67.0}


@dataclass(frozen=True)
class Shape(Settings):
    """The model. Either `params`, and a shape is chosen, or the exact one."""

    params: float | None = option(
        None, "about how many parameters; layers, heads and channels are chosen to match", low=1, high=1e15
    )
    layers: int | None = option(None, "exact shape: number of blocks", low=1)
    heads: int | None = option(None, "exact shape: attention heads", low=1)
    channels: int | None = option(None, "exact shape: width of the residual stream", low=1)
    context: int = option(2048, "tokens of a sequence, for PPO prompt and response together", low=2)
    vocab_size: int = option(32000, "number of token ids", low=1)
    position: str = option("rotary", "how a token knows its place", choices=POSITIONS)
    norm: str = option("rmsnorm", "normalisation before attention and MLP", choices=NORMS)
    mlp: str = option("gelu", "activation of the MLP", choices=MLPS)
    hidden: int = option(0, "width inside the MLP; 0: 4·channels, for swiglu 8/3·channels rounded up to 16s", low=0)
    bias: bool = option(False, "biases in linear layers and layer norms, as in GPT-2")
    tied_embeddings: bool = option(True, "use the token embedding as the output matrix too")


@dataclass(frozen=True)
class Machine(Settings):
    """The GPUs that compute."""

    gpus: int = option(1, "how many GPUs", low=1)
    gpu_memory: float = option(80.0, "memory of one, in GB of 10^9 bytes (H100 SXM 80)", above=0)
    reserve: float = option(
        0.1, "share of it left to the CUDA context, NCCL, kernels' workspace and fragmentation", low=0, below=1
    )
    shard: bool = option(False, "divide weights, gradients and moments among the GPUs (FSDP2); else each has all (DDP)")
    device: str = option("cuda", "whose kernels; those of a CPU keep more for the backward pass", choices=DEVICES)
    peak_tflops: float | None = option(
        None, "peak rate of one GPU in 10^12 FLOP/s; none is an H100 SXM's: 989 in bfloat16, 67 in float32", above=0
    )
    mfu: float = option(0.4, "share of the peak that is reached; an assumption, PaLM reports 0.46", above=0, high=1)

    def check_fields(self) -> None:
        if self.shard and self.gpus == 1:
            raise UserError("--shard divides a model among GPUs, and there is one: give --gpus 2 or more")
        if self.device == "cpu" and self.peak_tflops is None:
            raise UserError("--device cpu: no datasheet says what yours reaches, so give --peak-tflops, as in 0.27")

    @property
    def room(self) -> int:
        """Bytes of one GPU that a model may use."""
        return int(self.gpu_memory * (1 - self.reserve) * GB)

    @property
    def parts(self) -> int:
        """Among how many GPUs the state of one model is divided."""
        return self.gpus if self.shard else 1


@dataclass(frozen=True)
class Work(Settings):
    """The work to plan: pretraining, and PPO."""

    tokens: float | None = option(None, "tokens to pretrain on; none is 20 a parameter (Chinchilla)", low=1)
    precision: str = option("bfloat16", "of matrix products; weights and optimiser are float32", choices=PRECISIONS)
    optimizer: str = option("muon", "of pretraining, as in minigpt/optim.py; PPO's is AdamW", choices=("muon", "adamw"))
    batch_size: int = option(0, "sequences in one forward pass of pretraining on each GPU; 0 is as many as fit", low=0)
    episodes: int = option(256_000, "answers that PPO samples and learns from (InstructGPT 256,000)", low=1)
    response_tokens: int | None = option(None, "how much of the context PPO's answer takes; none is half")
    epochs: int = option(1, "passes of PPO over each answer (InstructGPT 1; Ziegler, Stiennon 4)", low=1)


@dataclass(frozen=True)
class PlanConfig(Settings):
    """A question to the planner."""

    shape: Shape = field(default_factory=Shape)
    machine: Machine = field(default_factory=Machine)
    work: Work = field(default_factory=Work)


# ---- The model ---------------------------------------------------------------------------------------------------


def build_config(shape: Shape) -> GPTConfig:
    """The exact shape, or one with about `params` parameters. Raises UserError unless one of the two was given."""
    exact = {"layers": shape.layers, "heads": shape.heads, "channels": shape.channels}
    given = [name for name, value in exact.items() if value is not None]
    if shape.params is not None and given:
        raise UserError(f"--params chooses the shape, so --{given[0]} cannot be given too: leave one of them out")
    if shape.params is not None:
        return choose_shape(shape.params, shape)
    if len(given) < len(exact):
        raise UserError("give the size of the model: --params, or all of --layers, --heads and --channels")
    return with_shape(shape, **exact)


def with_shape(shape: Shape, **exact: int) -> GPTConfig:
    """The GPTConfig with these layers, heads and channels, all else as in `shape`."""
    return GPTConfig(
        vocab_size=shape.vocab_size,
        context=shape.context,
        position=shape.position,
        norm=shape.norm,
        mlp=shape.mlp,
        hidden=shape.hidden,
        bias=shape.bias,
        tied_embeddings=shape.tied_embeddings,
        **exact,
    )


def choose_shape(params: float, shape: Shape) -> GPTConfig:
    """n layers, n heads and n·S channels, with the n whose parameter count is nearest to `params`.

    S = 64 below 10^9 parameters, as in GPT-2 (12 layers, 12 heads of 64), and 128 from there on, as in LLaMA 7B
    (32 layers, 32 heads of 128) and GPT-3 (96 of each). Within wide limits the loss depends little on this ratio
    (Kaplan et al. 2020, arXiv 2001.08361, section 3.1). Raises UserError if the nearest is off by more than a quarter.
    """
    head_size = 64 if params < 1e9 else 128
    n, smaller = 1, None
    while (config := with_shape(shape, layers=n, heads=n, channels=n * head_size)).parameter_count() < params:
        n, smaller = n + 1, config
    nearest = min((c for c in (smaller, config) if c), key=lambda c: abs(c.parameter_count() - params))
    if abs(nearest.parameter_count() / params - 1) > 0.25:
        raise UserError(
            f"--params {params:g}: the nearest shape of the rule, {describe(nearest)}, is off by more than a quarter; "
            "give --layers, --heads and --channels, or another --vocab-size"
        )
    return nearest


def describe(config: GPTConfig) -> str:
    """A model in one line."""
    return (
        f"{in_words(config.parameter_count())} parameters ({config.layers} layers, {config.heads} heads, "
        f"{config.channels:,} channels, {config.vocab_size:,} token ids)"
    )


def in_words(number: float) -> str:
    """12345678 -> "12.3 million"."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:,.3g} {word}"
    return f"{number:,.0f}"
