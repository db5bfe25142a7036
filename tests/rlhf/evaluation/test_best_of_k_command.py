"""The command that shows best-of-K answers with their gold totals."""

import pytest
import torch

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives.best_of_k import Candidates, kl_bound
from rlhf.evaluation.best_of_k import BestOfKConfig, curve, main
from rlhf.people.prompts import prompt_set
from rlhf.stage2_reward.network import RewardModel

PROMPTS = prompt_set("D", 10, seed=0)
TOKENIZER = Tokenizer.train([turn.text for prompt in PROMPTS for turn in prompt.turns], 400)
SIZE = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16)
VALUES = [5.0, -1.0, 2.0, 4.0, 0.0, 3.0]
SCORES = [0.3, 0.1, 0.9, 0.2, 0.5, 0.4]


def models():
    return GPT(SIZE, seed=0).eval(), RewardModel(GPT(SIZE, seed=1), torch.Generator().manual_seed(0)).eval()


def test_the_curve_takes_scores_and_golds_from_the_same_answers():
    sampled = [Candidates(("",) * 6, (True,) * 6, tuple(scores), ((),) * 6) for scores in (SCORES, VALUES)]
    found = curve(sampled, [VALUES, SCORES])
    assert [row[0] for row in found] == [1, 2, 4, 6]
    assert found[0][1:] == pytest.approx((sum(SCORES + VALUES) / 12,) * 2), "the best of one is the mean answer"
    assert found[-1][1:] == pytest.approx(((0.9 + 5.0) / 2, (2.0 + 0.3) / 2)), "the best of all, and ITS gold total"


@pytest.fixture
def runs(tmp_path):
    run_dir = tmp_path / "tiny"
    TOKENIZER.save(run_dir / "tokenizer.json")
    for stage, kind, model in zip(("sft", "reward_model"), ("gpt", "reward_model"), models(), strict=True):
        payload = {"kind": kind, "config": to_dict(SIZE), "model": model.state_dict()}
        save_checkpoint(run_dir / stage / "checkpoint.pt", {**payload, "tokenizer": TOKENIZER.fingerprint})
    return tmp_path


def test_the_command_shows_the_best_first(runs, capsys):
    main(["--runs", str(runs), "--preset=tiny", "--k=3", "--count=4", "--max-new-tokens=5", "--device=cpu"])
    out = capsys.readouterr().out
    scores = [float(line.split()[1]) for line in out.split("\n") if line.startswith("  score")]
    assert len(scores) == 4 * 3
    for start in range(0, 12, 3):
        assert scores[start : start + 3] == sorted(scores[start : start + 3], reverse=True)
    curve = [line.split() for line in out.split("\n") if line.startswith("best of ")]
    assert [line[2] for line in curve] == ["1:", "2:", "3:"]
    rising = [float(line[4].rstrip(",")) for line in curve]
    assert rising == sorted(rising), "the best of more answers has no lower score"
    assert rising[0] == pytest.approx(sum(scores) / 12, abs=0.01), "the best of one is the mean answer"
    assert f"at most {kl_bound(3):.2f} nats" in out


@pytest.mark.parametrize("name", ["k", "count", "max_new_tokens"])
def test_settings_below_one_are_refused(name):
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')}: expected 1 or more, got 0"):
        BestOfKConfig(**{name: 0})
