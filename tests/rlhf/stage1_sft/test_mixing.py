"""Pretraining text in stage 1: the mixed loss is the sum of two means, however the step is divided."""

import json

import pytest
import torch

from minigpt import pretrain
from minigpt.data import TokenStream
from minigpt.model import GPT, GPTConfig
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.stage1_sft.examples import Example
from rlhf.stage1_sft.mixing import MixedObjective, pretraining_stream
from rlhf.stage1_sft.objective import DemonstrationObjective
from rlhf.stage3_ppo import stage
from rlhf.stage3_ppo.configuration import PPOConfig

TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 280)
EXAMPLES = [Example((5, 6, 7), (8, 9)), Example((4,), (7, 7, 7, 9)), Example((5, 5), (9,)), Example((8, 6), (6, 9))]
STREAM = TokenStream(torch.arange(300) % 250, context=8, batch_size=3, seed=1)
COEFFICIENT = 0.7


def model() -> GPT:
    config = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=16, layers=1, heads=2, channels=16)
    return GPT(config, seed=2).eval()


def mixed(micro_batch_size: int) -> MixedObjective:
    demonstrations = DemonstrationObjective(
        EXAMPLES,
        batch_size=4,
        micro_batch_size=micro_batch_size,
        tokenizer=TOKENIZER,
        seed=0,
        device=torch.device("cpu"),
    )
    return MixedObjective(demonstrations, STREAM, COEFFICIENT)


def step_loss(objective: MixedObjective, policy: GPT, step: int = 2) -> torch.Tensor:
    """The loss that `train` computes for a step: the sum of all losses over the sum of all weights."""
    micros = objective.micro_batches(step)
    total = sum(objective.weight(micro) for micro in micros)
    return sum(objective.loss_sum(policy, micro)[0] for micro in micros) / total


def by_hand(policy: GPT, step: int = 2) -> torch.Tensor:
    """Mean over response tokens + γ · mean over pretraining tokens, each token on its own."""
    losses = []
    for example in EXAMPLES:
        ids = example.prompt + example.response
        logprobs = policy(torch.tensor([ids]))[0].log_softmax(-1)
        losses += [-logprobs[place - 1, ids[place]] for place in range(len(example.prompt), len(ids))]
    inputs, targets = STREAM.batch(step)
    pretraining = -policy(inputs).log_softmax(-1).gather(-1, targets[..., None]).mean()
    return torch.stack(losses).mean() + COEFFICIENT * pretraining


def test_several_processes_need_a_row_of_text_in_each_micro_batch(monkeypatch):
    """A sharded model waits for the process that calls it once less, for ever."""
    monkeypatch.setattr("rlhf.stage1_sft.mixing.world_size", lambda: 2)
    mixed(2)
    with pytest.raises(UserError, match=r"--ptx-batch-size 3: .*each of the 4 micro-batches"):
        mixed(1)


@pytest.mark.parametrize("micro_batch_size", [0, 1, 2])
def test_a_step_is_the_mean_over_responses_plus_gamma_times_the_mean_over_text(micro_batch_size):
    """With four micro-batches and three rows of text one of them gets none."""
    policy, other = model(), model()
    loss, expected = step_loss(mixed(micro_batch_size), policy), by_hand(other)
    torch.testing.assert_close(
        loss,
        expected,
        rtol=1e-5,
        atol=1e-6,
        msg="text is weighed by rows or micro-batches, not by γ over all tokens",
    )
    loss.backward()
    expected.backward()
    for mine, theirs in zip(policy.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_each_step_reads_other_text_and_evaluation_reads_none():
    objective = mixed(0)
    first, second = objective.micro_batches(0)[0], objective.micro_batches(1)[0]
    assert not torch.equal(first.inputs, second.inputs)
    assert objective.evaluate == objective.demonstrations.evaluate
    assert objective.weight(first) == sum(len(example.response) for example in EXAMPLES)
    assert objective.tokens(first) == objective.demonstrations.tokens(first.demonstrations) + 3 * 8


@pytest.mark.parametrize("row_start", ["anywhere", "document"])
def test_rows_of_pretraining_text_begin_as_those_of_the_base_model_did(tmp_path, row_start):
    """In stage 1 and in PPO-ptx: the setting is one of pretraining, and its config.json says so."""
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"text": f"The cat number {n} sleeps."}) + "\n" for n in range(90)]
    corpus.write_text("".join(lines), encoding="utf-8")
    shape = ["--layers=1", "--channels=8", "--heads=2", "--context=32", "--vocab-size=280", "--batch-size=2"]
    run = ["--runs", str(tmp_path), "--corpus", str(corpus), "--row-start", row_start, "--steps=1", "--device=cpu"]
    pretrain.main([*run, *shape])
    tokenizer = Tokenizer.load(tmp_path / "small" / "tokenizer.json")
    ppo = PPOConfig(runs=str(tmp_path), ptx_coefficient=0.1)
    streams = [
        pretraining_stream(tmp_path / "small" / "pretrain", tokenizer, context=32, rows=4, seed=0),
        stage.pretraining_stream(ppo, tokenizer, 32),
    ]
    for stream in streams:
        first = torch.cat([stream.batch(step)[0][:, 0] for step in range(stream.batches_per_epoch)])
        assert (first == tokenizer.end_of_text_id).all() == (row_start == "document")
