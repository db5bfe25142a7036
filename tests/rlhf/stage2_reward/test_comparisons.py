"""Collecting comparisons: what is sampled, what is merged, and who ranks it."""

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.comparisons import Answers, annotator_noise, rank_answers, sample_answers, with_distractors

PROMPTS = prompt_set("B", 20, seed=0)
TOKENIZER = Tokenizer.train([turn.text for prompt in PROMPTS for turn in prompt.turns], 300)


def policy() -> GPT:
    return GPT(GPTConfig(vocab_size=TOKENIZER.vocab_size, context=128, layers=1, heads=2, channels=16)).eval()


def sampled(answers=(4, 6), seed=0, temperature=1.0) -> list[Answers]:
    options = {"answers": answers, "max_new_tokens": 5, "temperature": temperature, "seed": seed}
    return list(sample_answers(policy(), TOKENIZER, PROMPTS, **options))


def test_every_prompt_gets_k_different_answers_and_the_seed_decides_which():
    collected = sampled()
    assert {len(answers.texts) for answers in collected} == {4, 5, 6}
    assert {answers.prompt.id for answers in collected} == {prompt.id for prompt in PROMPTS}
    for answers in collected:
        rows = list(zip(answers.texts, answers.ended, strict=True))
        assert len(set(rows)) == len(rows)
    assert [a.texts for a in sampled()] == [a.texts for a in collected]
    assert [a.texts for a in sampled(seed=1)] != [a.texts for a in collected]


def test_equal_answers_are_merged_and_a_prompt_with_one_answer_is_dropped():
    assert sampled(temperature=0.0) == [], "greedy answers are all equal: there is nothing to compare"


def test_distractors_are_answers_to_other_prompts_and_never_there_already():
    collected = sampled()
    given = {text for answers in collected for text in answers.texts}
    added = 0
    for before, after in zip(collected, with_distractors(collected, seed=0, validation_fraction=0.1), strict=True):
        assert after.prompt is before.prompt
        assert after.texts[: len(before.texts)] == before.texts
        distractors = after.texts[len(before.texts) :]
        assert len(distractors) <= 2
        assert after.distractors == len(distractors)
        assert len(after.ended) == len(after.texts)
        assert len(set(after.texts)) == len(set(before.texts)) + len(distractors), "the distractor repeats an answer"
        assert given.issuperset(distractors)
        added += len(distractors)
    # more than one a prompt; the draw from a family, of two or three prompts here, often is the prompt's own answer
    assert added > 1.2 * len(collected)


def test_an_answer_that_was_given_both_ended_and_cut_off_keeps_both_rows():
    """Keyed by their text the two would collapse into one, and the ranking that tells the end token's worth is lost."""
    both = Answers(PROMPTS[0], ("A cow eats grass.", "A cow eats grass."), (True, False))
    other = Answers(PROMPTS[1], ("Paris.", "Rome."), (True, True))
    after = with_distractors([both, other], seed=0, validation_fraction=0.1)[0]
    assert after.texts[:2] == both.texts
    assert after.ended[:2] == both.ended


def test_one_distractor_answers_a_prompt_of_the_same_family():
    """Without it the reward model need not look at what the prompt is about, and does not."""
    collected = [Answers(prompt, (f"{prompt.family} {prompt.id}",), (True,)) for prompt in PROMPTS]
    by_family = 0
    for before, after in zip(collected, with_distractors(collected, seed=0, validation_fraction=0.1), strict=True):
        distractors = after.texts[len(before.texts) :]
        by_family += any(text.startswith(before.prompt.family + " ") for text in distractors)
    # some draws take the prompt's own answer, which is no distractor; without the second it would be one in nine
    assert by_family > 0.3 * len(collected), f"{by_family} of {len(collected)} prompts got a distractor of their family"


def test_no_distractor_comes_from_a_prompt_that_is_held_out():
    """The reward model is measured on those answers: it must not have seen them, and least of all as wrong ones."""
    collected = [Answers(prompt, (f"{prompt.family} {prompt.id}",), (True,)) for prompt in PROMPTS]
    held_out = {text for answers in collected[-5:] for text in answers.texts}
    for seed in range(20):
        for before, after in zip(collected, with_distractors(collected, seed, validation_fraction=0.25), strict=True):
            added = after.texts[len(before.texts) :]
            assert not held_out & set(added), f"{added} were given to prompts that are held out"


def test_rankings_say_which_answers_are_the_policys_own_and_how_well_annotators_agree_on_those():
    collected = []
    for prompt in prompt_set("B", 60, seed=1):
        texts = tuple(dict.fromkeys((prompt.ideal, *(wordings[0] for wordings in prompt.request.careless.values()))))
        collected.append(Answers(prompt, (*texts, "Quite another thing."), (True,) * (len(texts) + 1), distractors=1))
    rankings, summary = rank_answers(collected, annotators=5, seed=0, noise=0.2)
    assert all(ranking.distractors == 1 for ranking in rankings)
    # the distractor is worth nothing, and the others something: its pairs are the easy ones
    assert summary["annotator_agreement_own"] < summary["annotator_agreement_measured"] - 0.01
    assert summary["annotator_gold_agreement_own"] < summary["annotator_gold_agreement"] - 0.01


def test_rankings_follow_the_gold_up_to_calibrated_noise():
    collected = []
    for prompt in prompt_set("B", 60, seed=1):
        bad = tuple(dict.fromkeys(prompt.request.bad))[:3]
        texts = tuple(dict.fromkeys((prompt.ideal, *bad, "")))
        collected.append(Answers(prompt, texts, (True,) * len(texts)))
    rankings, summary = rank_answers(collected, annotators=5, seed=0)
    assert 0.70 < summary["annotator_agreement_expected"] < 0.79, summary
    assert abs(summary["annotator_agreement_measured"] - summary["annotator_agreement_expected"]) < 0.08
    assert summary["annotator_gold_agreement"] > summary["annotator_agreement_measured"]
    assert rankings[0].gold == collected[0].gold()
    best = sum(ranking.ranks[0] for ranking in rankings) / len(rankings)
    others = sum(sum(ranking.ranks[1:]) / len(ranking.ranks[1:]) for ranking in rankings) / len(rankings)
    assert best < others, "rank 0 must be the best answer, not the worst"


def test_annotators_who_have_ranked_before_keep_the_noise_that_they_had():
    """Calibrated again on a better policy's answers, which differ less, they would be other, more careful people."""
    alike = [Answers(prompt, (prompt.ideal, ""), (True, True)) for prompt in prompt_set("B", 40, seed=1)]
    careful, _ = rank_answers(alike, annotators=5, seed=0, noise=1e-6)
    assert all(ranking.ranks == (0, 1) for ranking in careful)
    careless, summary = rank_answers(alike, annotators=5, seed=0, noise=100.0)
    assert 8 < sum(ranking.ranks == (0, 1) for ranking in careless) < 32, "noise of 100 leaves a coin to toss"
    assert summary["annotator_noise"] == 100.0
    assert summary["annotator_agreement_expected"] == pytest.approx(0.5, abs=0.01)


def test_a_weak_policys_annotators_are_calibrated_on_the_pairs_that_differ():
    golds = [[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]] * 5
    noise, pairs = annotator_noise(golds)
    assert pairs == "pairs whose gold totals differ"
    assert noise > 0
    assert annotator_noise([[0.0, 0.5, 1.0]])[1] == "all pairs"


def test_where_there_is_nothing_to_rank_the_remedy_is_named():
    with pytest.raises(UserError, match=r"equally good.*--answers"):
        annotator_noise([[0.5, 0.5], [0.0, 0.0, 0.0]])
    with pytest.raises(UserError, match="one and the same answer"):
        rank_answers([], annotators=3, seed=0)


def test_an_unended_answer_is_worth_less():
    prompt = PROMPTS[0]
    ended, cut = (Answers(prompt, (prompt.ideal,), (flag,)).gold()[0] for flag in (True, False))
    assert cut < ended
    assert torch.tensor(ended) > 0.9
