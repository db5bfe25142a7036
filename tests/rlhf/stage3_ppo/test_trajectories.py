"""The same training, computed in other ways: ten steps must give the same losses and gradient norms.

How a batch is cut into micro-batches, and whether its demonstrations share rows, changes speed and memory and nothing
else. One step that is right to rounding says little: here ten build on each other, and a difference would grow. TRL's
tests/invariant compares equivalent configurations like this, by two measures: the largest difference, and the mean one,
which finds a small bias that always points the same way and hides below the first.
"""

import copy
import dataclasses
import itertools

import pytest
import torch
from torch import nn

from minigpt import optim
from minigpt.data import tokenize_documents
from minigpt.model import GPT, GPTConfig
from minigpt.objective import LanguageModelObjective
from minigpt.runs.config import with_overrides
from minigpt.runs.log.metrics import read_metrics
from minigpt.tokenizer import Tokenizer
from minigpt.training import Objective, TrainingConfig, train
from rlhf.alternatives.dpo import PreferenceObjective
from rlhf.alternatives.grpo import GroupObjective, GRPOConfig
from rlhf.chat_format import user_prompt
from rlhf.stage1_sft.examples import Example
from rlhf.stage1_sft.objective import DemonstrationObjective
from rlhf.stage2_reward.examples import Comparison
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage2_reward.objective import RankingObjective
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.training import train_ppo

STEPS, BATCH = 10, 8
LARGEST, BIAS = 5e-6, 1e-6  # relative; observed are 7e-7 and 2e-7, float32 has seven digits
TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 266)
SIZE = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=24, layers=2, heads=2, channels=16)
CONFIG = TrainingConfig(
    steps=STEPS, batch_size=BATCH, warmup_steps=2, learning_rate=3e-3, evaluate_every=0, checkpoint_every=0
)
CPU = torch.device("cpu")
Trajectory = dict[str, torch.Tensor]  # of each metric, its STEPS values


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    """It takes longer than everything else here."""
    monkeypatch.setattr("minigpt.runs.folder.draw_curves", lambda rows, path, *rest: path.write_text("<svg/>"))


@pytest.fixture(autouse=True)
def _plain_newton_schulz(monkeypatch):
    """By the Gram matrix Muon magnifies rounding about fifty times, and a bias could hide behind that."""
    monkeypatch.setattr(optim, "newton_schulz_by_gram", optim.newton_schulz)


def trajectory(folder, names: tuple[str, ...]) -> Trajectory:
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if names[0] in row]
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in names}


def run(folder, model: nn.Module, objective: Objective, config: TrainingConfig = CONFIG, *names: str) -> Trajectory:
    payload = {"kind": "gpt", "config": {}, "tokenizer": "none"}
    train(model, objective, config, stage_dir=folder, describe={}, checkpoint_payload=payload, seed=0)
    return trajectory(folder, names or ("loss", "grad_norm"))


def residuals(found: Trajectory, expected: Trajectory) -> dict[str, tuple[float, float]]:
    """Of each metric the largest difference and the size of the mean one, in units of its own mean size."""
    differences = {name: (found[name] - values) / values.abs().mean() for name, values in expected.items()}
    return {name: (float(d.abs().max()), float(d.mean().abs())) for name, d in differences.items()}


def assert_same(found: Trajectory, expected: Trajectory) -> None:
    for name, (largest, mean) in residuals(found, expected).items():
        assert len(found[name]) == len(expected[name]) == STEPS
        assert largest < LARGEST, f"{name} is up to {largest:.1e} off: a mean of micro-batch means?"
        assert mean < BIAS, f"{name} is {mean:.1e} off on average, always to one side"


def policy(seed: int = 0) -> GPT:
    return GPT(SIZE, seed=seed)


# ---- Stage 1 -----------------------------------------------------------------------------------------------------


def demonstrations(count: int = 24) -> list[Example]:
    generator = torch.Generator().manual_seed(0)

    def ids(longest: int) -> tuple[int, ...]:
        length = int(torch.randint(1, longest + 1, (), generator=generator))
        return tuple(torch.randint(0, 200, (length,), generator=generator).tolist())

    return [Example(ids(8), (*ids(8), TOKENIZER.end_id)) for _ in range(count)]


def sft(kind: type[DemonstrationObjective] = DemonstrationObjective, micro: int = 0, packed: bool = False):
    sizes = {"batch_size": BATCH, "micro_batch_size": micro, "row_tokens": SIZE.context if packed else 0}
    return kind(demonstrations(), **sizes, tokenizer=TOKENIZER, seed=0, device=CPU)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_sft_in_any_split_and_packed_or_not(tmp_path, optimizer):
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    expected = run(tmp_path / "whole", policy(), sft(), config)
    for micro, packed in itertools.product((1, 2, 4, BATCH), (False, True)):
        folder = tmp_path / f"{micro} {packed}"
        assert_same(run(folder, policy(), sft(micro=micro, packed=packed), config), expected)


class MeanOfMeans(DemonstrationObjective):
    """The bug: every micro-batch counts the same, however few tokens it has."""

    def weight(self, micro):
        return 1

    def loss_sum(self, model, micro):
        loss, metrics = super().loss_sum(model, micro)
        return loss / super().weight(micro), metrics


class Leaky(DemonstrationObjective):
    """The bug: the demonstrations of a row see each other."""

    def loss_sum(self, model, micro):
        return super().loss_sum(model, micro._replace(documents=None))


@pytest.mark.parametrize(("wrong", "way"), [(MeanOfMeans, {"micro": 2}), (Leaky, {"packed": True})])
def test_these_tolerances_see_what_they_are_for(tmp_path, wrong, way):
    expected = run(tmp_path / "right", policy(), sft())
    for name, (largest, _) in residuals(run(tmp_path / "wrong", policy(), sft(wrong, **way)), expected).items():
        assert largest > 20 * LARGEST, f"{name}: {wrong.__name__} is only {largest:.1e} off"


def test_the_same_seed_is_the_same_run_to_the_last_bit_even_with_dropout(tmp_path):
    """Metrics and weights; the caller's random state plays no part."""
    found = []
    for name in ("first", "again"):
        torch.manual_seed(len(name))
        model = GPT(dataclasses.replace(SIZE, dropout=0.2), seed=0)
        found.append((run(tmp_path / name, model, sft(micro=2)), model))
    for name in ("loss", "grad_norm"):
        assert torch.equal(found[0][0][name], found[1][0][name]), "something is drawn from a global generator"
    assert all(map(torch.equal, found[0][1].parameters(), found[1][1].parameters()))


# ---- Pretraining, stage 2, DPO -----------------------------------------------------------------------------------


@pytest.mark.parametrize("micro", [1, 3])
def test_pretraining_in_any_split(tmp_path, micro):
    texts = [f"The cow number {n} eats grass. What does the cow {n + 1} eat?" for n in range(60)]

    def objective(micro: int) -> LanguageModelObjective:
        sizes = {"context": 16, "batch_size": BATCH, "micro_batch_size": micro}
        train, validation = (tokenize_documents(TOKENIZER, part) for part in (texts[:50], texts[50:]))
        return LanguageModelObjective(TOKENIZER, train, validation, **sizes, seed=0, device=CPU)

    assert_same(run(tmp_path / "split", policy(), objective(micro)), run(tmp_path / "whole", policy(), objective(0)))


def rankings(count: int = 24) -> list[Comparison]:
    """K = 2 … 5 answers a prompt, with ties."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(count):
        k = int(torch.randint(2, 6, (), generator=generator))
        lengths = torch.randint(2, 12, (k,), generator=generator).tolist()
        answers = tuple(tuple(torch.randint(0, 200, (n,), generator=generator).tolist()) for n in lengths)
        found.append(Comparison(answers, (0, *torch.randint(0, k, (k - 1,), generator=generator).tolist()), None))
    return found


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("stage", ["reward model", "dpo"])
def test_rankings_in_any_split(tmp_path, stage, micro):
    def way(name: str, micro: int) -> Trajectory:
        model, sizes = policy(), {"batch_size": BATCH, "micro_batch_size": micro, "seed": 0, "device": CPU}
        if stage == "dpo":
            reference = copy.deepcopy(model).requires_grad_(False)
            options = {"reference": reference, "beta": 0.5, "tokenizer": TOKENIZER, "prompts": []}
            objective = PreferenceObjective(rankings(), [], **options, **sizes)
        else:
            model = RewardModel(model, torch.Generator().manual_seed(0))
            objective = RankingObjective(rankings(), [], pad_id=0, **sizes)
        return run(tmp_path / name, model, objective)

    assert_same(way("split", micro), way("whole", 0))


# ---- Stage 3 -----------------------------------------------------------------------------------------------------

PROMPTS = [user_prompt(text) for text in ("What?", "What does a cow eat?", "Eat grass. Why?", "Cow?")]


def scorer() -> RewardModel:
    return RewardModel(policy(1), torch.Generator().manual_seed(1)).eval().requires_grad_(False)


@pytest.mark.parametrize("micro", [1, 3])
def test_grpo_in_any_split(tmp_path, micro):
    overrides = {
        "steps": STEPS,
        "batch_size": 4,
        "group_size": 4,
        "max_new_tokens": 6,
        "missing_end_score": None,
        "device": "cpu",
        "learning_rate": 3e-3,
        "checkpoint_every": 0,
        "preset": "tiny",
    }

    def way(name: str, micro: int) -> Trajectory:
        config, model = with_overrides(GRPOConfig(), {**overrides, "micro_batch_size": micro}), policy()
        objective = GroupObjective(model, PROMPTS, TOKENIZER, config, scorer())
        return run(tmp_path / name, model, objective, config.training, "reward", "grad_norm")

    assert_same(way("split", micro), way("whole", 0))


@pytest.mark.parametrize("micro", [1, 3])
def test_ppo_in_any_split(tmp_path, micro):
    overrides = {
        "iterations": STEPS,
        "batch_size": 8,
        "minibatch_size": 8,
        "max_new_tokens": 6,
        "epochs": 2,
        "critic_warmup": 1,
        "missing_end_score": None,
        "device": "cpu",
        "learning_rate": 1e-3,
        "checkpoint_every": 100,
        "preset": "tiny",
    }
    names = ("loss/value_avg", "value/grad_norm", "objective/scores", "objective/entropy")

    def way(name: str, micro: int) -> Trajectory:
        config = with_overrides(PPOConfig(), {**overrides, "micro_batch_size": micro})
        train_ppo(policy(), PROMPTS, TOKENIZER, config, reward_fn=scorer(), stage_dir=tmp_path / name)
        return trajectory(tmp_path / name, names)

    assert_same(way("split", micro), way("whole", 8))
