"""The transformer of 2017: an encoder that reads a source text, and a decoder that writes a target text from it.

    source ids ─► embedding ─► L × [ attention over the whole source, MLP ] ─► memory [B,S,C]
    target ids ─► embedding ─► L × [ attention over the target so far, attention over memory, MLP ] ─► logits [B,T,V]

(Vaswani et al. 2017, arXiv 1706.03762.) The blocks are those of the GPT. Three things differ: the encoder's mask allows
every real token, the decoder has a second attention whose keys and values come from the encoder, and the loss is that
of the target text given the source. The paper puts each norm after its sum; here, as in the GPT, it comes before
(`norm_first=True` in torch's nn.Transformer, with which tests/minigpt/relatives compares).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.attention import attention_fused
from minigpt.data import IGNORE
from minigpt.model import Block, GPTConfig, build_norm
from minigpt.positions import SinusoidalPositions


class CrossAttention(nn.Module):
    """Attention whose queries come from the decoder, and whose keys and values come from the encoder's memory."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.channels, config.channels, bias=config.bias)
        self.key_value = nn.Linear(config.channels, 2 * config.channels, bias=config.bias)
        self.projection = nn.Linear(config.channels, config.channels, bias=config.bias)

    def project(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B,T,C], memory [B,S,C] -> queries [B,H,T,D], keys and values [B,H,S,D]."""
        B, T, C = x.shape
        queries = self.query(x).view(B, T, self.heads, C // self.heads).transpose(1, 2)  # [B,H,T,D]
        keys_values = self.key_value(memory).view(B, -1, 2, self.heads, C // self.heads)  # [B,S,2,H,D]
        keys, values = keys_values.permute(2, 0, 3, 1, 4)  # [B,H,S,D] each
        return queries, keys, values

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """x [B,T,C], memory [B,S,C], memory_mask [B,1,1,S], True at real source tokens -> [B,T,C]."""
        B, T, C = x.shape
        mixed = attention_fused(*self.project(x, memory), memory_mask)  # [B,H,T,D]
        return self.projection(mixed.transpose(1, 2).reshape(B, T, C))  # [B,T,C]

    def weights(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """The attention weights [B,H,T,S], each row summing to 1: which source token each target token reads."""
        queries, keys, _ = self.project(x, memory)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # [B,H,T,S]
        return scores.masked_fill(~memory_mask, -torch.inf).softmax(dim=-1)  # [B,H,T,S]


class DecoderBlock(Block):
    """A block of the GPT with a second attention, over the memory, between its attention and its MLP."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config, layer=0)
        self.cross_norm, self.cross_attention = build_norm(config), CrossAttention(config)

    def decode(self, x: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """x [B,T,C], memory [B,S,C], memory_mask [B,1,1,S] -> [B,T,C]."""
        x = x + self.attention(self.attention_norm(x))  # no mask: plain causal attention
        x = x + self.cross_attention(self.cross_norm(x), memory, memory_mask)
        return x + self.mlp(self.mlp_norm(x))


class EncoderDecoder(nn.Module):
    """Source ids and target ids to logits of the next target token. One embedding serves both sides and the output."""

    def __init__(self, config: GPTConfig, seed: int = 0) -> None:
        """config: `layers` are those of the encoder and again those of the decoder; positions are the sinusoids."""
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.token_embedding = nn.Embedding(config.vocab_size, config.channels)
            self.positions = SinusoidalPositions(config.context, config.channels)
            self.encoder = nn.ModuleList(Block(config, layer=0) for _ in range(config.layers))
            self.encoder_norm = build_norm(config)
            self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.layers))
            self.decoder_norm = build_norm(config)
            nn.init.normal_(self.token_embedding.weight, std=1 / math.sqrt(config.channels))

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B,T] -> [B,T,C]: the embedding times √C, plus the position (Vaswani et al. 2017, sections 3.4, 3.5)."""
        positions = torch.arange(ids.shape[1], device=ids.device)  # [T]
        return self.token_embedding(ids) * math.sqrt(self.config.channels) + self.positions(positions)  # [B,T,C]

    def encode(self, source: Tensor, source_mask: Tensor) -> Tensor:
        """source ids [B,S], source_mask [B,S], True at real tokens -> memory [B,S,C]."""
        x = self.embed(source)  # [B,S,C]
        for block in self.encoder:
            x = block(x, mask=source_mask[:, None, None])  # [B,S,C]; every token attends to every real token
        return self.encoder_norm(x)

    def decode(self, target: Tensor, memory: Tensor, source_mask: Tensor) -> Tensor:
        """target ids [B,T], memory [B,S,C] -> logits [B,T,V]; those of column t predict the token in column t + 1."""
        x = self.embed(target)  # [B,T,C]
        for block in self.decoder:
            x = block.decode(x, memory, source_mask[:, None, None])  # [B,T,C]
        return F.linear(self.decoder_norm(x), self.token_embedding.weight)  # [B,T,V]

    def forward(self, source: Tensor, source_mask: Tensor, target: Tensor) -> Tensor:
        """source [B,S], source_mask [B,S], target [B,T] -> logits [B,T,V]."""
        return self.decode(target, self.encode(source, source_mask), source_mask)


def teacher_forcing_loss(model: EncoderDecoder, source: Tensor, source_mask: Tensor, target: Tensor) -> Tensor:
    """Mean −log p of the target tokens in nats, each predicted from the *right* tokens before it (teacher forcing).

    source [B,S], source_mask [B,S]; target [B,T+1] begins with the start token and ends with the end token, and holds
    IGNORE where it is padded. While decoding, the model reads its own tokens instead, and errors add up.
    """
    inputs, due = target[:, :-1], target[:, 1:]  # [B,T] each
    logits = model(source, source_mask, inputs.clamp(min=0))  # [B,T,V]; padding is on the right, so nothing reads it
    return F.cross_entropy(logits.flatten(0, 1), due.flatten(), ignore_index=IGNORE)


@torch.no_grad()
def greedy_decode(
    model: EncoderDecoder, source: Tensor, source_mask: Tensor, *, start: int, end: int, max_tokens: int
) -> list[list[int]]:
    """The most probable next token, again and again: for each row of source [B,S] the ids without start and end."""
    memory = model.encode(source, source_mask)  # [B,S,C]
    target = torch.full((len(source), 1), start, device=source.device)  # [B,1]
    for _ in range(max_tokens):
        best = model.decode(target, memory, source_mask)[:, -1].argmax(-1, keepdim=True)  # [B,1]
        target = torch.cat([target, best], dim=1)  # [B,T+1]
        if (target == end).any(dim=1).all():
            break
    return [row[: row.index(end)] if end in row else row for row in target[:, 1:].tolist()]


@torch.no_grad()
def beam_decode(
    model: EncoderDecoder, source: Tensor, source_mask: Tensor, *, start: int, end: int, max_tokens: int, width: int
) -> list[tuple[list[int], float]]:
    """The `width` most probable targets that beam search finds for ONE source [1,S], best first, with log p in nats.

    At each step every open target is continued by every token, and the `width` most probable of all are kept; those
    that end are set aside. With width 1 it is greedy; with a width of all targets it is exhaustive. A target that is
    not ended after max_tokens counts as it is.
    """
    memory = model.encode(source, source_mask)  # [1,S,C]
    open_targets, found = [([start], 0.0)], []
    for _ in range(max_tokens):
        targets = torch.tensor([ids for ids, _ in open_targets], device=source.device)  # [W,T]
        W = len(targets)
        logits = model.decode(targets, memory.expand(W, -1, -1), source_mask.expand(W, -1))[:, -1]  # [W,V]
        totals = logits.log_softmax(-1) + torch.tensor([[total] for _, total in open_targets])  # [W,V]
        best = totals.flatten().topk(min(width, totals.numel()))  # [width]
        continued = []
        for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, token = divmod(place, totals.shape[1])
            (found if token == end else continued).append(([*open_targets[row][0], token], total))
        open_targets = continued
        if not open_targets:
            break
    ranked = sorted(found + open_targets, key=lambda target: -target[1])[:width]
    return [([token for token in ids[1:] if token != end], total) for ids, total in ranked]
