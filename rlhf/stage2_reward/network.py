"""The networks of the reward model and of PPO's value model: a GPT trunk with a scalar head.

The trunk is the SFT policy; its unembedding is replaced by one linear unit. `objective` trains it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from minigpt.data import pad_sequences
from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import load_checkpoint, load_weights
from minigpt.runs.config import from_dict
from minigpt.tokenizer import Tokenizer
from rlhf.stage_io import MADE_BY

STAGE = "reward_model"  # the folder of the reward model in a run

# ---- The model ---------------------------------------------------------------------------------------------------


class RewardModel(nn.Module):
    """A GPT trunk with a scalar head: the score of an answer, read at its last token.

    `shift` is subtracted from every score; `normalise` sets it.
    """

    def __init__(self, trunk: GPT, generator: torch.Generator) -> None:
        """Uses `trunk` itself, not a copy. The head starts as N(0, 1/(C+1)), bias 0, so that scores begin near ±1 and
        the loss near log 2 (Stiennon et al. 2020, appendix B.1)."""
        super().__init__()
        channels = trunk.config.channels
        self.trunk = freeze_unembedding(trunk)
        self.head = nn.Linear(channels, 1)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 1 / math.sqrt(channels + 1), generator=generator)
            self.head.bias.zero_()
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B,T] padded on the right, lengths [B] of prompt and response together -> scores [B].

        The last real token is found by its length. Searching for the first pad instead goes wrong as soon as a pad
        is also a token, or there is none.
        """
        last = (lengths - 1).clamp(min=0)  # [B]
        at = torch.arange(ids.shape[1], device=ids.device) == last[:, None]  # [B,T], one True place in each row
        return self.head(self.trunk.hidden(ids, at=at)).squeeze(-1) - self.shift  # [B]


class ValueModel(nn.Module):
    """The critic of PPO: the value of the state after each token. The reward model's network, read at many tokens.

    It starts from the reward model, so that its first values are the scores of unfinished answers (Stiennon et al.
    2020, appendix B.1).
    """

    def __init__(self, trunk: GPT, head: nn.Linear, shift: Tensor) -> None:
        super().__init__()
        self.trunk = freeze_unembedding(trunk)
        self.head = head
        self.register_buffer("shift", shift)

    @classmethod
    def from_reward_model(cls, reward_model: RewardModel) -> ValueModel:
        """A trainable copy of a reward model, frozen or not; the reward model itself stays as it is."""
        trunk, head, shift = (
            copy.deepcopy(part) for part in (reward_model.trunk, reward_model.head, reward_model.shift)
        )
        return cls(trunk.requires_grad_(True), head.requires_grad_(True), shift)

    def forward(self, ids: Tensor, at: Tensor) -> Tensor:
        """ids [B,T], at [B,T] bool -> the values after the tokens at the M True places [M], in the order of ids[at]."""
        return self.head(self.trunk.hidden(ids, at=at)).squeeze(-1) - self.shift  # [M]


def freeze_unembedding(trunk: GPT) -> GPT:
    """Freezes the output matrix of a model with untied embeddings: no logits are computed, so no gradient ever comes,
    and DDP waits for the gradient of every trainable parameter. A tied matrix is the embedding, which is used."""
    if not trunk.config.tied_embeddings:
        trunk.unembedding.requires_grad_(False)
    return trunk


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
