"""The reward model's network: a GPT trunk with a scalar head, read at the last token of an answer.

The trunk is the SFT policy; its unembedding gives way to one linear unit. `ranking` is how it learns from rankings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from minigpt.data import pad_sequences
from minigpt.model import GPT, GPTConfig, Places
from minigpt.runs.checkpoint import load_checkpoint, load_weights
from minigpt.runs.config import from_dict
from minigpt.tokenizer import Tokenizer
from rlhf.stage_io import MADE_BY

# ---- The model ---------------------------------------------------------------------------------------------------


class RewardModel(nn.Module):
    """A GPT trunk with a scalar head. `shift` is subtracted from every score; `normalise` sets it.

    It is also the value model of PPO: the same network, read at every position instead of at the last one.
    """

    def __init__(self, trunk: GPT, generator: torch.Generator) -> None:
        """Takes `trunk` over, not a copy. The head starts as N(0, 1/(C+1)), bias 0, so that scores begin near ±1 and
        the loss near log 2 (Stiennon et al. 2020, appendix B.1)."""
        super().__init__()
        channels = trunk.config.channels
        self.trunk = trunk
        if not trunk.config.tied_embeddings:
            trunk.unembedding.requires_grad_(False)  # nobody asks for the next token here
        self.head = nn.Linear(channels, 1)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 1 / math.sqrt(channels + 1), generator=generator)
            self.head.bias.zero_()
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B,T] padded on the right, lengths [B] of prompt and response together -> scores [B].

        The last real token is found by its length. Searching for the first pad instead goes wrong as soon as a pad
        is also a token, or there is none (R2).
        """
        last = (torch.arange(len(ids), device=ids.device), (lengths - 1).clamp(min=0))  # [B] rows and columns
        return self.values(ids, read=last)  # [B]

    def values(self, ids: Tensor, read: Places | None = None) -> Tensor:
        """ids [B,T] -> the value after each token [B,T], or after each of M [M]; see GPT.hidden."""
        return self.head(self.trunk.hidden(ids, read=read)).squeeze(-1) - self.shift  # [B,T] or [M]


def load_reward_model(stage_dir: Path, tokenizer: Tokenizer) -> RewardModel:
    """The model in <stage_dir>/checkpoint.pt, on the CPU, in evaluation mode. Raises UserError as load_policy does."""
    path = stage_dir / "checkpoint.pt"
    made_by = MADE_BY.get(stage_dir.name, "")
    payload = load_checkpoint(path, kind="reward_model", fingerprint=tokenizer.fingerprint, made_by=made_by)
    model = RewardModel(GPT(from_dict(GPTConfig, payload["config"], str(path))), torch.Generator())
    load_weights(model, payload, path, made_by)
    return model.eval()


# ---- The scale of the scores -------------------------------------------------------------------------------------


@torch.no_grad()
def normalise(model: RewardModel, sequences: Sequence[Sequence[int]], pad_id: int, batch_size: int = 64) -> float:
    """Sets the shift so that demonstrations score 0 on average (InstructGPT, section 3.5), and returns it.

    The loss sees differences only, so the zero of the scores is arbitrary until here; PPO compares it with the fixed
    score of an answer that has no end. A shift moves all scores alike: no ranking changes.
    """
    model.shift.zero_()
    total = torch.zeros(())
    for start in range(0, len(sequences), batch_size):
        ids, lengths = pad_sequences(sequences[start : start + batch_size], pad_id)
        total += model(ids.to(model.shift.device), lengths.to(model.shift.device)).sum().cpu()
    model.shift.copy_(total / len(sequences))
    return float(model.shift)
