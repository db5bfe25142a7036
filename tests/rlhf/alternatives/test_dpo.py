"""DPO: the loss of eq. 7, what cancels in it, and a policy that follows the rankings."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.alternatives import dpo
from rlhf.alternatives.dpo import PreferenceObjective, implicit_rewards, score_answers, sequence_logprobs
from rlhf.chat_format import encode_prompt, user_prompt
from rlhf.records import Ranking, write_rankings
from rlhf.stage2_reward.examples import Comparison, collate
from rlhf.stage2_reward.loss import kwise_loss
from rlhf.stage_io import load_policy

CPU = torch.device("cpu")
PROMPT = (3, 4, 5)
# two prompts: two answers to the one, three to the other, of different lengths
COMPARISONS = [
    Comparison(((*PROMPT, 6, 7, 2), (*PROMPT, 8, 2)), (0, 1), None),
    Comparison(((9, 4, 6, 2), (9, 4, 7, 7, 7, 2), (9, 4, 2)), (1, 0, 2), None),
]
PROMPT_LENGTHS = (3, 3, 2, 2, 2)


def tiny_gpt(seed: int) -> GPT:
    return GPT(GPTConfig(vocab_size=12, context=16, layers=1, heads=2, channels=16), seed=seed).eval()


def slow_response_logprobs(model: GPT, batch) -> torch.Tensor:
    """One answer at a time, one token at a time, and of the response only."""
    found = []
    for ids, length, prompt in zip(batch.ids, batch.lengths.tolist(), PROMPT_LENGTHS, strict=True):
        total = torch.zeros(())
        for t in range(prompt, length):
            total = total + model(ids[None, :t])[0, -1].log_softmax(-1)[ids[t]]
        found.append(total)
    return torch.stack(found)


def test_two_answers_give_the_papers_loss():
    """Rafailov et al. 2023, eq. 7, written out."""
    chosen, rejected, ref_chosen, ref_rejected = -3.0, -4.0, -3.5, -3.75
    rewards = implicit_rewards(torch.tensor([chosen, rejected]), torch.tensor([ref_chosen, ref_rejected]), 0.1)
    loss = kwise_loss(rewards, torch.tensor([0, 1]), torch.tensor([0, 0]))
    margin = 0.1 * ((chosen - ref_chosen) - (rejected - ref_rejected))
    assert float(loss) == pytest.approx(-math.log(1 / (1 + math.exp(-margin))), abs=1e-6)
    assert float(loss) == pytest.approx(0.656350, abs=1e-6), "worked by hand: log(1 + exp(-0.075))"


def test_the_loss_is_that_of_a_double_loop_over_pairs():
    policy, reference = tiny_gpt(0), tiny_gpt(1)
    batch = collate(COMPARISONS, 0, CPU)
    rewards = score_answers(policy, reference, batch, 0.3)
    r = rewards.detach()
    # ranks (0, 1) and (1, 0, 2): one pair, and three that count a third each
    expected = -F.logsigmoid(r[0] - r[1])
    for better, worse in ((3, 2), (3, 4), (2, 4)):
        expected = expected - F.logsigmoid(r[better] - r[worse]) / 3
    torch.testing.assert_close(kwise_loss(rewards, batch.ranks, batch.group).detach(), expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_off_so_that_policy_and_reference_start_equal():
    config = GPTConfig(vocab_size=12, context=16, layers=1, heads=2, channels=16, dropout=0.5)
    policy = GPT(config)
    reference = copy.deepcopy(policy).requires_grad_(False).eval()
    batch = collate(COMPARISONS, 0, CPU)
    rewards = score_answers(policy.train(), reference, batch, 0.5)
    torch.testing.assert_close(rewards, torch.zeros(5), rtol=0, atol=1e-6, msg="dropout moves the implicit rewards")


def test_at_the_reference_the_loss_is_log_two_and_its_gradient_raises_the_better_answer():
    policy = tiny_gpt(0)
    batch = collate(COMPARISONS[:1], 0, CPU)
    reference = copy.deepcopy(policy).requires_grad_(False)
    loss = kwise_loss(score_answers(policy, reference, batch, 0.5), batch.ranks, batch.group)
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6), "the reference is not a copy of the policy"
    loss.backward()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter -= 0.05 * parameter.grad
    better, worse = score_answers(policy, reference, batch, 0.5).tolist()
    assert better > worse, "sign of the margin?"


def test_the_prompt_cancels_in_loss_and_gradient():
    """Summed over the whole sequence or over the response alone: no mask can be off by one here."""
    policy, reference, beta = tiny_gpt(0), tiny_gpt(1).requires_grad_(False), 0.5
    batch = collate(COMPARISONS, 0, CPU)
    fast = score_answers(policy, reference, batch, beta)
    slow = implicit_rewards(slow_response_logprobs(policy, batch), slow_response_logprobs(reference, batch), beta)
    losses = [kwise_loss(rewards, batch.ranks, batch.group) for rewards in (fast, slow)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad(loss, list(policy.parameters())) for loss in losses]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_sequence_logprobs_do_not_see_the_padding():
    policy = tiny_gpt(0)
    batch = collate(COMPARISONS, 0, CPU)
    other = collate(COMPARISONS, 11, CPU)
    found = sequence_logprobs(policy, batch.ids, batch.lengths)
    torch.testing.assert_close(found, sequence_logprobs(policy, other.ids, other.lengths), rtol=0, atol=1e-6)
    alone = sequence_logprobs(policy, batch.ids[1:2, :5], batch.lengths[1:2])
    torch.testing.assert_close(found[1:2], alone, rtol=0, atol=1e-5)


def test_the_reference_gets_no_gradient_and_beta_scales_the_rewards():
    policy, reference = tiny_gpt(0), tiny_gpt(1)
    batch = collate(COMPARISONS, 0, CPU)
    once = score_answers(policy, reference, batch, 0.2)
    once.sum().backward()
    assert all(parameter.grad is None for parameter in reference.parameters()), "the reference must stay where it is"
    twice = score_answers(policy, reference, batch, 0.4)
    torch.testing.assert_close(twice, 2 * once, rtol=1e-5, atol=1e-6)


def test_a_reference_measured_once_beforehand_gives_the_same_loss_and_gradient():
    """Answer by answer, without padding or neighbours, as one would store it beside the data."""
    policy, reference, beta = tiny_gpt(0), tiny_gpt(1).requires_grad_(False), 0.5
    sequences = [sequence for comparison in COMPARISONS for sequence in comparison.sequences]
    stored = [sequence_logprobs(reference, torch.tensor([s]), torch.tensor([len(s)])) for s in sequences]
    batch = collate(COMPARISONS, 0, CPU)
    on_the_fly = score_answers(policy, reference, batch, beta)
    precomputed = implicit_rewards(sequence_logprobs(policy, batch.ids, batch.lengths), torch.cat(stored), beta)
    losses = [kwise_loss(rewards, batch.ranks, batch.group) for rewards in (on_the_fly, precomputed)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(loss, list(policy.parameters())) for loss in losses]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_a_larger_beta_is_a_steeper_loss_of_the_same_margin():
    """L(β, Δ) = L(1, β·Δ), and at the reference, Δ = 0, the gradient by Δ is −β/2."""
    for beta in (0.1, 0.5, 2.0):
        logprobs = torch.tensor([-3.0, -4.5]).requires_grad_()
        ranks, group = torch.tensor([0, 1]), torch.tensor([0, 0])
        at = [
            kwise_loss(implicit_rewards(logprobs * k, torch.tensor([-4.0, -4.0]) * k, b), ranks, group)
            for b, k in ((beta, 1.0), (1.0, beta))
        ]
        torch.testing.assert_close(at[0], at[1], rtol=1e-6, atol=1e-7)
        start = kwise_loss(implicit_rewards(logprobs, logprobs.detach(), beta), ranks, group)
        (gradient,) = torch.autograd.grad(start, logprobs)
        torch.testing.assert_close(gradient, torch.tensor([-beta / 2, beta / 2]), rtol=1e-6, atol=1e-7)


def test_evaluation_reports_differences_only():
    tokenizer = Tokenizer([])
    policy = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=16, layers=1, heads=2, channels=16))
    objective = PreferenceObjective(
        COMPARISONS,
        COMPARISONS,
        tokenizer=tokenizer,
        prompts=[],
        batch_size=2,
        micro_batch_size=0,
        seed=0,
        device=CPU,
        reference=copy.deepcopy(policy),
        beta=0.1,
    )
    assert set(objective.evaluate(policy)) == {"accuracy", "log_loss", "margin"}


# ---- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    tokenizer = Tokenizer.train(["What does a cow eat? A cow eats grass. I do not know."], 270)
    folder = tmp_path / "runs" / "tiny"
    tokenizer.save(folder / "tokenizer.json")
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context=64, layers=1, heads=2, channels=16)
    payload = {"kind": "gpt", "config": to_dict(config), "tokenizer": tokenizer.fingerprint}
    save_checkpoint(folder / "sft" / "checkpoint.pt", {**payload, "model": GPT(config).state_dict()})
    return folder, tokenizer


def test_the_command_makes_the_better_answer_likelier(run, tmp_path):
    folder, tokenizer = run
    prompt = user_prompt("What does a cow eat?")
    rankings = [Ranking(prompt, ("Grass.", "No."), (0, 1), (True, True)) for _ in range(6)]
    write_rankings(tmp_path / "mine.jsonl", rankings)
    arguments = ["--preset", "tiny", "--runs", str(tmp_path / "runs"), "--rankings", str(tmp_path / "mine.jsonl")]
    dpo.main([*arguments, "--epochs", "4", "--batch-size", "2", "--learning-rate", "0.003", "--device", "cpu"])

    def margin(policy):
        asked = torch.tensor([encode_prompt(tokenizer, prompt)])
        logprobs = policy(asked)[0, -1].log_softmax(-1)
        (good, *_), (bad, *_) = tokenizer.encode("Grass."), tokenizer.encode("No.")
        return float(logprobs[good] - logprobs[bad])

    with torch.no_grad():
        before, after = load_policy(folder / "sft", tokenizer), load_policy(folder / "dpo", tokenizer)
        assert margin(after) > margin(before) + 0.1
        assert not torch.equal(before.token_embedding.weight, after.token_embedding.weight)
    assert "assistant: " in (folder / "dpo" / "samples.md").read_text(encoding="utf-8")


def test_a_stopped_run_is_not_continued_on_another_sft_policy(run, tmp_path, monkeypatch):
    """Its weights would be learned against one reference and judged against another."""
    folder, tokenizer = run
    rankings = [Ranking(user_prompt("What?"), ("Grass.", "No."), (0, 1), (True, True)) for _ in range(6)]
    write_rankings(tmp_path / "mine.jsonl", rankings)
    arguments = ["--preset", "tiny", "--runs", str(tmp_path / "runs"), "--rankings", str(tmp_path / "mine.jsonl")]
    arguments += ["--epochs", "4", "--batch-size", "2", "--device", "cpu"]
    original = PreferenceObjective.micro_batches

    def stopped(self, step):
        if step == 3:
            raise KeyboardInterrupt
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(PreferenceObjective, "micro_batches", stopped)
        with pytest.raises(KeyboardInterrupt):
            dpo.main(arguments)
    path = folder / "sft" / "checkpoint.pt"
    other = GPT(load_policy(folder / "sft", tokenizer).config, 7)
    save_checkpoint(path, {**load_checkpoint(path), "model": other.state_dict()})
    with pytest.raises(UserError, match=r"resume-000003\.pt .*other settings \(policy has changed\)"):
        dpo.main(arguments)


def test_without_rankings_it_says_where_they_come_from(run, tmp_path):
    with pytest.raises(UserError, match=r"rankings\.jsonl is missing.*make stage2"):
        dpo.main(["--preset", "tiny", "--runs", str(tmp_path / "runs"), "--device", "cpu"])


@pytest.mark.parametrize("arguments", [["--beta", "0"], ["--validation-fraction", "1"], ["--epochs", "0"]])
def test_settings_that_mean_nothing_are_refused(arguments):
    with pytest.raises(UserError, match=arguments[0]):
        dpo.main(arguments)
