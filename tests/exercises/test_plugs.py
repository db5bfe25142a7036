"""A student's function really stands in the package's place, and in the package's form."""

import torch
from torch.testing import assert_close

from minigpt.data import IGNORE
from minigpt.model import GPT, GPTConfig
from minigpt.tokenizer import Tokenizer
from rlhf.evaluation.win_rate import win_rate as package_win_rate
from rlhf.stage1_sft.examples import Example, collate
from rlhf.stage1_sft.objective import DemonstrationObjective
from rlhf.stage3_ppo import losses, rollout, step
from tutorials.exercises import sentences
from tutorials.exercises.plugs import ch14, ch17, ch18, ch19
from tutorials.exercises.plugs.common import installed
from tutorials.exercises.probes import IDS, PROBES, TOKENIZER, prepare
from tutorials.exercises.specs.ch14 import answers_as_targets, sft_loss
from tutorials.exercises.specs.ch17 import advantages_of, clipped_loss
from tutorials.exercises.specs.ch18 import answer_logprobs, remember
from tutorials.exercises.specs.ch19 import win_rate


def demonstrations() -> list[Example]:
    """Prompts of 3 and 5 tokens, responses of 4 and 1; 12 ends a response, 11 begins one, as its last token."""
    return [Example((9, 1, 11), (2, 3, 4, 12)), Example((9, 5, 6, 7, 11), (12,))]


def test_a_students_sft_loss_is_the_packages():
    objective = DemonstrationObjective(
        demonstrations(), batch_size=2, micro_batch_size=0, tokenizer=Tokenizer([]), seed=0, device=torch.device("cpu")
    )
    model = GPT(GPTConfig(vocab_size=300, context=16, layers=1, heads=2, channels=16), seed=0)
    batch = collate(demonstrations(), pad_id=0)
    expected, theirs = objective.loss_sum(model, batch)
    found, metrics = ch14.as_loss_sum(sft_loss)(objective, model, batch)
    assert_close(found, expected, rtol=1e-5, atol=1e-5, msg="the lengths are not found again, or it is no sum")
    assert metrics == theirs, "stage 1 would stop at its first evaluation"


def test_a_students_targets_are_the_packages_where_there_is_one_answer():
    batch = ch14.as_collate(answers_as_targets, assistant_id=11, end_id=12)(demonstrations(), 0)
    for mine, theirs in zip(batch[:2], collate(demonstrations(), 0)[:2], strict=True):
        assert torch.equal(mine, theirs), "inputs or targets are moved by a place"
    assert (batch.targets != IGNORE).sum() == 5


def episodes() -> tuple[torch.Tensor, ...]:
    """Three rows of eight columns: a prompt of 2, 0 and 5 tokens, answers of 3, 8 and 1, garbage elsewhere."""
    generator = torch.Generator().manual_seed(0)
    first, second, third = torch.randn(3, 3, 8, generator=generator)
    places = torch.arange(8)
    begins, lengths = torch.tensor([2, 0, 5]), torch.tensor([3, 8, 1])
    mask = (places >= begins[:, None]) & (places < (begins + lengths)[:, None])
    return tuple(x.masked_fill(~mask, torch.nan) for x in (first, second, third)) + (mask,)


def test_a_students_advantages_fit_rows_that_begin_with_a_prompt():
    rewards, values, _, mask = episodes()
    found = ch17.as_gae(advantages_of)(rewards, values, mask, 0.9, 0.8)
    for mine, theirs in zip(found, losses.gae(rewards, values, mask, 0.9, 0.8), strict=True):
        assert_close(mine, theirs, rtol=1e-5, atol=1e-6, msg="moved to the left and not moved back?")


def test_a_students_loss_is_the_packages_part_of_a_minibatch():
    logprobs, old, advantages, mask = episodes()
    found, measured = ch17.as_policy_loss(clipped_loss)(logprobs, old, advantages, mask, 0.2, denominator=40)
    expected, theirs = losses.policy_loss(logprobs, old, advantages, mask, 0.2, denominator=40)
    assert_close(found, expected, rtol=1e-5, atol=1e-6, msg="divided by its own tokens, not by the minibatch's")
    assert measured.keys() == theirs.keys()


def test_a_loss_is_replaced_where_stage_3_uses_it_and_comes_back():
    def mine() -> None:
        """Stands for a student's function."""

    for name in ("gae", "policy_loss"):
        before = getattr(losses, name)
        with ch17.everywhere(name, mine):
            assert getattr(step, name) is getattr(losses, name) is mine, f"stage 3 would still use the package's {name}"
        assert getattr(step, name) is getattr(losses, name) is before


def test_the_small_language_model_learns_from_the_loss_that_is_installed():
    speaker, losses_seen = sentences.imitate(steps=2), []

    def mine(logprobs, scores, baseline, mask):
        losses_seen.append(baseline)
        return (logprobs * mask).sum() * 0

    with installed(sentences, "reinforce_loss", mine):
        policy, log = sentences.reinforce(speaker, "banana", steps=2)
    assert len(losses_seen) == len(log) == 2
    for name, weight in policy.state_dict().items():
        assert_close(weight, speaker.state_dict()[name], rtol=0, atol=0, msg="another loss than the one installed")


def test_a_students_log_probabilities_are_the_packages():
    ppo = prepare(PROBES[2])
    generator = torch.Generator().manual_seed(0)
    batch = rollout.sample_responses(
        ppo.policy, IDS, [0, 1, 1, 0], TOKENIZER, max_new_tokens=4, temperature=0.7, generator=generator
    )
    mine = ch18.as_response_logprobs(answer_logprobs)(ppo.policy, batch, 0.7)
    for found, expected in zip(mine, rollout.response_logprobs(ppo.policy, batch, 0.7), strict=True):
        assert_close(
            found, expected, rtol=1e-4, atol=1e-6, msg="another column or another temperature than the package"
        )


def test_scores_are_divided_by_the_spread_of_all_scores_so_far(monkeypatch):
    batches, seen = iter([[1.0, 3.0], [5.0, 5.0]]), []

    def mine(memory, scores):
        seen.extend(scores.tolist())
        return remember(seen)

    monkeypatch.setattr(rollout, "score_responses", lambda: torch.tensor(next(batches)))
    score = ch18.as_score_responses(mine)
    assert_close(score(), torch.tensor([1.0, 3.0]), rtol=1e-5, atol=1e-6)  # their spread is 1
    spread = torch.tensor([1.0, 3.0, 5.0, 5.0]).std(unbiased=False)
    assert_close(score(), torch.tensor([5.0, 5.0]) / spread, rtol=1e-5, atol=1e-6, msg="divided by one batch's spread")


def test_a_students_win_rate_sees_the_resamples_that_the_package_draws():
    first, second = [0.9, 0.5, 0.7, 0.2, 0.3, 1.0, 0.4], [0.4, 0.5, 0.9, 0.2, 0.1, 0.0, 0.3]
    found = win_rate(torch.tensor(first), torch.tensor(second), ch19.resamples(7))
    theirs = package_win_rate(first, second)
    assert_close(found, torch.tensor([theirs.rate, theirs.low, theirs.high]), rtol=0, atol=1e-6)
