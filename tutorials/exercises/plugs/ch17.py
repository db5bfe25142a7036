"""`plug` for chapter 17: PPO of preset tiny runs on the student's functions."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from minigpt.runs.config import with_overrides
from rlhf.stage3_ppo import losses as package
from rlhf.stage3_ppo import stage
from tutorials.exercises import sentences
from tutorials.exercises.measure import KL_WORLDS
from tutorials.exercises.plugs.common import Function, installed, scratch_run, student_function, student_module
from tutorials.exercises.registry import Exercise
from tutorials.exercises.sentences import END, answer_logprobs, say
from tutorials.models import load_or_train, quiet_and_alone

COLUMNS = {
    "objective/scores": "score",
    "objective/kl_nats_per_sequence": "KL nats",
    "val/explained_variance": "explained",  # the share of the returns' variance that the values explain
}


# ---- PPO of preset tiny ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def everywhere(name: str, replacement: Function, home: ModuleType = package) -> Iterator[None]:
    """`replacement` for the function `home.name`, in every module of stage 3 that has imported it."""
    original = getattr(home, name)
    modules = [m for key, m in list(sys.modules.items()) if key.startswith("rlhf.stage3_ppo")]
    with contextlib.ExitStack() as stack:
        for module in modules:
            if getattr(module, name, None) is original:
                stack.enter_context(installed(module, name, replacement))
        yield


def run_ppo() -> list[dict[str, Any]]:
    """The log of stage 3 of preset tiny, with whatever is installed."""
    sft, reward_model = load_or_train("sft").stage_dir, load_or_train("reward_model").stage_dir
    with scratch_run() as folder:
        run = folder / "tiny"
        shutil.copytree(sft, run / "sft")
        shutil.copytree(reward_model, run / "reward_model")
        shutil.copy(sft.parent / "tokenizer.json", run / "tokenizer.json")
        settings = {**stage.PRESETS["tiny"], "preset": "tiny", "runs": str(folder), "device": "cpu"}
        stage.run(with_overrides(stage.PPOConfig(), settings))
        return [row for row in read_lines(run / "ppo" / "metrics.jsonl") if "objective/scores" in row]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compare_ppo(name: str, replacement: Function, home: ModuleType = package) -> None:
    """Stage 3 twice, and both logs side by side."""
    print("running PPO of preset tiny twice, with the package's function and with yours …", file=sys.stderr)
    ours = run_ppo()
    with everywhere(name, replacement, home):
        yours = run_ppo()
    heads = [f"{kind} {name}" for name in COLUMNS.values() for kind in ("package's", "your")]
    print(f"{'iteration':>9}" + "".join(f"{head:>21}" for head in heads))
    for number, (theirs, mine) in enumerate(zip(ours, yours, strict=True), start=1):
        cells = "".join(f"{row[key]:21.3f}" for key in COLUMNS for row in (theirs, mine))
        print(f"{number:9d}{cells}")


def as_gae(function: Function) -> Function:
    """A student's advantages in the package's form. The package's rows begin with the prompt: answers are moved to the
    left for the student's function, and what it gives is moved back."""

    def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
        T, begins = mask.shape[1], mask.int().argmax(dim=1, keepdim=True)  # [B,1], the answer's first column
        columns = (torch.arange(T) + begins) % T  # [B,T]
        moved = (x.gather(1, columns) for x in (rewards, values, mask))  # [B,T] each
        advantages = torch.zeros_like(rewards).scatter(1, columns, function(*moved, gamma, lam))  # [B,T]
        return advantages, advantages + torch.where(mask, values, 0.0)

    return gae


def as_policy_loss(function: Function) -> Function:
    """A student's loss in the package's form. What is measured beside it stays the package's."""
    theirs = package.policy_loss

    def policy_loss(
        logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float, denominator: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        share = 1.0 if denominator is None else mask.sum() / denominator  # a micro-batch's part of the minibatch
        _, measured = theirs(logprobs, old, advantages, mask, clip, denominator)
        return function(logprobs, old, advantages, mask, clip) * share, measured

    return policy_loss


def run_on_advantages(exercise: Exercise) -> None:
    """The student's advantages in PPO."""
    compare_ppo("gae", as_gae(student_function(exercise)))


def run_on_loss(exercise: Exercise) -> None:
    """The student's loss in PPO."""
    compare_ppo("policy_loss", as_policy_loss(student_function(exercise)))


# ---- The others ------------------------------------------------------------------------------------------------------


def compare_kl(exercise: Exercise) -> None:
    """The KL of a small language model that has learned a word: exact for each token, and estimated."""
    exact = student_function(exercise)
    print("a small language model learns to say a word …", file=sys.stderr)
    with quiet_and_alone(), torch.no_grad():
        with torch.enable_grad():
            speaker = sentences.imitate()
            policy, _ = sentences.ppo(speaker, "banana", beta=0.1)
        said = say(policy, [[END]] * 1000, torch.Generator().manual_seed(0))
        mine, other = answer_logprobs(policy, said), answer_logprobs(speaker, said)  # [B,N]
        N = said.tokens.shape[1]
        logits = (model(said.ids)[:, -N - 1 : -1] for model in (policy, speaker))  # [B,N,V] each
        per_token = {
            "exact (yours)": exact(*logits, said.mask),
            "k1": package.kl_k1(mine, other),
            "k3": package.kl_k3(mine, other),
        }
    print(f"{'':16}{'mean of 1000 answers':>22}{'their spread':>16}      nats an answer")
    for name, kl in per_token.items():
        answers = torch.where(said.mask, kl, 0.0).sum(dim=1)  # [B]
        print(f"{name:16}{float(answers.mean()):22.3f}{float(answers.std()):16.3f}")


def measure_spread(exercise: Exercise) -> None:
    """The spread of k1 and k3, near the reference and far from it."""
    spread = student_function(exercise)
    print(f"{'':8}{'KL':>10}{'k1':>10}{'k3':>10}      nats")
    for world, pair in KL_WORLDS.items():
        policy, reference = map(torch.tensor, pair)
        kl = float((policy * (policy / reference).log()).sum())
        print(f"{world:8}{kl:10.3f}" + "".join(f"{spread(policy, reference, kind):10.3f}" for kind in ("k1", "k3")))
    print("write the columns k1 and k3 into answers.toml, and why it came out like that")


def train_for_two_betas(exercise: Exercise) -> None:
    """The repaired program's own training, beside what it should reach."""
    module = student_module(exercise)
    for beta in (0.5, 5.0):
        best = (torch.tensor(module.REFERENCE).log() + torch.tensor(module.SCORES) / beta).softmax(dim=0)
        for name, policy in (("reached", module.train(beta)), ("optimum", best)):
            print(f"β = {beta}: {name}  " + "  ".join(f"{p:.2f}" for p in policy.tolist()))


PLUGS: dict[str, Callable[[Exercise], None]] = {
    "17.1": run_on_advantages,
    "17.2": run_on_loss,
    "17.3": compare_kl,
    "17.4": measure_spread,
    "17.5": train_for_two_betas,
}
