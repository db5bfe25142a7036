"""The limit of a reward model that learns from people who disagree: it is as good as the best guess, and no better.

Bradley and Terry's people prefer answer i to answer j with probability p = σ((g_i − g_j)/τ), where g is what an answer
is worth. Who knew g would guess right with probability max(p, 1 − p); the mean of that over the pairs is the ceiling of
any accuracy on such labels. A reward model comes near it, and knows g itself far better.
"""

import math

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import to_dict
from minigpt.training import TrainingConfig, train
from rlhf.stage2_reward.examples import Comparison, collate
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage2_reward.objective import RankingObjective, evaluate_ranking

WORTH = {4: -1.0, 5: 0.0, 6: 0.4, 7: 1.1}  # of each token; an answer is worth the sum of its tokens
TEMPERATURE = 0.8
CPU = torch.device("cpu")


def worth(answer: tuple[int, ...]) -> float:
    return sum(WORTH.get(token, 0.0) for token in answer)


def judged(count: int, seed: int, temperature: float) -> list[Comparison]:
    """K = 2 … 4 random answers a prompt, ranked by g/τ plus Gumbel noise: every pair then obeys Bradley and Terry."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        k = int(torch.randint(2, 5, (), generator=generator))
        answers = tuple((1, *torch.randint(4, 8, (5,), generator=generator).tolist(), 2) for _ in range(k))
        gold = tuple(worth(answer) for answer in answers)
        uniform = torch.rand(k, generator=generator, dtype=torch.float64)
        gumbel = (-(-uniform.log()).log()).tolist() if temperature else [0.0] * k
        seen = [g / (temperature or 1.0) + noise for g, noise in zip(gold, gumbel, strict=True)]
        found.append(Comparison(answers, tuple(sum(other > mine for other in seen) for mine in seen), gold))
    return found


@pytest.fixture(autouse=True)
def _fast_curves(monkeypatch):
    monkeypatch.setattr("minigpt.runs.folder.draw_curves", lambda rows, path, *rest: path.write_text("<svg/>"))


def learned(training: list[Comparison], steps: int, folder) -> RewardModel:
    size = GPTConfig(vocab_size=10, context=8, layers=1, heads=2, channels=16)
    model = RewardModel(GPT(size, seed=0), torch.Generator().manual_seed(0))
    objective = RankingObjective(training, [], batch_size=50, micro_batch_size=0, pad_id=0, seed=0, device=CPU)
    config = TrainingConfig(
        steps=steps,
        optimizer="adamw",
        learning_rate=1e-2,
        weight_decay=0.0,
        evaluate_every=0,
        checkpoint_every=0,
        log_every=1000,
    )
    payload = {"kind": "reward_model", "config": to_dict(size), "tokenizer": "none"}
    train(model, objective, config, stage_dir=folder, describe={}, checkpoint_payload=payload, seed=0)
    return model.eval()


def pairs_of(model: RewardModel, comparisons: list[Comparison]) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences in worth and in score over all pairs of answers to one prompt, [P] each."""
    golds, scores = [], []
    batch = collate(comparisons, 0, CPU)
    with torch.no_grad():
        found = iter(model(batch.ids, batch.lengths).double().tolist())
    for comparison in comparisons:
        both = [(gold, next(found)) for gold in comparison.gold]
        for i, (gold, score) in enumerate(both):
            golds += [gold - other for other, _ in both[i + 1 :]]
            scores += [score - other for _, other in both[i + 1 :]]
    return torch.tensor(golds, dtype=torch.float64), torch.tensor(scores, dtype=torch.float64)


def test_without_noise_it_recovers_the_order_of_a_linear_gold(tmp_path):
    model, held_out = learned(judged(400, 1, temperature=0.0), 100, tmp_path), judged(300, 2, temperature=0.0)
    found = evaluate_ranking(model, [collate(held_out, 0, CPU)])
    assert found["gold_accuracy"] > 0.98, f"only {found['gold_accuracy']:.1%} of the pairs are in their true order"
    assert found["accuracy"] > 0.98


def test_with_noise_it_guesses_as_well_as_anyone_can_and_knows_better_than_its_teachers(tmp_path):
    model = learned(judged(3000, 3, TEMPERATURE), 150, tmp_path)
    held_out = judged(1500, 4, TEMPERATURE)
    gold, score = pairs_of(model, held_out)  # [P] each
    p = torch.sigmoid(gold / TEMPERATURE)  # [P], that the first of the pair is preferred
    ceiling = float(torch.maximum(p, 1 - p).mean())
    expected = float(torch.where(score > 0, p, 1 - p).mean())  # of this model's guesses, over all labels there might be
    found = evaluate_ranking(model, [collate(held_out, 0, CPU)])
    assert expected <= ceiling, "better than the best guess: the ceiling is computed wrongly"
    assert expected > ceiling - 0.005, f"it guesses {expected:.1%} of the labels, of which {ceiling:.1%} can be guessed"
    error = float((p * (1 - p)).mean().sqrt()) / math.sqrt(len(p))
    assert found["accuracy"] == pytest.approx(expected, abs=5 * error), "labels and their probabilities do not agree"
    assert found["gold_accuracy"] > 0.97, "noise averages out: the true order is learned better than any label shows it"
    slope = float((score * gold).sum() / (gold * gold).sum()) * TEMPERATURE
    assert slope == pytest.approx(1.0, abs=0.2), "a difference of scores is the log-odds of being preferred, Δg/τ"
