"""BERT: an encoder that fills in masked tokens (Devlin et al. 2019, arXiv 1810.04805).

    ids ─► embeddings of token, position and segment, norm ─► L × [ attention over all tokens, MLP ] ─► [B,T,C]
           ├─► logits of the masked tokens          masked language modelling
           └─► the state of [CLS] ─► classes        fine-tuning

The attention and the MLP are the GPT's. The mask differs: every token attends to every real token, also to later ones.
So the next token cannot be the target, as the input shows it; instead some tokens are hidden and predicted from both
sides. BERT keeps the order of 2017: the norm comes after each sum (`PostNormBlock`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt.data import IGNORE
from minigpt.model import Block, GPTConfig, build_norm
from minigpt.positions import LearnedPositions

MASKED_SHARE = 0.15  # of the tokens are targets; of these (Devlin et al. 2019, section 3.1)
HIDDEN_SHARE = 0.8  # are replaced by [MASK],
RANDOM_SHARE = 0.1  # by any token, and the rest stay: fine-tuning never shows [MASK], so a token may never be trusted


class PostNormBlock(Block):
    """A block of the GPT with each norm after its sum instead of before its input (Vaswani et al. 2017)."""

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B,T,C], mask [B,1,1,T], True at real tokens -> [B,T,C]."""
        x = self.attention_norm(x + self.attention(x, mask=mask))
        return self.mlp_norm(x + self.mlp(x))


class Bert(nn.Module):
    """The encoder, with the head that predicts masked tokens and one that classifies the whole text."""

    def __init__(self, config: GPTConfig, classes: int = 2, seed: int = 0) -> None:
        """config: with `bias`, layer norms and epsilon 1e-12 it is the published shape; positions are learned."""
        super().__init__()
        self.config = config
        C = config.channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.token_embedding = nn.Embedding(config.vocab_size, C)
            self.positions = LearnedPositions(config.context, C)
            self.segment_embedding = nn.Embedding(2, C)  # first or second sentence of a pair
            self.embedding_norm = build_norm(config)
            self.blocks = nn.ModuleList(PostNormBlock(config, layer=0) for _ in range(config.layers))
            self.masked_head = nn.Sequential(nn.Linear(C, C), nn.GELU(), build_norm(config))
            self.masked_bias = nn.Parameter(torch.zeros(config.vocab_size))
            self.pooler = nn.Linear(C, C)
            self.classifier = nn.Linear(C, classes)
            for module in self.modules():
                if isinstance(module, nn.Linear | nn.Embedding):
                    nn.init.normal_(module.weight, std=0.02)

    def hidden(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids [B,T], mask [B,T], True at real tokens, segments [B,T] of 0 and 1 (None: all 0) -> [B,T,C]."""
        positions = torch.arange(ids.shape[1], device=ids.device)  # [T]
        segments = torch.zeros_like(ids) if segments is None else segments
        x = self.token_embedding(ids) + self.positions(positions) + self.segment_embedding(segments)  # [B,T,C]
        x = self.embedding_norm(x)
        for block in self.blocks:
            x = block.encode(x, mask[:, None, None])  # [B,T,C]
        return x

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids [B,T], mask [B,T] -> logits [B,T,V] of the token that stands, or stood, in each place."""
        hidden = self.masked_head(self.hidden(ids, mask, segments))  # [B,T,C]
        return F.linear(hidden, self.token_embedding.weight, self.masked_bias)  # [B,T,V]

    def pooled(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids [B,T] that begin with [CLS] -> the state of [CLS] after one more layer [B,C]."""
        return torch.tanh(self.pooler(self.hidden(ids, mask, segments)[:, 0]))  # [B,C]

    def classify(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids [B,T] that begin with [CLS] -> logits of the classes [B,classes]."""
        return self.classifier(self.pooled(ids, mask, segments))


def hide_tokens(
    ids: Tensor, maskable: Tensor, *, mask_id: int, vocab_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """ids [B,T] -> what BERT reads and what it must predict, [B,T] each; targets are IGNORE where nothing was chosen.

    maskable [B,T]: True at tokens that may be chosen, False at padding and special tokens. 15 % of them are targets;
    80 % of the targets are replaced by mask_id, 10 % by a random token, 10 % stay as they are.
    """
    chosen = (torch.rand(ids.shape, generator=generator) < MASKED_SHARE) & maskable  # [B,T]
    targets = ids.masked_fill(~chosen, IGNORE)  # [B,T]
    kind = torch.rand(ids.shape, generator=generator)  # [B,T]
    others = torch.randint(vocab_size, ids.shape, generator=generator)  # [B,T]
    inputs = torch.where(chosen & (kind < HIDDEN_SHARE), mask_id, ids)  # [B,T]
    replaced = chosen & (kind >= HIDDEN_SHARE) & (kind < HIDDEN_SHARE + RANDOM_SHARE)  # [B,T]
    return torch.where(replaced, others, inputs), targets


def masked_token_loss(model: Bert, inputs: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """Mean −log p of the hidden tokens in nats: inputs, mask and targets [B,T]. Without a target it is 0."""
    total = F.cross_entropy(model(inputs, mask).flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / (targets != IGNORE).sum().clamp(min=1)
