"""The models in memory: each is read once, and again when its checkpoint has been replaced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minigpt.model import GPT
from minigpt.runs.config import RunConfig
from minigpt.tokenizer import Tokenizer
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage_io import load_policy, load_tokenizer
from rlhf.web.engine.text import token_texts
from rlhf.web.stages import Stage

Signature = tuple[int, ...]  # of files: another one is another content


@dataclass(frozen=True, eq=False)
class Policy:
    """A stage that is ready to answer, with the texts of its tokens and the model that scores it, None if there is
    none."""

    stage: Stage
    model: GPT
    tokenizer: Tokenizer
    texts: list[str]
    reward_model: RewardModel | None


class Models:
    """The policies and reward models that have been asked for. Only one thread uses it."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self._policies: dict[Path, tuple[Signature, Policy]] = {}
        self._reward_models: dict[Path, tuple[Signature, RewardModel]] = {}

    def policy(self, stage: Stage) -> Policy:
        """The stage as it lies on the disk now. Raises UserError if it cannot be read."""
        scorer = stage.reward_model_dir
        tokenizer_file = stage.run_dir / "tokenizer.json"
        files = [stage.folder / "checkpoint.pt", tokenizer_file]
        signature = signature_of(*files, *([scorer / "checkpoint.pt"] if scorer else []))
        known, policy = self._policies.get(stage.folder, (None, None))
        if known != signature:
            tokenizer = load_tokenizer(stage.run_dir)
            model = self.config.place(load_policy(stage.folder, tokenizer))
            reward_model = self._reward_model(scorer, tokenizer) if scorer else None
            policy = Policy(stage, model, tokenizer, token_texts(tokenizer), reward_model)
            self._policies[stage.folder] = (signature, policy)
        return policy

    def _reward_model(self, folder: Path, tokenizer: Tokenizer) -> RewardModel:
        signature = signature_of(folder / "checkpoint.pt")
        known, model = self._reward_models.get(folder, (None, None))
        if known != signature:
            model = self.config.place(load_reward_model(folder, tokenizer))
            self._reward_models[folder] = (signature, model)
        return model


def signature_of(*files: Path) -> Signature:
    """Inode, size and time of each file; 0 for one that is missing. A checkpoint is replaced by renaming, which gives
    another inode even where the clock is coarse."""
    numbers: list[int] = []
    for file in files:
        try:
            found = file.stat()
            numbers += [found.st_ino, found.st_size, found.st_mtime_ns]
        except OSError:
            numbers.append(0)
    return tuple(numbers)
