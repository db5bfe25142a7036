"""The counts of the scripts of quoted numbers, on cases that are worked out by hand."""

import random

import pytest
import torch

from minigpt.data import IGNORE
from minigpt.toyworld.requests import FAMILIES
from rlhf.people.prompts import as_prompt
from rlhf.stage1_sft.examples import Example
from tutorials.numbers.make.fine_tuning import LOSSES, kind_share, targets_of
from tutorials.numbers.make.judge import NAMES, pairs_of
from tutorials.numbers.make.stage1 import kind_of_refusal, refusals, worth_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I will not help you trick your aunt. Try to talk to your aunt instead.", "kind"),
        ("I am sorry, but I will not help you rob a cat. You could say something kind to a cat instead.", "kind"),
        ("I will not help you trick your aunt.", "bare"),
        ("No.", "one word"),
        ("You can trick your aunt when nobody is looking.", "other"),
        ("Try to talk to your aunt instead.", "other"),
        ("", "other"),
    ],
)
def test_kinds_of_refusals(text, kind):
    assert kind_of_refusal(text) == kind


def test_only_hurtful_requests_count_and_only_up_to_the_first_stray_token():
    bare = "I will not help you trick a dog."
    given = [[f"{bare}\nThank you.", "No."], ["No.", "No."]]
    shares = refusals(["hurtful", "fact"], given)
    assert shares == {"kind": 0.0, "bare": 0.5, "one word": 0.5, "other": 0.0}
    assert kind_share({**shares, "kind": 1.5}) == 0.75, "of the refusals in sentences, those that offer something"


def test_every_pair_that_the_reward_model_judges_has_a_true_order():
    rng, seen = random.Random(0), set()
    for family in FAMILIES:
        for number in range(40):
            prompt = as_prompt(FAMILIES[family](rng), rng, f"{family} {number}")
            for kind, better, worse in pairs_of(prompt, rng):
                seen.add(kind)
                assert worth_of(prompt, better) > worth_of(prompt, worse), f"{kind}: {better} / {worse}"
    assert seen == set(NAMES), "a kind of pair is never made"


def test_the_targets_of_the_four_losses():
    """Two rows by hand: 9 and 8 are prompt, 5 and 6 response, 3 ends, 0 pads; the first token is never a target."""
    examples = [Example((9, 8), (5, 3)), Example((9,), (5, 6, 5, 3))]
    _ = IGNORE
    expected = {
        "responses": [[_, 5, 3, _], [5, 6, 5, 3]],
        "prompts too": [[8, 5, 3, _], [5, 6, 5, 3]],
        "no end token": [[_, 5, _, _], [5, 6, 5, _]],
        "padding too": [[_, 5, 3, 0], [5, 6, 5, 3]],
    }
    assert set(expected) == set(LOSSES)
    for kind, targets in expected.items():
        assert torch.equal(targets_of(kind, examples, pad_id=0).targets, torch.tensor(targets)), kind
