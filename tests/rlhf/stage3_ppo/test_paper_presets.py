"""The command line of stage 3: what a paper's row sets is what the paper says, and what cannot work is refused."""

import dataclasses
import json

import pytest

from minigpt.runs.errors import UserError
from rlhf.stage3_ppo import paper_presets
from rlhf.stage3_ppo.configuration import PRESETS
from rlhf.stage3_ppo.stage import read_config

# written down from the papers, apart from the code
EXPECTED = {
    "ziegler2019": {
        "temperature": 0.7, "batch_size": 512, "minibatch_size": 512, "epochs": 4, "learning_rate": 1e-5, "beta": 0.15,
        "kl_controller": "adaptive", "kl_target": 6.0, "kl_horizon": 10_000.0, "missing_end_score": -1.0,
        "whiten_rewards": True, "gamma": 1.0, "lam": 0.95, "clip": 0.2, "value_clip": 0.2, "eps": 1e-5,
    },
    "stiennon2020": {
        "batch_size": 512, "epochs": 4, "learning_rate": 1.5e-5, "schedule": "linear", "beta": 0.05,
        "kl_controller": "fixed", "gamma": 1.0, "lam": 0.95,
    },
    "instructgpt": {
        "temperature": 1.0, "batch_size": 512, "minibatch_size": 64, "epochs": 1, "schedule": "constant",
        "warmup_steps": 10, "beta": 0.02, "value_learning_rate": 9e-6, "ptx_coefficient": 27.8, "betas": (0.9, 0.95),
    },
}  # fmt: skip


@pytest.mark.parametrize("paper", list(EXPECTED))
def test_paper_presets_are_the_papers(paper):
    row = paper_presets.overrides(paper)
    assert EXPECTED[paper].items() <= row.items()
    assert all(cited.source for cited in paper_presets.PAPERS[paper].values()), "every value names its place"
    flat = json.loads(json.dumps(dataclasses.asdict(read_config(["--paper", paper]))))
    flat |= flat.pop("optimization")
    for name, value in row.items():
        assert flat[name] == (list(value) if isinstance(value, tuple) else value), name


def test_a_flag_wins_over_the_paper():
    assert read_config(["--paper=instructgpt", "--beta", "0.5"]).beta == 0.5
    assert read_config(["--preset", "tiny"]).iterations == PRESETS["tiny"]["iterations"]
    with pytest.raises(UserError, match="ziegler2019"):
        read_config(["--paper", "ziegler"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--minibatch-size", "48"], "does not divide"),
     (["--iterations", "5"], "--critic-warmup: 6 is not less than --iterations 5"),
     (["--critic-warmup", "-1"], "--critic-warmup: expected 0 or more"),
     (["--epochs", "0"], "--epochs: expected 1 or more, got 0"),
     (["--temperature", "0"], "--temperature: expected more than 0, got 0.0")],
)  # fmt: skip
def test_settings_with_which_the_policy_would_learn_wrongly_or_not_at_all_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        read_config(arguments)
