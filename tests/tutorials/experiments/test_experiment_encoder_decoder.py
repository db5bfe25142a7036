"""An encoder or none: arms of one size, a count that is that of greedy writing, and a verdict by its criterion."""

import dataclasses
from functools import partial

import pytest
import torch

from minigpt.generate import generate
from minigpt.model import GPT
from minigpt.relatives.encoder_decoder import EncoderDecoder
from tutorials.exercises.specs.ch09 import prefix_mask
from tutorials.exercises.translation import END, IDS, SHAPE, START, corpus, fit, mask_loss, pairs, rows
from tutorials.experiments.encoder_decoder import ALONE, ARMS, EXPERIMENT, HalfBlind, is_right, summarise, visible


def test_every_arm_has_as_many_parameters():
    counts = [sum(weight.numel() for weight in kind.parameters()) for kind in (EncoderDecoder(SHAPE), GPT(ALONE))]
    assert abs(counts[0] / counts[1] - 1) < 0.01


def test_a_half_blind_encoder_sees_no_later_source_token():
    model, (source, real, _) = HalfBlind(SHAPE), pairs(corpus()[1][:2])
    other = source.clone()
    other[:, 4] = (other[:, 4] + 1) % SHAPE.vocab_size
    before, after = model.encode(source, real), model.encode(other, real)
    assert torch.equal(before[:, :4], after[:, :4]), "a later source token was seen"
    assert not torch.allclose(before[:, 4:], after[:, 4:])
    assert not torch.allclose(EncoderDecoder(SHAPE).encode(source, real)[:, :4], before[:, :4])


def test_a_gpt_is_counted_as_right_exactly_where_it_writes_the_right_translation():
    sentences = corpus()[0][:6]  # a few sentences, learned by heart in a few steps, and others that are not
    model, batch = GPT(dataclasses.replace(ALONE, channels=64), seed=0), rows(sentences)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        optimizer.zero_grad()
        mask_loss(partial(visible, "alone"))(model, *batch).backward()
        optimizer.step()
    tried = [*sentences, *corpus()[1][:6]]
    counted, written = is_right("alone", model.eval(), tried), []
    for sentence in tried:
        prompt = [IDS[word] for word in (*sentence.english, START)]
        ids = generate(model, [prompt], max_new_tokens=18, stop_tokens=[IDS[END]], pad_id=0, temperature=0).tokens[0]
        due = [IDS[word] for word in (*sentence.backwards, END)]
        written.append(float(ids.tolist()[: len(due)] == due))
    assert counted == written
    assert 0 < sum(counted) < len(tried), "the test needs both kinds"


def test_the_source_is_open_in_one_arm_only():
    lengths = torch.tensor([0, 2, 5])
    assert torch.equal(visible("open", lengths, 5), prefix_mask(lengths, 5))
    assert torch.equal(visible("alone", lengths, 5), prefix_mask(0 * lengths, 5))


def test_training_goes_on_with_the_optimizer_that_it_is_given():
    first, second = (EncoderDecoder(SHAPE) for _ in range(2))
    optimizer = torch.optim.Adam(first.parameters(), lr=0.006)
    fit(first, steps=2, optimizer=optimizer)
    fit(first, steps=2, optimizer=optimizer, seed=1)
    fit(second, steps=2)
    fit(second, steps=2, seed=1)
    assert optimizer.state[first.token_embedding.weight]["step"] == 4
    assert not torch.allclose(first.token_embedding.weight, second.token_embedding.weight)


@pytest.mark.parametrize(("better", "holds"), [(0.2, True), (0.0, False), (0.05, None)])
def test_the_verdict_is_about_the_last_budget(better, holds):
    settings = EXPERIMENT.at("small")
    shares = {f"{arm} {n}": [0.0] * 100 + [1.0] * 100 for arm in ARMS for n in settings.budgets}
    more = round(200 * better)
    shares[f"both {settings.budgets[-1]}"] = [0.0] * (100 - more) + [1.0] * (100 + more)
    summary = summarise(settings, [({"seed": seed}, shares) for seed in settings.seeds])
    assert summary.holds is holds
