"""Rounds: which pairs a reward model is asked about."""

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, encode_response
from rlhf.evaluation.answers import Answer
from rlhf.people.labeler import Grade
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import RewardModel
from tutorials.experiments.lab import Trained
from tutorials.experiments.lab.pair_order import as_ranking, pair_accuracy

PROMPTS = prompt_set("D", 12, seed=0)
TOKENIZER = Tokenizer.train([turn.text for prompt in PROMPTS for turn in prompt.turns], 300)


def answer(text, gold, ended=True):
    return Answer(text, ended, Grade(gold, 1.0, 1.0), None)


def test_the_ranking_is_the_gold_order_of_the_different_answers():
    given = [answer("b", 0.4), answer("a", 1.0), answer("b", 0.4), answer("b", 0.04, ended=False), answer("c", 0.4)]
    ranking = as_ranking(PROMPTS[0], given)
    assert ranking.responses == ("b", "a", "b", "c"), "an answer that was given twice must not be a pair with itself"
    assert ranking.ended == (True, True, False, True)
    assert ranking.ranks == (1, 0, 3, 1)


def test_pair_accuracy_is_the_share_of_pairs_whose_scores_are_in_gold_order(tmp_path):
    trunk = GPT(GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16))
    model = RewardModel(trunk, torch.Generator().manual_seed(0)).eval()
    judge = Trained(model, TOKENIZER, tmp_path, tmp_path, 0, ())
    texts, values = ("The cow.", "A farm, a farm.", "Nobody.", "Go away."), (0.0, 0.4, 0.4, 1.0)
    turned = [values[number % 4 :] + values[: number % 4] for number in range(len(PROMPTS))]  # so that shares differ
    answers = [[answer(*pair) for pair in zip(texts, golds, strict=True)] for golds in turned]
    answers[3] = [answer(text, 0.4) for text in texts]  # all equally good: no pair, so this prompt has no share

    def score(prompt, text):
        ids = encode_prompt(TOKENIZER, prompt.turns) + encode_response(TOKENIZER, text)
        return model(torch.tensor([ids]), torch.tensor([len(ids)])).item()

    expected = []
    for number, (prompt, golds) in enumerate(zip(PROMPTS, turned, strict=True)):
        if number != 3:
            scores = [score(prompt, text) for text in texts]
            pairs = [(i, j) for i in range(4) for j in range(4) if golds[i] > golds[j]]
            expected.append(sum(scores[i] > scores[j] for i, j in pairs) / len(pairs))
    assert len(set(expected)) > 1, "equal shares would not tell whether each is its own prompt's"
    assert pair_accuracy(judge, PROMPTS, answers) == pytest.approx(expected)
