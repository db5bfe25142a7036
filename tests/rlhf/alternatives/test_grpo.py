"""GRPO: advantages, the gradient, and a loop that learns and resumes. Where it ends: test_optimum.py."""

import dataclasses

import pytest
import torch

from minigpt import training
from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict, with_overrides
from minigpt.runs.errors import UserError
from minigpt.runs.log.metrics import read_metrics
from minigpt.tokenizer import Tokenizer
from minigpt.training import train
from rlhf.alternatives import grpo
from rlhf.alternatives.grpo import GroupObjective, GRPOConfig
from rlhf.alternatives.grpo_losses import group_advantages, grpo_loss, leave_one_out_advantages
from rlhf.chat_format import encode_prompt, user_prompt
from rlhf.stage2_reward.network import RewardModel
from rlhf.stage3_ppo.losses import kl_k3
from rlhf.stage_io import checkpoint_payload, load_policy

TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 266)
PROMPTS = [user_prompt(text) for text in ("What?", "What does a cow eat?", "Eat grass. Why?", "Cow?")]
CONFIG = with_overrides(
    GRPOConfig(),
    {
        "preset": "tiny",
        "device": "cpu",
        "prompts": 4,
        "group_size": 4,
        "max_new_tokens": 6,
        "steps": 4,
        "batch_size": 2,
        "micro_batch_size": 3,
        "missing_end_score": None,
        "warmup_steps": 0,
        "checkpoint_every": 100,
    },
)


def tiny_gpt(seed: int = 0) -> GPT:
    return GPT(GPTConfig(vocab_size=TOKENIZER.vocab_size, context=48, layers=1, heads=2, channels=16), seed=seed).eval()


def count_letters(prompts, responses):
    return [float(sum(c.isascii() and c.isalpha() for c in response)) for response in responses]


def objective(policy: GPT, config: GRPOConfig = CONFIG, reward_fn=count_letters) -> GroupObjective:
    return GroupObjective(policy, PROMPTS, TOKENIZER, config, reward_fn)


# ---- Advantages ------------------------------------------------------------------------------------------------------


def test_advantages_compare_an_answer_with_its_own_group():
    scores = torch.tensor([1.0, 3.0, 10.0, 10.0])
    torch.testing.assert_close(group_advantages(scores, 2), torch.tensor([-1.0, 1.0, 0.0, 0.0]))
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(12, generator=generator)
    for scaled in (False, True):
        sums = group_advantages(scores, 4, scaled).view(3, 4).sum(dim=1)
        torch.testing.assert_close(sums, torch.zeros(3), rtol=0, atol=1e-5)
    # the slow way, prompt by prompt
    expected = [s - sum(group) / 4 for group in scores.view(3, 4).tolist() for s in group]
    torch.testing.assert_close(group_advantages(scores, 4), torch.tensor(expected), rtol=0, atol=1e-6)


def test_scaled_advantages_have_deviation_one_and_equal_scores_give_zero_and_not_nan():
    scores = torch.tensor([1.0, 2.0, 5.0, 7.0, 7.0, 7.0])
    scaled = group_advantages(scores, 3, scale_by_std=True)
    assert float(scaled[:3].std()) == pytest.approx(1.0, abs=1e-3)
    assert scaled[3:].tolist() == [0.0, 0.0, 0.0]


def test_leave_one_out_is_the_group_advantage_times_g_over_g_minus_one():
    scores = torch.randn(15, generator=torch.Generator().manual_seed(1))
    for size in (3, 5):
        expected = group_advantages(scores, size) * size / (size - 1)
        torch.testing.assert_close(leave_one_out_advantages(scores, size), expected, rtol=1e-5, atol=1e-6)
    slow = [s - (sum(group) - s) / 4 for group in scores.view(3, 5).tolist() for s in group]
    torch.testing.assert_close(leave_one_out_advantages(scores, 5), torch.tensor(slow), rtol=0, atol=1e-6)


# ---- The loss --------------------------------------------------------------------------------------------------------


def test_on_policy_the_gradient_is_reinforce_with_the_group_as_baseline():
    generator = torch.Generator().manual_seed(2)
    logprobs = torch.randn(4, 3, generator=generator).requires_grad_()
    mask = torch.arange(3) < torch.tensor([3, 1, 2, 3])[:, None]
    advantages = group_advantages(torch.tensor([1.0, 2.0, 0.0, 4.0]), 2)
    reference = torch.randn(4, 3, generator=generator)
    options = {"clip": 0.2, "beta": 0.7}
    old = logprobs.detach()
    loss, _ = grpo_loss(logprobs, old, reference, advantages, mask, kl="reward", **options)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    expected = torch.where(mask, -advantages[:, None] / mask.sum(), 0.0)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)
    with_kl, _ = grpo_loss(logprobs, old, reference, advantages, mask, kl="k3", **options)
    penalty = 0.7 * kl_k3(logprobs, reference)[mask].mean()
    torch.testing.assert_close(with_kl, loss + penalty, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kl", ["reward", "k2", "k3"])
def test_garbage_in_padding_reaches_neither_loss_nor_gradient(kl):
    generator = torch.Generator().manual_seed(3)
    mask = torch.arange(3) < torch.tensor([3, 1, 2, 3])[:, None]
    inputs = torch.randn(3, 4, 3, generator=generator)  # logprobs, old, reference
    advantages = torch.randn(4, generator=generator)
    found = []
    for padding in (0.0, float("nan")):
        logprobs, old, reference = torch.where(mask, inputs, padding)
        logprobs.requires_grad_()
        loss, _ = grpo_loss(logprobs, old, reference, advantages, mask, clip=0.2, beta=0.5, kl=kl)
        found.append((loss.detach(), *torch.autograd.grad(loss, logprobs)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-7, msg=f"{kl}: masked only after it was used")


def test_equal_rewards_teach_nothing():
    policy = tiny_gpt()
    config = dataclasses.replace(CONFIG, beta=0.0)
    for micro in objective(policy, config, lambda prompts, responses: [3.0] * len(responses)).micro_batches(0):
        loss, _ = objective(policy, config).loss_sum(policy, micro)
        loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in policy.parameters())


# ---- The loop --------------------------------------------------------------------------------------------------------


def test_dropout_is_off_so_that_the_ratio_is_one():
    config = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=48, layers=1, heads=2, channels=16, dropout=0.5)
    policy = GPT(config).train()
    made = objective(policy)
    loss, _ = made.loss_sum(policy, made.micro_batches(0)[0])  # raises if the ratio is not 1
    assert loss.isfinite()


def test_a_step_asks_whole_groups_and_parts_hold_their_own_advantages():
    made = objective(tiny_gpt())
    parts = made.micro_batches(0)
    prompts = torch.cat([part.batch.prompts for part in parts])
    assert sorted(torch.bincount(prompts, minlength=4).tolist()) == [0, 0, 4, 4]
    advantages = torch.cat([part.advantages for part in parts])
    for prompt in prompts.unique():
        assert float(advantages[prompts == prompt].sum()) == pytest.approx(0.0, abs=1e-5), "groups were mixed up"
    again = objective(tiny_gpt()).micro_batches(0)
    assert all(torch.equal(a.batch.ids, b.batch.ids) for a, b in zip(parts, again, strict=True))
    assert not torch.equal(made.micro_batches(1)[0].batch.prompts, parts[0].batch.prompts)


def test_the_kl_stands_in_the_reward_or_in_the_loss():
    policy = tiny_gpt()
    moved = tiny_gpt(5)
    with_kl, without = objective(policy), objective(policy, dataclasses.replace(CONFIG, kl="k3"))
    for made in (with_kl, without):
        made.policy = moved  # as after some steps: no longer the reference
    a, b = (torch.cat([part.advantages for part in made.micro_batches(0)]) for made in (with_kl, without))
    assert not torch.allclose(a, b)
    part = without.micro_batches(0)[0]
    loss, _ = without.loss_sum(moved, part)
    free, _ = objective(policy, dataclasses.replace(CONFIG, kl="k3", beta=0.0)).loss_sum(moved, part)
    assert float(loss.detach()) > float(free.detach()), "k3 is never negative"


def options(folder):
    payload = {"kind": "gpt", "config": to_dict(tiny_gpt().config), "tokenizer": TOKENIZER.fingerprint}
    return {"stage_dir": folder, "seed": 0, "describe": {}, "checkpoint_payload": payload}


def test_it_learns_a_reward_and_logs_what_trl_logs(tmp_path):
    config = with_overrides(
        CONFIG,
        {
            "steps": 50,
            "batch_size": 4,
            "group_size": 8,
            "micro_batch_size": 0,
            "learning_rate": 1e-2,
            "beta": 0.01,
            "max_new_tokens": 3,
        },
    )
    policy = tiny_gpt()
    train(policy, objective(policy, config), config.training, **options(tmp_path))
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "reward" in row]
    first, last = (sum(row["reward"] for row in part) / 5 for part in (rows[:5], rows[-5:]))
    assert last > first + 0.3, f"the mean reward went from {first:.2f} to {last:.2f}: GRPO does not learn"
    names = {"reward", "reward_std", "frac_reward_zero_std", "kl_nats_per_sequence", "entropy", "ended_share"}
    assert names <= set(rows[-1])


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path):
    config = with_overrides(CONFIG, {"steps": 5, "checkpoint_every": 2})
    whole = tiny_gpt()
    train(whole, objective(whole, config), config.training, **options(tmp_path / "whole"))
    calls = iter(range(100))

    def interrupted(prompts, responses):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return count_letters(prompts, responses)

    policy = tiny_gpt()
    with pytest.raises(KeyboardInterrupt):
        train(policy, objective(policy, config, interrupted), config.training, **options(tmp_path / "cut"))
    fresh = tiny_gpt()
    train(fresh, objective(fresh, config), config.training, **options(tmp_path / "cut"))
    assert all(map(torch.equal, fresh.parameters(), whole.parameters()))


@pytest.fixture
def run(tmp_path):
    """A run with an SFT policy and a reward model, both random."""
    run = tmp_path / "runs" / "tiny"
    TOKENIZER.save(run / "tokenizer.json")
    size = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=256, layers=1, heads=2, channels=16)
    payload = {"kind": "gpt", "config": to_dict(size), "tokenizer": TOKENIZER.fingerprint}
    save_checkpoint(run / "sft" / "checkpoint.pt", {**payload, "model": GPT(size).state_dict()})
    scorer = RewardModel(GPT(size), torch.Generator().manual_seed(0))
    payload = {**checkpoint_payload("reward_model", scorer.trunk, TOKENIZER), "model": scorer.state_dict()}
    save_checkpoint(run / "reward_model" / "checkpoint.pt", payload)
    return run


def command(run, *more):
    flags = ["--preset", "tiny", "--runs", str(run.parent), "--device", "cpu", "--prompts", "9", "--batch-size", "2"]
    grpo.main([*flags, "--max-new-tokens", "3", *more])


def test_the_command(run):
    command(run, "--steps", "2")
    assert "assistant: " in (run / "grpo" / "samples.md").read_text(encoding="utf-8")
    policy = load_policy(run / "grpo", TOKENIZER)
    assert policy(torch.tensor([encode_prompt(TOKENIZER, PROMPTS[0])])).isfinite().all()


def test_a_collapsing_share_of_ended_answers_is_warned_of(run, monkeypatch, capsys):
    sample, rollouts = grpo.sample_responses, []

    def collapsing(*arguments, **options):
        batch = sample(*arguments, **options)
        rollouts.append(batch)
        return dataclasses.replace(batch, ended=torch.full_like(batch.ended, len(rollouts) <= 2))

    monkeypatch.setattr(grpo, "sample_responses", collapsing)
    command(run, "--steps", "4", "--checkpoint-every", "1")
    err = capsys.readouterr().err
    assert "warning: after step 3: 0% of the answers end by themselves, at first it was 100%; likely" in err
    assert "the last saved state is step 2 in" in err
    assert err.count("warning:") == 1


def test_a_policy_that_an_update_destroyed_stops_with_step_cause_and_file(run, monkeypatch):
    step, calls = training.Optimizer.step, []

    def destroy(self, factor):
        step(self, factor)
        calls.append(factor)
        if len(calls) == 3:
            self.parameters[0].data[:] = float("nan")

    monkeypatch.setattr(training.Optimizer, "step", destroy)
    with pytest.raises(UserError, match=r"step 4: the model's logits are not .*--learning-rate.*is step 2 in .*resume"):
        command(run, "--steps", "6", "--checkpoint-every", "2")


@pytest.mark.parametrize("arguments", [["--group-size", "1"], ["--beta", "-1"], ["--kl", "k1"], ["--temperature", "0"]])
def test_settings_that_mean_nothing_are_refused(arguments):
    with pytest.raises(UserError, match=arguments[0]):
        grpo.main(arguments)
