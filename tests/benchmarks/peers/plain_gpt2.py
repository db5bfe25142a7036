"""A yardstick: GPT-2 as one writes it with torch's own modules, trained as nanoGPT's character-level recipe says.

Nothing here is clever and nothing is taken from elsewhere; it does the same arithmetic in the same order as nanoGPT,
with the settings of its recipe for a CPU (learned positions, LayerNorm and linear layers without biases, exact GELU,
fused attention, tied embeddings, AdamW; nanoGPT's README, "I only have a macbook"). What it needs for 2,000 steps
stands for the 89 s that nanoGPT itself took on the machine of the issue; its own loss after them was not measured.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# nanoGPT's recipe: `--n_layer=4 --n_head=4 --n_embd=128 --block_size=64 --batch_size=12 --max_iters=2000 --dropout=0.0`
LAYERS, HEADS, CHANNELS, CONTEXT, BATCH, STEPS = 4, 4, 128, 64, 12, 2000
LEARNING_RATE, FINAL_LEARNING_RATE, WARM_UP, BETAS, WEIGHT_DECAY = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1
VALIDATION_LOSS = 1.886  # after it, measured by whoever wrote the issue


class PlainBlock(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels, bias=False)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)
        self.norm2 = nn.LayerNorm(channels, bias=False)
        self.wide = nn.Linear(channels, 4 * channels, bias=False)
        self.narrow = nn.Linear(4 * channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        queries, keys, values = self.qkv(self.norm1(x)).split(C, dim=2)  # [B,T,C] each
        split = (B, T, self.heads, C // self.heads)
        queries, keys, values = (part.view(split).transpose(1, 2) for part in (queries, keys, values))  # [B,H,T,D]
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)  # [B,H,T,D]
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, C))  # [B,T,C]
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))  # [B,T,C]


class PlainGPT2(nn.Module):
    """ids [B,T] -> logits [B,T,V]."""

    def __init__(self, vocab_size: int, context: int, layers: int, heads: int, channels: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, channels)
        self.places = nn.Embedding(context, channels)
        self.blocks = nn.Sequential(*(PlainBlock(channels, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(channels, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_stream = name.endswith(("out.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if into_stream else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))  # [B,T,C]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)  # [B,T,V]


def adamw(model: nn.Module) -> torch.optim.AdamW:
    """With decay for all that has two dimensions. Not fused: nanoGPT fuses it on CUDA only."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS)


def learning_rate(step: int) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < WARM_UP:
        return LEARNING_RATE * step / WARM_UP
    progress = (step - WARM_UP) / (STEPS - WARM_UP)
    return FINAL_LEARNING_RATE + (LEARNING_RATE - FINAL_LEARNING_RATE) * (1 + math.cos(math.pi * progress)) / 2


def training_step(model: nn.Module, optimizer: torch.optim.AdamW, inputs: Tensor, targets: Tensor) -> float:
    """One step on inputs and targets [B,T]; the loss before it."""
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()
