"""The invariants of PPO: ratios of 1, a KL of 0, frozen networks, and whatever is switched off.

test_ppo.py shows that it learns. Most mistakes in PPO do not stop it from learning something; here they show, because
something that has to be nothing is not.
"""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from minigpt.data import TokenStream
from minigpt.model import GPT, GPTConfig
from minigpt.runs import folder as run_folder
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError
from minigpt.runs.log.metrics import read_metrics
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt, user_prompt
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo import step as ppo_step
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.losses import gae
from rlhf.stage3_ppo.metrics import Metrics
from rlhf.stage3_ppo.networks import PPO
from rlhf.stage3_ppo.rollout import (
    Batch,
    reference_logprobs,
    response_logprobs,
    rollout_values,
    sample_responses,
    score_with_model,
)
from rlhf.stage3_ppo.stage import pretraining_stream
from rlhf.stage3_ppo.step import compute_advantages, update_policy, update_value
from rlhf.stage3_ppo.training import train_ppo
from rlhf.stage_io import weights_digest

TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 266)
# the last prompt holds an end token of its own: that of the assistant's earlier turn
PROMPTS = [
    user_prompt("What?"),
    user_prompt("What does a cow eat?"),
    user_prompt("Cow?"),
    (*user_prompt("Cow?"), Turn("assistant", "Grass."), Turn("user", "Why?")),
]
IDS = [encode_prompt(TOKENIZER, turns) for turns in PROMPTS]
CONFIG = with_overrides(
    PPOConfig(),
    {
        "preset": "tiny",
        "device": "cpu",
        "prompts": 4,
        "iterations": 3,
        "batch_size": 8,
        "minibatch_size": 4,
        "micro_batch_size": 2,
        "max_new_tokens": 6,
        "epochs": 2,
        "critic_warmup": 0,
        "warmup_steps": 0,
        "missing_end_score": None,
        "checkpoint_every": 100,
        "learning_rate": 1e-2,
        "value_learning_rate": 1e-2,
    },
)
END_SOMETIMES, END_AT_ONCE, NEVER_END = 4.0, 100.0, -100.0


class EndingGPT(GPT):
    """Adds `end` to the logit of the end token, which a fresh model hardly ever writes."""

    def __init__(self, config: GPTConfig, seed: int, end: float) -> None:
        super().__init__(config, seed)
        self.bias = F.one_hot(torch.tensor(TOKENIZER.end_id), config.vocab_size) * end  # [V]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().logits(hidden) + self.bias  # [...,V]


def tiny_gpt(seed: int = 0, dropout: float = 0.0, end: float = 0.0) -> GPT:
    config = GPTConfig(vocab_size=TOKENIZER.vocab_size, context=64, layers=1, heads=2, channels=16, dropout=dropout)
    return EndingGPT(config, seed, end).eval()


def tiny_reward_model(seed: int = 1, dropout: float = 0.0) -> RewardModel:
    return RewardModel(tiny_gpt(seed, dropout), torch.Generator().manual_seed(seed)).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch):
    """It takes longer than everything else here."""
    monkeypatch.setattr(run_folder, "draw_curves", lambda rows, path, title, panels: path.write_text("<svg/>"))


Rollout = tuple[Batch, torch.Tensor]  # with ref_logprobs and values; scores [B]


def a_rollout(
    policy: GPT, reference: GPT | None = None, temperature: float = CONFIG.temperature, rows=range(8)
) -> Rollout:
    generator = torch.Generator().manual_seed(0)
    options = {"max_new_tokens": 6, "temperature": temperature, "generator": generator}
    batch = sample_responses(policy, IDS, [row % 4 for row in rows], TOKENIZER, **options)
    scores = torch.randn(len(batch.lengths), generator=generator)
    ref_logprobs = reference_logprobs(reference or policy, batch, temperature, 3)
    values = rollout_values(ValueModel.from_reward_model(tiny_reward_model(3)), batch, 3)
    return dataclasses.replace(batch, ref_logprobs=ref_logprobs, values=values), scores


def a_ppo(policy: GPT, config: PPOConfig = CONFIG, pretraining: TokenStream | None = None) -> PPO:
    value_model = ValueModel.from_reward_model(tiny_reward_model(3))
    ppo = PPO(policy, value_model, tiny_reward_model(), PROMPTS, TOKENIZER, config, pretraining)
    ppo.prepare_training()
    return ppo


def run(folder, config: PPOConfig = CONFIG, policy: GPT | None = None, **options) -> GPT:
    policy = policy or tiny_gpt(end=END_SOMETIMES)
    train_ppo(policy, PROMPTS, TOKENIZER, config, **{"reward_fn": tiny_reward_model(), "stage_dir": folder, **options})
    return policy


# ---- A ratio of 1 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learning_rate", [0.0, 1e-2])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_no_ratio_differs_from_one_until_the_policy_has_moved(tmp_path, monkeypatch, learning_rate, temperature):
    """With a learning rate of 0 that is never: not in any epoch, minibatch or token (CarperAI/trlx#508)."""
    deviations, original = [], ppo_step.policy_loss

    def spy(logprobs, old_logprobs, advantages, mask, *rest, **more):
        deviations.append(float(((logprobs.detach() - old_logprobs).exp() - 1)[mask].abs().max()))
        return original(logprobs, old_logprobs, advantages, mask, *rest, **more)

    monkeypatch.setattr(ppo_step, "policy_loss", spy)
    overrides = {"learning_rate": learning_rate, "temperature": temperature, "epochs": 3, "weight_decay": 0.0}
    run(tmp_path, with_overrides(CONFIG, overrides), tiny_gpt(dropout=0.2, end=END_SOMETIMES))
    micros = 2 * 2 * 3  # of a rollout: micro-batches, minibatches, epochs
    assert len(deviations) == 3 * micros
    moved = [deviation for place, deviation in enumerate(deviations) if place % micros >= 2]
    first = [deviation for place, deviation in enumerate(deviations) if place % micros < 2]
    assert max(first) < 1e-5, "temperature, positions, masks, dropout or precision differ from the sampling"
    assert (max(moved) < 1e-5) == (learning_rate == 0), "dropout, or weights that move without learning"
    for row in read_metrics(tmp_path / "metrics.jsonl"):
        if learning_rate == 0:
            assert row["policy/clipfrac_avg"] == 0
            assert row["policy/approxkl_avg"] < 1e-10


# ---- A KL of 0 -------------------------------------------------------------------------------------------------------


def test_at_the_start_every_token_has_kl_zero_and_the_reward_is_the_score_at_the_last_one():
    policy = tiny_gpt(end=END_SOMETIMES)
    batch, scores = a_rollout(policy, copy.deepcopy(policy), temperature=0.7, rows=range(16))
    assert len(set(batch.lengths.tolist())) > 2, "the responses should have different lengths"
    assert_close(batch.logprobs, batch.ref_logprobs, rtol=0, atol=1e-5)
    _, _, rewards = compute_advantages(batch, scores, CONFIG, beta=0.5)  # [B,T]
    expected = torch.zeros_like(rewards)
    expected[torch.arange(16), batch.total_lengths - 2] = scores  # the last token is predicted one column before it
    assert_close(rewards, expected, rtol=0, atol=1e-5, msg="the score is paid elsewhere, or a KL of nothing is paid")


# ---- Where a response ends -------------------------------------------------------------------------------------------


def test_a_response_of_the_end_token_alone():
    """An empty answer is an answer: one token, with a log-probability, a value, a reward and an advantage."""
    policy, scorer = tiny_gpt(end=END_AT_ONCE), tiny_reward_model()
    batch, scores = a_rollout(policy, tiny_gpt(5, end=4.0))
    assert batch.responses() == [[TOKENIZER.end_id]] * 8
    assert batch.lengths.tolist() == [1] * 8
    assert batch.ended.all()
    assert batch.mask.sum(dim=1).tolist() == [1] * 8
    assert batch.texts(TOKENIZER) == [""] * 8
    plain = with_overrides(CONFIG, {"whiten_advantages": False})
    batch, _, rewards = compute_advantages(batch, scores, plain, beta=0.5)
    kl = (batch.logprobs - batch.ref_logprobs)[batch.mask]  # [B]
    assert (kl > 1).all(), "the reference would hardly ever answer nothing"
    assert_close(rewards[batch.mask], scores - 0.5 * kl)
    expected = rewards - batch.values
    assert_close(batch.advantages, torch.where(batch.mask, expected, 0.0), msg="V after the end is 0")
    for row, score in enumerate(score_with_model(scorer, batch, 3)):
        ids = torch.tensor([[*IDS[row % 4], TOKENIZER.end_id]])
        assert_close(scorer(ids, torch.tensor([ids.shape[1]]))[0], score, rtol=0, atol=1e-5)


def test_nothing_after_the_end_counts_the_end_does_and_so_does_the_last_token_of_a_cut_response():
    batch, _ = a_rollout(tiny_gpt(end=END_SOMETIMES), rows=range(40))
    assert 0 < int(batch.ended.sum()) < 40, "the test needs answers that end and answers that do not"
    for row in range(40):
        before, counts = len(IDS[row % 4]), batch.mask[row].tolist()
        response = batch.ids[row, before : before + 6].tolist()  # with what stands after its end
        if TOKENIZER.end_id in response:
            length = response.index(TOKENIZER.end_id) + 1
            assert batch.ended[row]
        else:
            length = 6
            assert not batch.ended[row]
        expected = [before - 1 <= column < before - 1 + length for column in range(len(counts))]
        assert counts == expected, f"row {row}"


def test_the_score_of_an_answer_without_end_is_replaced_though_its_prompt_holds_an_end_token():
    """Looking for the end token in the whole sequence finds that of an earlier turn (huggingface/trl#6802, #6805)."""
    assert TOKENIZER.end_id in IDS[3]
    for end, share in ((NEVER_END, 0), (END_AT_ONCE, 8), (END_SOMETIMES, None)):
        batch, scores = a_rollout(tiny_gpt(end=end), rows=[3] * 8)
        _, paid, _ = compute_advantages(batch, scores, with_overrides(CONFIG, {"missing_end_score": -7.0}), beta=0.1)
        kept = paid == scores
        assert torch.equal(kept, batch.ended)
        assert (paid[~kept] == -7.0).all()
        if share is not None:
            assert int(kept.sum()) == share


def test_whitened_rewards_keep_their_mean_and_are_what_advantages_and_returns_are_made_of():
    """Ziegler's option: variance 1, the mean as it was, statistics of the real tokens alone."""
    batch, scores = a_rollout(tiny_gpt(end=END_SOMETIMES), tiny_gpt(5), rows=range(16))
    plain = with_overrides(CONFIG, {"whiten_advantages": False})
    _, _, rewards = compute_advantages(batch, scores, plain, beta=0.5)
    raw = rewards[batch.mask]  # [M]
    learned, _, rewards = compute_advantages(batch, scores, with_overrides(plain, {"whiten_rewards": True}), beta=0.5)
    expected = torch.zeros_like(rewards)
    expected[batch.mask] = (raw - raw.mean()) / raw.std(unbiased=False) + raw.mean()
    assert_close(rewards, expected, rtol=1e-4, atol=1e-5, msg="pads in the statistics, or a mean of 0?")
    advantages, returns = gae(expected, batch.values, batch.mask, plain.gamma, plain.lam)
    assert_close(learned.advantages, advantages, rtol=1e-4, atol=1e-4)
    assert_close(learned.returns, returns, rtol=1e-4, atol=1e-4)


# ---- The frozen ------------------------------------------------------------------------------------------------------


def test_reference_and_reward_model_are_bit_for_bit_what_they_were_and_nobody_drops_out(tmp_path, monkeypatch):
    policy, scorer = tiny_gpt(dropout=0.3, end=END_SOMETIMES).train(), tiny_reward_model(dropout=0.3)
    before = {"reference": weights_digest(policy), "reward model": weights_digest(scorer)}
    value_model = ValueModel.from_reward_model(scorer).train()
    seen, original = [], ppo_step.reference_logprobs

    def spy(reference, *rest):
        modes = [module.training for model in (policy, reference, value_model) for module in model.modules()]
        digests = {"reference": weights_digest(reference), "reward model": weights_digest(scorer)}
        seen.append((digests, any(modes), any(p.requires_grad for p in reference.parameters())))
        return original(reference, *rest)

    monkeypatch.setattr(ppo_step, "reference_logprobs", spy)
    run(tmp_path, with_overrides(CONFIG, {"iterations": 4}), policy, reward_fn=scorer, value_model=value_model)
    assert weights_digest(policy) != before["reference"], "the policy did not learn, so this shows nothing"
    assert len(seen) == 4
    for iteration, (digests, dropout, gradients) in enumerate(seen):
        assert digests == before, f"iteration {iteration + 1}: a frozen network moved"
        assert not dropout, "dropout is on: the ratio is noise"
        assert not gradients, "the reference asks for gradients"


def test_a_reward_model_that_was_left_in_training_mode_scores_without_dropout():
    scorer, (batch, _) = tiny_reward_model(dropout=0.5), a_rollout(tiny_gpt(end=END_SOMETIMES))
    expected = score_with_model(scorer.eval(), batch, 8)
    assert_close(score_with_model(scorer.train(), batch, 8), expected, rtol=0, atol=0, msg="dropout while scoring")


def test_the_values_gradient_reaches_the_value_model_and_no_other():
    policy = tiny_gpt()
    ppo = a_ppo(policy)
    batch, _, _ = compute_advantages(*a_rollout(policy), CONFIG, 0.1)
    update_value(ppo, batch, 1.0, Metrics(torch.device("cpu")), "here")
    value_model = ppo.value_model
    assert all(parameter.grad is None for parameter in policy.parameters()), "the critic teaches the policy"
    shared = {parameter.data_ptr() for parameter in policy.parameters()}
    assert not shared & {parameter.data_ptr() for parameter in value_model.parameters()}, "they share weights"
    assert any(parameter.grad.abs().max() > 0 for parameter in value_model.trunk.blocks.parameters())


# ---- Switched off ----------------------------------------------------------------------------------------------------


def updated(config: PPOConfig, pretraining: TokenStream | None) -> list[torch.Tensor]:
    policy = tiny_gpt(end=END_SOMETIMES)
    batch, _, _ = compute_advantages(*a_rollout(policy, tiny_gpt(4, end=END_SOMETIMES)), config, 0.3)
    ppo, metrics = a_ppo(policy, config, pretraining), Metrics(torch.device("cpu"))
    update_policy(ppo, batch, 1.0, metrics, "here", check_ratio=True)
    return [parameter.detach().clone() for parameter in policy.parameters()]


def test_ptx_with_a_coefficient_of_zero_is_bit_for_bit_no_ptx():
    stream = TokenStream(torch.arange(600) % 200, context=16, batch_size=2, seed=0)
    without = updated(CONFIG, None)
    assert all(map(torch.equal, updated(CONFIG, stream), without)), "γ = 0 must change nothing, not even a bit"
    with_ptx = updated(dataclasses.replace(CONFIG, ptx_coefficient=1.0), stream)
    assert not all(map(torch.equal, with_ptx, without)), "this stream teaches nothing, so the test shows nothing"


def test_without_ptx_the_command_reads_no_pretraining_text(tmp_path):
    """As in every paper before InstructGPT: a run whose text is gone can still do PPO."""
    config = dataclasses.replace(CONFIG, runs=str(tmp_path))
    assert pretraining_stream(config, TOKENIZER, 16) is None
    with pytest.raises(UserError, match=r"config\.json is missing.*make pretrain"):
        pretraining_stream(dataclasses.replace(config, ptx_coefficient=1.0), TOKENIZER, 16)


def test_ptx_without_text_and_text_without_ptx_are_refused(tmp_path):
    stream = TokenStream(torch.arange(600) % 200, context=16, batch_size=2, seed=0)
    for config, pretraining in ((CONFIG, stream), (dataclasses.replace(CONFIG, ptx_coefficient=1.0), None)):
        with pytest.raises(ValueError, match="if and only if ptx_coefficient"):
            run(tmp_path, config, pretraining=pretraining)


# ---- The same run ----------------------------------------------------------------------------------------------------


def metrics(folder) -> list[dict]:
    rows = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k not in ("seconds", "eps") and not k.startswith("time/")} for row in rows]


def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(tmp_path):
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        torch.manual_seed(len(name))  # whatever the caller's generator holds must not matter
        run(tmp_path / name, with_overrides(CONFIG, {"seed": seed, "kl_controller": "adaptive"}))
    assert metrics(tmp_path / "again") == metrics(tmp_path / "first"), "something is drawn from a global generator"
    assert metrics(tmp_path / "other") != metrics(tmp_path / "first"), "the seed decides nothing"


def test_stored_logprobs_are_the_policys_own_where_the_end_is_likely():
    """The models of this file change their logits by hand; their rollouts must still be their own."""
    policy = tiny_gpt(end=END_SOMETIMES)
    batch, _ = a_rollout(policy)
    assert_close(response_logprobs(policy, batch, CONFIG.temperature)[0], batch.logprobs, rtol=0, atol=1e-5)
