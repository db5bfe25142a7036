"""The transformer: token ids in, one score for each possible next token out. In the order the data flows:

    ids ─► embedding ─► L × [ x + attention(norm(x)),  x + mlp(norm(x)) ] ─► norm ─► logits

Attention moves information between tokens; the MLP works on each token alone; both only ever *add* to the residual
stream, so that a gradient reaches every layer. The norm stands before each of them ("pre-norm"; GPT-2; Xiong et al.
2020), so that deep models train without a long warm-up.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.attention import Layout, attention_fused, causal_layout
from minigpt.cache import KVCache
from minigpt.flat import FlatRows, attention_flat, flatten
from minigpt.positions import LearnedPositions, RotaryPositions, SinusoidalPositions, rotate
from minigpt.runs.config import Settings, option
from minigpt.runs.errors import UserError

POSITIONS = ("sinusoidal", "learned", "rotary")
NORMS = ("layernorm", "rmsnorm")
MLPS = ("gelu", "gelu_tanh", "swiglu")

Rotary = tuple[Tensor, Tensor]  # cos and sin of the rotation angles, each [1,T,D] or [B,1,T,D]


@dataclass(frozen=True)
class GPTConfig(Settings):
    """The shape of a model. The defaults are small enough for a laptop. Two published shapes:

        GPT-2   GPTConfig(vocab_size=50257, context=1024, layers=12, heads=12, channels=768,
                          position="learned", norm="layernorm", mlp="gelu_tanh", bias=True)
        LLaMA   GPTConfig(vocab_size=32000, context=2048, layers=32, heads=32, channels=4096, hidden=11008,
                          position="rotary", norm="rmsnorm", mlp="swiglu", bias=False, tied_embeddings=False)

    Raises UserError when the numbers do not fit together.
    """

    vocab_size: int = option(1024, "number of token ids", low=1)
    context: int = option(128, "longest sequence in tokens, prompt and response together", low=1)
    layers: int = option(4, "number of blocks", low=1)
    heads: int = option(4, "attention heads; they share the channels equally", low=1)
    channels: int = option(128, "width of the residual stream", low=1)
    position: str = option("rotary", "how a token knows its place", choices=POSITIONS)
    norm: str = option("rmsnorm", "normalisation before attention and MLP", choices=NORMS)
    mlp: str = option("gelu", "activation of the MLP; gelu_tanh is GPT-2's approximation", choices=MLPS)
    hidden: int = option(0, "width inside the MLP; 0: 4·channels, for swiglu 8/3·channels rounded up to 16s", low=0)
    bias: bool = option(False, "biases in linear layers and layer norms, as in GPT-2")
    tied_embeddings: bool = option(True, "use the token embedding as the output matrix too")
    dropout: float = option(0.0, "probability to drop an activation in training", low=0, below=1)
    norm_epsilon: float = option(1e-5, "added to the variance inside the norms", above=0)
    rotary_base: float = option(10000.0, "rotary positions: larger turns more slowly, for longer contexts", above=0)

    def check_fields(self) -> None:
        if self.channels % self.heads:
            raise UserError(f"model: {self.channels} channels cannot be shared equally by {self.heads} heads")
        if self.position == "rotary" and self.head_size % 2:
            raise UserError(
                f"model: rotary positions need an even head size, but {self.channels}/{self.heads} is {self.head_size}"
            )
        if self.position == "sinusoidal" and self.channels % 2:
            raise UserError(f"model: sinusoidal positions need an even number of channels, not {self.channels}")

    @property
    def head_size(self) -> int:
        """D = C / H, the channels of one head."""
        return self.channels // self.heads

    @property
    def mlp_width(self) -> int:
        """The width inside the MLP. SwiGLU has three matrices, GELU two: hence 2/3 (Shazeer 2020)."""
        if self.hidden:
            return self.hidden
        return math.ceil(8 * self.channels / 3 / 16) * 16 if self.mlp == "swiglu" else 4 * self.channels

    def parameter_count(self) -> int:
        """The number of parameters of the model, without building it. A tied embedding counts once."""
        C, M, V = self.channels, self.mlp_width, self.vocab_size
        biased = int(self.bias)
        norm = C + C * int(self.bias and self.norm == "layernorm")
        attention = 3 * C * C + C * C + biased * (3 * C + C)  # qkv, projection
        mlp = 3 * C * M + biased * (2 * M + C) if self.mlp == "swiglu" else 2 * C * M + biased * (M + C)
        embeddings = V * C * (1 if self.tied_embeddings else 2) + self.context * C * (self.position == "learned")
        return embeddings + self.layers * (2 * norm + attention + mlp) + norm


def build_norm(config: GPTConfig) -> nn.Module:
    """A norm: it scales the channels of each token to a common size, then each channel by a learned weight.

    layernorm  (x - mean(x)) / √(var(x) + ε) · w + b      (Ba et al. 2016)
    rmsnorm     x            / √(mean(x²) + ε) · w        (Zhang & Sennrich 2019: the mean was not needed)
    """
    if config.norm == "layernorm":
        return nn.LayerNorm(config.channels, eps=config.norm_epsilon, bias=config.bias)
    return nn.RMSNorm(config.channels, eps=config.norm_epsilon)


class Attention(nn.Module):
    """Multi-head attention: queries, keys and values from one matrix, and a projection back to the residual stream."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer  # the index of this layer in the KV cache
        self.heads = config.heads
        self.qkv = nn.Linear(config.channels, 3 * config.channels, bias=config.bias)
        self.qkv.stacked = 3  # its weight is three matrices, see optim.Muon
        self.projection = nn.Linear(config.channels, config.channels, bias=config.bias)
        self.dropout = config.dropout

    def forward(
        self, x: Tensor, rotary: Rotary | None = None, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """x [B,T,C] -> [B,T,C]."""
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.heads, C // self.heads)  # [B,T,3,H,D]
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # [B,H,T,D] each
        if rotary is not None:
            queries, keys = rotate(queries, *rotary), rotate(keys, *rotary)  # [B,H,T,D] each
        if cache is not None:
            keys, values = cache.write(self.layer, keys, values)  # [B,H,S,D] each
        attend = attention_flat if isinstance(mask, FlatRows) else attention_fused
        mixed = attend(queries, keys, values, mask, self.dropout if self.training else 0.0)  # [B,H,T,D]
        return self.projection(mixed.transpose(1, 2).reshape(B, T, C))  # [B,T,C]


class MLP(nn.Module):
    """The feed-forward network of a block: two linear layers with an activation between them, on each token alone.

    gelu    W₂ gelu(W₁ x)                      (Hendrycks & Gimpel 2016)
    swiglu  W₂ (silu(W_gate x) ⊙ W₁ x)         (Shazeer 2020)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.activation = config.mlp
        self.up = nn.Linear(config.channels, config.mlp_width, bias=config.bias)
        if config.mlp == "swiglu":
            self.gate = nn.Linear(config.channels, config.mlp_width, bias=config.bias)
        self.projection = nn.Linear(config.mlp_width, config.channels, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up(x)  # [B,T,4C], or the configured width
        if self.activation == "swiglu":
            hidden = F.silu(self.gate(x)) * hidden
        else:
            hidden = F.gelu(hidden, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        return self.projection(hidden)  # [B,T,C]


class Block(nn.Module):
    """One layer: attention, then the MLP; the result of each is added to the residual stream."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, layer)
        self.mlp_norm = build_norm(config)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        rotary: Rotary | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """x [B,T,C] -> [B,T,C], or with at [B,T] bool the tokens at its M True places, [M,C]."""
        x = x + self.dropout(self.attention(self.attention_norm(x), rotary, mask, cache))  # [B,T,C]
        x = x if at is None else x[at]  # [M,C]: the MLP, two thirds of the products, is for these tokens alone
        return x + self.dropout(self.mlp(self.mlp_norm(x)))  # [B,T,C] or [M,C]


class GPT(nn.Module):
    """A decoder-only transformer language model. `seed` determines its initial weights."""

    def __init__(self, config: GPTConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # torch's own initialisation draws from its global generator
            self.token_embedding = nn.Embedding(config.vocab_size, config.channels)
            self.positions = {
                "sinusoidal": lambda: SinusoidalPositions(config.context, config.channels),
                "learned": lambda: LearnedPositions(config.context, config.channels),
                "rotary": lambda: RotaryPositions(config.context, config.head_size, config.rotary_base),
            }[config.position]()
            self.dropout = nn.Dropout(config.dropout)
            self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
            self.final_norm = build_norm(config)
            if not config.tied_embeddings:
                self.unembedding = nn.Linear(config.channels, config.vocab_size, bias=False)
        self.initialise(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Sets every parameter to its initial value (Radford et al. 2019, section 2.3; the code of GPT-2):

        | parameter                               | initial value                                          |
        |-----------------------------------------|--------------------------------------------------------|
        | embeddings, unembedding, qkv, up, gate  | N(0, 0.02²)                                            |
        | projections of attention and MLP        | N(0, (0.02/√(2L))²): the residual stream sums 2L terms |
        | biases                                  | 0                                                      |
        | norm weights                            | 1                                                      |
        """
        residual = {layer for block in self.blocks for layer in (block.attention.projection, block.mlp.projection)}
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                std = 0.02 / math.sqrt(2 * self.config.layers) if module in residual else 0.02
                module.weight.normal_(0.0, std, generator=generator)
            elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
                module.weight.fill_(1.0)
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()

    def forward(
        self, ids: Tensor, layout: Layout | None = None, cache: KVCache | None = None, at: Tensor | None = None
    ) -> Tensor:
        """ids [B,T] -> logits [B,T,V]; those of column t predict the token in column t + 1. Arguments: see `hidden`."""
        return self.logits(self.hidden(ids, layout, cache, at))  # [B,T,V], or [M,V] with `at`

    def hidden(
        self, ids: Tensor, layout: Layout | None = None, cache: KVCache | None = None, at: Tensor | None = None
    ) -> Tensor:
        """ids [B,T] -> the residual stream after the final norm, [B,T,C].

        layout  the position of each token and the tokens that it may attend to. None is plain causal attention from
                position 0: also right for padding on the right, to which no real token attends.
        cache   keys and values of earlier tokens; the new ones are appended. With padding, layout is cache.begin(…).
        at      [B,T] bool: return only the tokens at its M True places, [M,C], in the order of x[at]. The last block
                then computes its MLP for them alone. A reward model needs one token of each row. Without layout and
                cache, and where it saves enough, padding is not computed and a beginning that rows share only once,
                see `flat`.

        Raises UserError when the sequence is longer than the context.
        """
        tokens, context = ids.shape[1], self.config.context
        if tokens > context:
            raise UserError(f"the sequence has {tokens} tokens, but the model's context is {context}: shorten it")
        if at is not None and (at.dtype != torch.bool or at.shape != ids.shape):
            raise ValueError(f"at is {at.dtype} {list(at.shape)}, but must be torch.bool {list(ids.shape)}, as ids are")
        flat = flatten(ids, at) if at is not None and layout is None and cache is None else None
        if flat is not None:
            return self.residual_stream(flat.ids, flat.layout, None, flat.at)[flat.index]  # [M,C]
        if layout is None:
            layout = causal_layout(ids) if cache is None else cache.begin(tokens)
        if cache is not None and layout.positions is not cache.positions:
            raise ValueError("with a cache the layout must be the one that cache.begin() returned last")
        return self.residual_stream(ids, layout, cache, at)

    def residual_stream(self, ids: Tensor, layout: Layout, cache: KVCache | None, at: Tensor | None) -> Tensor:
        """ids [B,T] -> the residual stream after all blocks and the final norm, [B,T,C], or [M,C] with `at`."""
        x, rotary = self.embed(ids, layout.positions)  # [B,T,C]
        last = self.blocks[-1]
        for block in self.blocks:
            x = block(x, rotary, layout.mask, cache, at if block is last else None)  # [B,T,C]; of the last, [M,C]
        if cache is not None:
            cache.advance()
        return self.final_norm(x)  # [B,T,C] or [M,C]

    def embed(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Rotary | None]:
        """ids [B,T], positions [T] or [B,T] -> the first residual stream [B,T,C], and cos and sin if rotary."""
        x = self.token_embedding(ids)  # [B,T,C]
        rotary = None
        if self.config.position == "rotary":
            rotary = self.positions(positions)
        elif self.config.position == "learned":
            x = x + self.positions(positions)  # [B,T,C]
        else:
            # the sinusoids have size 1 and would drown embeddings of size 0.02 (Vaswani et al. 2017, section 3.4)
            x = x * math.sqrt(self.config.channels) + self.positions(positions)  # [B,T,C]
        return self.dropout(x), rotary

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [...,C] -> unnormalised log-probabilities of the next token [...,V]."""
        output = self.token_embedding if self.config.tied_embeddings else self.unembedding
        return F.linear(hidden, output.weight)  # [...,V]

    def new_cache(self, batch: int, slots: int) -> KVCache:
        """An empty cache for `batch` sequences of up to `slots` tokens, on the device of this model."""
        return KVCache(self.config.layers, batch, slots, self.token_embedding.weight.device)

    def parameter_count(self) -> int:
        """The number of parameters; a tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of the targets, in nats: logits [...,V], targets [...] -> [...] float32.

    log softmax(z)_i = z_i - logsumexp(z), so the [...,V] log-softmax need not be kept. In float32 whatever the logits
    are: a policy and its reference differ by little, and bfloat16 has three digits. Targets must be token ids: give
    padding any id and leave it out by its mask afterwards.
    """
    logits = logits.float()  # [...,V]
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # [...]
    return chosen - logits.logsumexp(dim=-1)  # [...]
