"""PPO as a whole: it learns, its guards hold, the frozen stays frozen, and a resumed run is the same run."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from minigpt.data import TokenStream
from minigpt.model import GPT, GPTConfig
from minigpt.optim import Optimizer, lr_factor
from minigpt.runs import folder as run_folder
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.log.metrics import read_metrics
from minigpt.runs.resume import resume_paths
from minigpt.scale.precision import set_precision
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import encode_prompt, user_prompt
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo import step as ppo_step
from rlhf.stage3_ppo.configuration import PPOConfig
from rlhf.stage3_ppo.guards import check_ratio_is_one, check_starts_at_reference, ended_share_collapses
from rlhf.stage3_ppo.metrics import Metrics, rollout_metrics
from rlhf.stage3_ppo.networks import PPO, first_value_model
from rlhf.stage3_ppo.rollout import (
    Batch,
    prompt_rows,
    prompt_text,
    reference_logprobs,
    response_logprobs,
    rollout_values,
    sample_responses,
)
from rlhf.stage3_ppo.stage import read_config
from rlhf.stage3_ppo.step import compute_advantages, learning_rate_factors, update_policy, update_value
from rlhf.stage3_ppo.training import Run, train_ppo
from rlhf.stage_io import load_policy

TOKENIZER = Tokenizer.train(["What does a cow eat? A cow eats grass."], 266)
PROMPTS = [user_prompt(text) for text in ("What?", "What does a cow eat?", "Eat grass. Why?", "Cow?")]
IDS = [encode_prompt(TOKENIZER, turns) for turns in PROMPTS]
CONFIG = with_overrides(
    PPOConfig(),
    {
        "preset": "tiny",
        "device": "cpu",
        "prompts": 4,
        "iterations": 4,
        "batch_size": 8,
        "minibatch_size": 4,
        "micro_batch_size": 2,
        "max_new_tokens": 6,
        "epochs": 2,
        "critic_warmup": 0,
        "warmup_steps": 0,
        "missing_end_score": None,
        "checkpoint_every": 100,
        "samples_every": 2,
    },
)


def tiny_gpt(seed: int = 0, **shape) -> GPT:
    config = {"vocab_size": TOKENIZER.vocab_size, "context": 48, "layers": 1, "heads": 2, "channels": 16, **shape}
    return GPT(GPTConfig(**config), seed=seed).eval()


def tiny_reward_model(seed: int = 1, **shape) -> RewardModel:
    return RewardModel(tiny_gpt(seed, **shape), torch.Generator().manual_seed(seed)).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def _no_drawing(request, monkeypatch):
    """Drawing takes longer than everything else here; one test does it."""
    if "checkpoint_loads" not in request.node.name:
        monkeypatch.setattr(run_folder, "draw_curves", lambda rows, path, title, panels: path.write_text("<svg/>"))


def a_rollout(policy: GPT, reference: GPT | None = None, seed: int = 0) -> tuple[Batch, torch.Tensor]:
    """Two answers to each of the four prompts with all that is measured of them, and random scores [8]."""
    generator = torch.Generator().manual_seed(seed)
    options = {"max_new_tokens": 6, "temperature": CONFIG.temperature, "generator": generator}
    batch = sample_responses(policy, IDS, [0, 1, 2, 3, 0, 1, 2, 3], TOKENIZER, **options)
    scores = torch.randn(8, generator=generator)
    ref_logprobs = reference_logprobs(reference or policy, batch, CONFIG.temperature, 3)
    values = rollout_values(ValueModel.from_reward_model(tiny_reward_model(3)), batch, 3)
    return dataclasses.replace(batch, ref_logprobs=ref_logprobs, values=values), scores


def learnable(rollout: tuple[Batch, torch.Tensor], config: PPOConfig = CONFIG, beta: float = 0.3) -> Batch:
    """The rollout with advantages and returns."""
    return compute_advantages(*rollout, config, beta)[0]


def a_ppo(policy: GPT, config: PPOConfig = CONFIG, pretraining: TokenStream | None = None) -> PPO:
    value_model = ValueModel.from_reward_model(tiny_reward_model(3))
    ppo = PPO(policy, value_model, tiny_reward_model(), PROMPTS, TOKENIZER, config, pretraining)
    ppo.prepare_training()
    return ppo


def measures() -> Metrics:
    return Metrics(torch.device("cpu"))


def weights(model) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def untimed(rows: list[dict]) -> list[dict]:
    """Rows without what a clock decides."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "eps") and not k.startswith("time/")} for row in rows]


# ---- It learns -------------------------------------------------------------------------------------------------------


def test_the_probe_a_rewarded_first_letter_becomes_frequent(tmp_path):
    """The smallest task that PPO can fail at: +1 if the answer starts with an ASCII letter."""

    def reward(prompts, responses):
        return [float(response[:1].isascii() and response[:1].isalpha()) for response in responses]

    overrides = {"iterations": 16, "batch_size": 64, "minibatch_size": 32, "micro_batch_size": 32, "max_new_tokens": 3}
    overrides |= {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "beta": 0.01, "lam": 1.0}
    config = with_overrides(CONFIG, overrides)
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=reward, stage_dir=tmp_path)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    first, last = rows[0]["objective/scores"], rows[-1]["objective/scores"]
    assert last > first + 0.3, f"the mean reward went from {first:.2f} to {last:.2f}: PPO does not learn"
    kl = rows[-1]["objective/kl_nats_per_sequence"]
    assert kl > 0.1, f"it learned, and is {kl:.2g} nats from the reference: does the reference learn with it?"


# ---- Step 0: ratio 1 and KL 0 ----------------------------------------------------------------------------------------


def test_the_first_minibatch_has_ratio_one_even_in_a_model_with_dropout(tmp_path):
    policy = tiny_gpt(dropout=0.3)
    config = with_overrides(CONFIG, {"iterations": 1, "epochs": 1, "minibatch_size": 8})
    row = train_ppo(policy, PROMPTS, TOKENIZER, config, reward_fn=tiny_reward_model(), stage_dir=tmp_path)
    assert row["val/ratio"] == pytest.approx(1.0, abs=1e-5)
    assert row["policy/clipfrac_avg"] == 0
    assert row["policy/approxkl_avg"] < 1e-9
    assert abs(row["objective/kl_nats_per_sequence"]) < 1e-4
    assert row["objective/rlhf_reward"] == pytest.approx(row["objective/scores"], abs=1e-4)


def test_without_learning_the_ratio_stays_one_in_all_epochs(tmp_path):
    config = with_overrides(CONFIG, {"learning_rate": 0.0, "epochs": 3})
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=tiny_reward_model(), stage_dir=tmp_path)
    for row in read_metrics(tmp_path / "metrics.jsonl"):
        assert row["val/ratio"] == pytest.approx(1.0, abs=1e-5)
        assert row["policy/approxkl_avg"] < 1e-9


def test_the_guards_find_another_reference_another_temperature_and_nan():
    policy = tiny_gpt()
    batch, _ = a_rollout(policy)
    check_starts_at_reference(batch)
    with pytest.raises(UserError, match="before the first update"):
        check_starts_at_reference(a_rollout(policy, reference=tiny_gpt(5))[0])
    check_ratio_is_one(response_logprobs(policy, batch, CONFIG.temperature)[0], batch)
    with pytest.raises(UserError, match="nats at one token, so the ratio does not start at 1"):
        check_ratio_is_one(response_logprobs(policy, batch, 0.7)[0], batch)
    with pytest.raises(DivergedError, match="log-probability of the policy is nan"):
        check_ratio_is_one(torch.full_like(batch.logprobs, float("nan")), batch)


def test_in_bfloat16_the_ratio_starts_at_one_within_1e_2_and_the_guards_still_find_mistakes(tmp_path):
    policy, reward_model = (set_precision(model, torch.bfloat16) for model in (tiny_gpt(), tiny_reward_model()))
    config = with_overrides(CONFIG, {"learning_rate": 0.0})
    train_ppo(policy, PROMPTS, TOKENIZER, config, reward_fn=reward_model, stage_dir=tmp_path)  # with its guards
    for row in read_metrics(tmp_path / "metrics.jsonl"):
        assert row["val/ratio"] == pytest.approx(1.0, abs=1e-2)
    batch, _ = a_rollout(policy)
    logprobs = response_logprobs(policy, batch, CONFIG.temperature)[0]
    in_float32 = response_logprobs(set_precision(copy.deepcopy(policy), torch.float32), batch, CONFIG.temperature)[0]
    assert 0 < (logprobs - in_float32).abs().max() < 0.05, "rounded, but to three digits"
    with pytest.raises(UserError, match="nats in the mean, so the ratio does not start at 1"):
        check_ratio_is_one(logprobs * 1.01, batch, torch.bfloat16)
    with pytest.raises(UserError, match=r"before the first update.* nats in the mean"):
        check_starts_at_reference(a_rollout(policy, reference=tiny_gpt(5))[0], torch.bfloat16)


def spoil(monkeypatch, name: str, at_iteration: int) -> None:
    """From this iteration on, what `name` measures on PPO's page is no number."""
    original, rollouts = getattr(ppo_step, name), []

    def spoilt(*arguments, **options):
        loss, stats = original(*arguments, **options)
        return loss * (float("nan") if len(rollouts) >= at_iteration else 1.0), stats

    def counted(*arguments):
        rollouts.append(arguments)
        return compute_advantages(*arguments)

    monkeypatch.setattr(ppo_step, name, spoilt)
    monkeypatch.setattr(ppo_step, "compute_advantages", counted)


@pytest.mark.parametrize(("function", "what"), [("policy_loss", "policy loss"), ("value_loss", "value loss")])
def test_a_loss_that_is_no_number_stops_with_iteration_cause_and_file(tmp_path, monkeypatch, function, what):
    spoil(monkeypatch, function, at_iteration=3)
    config = with_overrides(CONFIG, {"checkpoint_every": 1})
    with pytest.raises(UserError) as error:
        train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=tiny_reward_model(), stage_dir=tmp_path)
    message = str(error.value)
    parts = f"iteration 3: epoch 1, minibatch 1 ({{}} tokens): the {what} is nan".split("{}")
    for part in (*parts, "--value-learning-rate", "state is iteration 2 in", "resume-000002.pt"):
        assert part in message, f"{part!r} is not in: {message}"
    assert "\n" not in message
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("network", ["policy", "value"])
def test_a_gradient_that_is_no_number_stops_before_it_reaches_the_weights(network):
    policy = tiny_gpt()
    ppo = a_ppo(policy)
    before = weights(policy) + weights(ppo.value_model)
    getattr(ppo, f"{network}_optimizer").clip_gradients = lambda: float("inf")
    update = {"policy": update_policy, "value": update_value}[network]
    with pytest.raises(DivergedError, match=f"here: the {network} gradient is inf"):
        update(ppo, learnable(a_rollout(policy)), 1.0, measures(), "here")
    assert all(map(torch.equal, weights(policy) + weights(ppo.value_model), before))


def test_a_policy_that_an_update_destroyed_stops_with_the_iteration_and_not_with_a_traceback(tmp_path, monkeypatch):
    policy = tiny_gpt()

    def destroy(run, batch, scores):  # called after the update of each iteration
        policy.token_embedding.weight.data[:] = float("inf")

    monkeypatch.setattr(Run, "log_rollout", destroy)
    options = {"reward_fn": lambda p, r: map(len, r), "stage_dir": tmp_path}
    with pytest.raises(UserError, match=r"iteration 2: the model's logits are not finite.*--learning-rate.*no earlier"):
        train_ppo(policy, PROMPTS, TOKENIZER, CONFIG, **options)


# ---- Targets and metrics ---------------------------------------------------------------------------------------------


def test_metrics_are_those_of_a_slow_loop_over_real_tokens():
    policy, reference = tiny_gpt(0), tiny_gpt(4)
    rollout = a_rollout(policy, reference)
    config = with_overrides(CONFIG, {"missing_end_score": -1.0})
    batch, paid, rewards = compute_advantages(*rollout, config, 0.3)
    metrics = rollout_metrics(batch, paid, 0.3)
    lengths, starts = batch.lengths.tolist(), batch.prompt_lengths.tolist()
    kl = [
        sum(float(batch.logprobs[b, t] - batch.ref_logprobs[b, t]) for t in range(start - 1, start - 1 + n))
        for b, (start, n) in enumerate(zip(starts, lengths, strict=True))
    ]
    assert metrics["objective/kl_nats_per_sequence"] == pytest.approx(sum(kl) / 8, abs=1e-4)
    assert metrics["objective/kl_nats_per_token"] == pytest.approx(sum(kl) / sum(lengths), abs=1e-5)
    assert metrics["objective/kl_k3_nats_per_sequence"] > 0
    scores = [float(s) if e else -1.0 for s, e in zip(rollout[1], batch.ended, strict=True)]
    assert metrics["objective/scores"] == pytest.approx(sum(scores) / 8, abs=1e-5)
    assert metrics["objective/rlhf_reward"] == pytest.approx(float(rewards.sum()) / 8, abs=1e-4)
    assert metrics["val/response_length"] == pytest.approx(sum(lengths) / 8)
    whitened = batch.advantages[batch.mask]
    assert float(whitened.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(whitened.std(unbiased=False)) == pytest.approx(1.0, abs=1e-3)
    raw, _, _ = compute_advantages(*rollout, with_overrides(config, {"whiten_advantages": False}), 0.3)
    torch.testing.assert_close(raw.returns, batch.returns, rtol=0, atol=0, msg="whitening must not reach the returns")


def test_the_metrics_of_an_iteration_are_means_over_its_minibatches():
    metrics = measures()
    for minibatch in ([0.25, 0.5], [1.0, 0.25]):
        for share in minibatch:
            metrics.add({"loss": torch.tensor(share, requires_grad=True)})
        metrics.record({"loss/value_avg": metrics.reduce()["loss"]})
    metrics.record({"policy/entropy_avg": 3.0})
    assert metrics.means() == {"loss/value_avg": 1.0, "policy/entropy_avg": 3.0}


def test_every_row_counts_iterations_and_no_number_has_two_names(tmp_path):
    """A step is an optimiser's; an iteration has many. The KL is logged with its unit in the name, and once."""
    config = with_overrides(CONFIG, {"critic_warmup": 1, "warmup_steps": 2})
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=tiny_reward_model(), stage_dir=tmp_path)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert not {"step", "lr", "objective/kl"} & set(rows[-1])
    assert [row["learning_rate"] for row in rows[:3]] == [0.0, 1e-4, 2e-4], "the policy waits one iteration"
    values = [row["value_learning_rate"] / config.value_learning_rate for row in rows]
    assert values == pytest.approx([lr_factor(i, 4, config.optimization) for i in range(4)])
    numbers = [value for name, value in rows[-1].items() if name.startswith("objective/kl")]
    assert len(set(numbers)) == len(numbers) == 3


# ---- The schedules ---------------------------------------------------------------------------------------------------


def factors_of_steps(monkeypatch, tmp_path, **overrides) -> dict[str, list[float]]:
    """The factor of each network's learning rate, step after step, in a run with one step an iteration."""
    factors: dict[str, list[float]] = {"policy": [], "value": []}
    original = Optimizer.step

    def spy(self, factor):
        factors["value" if self.config.learning_rate == CONFIG.value_learning_rate else "policy"].append(factor)
        original(self, factor)

    monkeypatch.setattr(Optimizer, "step", spy)
    config = with_overrides(CONFIG, {"minibatch_size": 8, "epochs": 1, **overrides})
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=tiny_reward_model(), stage_dir=tmp_path)
    return factors


def test_the_warm_up_of_the_policy_begins_with_its_first_update(tmp_path, monkeypatch):
    settings = {"iterations": 7, "critic_warmup": 3, "warmup_steps": 2}
    factors = factors_of_steps(monkeypatch, tmp_path, **settings)
    optimization = with_overrides(CONFIG, settings).optimization
    assert factors["policy"] == [lr_factor(i, 4, optimization) for i in range(4)], "counted from iteration 0?"
    assert factors["policy"][0] == 0.5
    assert factors["value"] == [lr_factor(i, 7, optimization) for i in range(7)]


def test_instructgpts_policy_warms_up_over_its_first_ten_updates():
    """Appendix C.4: over the first 10 iterations, from one tenth of the peak."""
    config = read_config(["--paper", "instructgpt", "--critic-warmup", "6"])
    policy = [learning_rate_factors(iteration, config)[0] for iteration in range(20)]
    assert policy[:6] == [0.0] * 6
    assert policy[6:] == pytest.approx([*(n / 10 for n in range(1, 11)), *[1.0] * 4])
    without = read_config(["--paper", "instructgpt", "--critic-warmup", "0"])
    assert learning_rate_factors(0, without) == (0.1, 0.1)


def test_the_adaptive_beta_stands_still_while_only_the_value_model_learns(tmp_path):
    """The KL is 0 then whatever β is, and a controller that follows it would arrive with a β that is too small."""
    config = with_overrides(CONFIG, {"critic_warmup": 2, "kl_controller": "adaptive", "kl_horizon": 80.0})
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=tiny_reward_model(), stage_dir=tmp_path)
    betas = [row["objective/beta"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert betas[:3] == [0.1] * 3, "β moved before the policy had learned"
    assert betas[3] == pytest.approx(0.1 * (1 - 0.2 * 8 / 80)), "and after the policy's first update it must move"


# ---- Gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_micro_batches_of_any_size_make_the_same_update(micro):
    results = []
    for size in (8, micro):
        policy = tiny_gpt()
        batch = learnable(a_rollout(policy, tiny_gpt(4)))
        ppo = a_ppo(policy, with_overrides(CONFIG, {"micro_batch_size": size}))
        ppo.policy_optimizer.step = ppo.value_optimizer.step = lambda factor: None  # keep the gradients
        update_policy(ppo, batch, 1.0, measures(), "here", check_ratio=True)
        update_value(ppo, batch, 1.0, measures(), "here")
        results.append([p.grad for p in (*policy.parameters(), *ppo.value_model.parameters())])
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6, msg="mean of micro-batch means?")


def test_the_ptx_gradient_is_that_of_ppo_plus_gamma_times_the_language_models():
    def gradients(config, pretraining):
        policy = tiny_gpt()
        batch = learnable(a_rollout(policy, tiny_gpt(4)), config)
        ppo, metrics = a_ppo(policy, config, pretraining), measures()
        ppo.policy_optimizer.step = lambda factor: None
        update_policy(ppo, batch, 1.0, metrics, "here")
        return policy, [p.grad for p in policy.parameters()], metrics.means()

    stream = TokenStream(torch.arange(600) % 200, context=16, batch_size=2, seed=0)
    plain = with_overrides(CONFIG, {"gradient_clip": 0.0})
    _, ppo, without = gradients(plain, None)
    _, both, metrics = gradients(with_overrides(plain, {"ptx_coefficient": 0.7}), stream)
    policy = tiny_gpt()
    inputs, targets = stream.batch(0)
    loss = F.cross_entropy(policy(inputs).flatten(0, 1), targets.flatten())
    language = torch.autograd.grad(loss, list(policy.parameters()))
    expected = [a + 0.7 * b for a, b in zip(ppo, language, strict=True)]
    torch.testing.assert_close(both, expected, rtol=1e-4, atol=1e-6)
    assert metrics["loss/ptx_avg"] == pytest.approx(float(loss.detach()), abs=1e-4)
    assert "loss/ptx_avg" not in without


def test_the_frozen_stays_frozen_and_the_value_model_teaches_the_policy_nothing(tmp_path, monkeypatch):
    reward_model, policy = tiny_reward_model(), tiny_gpt()
    before_reward, before_policy = weights(reward_model), weights(policy)
    value_model = ValueModel.from_reward_model(reward_model)
    policy_after, value_after = [], []

    def look(run, batch, scores):  # called after the update of each iteration
        policy_after.append(weights(policy))
        value_after.append(weights(value_model))

    monkeypatch.setattr(Run, "log_rollout", look)
    config = with_overrides(CONFIG, {"iterations": 3, "critic_warmup": 2})
    options = {"reward_fn": reward_model, "stage_dir": tmp_path, "value_model": value_model}
    train_ppo(policy, PROMPTS, TOKENIZER, config, **options)
    assert all(map(torch.equal, policy_after[1], before_policy)), "the warm-up of the critic moved the policy"
    assert not all(map(torch.equal, value_after[1], before_reward)), "the value model learned nothing"
    assert not all(map(torch.equal, policy_after[2], before_policy)), "after the warm-up the policy must learn"
    config = with_overrides(config, {"critic_warmup": 0})
    train_ppo(policy, PROMPTS, TOKENIZER, config, reward_fn=reward_model, stage_dir=tmp_path / "other")
    assert all(map(torch.equal, weights(reward_model), before_reward)), "the default value model must be a copy"


def test_the_kl_stop_acts_before_the_step_that_goes_too_far_and_leaves_the_value_model_alone(tmp_path, monkeypatch):
    """Spinning Up breaks before the step, and its values learn in a loop of their own (`ppo.py`, target_kl)."""
    overrides = {"iterations": 1, "minibatch_size": 4, "epochs": 5, "kl_stop": 1e-9, "learning_rate": 1e-2}
    factors = factors_of_steps(monkeypatch, tmp_path, **overrides)
    assert len(factors["policy"]) == 1, "the first minibatch has KL 0, and the second is too far away already"
    assert len(factors["value"]) == 10, "the value model learns in all epochs"
    row = read_metrics(tmp_path / "metrics.jsonl")[-1]
    assert row["policy/approxkl_avg"] > 0, "the KL that stopped the policy is in the log"


def test_after_a_kl_stop_the_policy_learns_again_in_the_next_rollout(tmp_path, monkeypatch):
    overrides = {"iterations": 3, "minibatch_size": 4, "epochs": 2, "kl_stop": 1e-9, "learning_rate": 1e-2}
    assert len(factors_of_steps(monkeypatch, tmp_path, **overrides)["policy"]) == 3


def test_the_value_model_of_an_untied_reward_model_leaves_the_unembedding_frozen(tmp_path):
    """No gradient ever reaches it, and DDP waits for one of every parameter that asks for it."""
    reward_model = tiny_reward_model(tied_embeddings=False)
    value_model = first_value_model(tiny_gpt(tied_embeddings=False), reward_model, seed=0)
    from_function = first_value_model(tiny_gpt(tied_embeddings=False), lambda p, r: map(len, r), seed=0)
    for model in (value_model, from_function):
        asking = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert asking == {name for name, _ in model.named_parameters()} - {"trunk.unembedding.weight"}
    assert not any(parameter.requires_grad for parameter in reward_model.parameters()), "the reward model learns"
    policy = tiny_gpt(tied_embeddings=False)
    config = with_overrides(CONFIG, {"iterations": 1, "learning_rate": 1e-2})
    train_ppo(policy, PROMPTS, TOKENIZER, config, reward_fn=reward_model, stage_dir=tmp_path, value_model=value_model)
    head = policy.unembedding.weight
    assert not torch.equal(head, tiny_gpt(tied_embeddings=False).unembedding.weight), "the policy's own must learn"


# ---- Files, seeds, resume --------------------------------------------------------------------------------------------


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path):
    config = with_overrides(CONFIG, {"iterations": 5, "checkpoint_every": 2, "kl_controller": "adaptive"})
    whole_policy = tiny_gpt()
    folders = {name: tmp_path / name / "ppo" for name in ("whole", "cut")}  # samples.md has the stage's name
    options = {"reward_fn": lambda p, r: map(len, r)}
    train_ppo(whole_policy, PROMPTS, TOKENIZER, config, stage_dir=folders["whole"], **options)
    calls = iter(range(100))

    def interrupted(prompts, responses):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return map(len, responses)

    with pytest.raises(KeyboardInterrupt):
        train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=interrupted, stage_dir=folders["cut"])
    assert not (folders["cut"] / "checkpoint.pt").exists()
    policy = tiny_gpt()
    train_ppo(policy, PROMPTS, TOKENIZER, config, stage_dir=folders["cut"], **options)
    whole, cut = (untimed(read_metrics(folder / "metrics.jsonl")) for folder in folders.values())
    assert cut == whole, "optimiser, generator, controller or prompt order was not restored"
    assert all(map(torch.equal, weights(policy), weights(whole_policy)))
    assert resume_paths(folders["cut"]) == []
    assert (folders["cut"] / "samples.md").read_bytes() == (folders["whole"] / "samples.md").read_bytes()
    for name in ("config.json", "samples.md", "curves.svg"):
        assert (folders["cut"] / name).exists(), name


def stopped_in_third_iteration(folder, config, **options) -> None:
    calls = iter(range(9))

    def reward(prompts, responses):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return map(len, responses)

    with pytest.raises(KeyboardInterrupt):
        train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=reward, stage_dir=folder, **options)


def test_other_settings_are_refused_and_the_stopped_run_stays_as_it_was(tmp_path, capsys):
    config = with_overrides(CONFIG, {"checkpoint_every": 1})
    stopped_in_third_iteration(tmp_path, config)
    assert "stopped in iteration 3; the last saved state is iteration 2 in" in capsys.readouterr().out
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"resume-000001.pt", "resume-000002.pt"} <= set(before), "the last two saved states"
    other = with_overrides(config, {"beta": 0.5})
    with pytest.raises(UserError, match=r"resume-000002\.pt .*other settings \(config\.beta was 0\.1 and is 0\.5\)"):
        train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, other, reward_fn=lambda p, r: map(len, r), stage_dir=tmp_path)
    with pytest.raises(UserError, match=r"\(policy has changed, value_model has changed\)"):
        train_ppo(tiny_gpt(7), PROMPTS, TOKENIZER, config, reward_fn=lambda p, r: map(len, r), stage_dir=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_stopped_run_does_not_go_on_in_another_precision(tmp_path):
    # --precision auto is float32 on a CPU and bfloat16 on a GPU
    config = with_overrides(CONFIG, {"checkpoint_every": 1})
    stopped_in_third_iteration(tmp_path, config)
    policy = set_precision(tiny_gpt(), torch.bfloat16)
    with pytest.raises(UserError, match=r"other settings \(computes_in was float32 and is bfloat16"):
        train_ppo(policy, PROMPTS, TOKENIZER, config, reward_fn=lambda p, r: map(len, r), stage_dir=tmp_path)


def test_another_pretraining_text_is_another_run(tmp_path):
    """The rest of the run would learn from other text, and nobody would know."""
    texts = [TokenStream(torch.arange(600) % n, context=16, batch_size=2, seed=0) for n in (200, 199)]
    config = with_overrides(CONFIG, {"checkpoint_every": 1, "ptx_coefficient": 0.1})
    stopped_in_third_iteration(tmp_path, config, pretraining=texts[0])
    options = {"reward_fn": lambda p, r: map(len, r), "stage_dir": tmp_path}
    with pytest.raises(UserError, match=r"\(pretraining has changed\)"):
        train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, pretraining=texts[1], **options)


def test_a_damaged_saved_state_can_be_deleted_to_go_on_from_the_one_before(tmp_path):
    config = with_overrides(CONFIG, {"checkpoint_every": 1})
    options = {"reward_fn": lambda p, r: map(len, r)}
    whole, policy = tiny_gpt(), tiny_gpt()
    train_ppo(whole, PROMPTS, TOKENIZER, config, stage_dir=tmp_path / "whole", **options)
    stopped_in_third_iteration(tmp_path / "cut", config)
    newest = tmp_path / "cut" / "resume-000002.pt"
    newest.write_bytes(newest.read_bytes()[:-99])
    with pytest.raises(UserError, match=r"resume-000002\.pt is .*damaged.* delete it to resume from resume-000001\.pt"):
        train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, stage_dir=tmp_path / "cut", **options)
    newest.unlink()
    train_ppo(policy, PROMPTS, TOKENIZER, config, stage_dir=tmp_path / "cut", **options)
    assert all(map(torch.equal, weights(policy), weights(whole)))


def test_the_checkpoint_loads_like_that_of_stage_1(tmp_path):
    policy = tiny_gpt()
    stage_dir = tmp_path / "ppo"
    train_ppo(policy, PROMPTS, TOKENIZER, CONFIG, reward_fn=tiny_reward_model(), stage_dir=stage_dir)
    loaded = load_policy(stage_dir, TOKENIZER)
    assert all(map(torch.equal, weights(loaded), weights(policy)))
    assert load_checkpoint(stage_dir / "checkpoint.pt")["kind"] == "gpt"
    assert "What does a cow eat?" in (stage_dir / "samples.md").read_text(encoding="utf-8")


def test_rollouts_jsonl_has_every_answer_with_its_prompt_and_score(tmp_path):
    asked = []

    def reward(prompts, responses):
        asked.append((list(prompts), list(responses)))
        return [len(response) / 10 for response in responses]

    config = with_overrides(CONFIG, {"missing_end_score": None})
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, reward_fn=reward, stage_dir=tmp_path)
    rows = read_metrics(tmp_path / "rollouts.jsonl")
    assert [row["iteration"] for row in rows] == list(range(1, config.iterations + 1))
    for row, (prompts, responses) in zip(rows, asked, strict=True):
        assert [prompt_text(PROMPTS[number]) for number in row["prompts"]] == prompts, "answers of other prompts"
        assert row["responses"] == responses
        assert row["scores"] == pytest.approx([len(response) / 10 for response in responses], abs=1e-6)
        assert len(row["ended"]) == config.batch_size


def test_a_run_that_was_stopped_and_resumed_has_the_rollouts_of_one_that_was_not(tmp_path):
    config = with_overrides(CONFIG, {"checkpoint_every": 2})
    options = {"reward_fn": lambda p, r: map(len, r)}
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, stage_dir=tmp_path / "whole", **options)
    stopped_in_third_iteration(tmp_path / "cut", config)
    with (tmp_path / "cut" / "rollouts.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"iteration": 3, "responses": ["of an iteration that is made again')  # as a kill leaves it
    train_ppo(tiny_gpt(), PROMPTS, TOKENIZER, config, stage_dir=tmp_path / "cut", **options)
    found = [(tmp_path / name / "rollouts.jsonl").read_text(encoding="utf-8") for name in ("whole", "cut")]
    assert found[0] == found[1], "the answers after the saved state stand twice, or those before it are lost"


def test_every_prompt_is_asked_once_before_any_is_asked_again():
    asked = [row for iteration in range(6) for row in prompt_rows(10, 5, 0, iteration)]
    for epoch in range(3):
        assert sorted(asked[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert asked[:10] != asked[10:20]
    assert len(prompt_rows(3, 8, 0, 0)) == 8


def test_a_collapsing_share_of_ended_answers_is_warned_of(tmp_path, capsys, monkeypatch):
    policy, rollouts = tiny_gpt(), []
    end = F.one_hot(torch.tensor(TOKENIZER.end_id), TOKENIZER.vocab_size) * 20.0
    original = policy.logits
    policy.logits = lambda hidden: original(hidden) + (-end if rollouts else end)
    # called after the update of each iteration: from the first call on nothing ends
    monkeypatch.setattr(Run, "log_rollout", lambda run, batch, scores: rollouts.append(int(batch.ended.sum())))
    config = with_overrides(CONFIG, {"iterations": 3, "learning_rate": 0.0, "checkpoint_every": 1})
    train_ppo(policy, PROMPTS, TOKENIZER, config, reward_fn=lambda p, r: [0.0] * 8, stage_dir=tmp_path)
    assert rollouts == [8, 0, 0]
    err = capsys.readouterr().err
    assert "warning: iteration 2: 0% of the answers end by themselves, at first it was 100%" in err
    for part in ("likely the scores reward length", "--missing-end-score", "is iteration 1 in", "resume-000001.pt"):
        assert part in err
    assert err.count("warning:") == 1, "it is said when it happens, not in every iteration after it"


def test_when_the_share_of_ended_answers_collapses():
    assert ended_share_collapses([]) == ended_share_collapses([0.9]) == ""
    assert ended_share_collapses([0.9, 0.46]) == "", "half of it is no collapse"
    assert "44% of the answers end by themselves, at first it was 90%" in ended_share_collapses([0.9, 0.95, 0.44])
    assert ended_share_collapses([0.9, 0.44, 0.3]) == "", "said once"
    assert ended_share_collapses([0.9, 0.44, 0.6, 0.4]), "and again when it happens again"
    assert ended_share_collapses([0.09, 0.09, 0.0]) == "", "a policy that hardly ever ended has nothing to lose"
