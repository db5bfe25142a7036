"""Four kinds of positions: the same start, the same tokens read on and cut, and a verdict of two parts."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tutorials.experiments.lab.language import losses_of
from tutorials.experiments.positions import (
    ARMS,
    EXPERIMENT,
    TRAINED,
    TRIED,
    cost_of_reading_on,
    losses_of_cut,
    make_model,
    measure,
    summarise,
    verdict,
)

TINY = EXPERIMENT.at("tiny")


def rows(count: int) -> torch.Tensor:
    return torch.randint(0, TINY.vocab_size, (count, TRIED + 1), generator=torch.Generator().manual_seed(0))


def test_all_arms_start_from_the_same_weights():
    weights = {arm: make_model(arm, TINY, seed=0).state_dict() for arm in ARMS}
    shared = weights["none"].keys()
    assert weights["learned"].keys() - shared == {"positions.weight"}, "learned positions come on top"
    for arm in ARMS:
        for name in shared:
            assert torch.equal(weights[arm][name], weights["none"][name]), f"{arm} starts from another {name}"


def test_a_model_without_positions_is_not_told_where_a_token_stands():
    ids = rows(1)[:, :1].expand(1, TRIED)  # one token again and again
    for arm in ARMS:
        logits = make_model(arm, TINY, seed=0).eval()(ids)[0]  # [T,V]
        # rotary positions turn queries and keys: a mean of equal values stays what it is
        assert torch.allclose(logits[0], logits[50], atol=1e-5) == (arm in ("none", "rotary")), arm
    ids = rows(1)[:, :TRIED]
    none, rotary = (make_model(arm, TINY, seed=0).eval()(ids) for arm in ("none", "rotary"))
    assert not torch.allclose(none[:, 1:], rotary[:, 1:], atol=1e-4)


@pytest.mark.parametrize("place", [TRAINED, TRAINED + 15, TRAINED + 16, TRIED - 1])
def test_a_cut_row_shows_each_token_the_last_17_to_32(place):
    """Against one row at a time: the input at `place` predicts the target that stands one further."""
    model, tried = make_model("sinusoidal", TINY, seed=0).eval(), rows(2)
    seen = 17 + place % 16
    last = tried[:, place + 1 - seen : place + 2]  # [W,seen+1]
    expected = losses_of(model, last)[:, -1]  # [W]
    assert_close(losses_of_cut(model, tried)[:, place - TRAINED], expected, rtol=1e-5, atol=1e-5)


def test_reading_on_costs_nothing_where_length_makes_no_difference():
    """A model that looks at one token only has the same loss with 17 tokens before it and with 100."""
    model, tried = make_model("none", TINY, seed=0).eval(), rows(3)
    for block in model.blocks:
        torch.nn.init.zeros_(block.attention.projection.weight)
    assert model.blocks[0].attention.projection.bias is None
    assert_close(losses_of_cut(model, tried), losses_of(model, tried)[:, TRAINED:], rtol=1e-5, atol=1e-5)


def test_a_cell_has_a_loss_for_every_row_and_bin():
    found = measure(None, TINY, seed=0)
    for arm in ARMS:
        assert np.shape(found[arm]["whole"]) == (8, TINY.tried)
        assert np.shape(found[arm]["cut"]) == (6, TINY.tried)
        assert cost_of_reading_on(found[arm] and found, arm).shape == (TINY.tried,)


NEEDED, NOT, FREE, DEAR = (0.1, 0.09, 0.11), (0.0, -0.01, 0.01), (0.0, -0.01, 0.01), (0.5, 0.4, 0.6)
UNSURE = (0.03, 0.0, 0.06)  # around both bounds


@pytest.mark.parametrize(
    ("needed", "cost", "holds"),
    [
        ([NEEDED] * 3, [FREE] * 3, True),
        ([NEEDED] * 3, [DEAR] * 3, False),
        ([NOT] * 3, [FREE] * 3, False),
        ([NOT, NEEDED, NEEDED], [FREE] * 3, None),
        ([NEEDED] * 3, [FREE, FREE, DEAR], None),
        ([UNSURE] * 3, [FREE] * 3, None),
        ([NEEDED] * 3, [UNSURE] * 3, None),
    ],
)
def test_both_halves_of_the_claim_must_hold(needed, cost, holds):
    assert verdict(needed, cost) is holds


@pytest.mark.parametrize(("none", "on", "holds"), [(2.2, 2.1, True), (2.2, 3.0, False), (2.1, 2.1, False)])
def test_the_verdict_is_about_sinusoids(none, on, holds):
    """Without positions the trained places cost `none`, with any 2.1; sinusoids read on at `on`, others at 3."""
    settings = EXPERIMENT.at("small")
    losses = {arm: [2.1] * 2 + [3.0] * 6 for arm in ARMS} | {"none": [none] * 2 + [3.0] * 6}
    losses["sinusoidal"] = [2.1] * 2 + [on] * 6
    result = {
        arm: {"whole": [[loss] * settings.tried for loss in losses[arm]], "cut": [[2.1] * settings.tried] * 6}
        for arm in ARMS
    }
    summary = summarise(settings, [({"seed": seed}, result) for seed in settings.seeds])
    assert summary.holds is holds
    assert f"none minus sinusoidal {none - 2.1:+.3f}" in summary.measured
    assert f"costs sinusoidal {on - 2.1:+.3f}" in summary.measured
    assert "rotary +0.900" in summary.measured
