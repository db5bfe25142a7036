"""Rejection sampling: the best answer of each prompt is imitated, by the policy that the round before has left."""

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import with_overrides
from minigpt.runs.seeds import seeded_generator
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives import rejection_sampling as module
from rlhf.alternatives.best_of_k import Candidates, sample_candidates
from rlhf.alternatives.rejection_sampling import best_example, rejection_sampling
from rlhf.chat_format import encode_prompt
from rlhf.people.prompts import prompt_set
from rlhf.stage1_sft.stage import SFTConfig
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage_io import weights_digest

PROMPTS = prompt_set("C", 10, seed=0)
TOKENIZER = Tokenizer.train([turn.text for prompt in PROMPTS for turn in prompt.turns], 400)
SIZE = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16)
CONFIG = with_overrides(SFTConfig(), {"epochs": 1.0, "batch_size": 5, "warmup_steps": 0, "device": "cpu", "seed": 3})
ASKED = {"k": 3, "max_new_tokens": 6, "temperature": 0.7}


def models():
    return GPT(SIZE, seed=0).eval(), RewardModel(GPT(SIZE, seed=1), torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("best", [(5, 6, TOKENIZER.end_id), (5, TOKENIZER.user_id, 6)], ids=["ended", "cut off"])
def test_the_best_answer_is_imitated_as_the_ids_that_were_sampled(best):
    """One that was cut off has no end to teach; and a chat token that was sampled is one id, not its characters."""
    ids = ((7, TOKENIZER.end_id), best, (8,))
    texts = tuple(TOKENIZER.decode(list(answer)) for answer in ids)
    example = best_example(TOKENIZER, PROMPTS[0], Candidates(texts, (True, True, False), (0.1, 0.7, 0.2), ids))
    assert example.prompt == tuple(encode_prompt(TOKENIZER, PROMPTS[0].turns))
    assert example.response == best


def test_each_prompt_is_taught_the_best_of_its_own_answers(monkeypatch, tmp_path):
    taught = []
    monkeypatch.setattr(module, "imitate", lambda policy, examples, *rest, **named: taught.extend(examples))
    assert list(rejection_sampling(*models(), TOKENIZER, PROMPTS, CONFIG, rounds=1, folder=tmp_path, **ASKED)) == [10]
    generator = seeded_generator(3, "rejection sampling", 0)
    candidates = sample_candidates(*models(), TOKENIZER, PROMPTS, generator=generator, **ASKED)
    expected = [best_example(TOKENIZER, *pair) for pair in zip(PROMPTS, candidates, strict=True)]
    assert taught == expected, "an answer went to another prompt, or another one than the best was kept"


def test_rounds_divide_the_prompts_and_each_goes_on_from_the_one_before(monkeypatch, tmp_path):
    policy, reward_model = models()
    asked, sampled_from, left, kept = [], [], [weights_digest(policy)], []

    def spy(policy, reward_model, tokenizer, prompts, **settings):
        asked.append(list(prompts))
        sampled_from.append(weights_digest(policy))
        return sample_candidates(policy, reward_model, tokenizer, prompts, **settings)

    monkeypatch.setattr(module, "sample_candidates", spy)
    rounds = rejection_sampling(policy, reward_model, TOKENIZER, PROMPTS, CONFIG, rounds=2, folder=tmp_path, **ASKED)
    for so_far in rounds:
        left.append(weights_digest(policy))
        kept.append(so_far)
    assert kept == [5, 10], "answers learned from so far"
    assert sorted(prompt.id for part in asked for prompt in part) == sorted(prompt.id for prompt in PROMPTS)
    assert len(set(left)) == 3, "a round has taught nothing"
    assert sampled_from == left[:2], "a round must ask the policy that the round before has left"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["round_1", "round_2"]
