"""The likelihood baseline: the mean log-probability of an answer, against one token after the other."""

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from rlhf.stage2_reward.examples import Comparison
from rlhf.stage2_reward.likelihood import likelihood_accuracy, mean_logprobs

CPU = torch.device("cpu")
POLICY = GPT(GPTConfig(vocab_size=11, context=16, layers=2, heads=2, channels=16), seed=3).eval()
PROMPT = (3, 5, 1)
ANSWERS = ((7, 2), (4, 4, 8, 2), (9, 6, 2))


def by_hand(answer: tuple[int, ...]) -> float:
    """Each token of the answer asked for on its own."""
    total = 0.0
    for index, token in enumerate(answer):
        logits = POLICY(torch.tensor([PROMPT + answer[:index]]))[0, -1]
        total += float(logits.softmax(-1)[token].log())
    return total / len(answer)


def test_mean_logprobs_are_those_of_the_answer_alone():
    sequences = [torch.tensor(PROMPT + answer) for answer in ANSWERS]
    ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=0)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    with torch.no_grad():
        found = mean_logprobs(POLICY, ids, lengths, torch.tensor([len(PROMPT)] * 3))
    expected = torch.tensor([by_hand(answer) for answer in ANSWERS])
    torch.testing.assert_close(
        found, expected, rtol=1e-5, atol=1e-6, msg="the prompt or the padding is in the mean, or a sum is no mean"
    )


def comparison(gold: tuple[float, ...], distractors: int = 0) -> Comparison:
    return Comparison(tuple(PROMPT + answer for answer in ANSWERS), (0, 1, 2), gold, len(PROMPT), distractors)


def test_accuracy_counts_pairs_in_gold_order():
    scores = [by_hand(answer) for answer in ANSWERS]
    rising = tuple(sum(other < score for other in scores) / 2 for score in scores)
    falling = tuple(1 - value for value in rising)
    assert likelihood_accuracy(POLICY, [comparison(rising)], 0, CPU) == 1.0
    assert likelihood_accuracy(POLICY, [comparison(falling)], 0, CPU) == 0.0
    assert likelihood_accuracy(POLICY, [comparison(rising), comparison(falling)], 0, CPU) == 0.5


def test_ties_and_distractors_are_no_pairs():
    scores = [by_hand(answer) for answer in ANSWERS]
    tied = (0.5, 0.5, 0.5)
    assert likelihood_accuracy(POLICY, [comparison(tied)], 0, CPU) != likelihood_accuracy(POLICY, [], 0, CPU)  # NaN
    own = (1.0, 0.0, 0.0) if scores[0] > scores[1] else (0.0, 1.0, 0.0)
    # the third answer is a distractor, and whatever its gold is, it must not count
    for gold in (own, (*own[:2], 1.0)):
        assert likelihood_accuracy(POLICY, [comparison(gold, distractors=1)], 0, CPU) == pytest.approx(1.0)
