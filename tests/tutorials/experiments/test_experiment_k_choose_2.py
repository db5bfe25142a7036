"""K choose 2: budgets and batches are equal where the page says so, and every look is at whole prompts."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from minigpt.model import GPT, GPTConfig
from minigpt.training import TrainingConfig
from rlhf.stage2_reward.examples import Comparison, collate
from rlhf.stage2_reward.objective import RankingObjective, evaluate_ranking
from tutorials.exercises.shuffled_pairs import single_pairs
from tutorials.experiments.k_choose_2 import EXPERIMENT, batch_size
from tutorials.experiments.lab.reward_learning import CPU, Watched, choose, learn, per_prompt, truly_differ

NINE = Comparison(tuple((number, 9) for number in range(9)), (4, 0, 8, 2, 6, 1, 3, 5, 7), tuple(range(9)))


class FirstToken(nn.Module):
    def forward(self, ids, lengths):
        return ids[:, 0] / 4


def test_chosen_answers_keep_their_order_and_their_gold():
    four = choose(NINE, (2, 0, 1, 5))
    assert four == Comparison(((2, 9), (0, 9), (1, 9), (5, 9)), (8, 4, 0, 1), (2, 0, 1, 5))
    assert choose(Comparison(NINE.sequences, NINE.ranks, None), (0, 1)).gold is None


@pytest.mark.parametrize("preset", EXPERIMENT.presets)
def test_every_arm_takes_as_many_steps_and_two_arms_of_a_k_as_many_pairs_in_each(preset):
    settings = EXPERIMENT.at(preset)
    for k in settings.ks:
        assert settings.answers % k == 0, "prompts are whole"
        learned = [choose(NINE, range(k))] * (settings.answers // k)
        for way, data in (("grouped", learned), ("shuffled", single_pairs(learned))):
            size = batch_size(settings, k, way)
            objective = RankingObjective(data, [], batch_size=size, micro_batch_size=0, pad_id=0, seed=0, device=CPU)
            assert objective.steps_per_epoch() == settings.answers // settings.step, f"{way} pairs of K = {k}"
            assert len(data) == size * objective.steps_per_epoch(), "nothing is left over: a pass is a pass"
            (batch,) = objective.micro_batches(0)
            pairs = sum(len(one.ranks) * (len(one.ranks) - 1) // 2 for one in data[:size])
            assert len(batch.lengths) == (settings.step if way == "grouped" else 2 * pairs), "answers that are read"
            assert pairs == settings.step // k * math.comb(k, 2), f"{way} pairs of K = {k}"


def test_each_prompt_is_judged_as_if_alone():
    comparisons = [choose(NINE, places) for places in ((0, 1, 2), (3, 4), (5, 6, 7, 8))] * 20
    found = per_prompt(FirstToken(), comparisons, pad_id=0)
    for number, comparison in enumerate(comparisons):
        alone = evaluate_ranking(FirstToken(), [collate([comparison], 0, CPU)])
        for name, values in found.items():
            assert values[number] == pytest.approx(alone[name]), f"{name} of prompt {number}"


def test_a_true_order_needs_golds_that_differ():
    assert truly_differ(choose(NINE, (0, 1)))
    assert not truly_differ(Comparison(NINE.sequences[:2], (0, 1), (0.5, 0.5)))
    assert not truly_differ(Comparison(NINE.sequences[:2], (0, 1), None))


def test_every_evaluation_is_a_look_at_all_that_is_watched():
    watched = {"held_out": [NINE], "learned": [choose(NINE, (0, 1))]}
    objective = Watched([NINE], [], watched=watched, batch_size=1, micro_batch_size=0, pad_id=0, seed=0, device=CPU)
    assert objective.evaluate(FirstToken()) == objective.evaluate(FirstToken()) == {}
    assert len(objective.looks) == 2
    assert objective.looks[0].keys() == watched.keys()
    # ids 0 and 1, of which the annotator prefers 1: r_w - r_l = 1/4
    (loss,) = objective.looks[1]["learned"]["log_loss"]
    assert loss == pytest.approx(math.log(1 + math.exp(-0.25)))


def test_the_loop_looks_before_the_first_pass_and_after_each():
    policy = GPT(GPTConfig(vocab_size=10, context=4, layers=1, heads=1, channels=8))
    before = {name: weight.clone() for name, weight in policy.state_dict().items()}
    sft = SimpleNamespace(model=policy, tokenizer=SimpleNamespace(fingerprint="made up"), seed=0)
    objective = Watched(
        [NINE] * 4, [], watched={"learned": [NINE]}, batch_size=2, micro_batch_size=0, pad_id=0, seed=0, device=CPU
    )
    model = learn(sft, objective, TrainingConfig(learning_rate=0.01, warmup_steps=0), passes=3)
    losses = [look["learned"]["log_loss"][0] for look in objective.looks]
    assert len(losses) == 1 + 3
    assert losses == sorted(losses, reverse=True), "it learns the only ranking that it sees"
    assert losses[-1] == per_prompt(model, [NINE], pad_id=0)["log_loss"][0], "the last look is at what is returned"
    for name, weight in policy.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0, msg=f"{name}: the SFT policy was trained too")
