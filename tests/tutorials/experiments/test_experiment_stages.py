"""The comparison of stages: what a base model is shown, and whose answer is preferred."""

import numpy as np
import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_plain
from rlhf.evaluation import few_shot
from rlhf.evaluation.few_shot import as_lines, few_shot_ids, line_answers, shortest_examples
from rlhf.people.prompts import FAMILIES, prompt_set
from tutorials.experiments.lab import bootstrap_mean
from tutorials.experiments.lab.preferences import preferences

PROMPTS = prompt_set("A", 60, seed=0)
TOKENIZER = Tokenizer.train([as_lines(prompt, prompt.ideal) for prompt in PROMPTS], 300)

# ---- examples in the prompt ----


def test_without_examples_a_base_model_reads_what_the_evaluation_gives_it():
    for prompt in PROMPTS:
        assert few_shot_ids(TOKENIZER, prompt, []) == encode_plain(TOKENIZER, prompt.turns)


def test_examples_come_first_and_the_prompt_last_with_the_line_open_for_the_answer():
    shown, asked = PROMPTS[0], PROMPTS[1]
    text = TOKENIZER.decode(few_shot_ids(TOKENIZER, asked, [as_lines(shown, shown.ideal)])[1:])
    assert text == as_lines(shown) + shown.ideal + "\n" + as_lines(asked)
    assert shown.ideal in text
    assert asked.ideal not in text, "the model is shown the answer it is asked for"


def test_the_shortest_examples_are_of_different_families():
    chosen = shortest_examples(TOKENIZER, PROMPTS, len(FAMILIES))
    by_text = {as_lines(prompt, prompt.ideal): prompt.family for prompt in PROMPTS}
    assert {by_text[text] for text in chosen} == set(FAMILIES)
    lengths = [len(TOKENIZER.encode(text)) for text in chosen]
    assert lengths == sorted(lengths)
    for text in chosen:
        of_family = [len(TOKENIZER.encode(other)) for other, family in by_text.items() if family == by_text[text]]
        assert len(TOKENIZER.encode(text)) == min(of_family)
    assert shortest_examples(TOKENIZER, PROMPTS, 2) == chosen[:2]


def test_a_line_answer_ends_before_the_end_of_its_line(monkeypatch):
    """A model that writes every token alike ends lines soon; the end of a line is no part of the answer."""
    monkeypatch.setattr(few_shot, "ROWS_AT_ONCE", 25)  # so that the prompts come in chunks, the last of them smaller
    model = GPT(GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    answers = line_answers(
        model, TOKENIZER, PROMPTS, [], max_new_tokens=150, temperature=1.0, generator=torch.Generator().manual_seed(0)
    )
    assert len(answers) == len(PROMPTS)
    ended = [answer.ended for (answer,) in answers]
    assert 0.3 < sum(ended) / len(ended) < 0.9, "1 - (1 - 2/300)^150 = 0.63 of the rows should end"
    assert not any("\n" in answer.text for (answer,) in answers)


# ---- preferences ----


def test_a_preference_counts_wins_and_half_of_the_ties():
    mean = preferences([[1.0, 0.4, 0.0, 0.0], [0.4, 0.4, 0.0, 1.0]])["mean"]
    np.testing.assert_allclose(mean, [[0.5, 0.5], [0.5, 0.5]])
    mean = preferences([[1.0, 0.4, 0.0], [0.4, 0.4, 0.0]])["mean"]
    np.testing.assert_allclose(mean, [[0.5, 2 / 3], [1 / 3, 0.5]])


def test_the_intervals_of_a_preference_are_those_of_a_bootstrapped_mean():
    rng = np.random.default_rng(0)
    golds = rng.choice([0.0, 0.4, 1.0], size=(2, 300))
    found = preferences(golds)
    mean, low, high = bootstrap_mean((golds[0] > golds[1]) + 0.5 * (golds[0] == golds[1]))
    assert found["mean"][0, 1] == pytest.approx(mean)
    # other draws of the prompts, so the ends agree up to what 2,000 draws tell
    assert found["low"][0, 1] == pytest.approx(low, abs=0.006)
    assert found["high"][0, 1] == pytest.approx(high, abs=0.006)
    for one, other in (("mean", "mean"), ("low", "high")):
        np.testing.assert_allclose(found[one], 1 - found[other].T, atol=1e-9)
