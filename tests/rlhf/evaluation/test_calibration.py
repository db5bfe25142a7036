"""Calibration: questions of fact by how often claims are right, and how often each policy abstains there."""

import json

import pytest

from rlhf.evaluation.calibration import calibration, write_calibration
from rlhf.evaluation.measures import frequency_of
from rlhf.people.prompts import prompt_set

PROMPTS = [prompt for prompt in prompt_set("D", 60, seed=0) if frequency_of(prompt)][:6]
UNKNOWN = "I do not know."


def right(prompt):
    return prompt.request.good[0]


def wrong(prompt):
    return prompt.request.bad[0]


def test_bins_hold_the_questions_and_the_share_of_abstaining():
    claims = [
        [right(PROMPTS[0])] * 4,  # always right: the last bin, its upper end included
        [right(PROMPTS[1]), wrong(PROMPTS[1]), UNKNOWN, UNKNOWN],  # half of its claims: abstaining is no claim
        [wrong(PROMPTS[2])] * 4,
        [wrong(PROMPTS[3])] * 3 + [UNKNOWN],
        [UNKNOWN] * 4,  # no claim: no probability
        [right(PROMPTS[5])] * 3 + [wrong(PROMPTS[5])],
    ]
    after = [[right(p)] if i in (0, 1, 5) else [UNKNOWN] for i, p in enumerate(PROMPTS)]
    bins = calibration(PROMPTS, claims, {"SFT": claims, "PPO": after})
    assert [(found.low, found.high, found.questions) for found in bins] == [(0, 0.25, 2), (0.5, 0.75, 1), (0.75, 1, 2)]
    assert [found.right for found in bins] == [0.0, 0.5, pytest.approx(0.875)]
    assert [found.abstains["PPO"] for found in bins] == [1.0, 0.0, 0.0]
    assert [found.abstains["SFT"] for found in bins] == [pytest.approx(0.125), 0.5, 0.0]


def test_prompts_that_ask_for_no_fact_do_not_count():
    others = [prompt for prompt in prompt_set("D", 60, seed=0) if not frequency_of(prompt)]
    texts = [[prompt.ideal] for prompt in others]
    assert calibration(others, texts, {"SFT": texts}) == []


def test_the_files(tmp_path):
    texts = [[right(prompt)] for prompt in PROMPTS]
    bins = calibration(PROMPTS, texts, {"SFT": texts, "PPO": texts})
    write_calibration(tmp_path, bins)
    saved = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert saved["bins"][0]["questions"] == len(PROMPTS)
    assert saved["bins"][0]["abstains"] == {"SFT": 0.0, "PPO": 0.0}
    first = (tmp_path / "calibration.svg").read_bytes()
    write_calibration(tmp_path, bins)
    assert (tmp_path / "calibration.svg").read_bytes() == first, "two equal runs must not differ"
    write_calibration(tmp_path, [])  # nobody claimed anything
