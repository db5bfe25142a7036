"""Attention or a state: networks of one size, each text read once, and a verdict about the late tokens."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minigpt.data import IGNORE, TokenStream, validation_batches
from minigpt.model import GPT, GPTConfig
from minigpt.objective import evaluate_language_model
from minigpt.relatives.recurrent import RecurrentModel
from tutorials.experiments.lab.language import BIN, by_bins, losses_of, toy_text, train_network
from tutorials.experiments.language_models import (
    ARMS,
    EXPERIMENT,
    NETWORKS,
    T,
    make_network,
    measure,
    parameter_count,
    summarise,
)

TINY = EXPERIMENT.at("tiny")


def config(channels: int = 64, layers: int = 2, vocab_size: int = 512) -> GPTConfig:
    return GPTConfig(vocab_size=vocab_size, context=T, layers=layers, channels=channels, heads=4)


def test_no_recurrent_network_is_larger_than_the_gpt_and_none_could_have_another_channel():
    most = config().parameter_count()
    sizes = {arm: parameter_count(make_network(arm, config(), seed=0)) for arm in NETWORKS}
    assert sizes["gpt"] == most
    for arm in ("gru", "attention"):
        assert sizes[arm] <= most, f"{arm} has {sizes[arm]:,} parameters, the GPT {most:,}"
        channels = make_network(arm, config(), seed=0).token_embedding.embedding_dim + 1
        larger = RecurrentModel(config().vocab_size, channels, attention=arm == "attention")
        assert parameter_count(larger) > most, f"{arm} could have {channels} channels"
    assert make_network("attention", config(), seed=0).attention is not None
    assert make_network("gru", config(), seed=0).attention is None


def test_held_out_windows_follow_on_each_other_and_are_no_text_that_is_learned():
    text = toy_text(300, 300, 32, 10, seed=0)
    assert text.held_out.shape == (10, 33)
    assert torch.equal(text.held_out[1:, 0], text.held_out[:-1, -1]), "the last target is the next window's first input"
    learned = {tuple(row) for row in np.lib.stride_tricks.sliding_window_view(text.learned, 33).tolist()}
    assert not learned & {tuple(row) for row in text.held_out.tolist()}
    with pytest.raises(ValueError, match="1000000 windows of 32 tokens are wanted"):
        toy_text(300, 300, 32, 1_000_000, seed=0)


def test_losses_are_those_of_the_package_and_bins_are_means_of_neighbours():
    text = toy_text(300, 300, T, 55, seed=0)  # 55 windows: more than one forward pass
    model = GPT(config(channels=16, layers=1, vocab_size=300)).eval()
    losses = losses_of(model, text.held_out)
    flat = torch.cat([text.held_out[0, :1], text.held_out[:, 1:].flatten()])
    batches = validation_batches(flat, context=T, batch_size=7)
    assert all((targets != IGNORE).all() for _, targets in batches)
    assert_close(float(losses.mean()), evaluate_language_model(model, batches, 1)["loss"], rtol=1e-5, atol=1e-5)
    bins = torch.tensor(by_bins(losses))  # [N,W]
    assert_close(bins[1], losses[:, BIN : 2 * BIN].mean(dim=1), rtol=0, atol=1e-5)
    assert_close(bins.mean(), losses.mean(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("arm", NETWORKS)
def test_every_network_learns_and_stays_blind_to_what_comes(arm):
    text = toy_text(300, 300, T, 20, seed=0)
    model = make_network(arm, config(channels=16, layers=1, vocab_size=300), seed=0)
    before = float(losses_of(model, text.held_out).mean())
    train_network(model, TokenStream(text.learned, context=T, batch_size=16, seed=0), rate=0.01, steps=30)
    assert float(losses_of(model, text.held_out).mean()) < before - 0.8, "30 steps take more than 0.8 nats off"
    changed = text.held_out.clone()
    changed[:, 40] = (changed[:, 40] + 1) % 300
    same = losses_of(model, text.held_out)[:, :39], losses_of(model, changed)[:, :39]
    assert_close(*same, rtol=1e-5, atol=1e-5, msg="a later token changed the loss of an earlier one")


def test_a_rate_is_chosen_on_windows_that_are_not_measured():
    settings = dataclasses.replace(TINY, rates=(1e-6, 0.01), orders=(1, 2), steps=20)
    found = measure(None, settings, seed=0)
    assert [found[arm]["choice"] for arm in NETWORKS] == [0.01] * 3, "a rate of a millionth learns nothing"
    assert found["counts"]["choice"] == 2, "one token is predicted better from the one before"
    for arm in ARMS:
        assert np.shape(found[arm]["bins"]) == (T // BIN, settings.tried)
        losses = found[arm]["on others"]
        assert found[arm]["choice"] == float(min(losses, key=losses.get))


def test_no_text_is_read_twice():
    with pytest.raises(ValueError, match="more than once"):
        measure(None, dataclasses.replace(TINY, steps=10_000), seed=0)


@pytest.mark.parametrize(("worse", "holds"), [(0.1, True), (0.001, False), (0.02, None)])
def test_the_verdict_is_about_the_gru_on_late_tokens(worse, holds):
    """The GRU is `worse` on tokens 33 to 64 and far worse before; the one with attention is better everywhere."""
    settings = EXPERIMENT.at("small")
    luck = np.random.default_rng(0).normal(0, 0.02, settings.tried)  # of a window, in one arm only
    luck -= luck.mean()
    bins = {
        "gpt": [[2.0] * settings.tried] * 4,
        "gru": [[3.0] * settings.tried] * 2 + [(2.0 + worse + luck).tolist()] * 2,
        "attention": [[1.0] * settings.tried] * 4,
        "counts": [[4.0] * settings.tried] * 4,
    }
    result = {arm: {"bins": bins[arm], "choice": 1, "parameters": 0} for arm in ARMS}
    summary = summarise(settings, [({"seed": seed}, result) for seed in settings.seeds])
    assert summary.holds is holds
    assert f"GRU {worse:+.3f}" in summary.measured
    assert "on tokens 1 to 16: GRU +1.000" in summary.measured
