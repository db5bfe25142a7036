"""The plan against a meter of live memory, the batch against a search, the words against what they must say.

The issue asks for ± 10 %; the meter reads within ± 0.6 % of the plan, so ± 2 % is what is demanded here.
"""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minigpt import flat as flat_module
from minigpt import model as model_module
from minigpt import optim
from minigpt.attention import attention_by_heads
from minigpt.generate import generate, groups_of_like_length
from minigpt.model import GPT, GPTConfig
from minigpt.objective import next_token_loss_sum
from minigpt.optim import Optimizer, OptimizerConfig
from minigpt.runs.errors import UserError, run_main
from minigpt.scale import plan
from minigpt.scale.accounting import ppo_flops
from minigpt.scale.plan import Phase, ppo_phases, pretraining_phases
from minigpt.scale.plan_config import Machine, Shape, Work, build_config
from minigpt.scale.precision import set_precision
from rlhf.stage2_reward.network import RewardModel, ValueModel
from rlhf.stage3_ppo.losses import policy_loss, value_loss
from rlhf.stage3_ppo.rollout import Batch, response_logprobs, response_values
from tests.meter import Meter

CPU = Machine(device="cpu", peak_tflops=0.27)
MODELS = {
    "ours": GPTConfig(vocab_size=1024, context=64, layers=4, heads=4, channels=128),
    "large vocabulary": GPTConfig(vocab_size=5000, context=48, layers=4, heads=2, channels=64),
    "llama": GPTConfig(vocab_size=512, context=64, layers=5, heads=4, channels=96, mlp="swiglu", tied_embeddings=False),
    "gpt2": GPTConfig(
        vocab_size=700,
        context=64,
        layers=6,
        heads=4,
        channels=96,
        position="learned",
        norm="layernorm",
        mlp="gelu_tanh",
        bias=True,
    ),
}


def random_ids(config, batch):
    return torch.randint(config.vocab_size, (batch, config.context), generator=torch.Generator().manual_seed(0))


def trained_twice(optimizer, *losses):
    """Two micro-batches, so that gradients of the first are there at the peak of the second, after a first step, so
    that moments are there too."""
    for loss in losses:
        loss().backward()
    optimizer.step(1.0)
    for loss in losses:
        loss().backward()


# ---- Memory against the meter ----


def test_the_meter_counts_live_bytes():
    with Meter() as meter:
        a = torch.zeros(1000)  # 4000 bytes
        b = a[10:]  # a view: nothing
        (a + 1).sum()  # 4000 bytes and 4 more, for a moment
        assert meter.live == 4000
        del a
        assert meter.live == 4000, "the view keeps the storage"
        del b
    assert (meter.live, meter.peak) == (0, 8004)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_pretraining_peaks_as_planned(name, precision):
    config, batch = MODELS[name], 4
    ids = random_ids(config, batch)
    with Meter() as meter:
        model = GPT(config)
        optimizer = Optimizer(model, OptimizerConfig(optimizer="adamw"))

        def loss():
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                return next_token_loss_sum(model(ids), ids)

        meter.peak = 0
        trained_twice(optimizer, loss)
    phase = pretraining_phases(config, CPU, Work(precision=precision, optimizer="adamw"))[0]
    assert meter.peak == pytest.approx(phase.total(batch), rel=0.02), f"{meter.peak / phase.total(batch) - 1:+.1%}"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", MODELS)
def test_the_step_of_muon_peaks_as_planned(name, device, monkeypatch):
    config = MODELS[name]
    if device == "cuda":  # whose way can be gone on a CPU too
        monkeypatch.setattr(optim, "newton_schulz_by_gram", optim.newton_schulz)
    ids = random_ids(config, 1)[:, :8]
    with Meter() as meter:
        model = GPT(config)
        optimizer = Optimizer(model, OptimizerConfig(optimizer="muon"))
        trained_twice(optimizer, lambda: next_token_loss_sum(model(ids), ids))
        meter.peak = 0
        optimizer.step(1.0)
    phase = pretraining_phases(config, replace(CPU, device=device), Work(optimizer="muon"))[1]
    assert meter.peak == pytest.approx(phase.total(1), rel=0.02), f"{meter.peak / phase.total(1) - 1:+.1%}"


def make_episodes(config, batch, response):
    ids = random_ids(config, batch)
    prompt, zeros = config.context - response, torch.zeros(batch, config.context - 1)
    return Batch(
        prompts=torch.arange(batch),
        ids=ids,
        prompt_lengths=torch.full((batch,), prompt),
        lengths=torch.full((batch,), response),
        ended=torch.ones(batch, dtype=torch.bool),
        logprobs=zeros,
    )


def four_models(config):
    policy = GPT(config)
    reward_model = RewardModel(GPT(config), torch.Generator().manual_seed(0)).requires_grad_(False)
    value_model = ValueModel.from_reward_model(reward_model)
    return policy, copy.deepcopy(policy).requires_grad_(False), reward_model, value_model


@pytest.mark.parametrize("name", MODELS)
def test_a_ppo_update_peaks_as_planned(name):
    config, batch, response = MODELS[name], 4, 20
    part = make_episodes(config, batch, response)
    with Meter() as meter:
        policy, reference, reward_model, value_model = four_models(config)
        optimizers = [Optimizer(model, OptimizerConfig(optimizer="adamw")) for model in (value_model, policy)]

        def losses_of_value():
            values = response_values(value_model, part)
            return value_loss(values, part.logprobs, part.logprobs, part.mask, 0.2)[0]

        def losses_of_policy():
            logprobs = response_logprobs(policy, part, temperature=1.0)[0]
            return policy_loss(logprobs, part.logprobs, part.logprobs, part.mask, 0.2)[0]

        meter.peak = 0
        for optimizer, loss in zip(optimizers, (losses_of_value, losses_of_policy), strict=True):
            trained_twice(optimizer, loss)
    assert reference is not policy
    assert not any(parameter.requires_grad for parameter in reward_model.parameters())
    phase = ppo_phases(config, CPU, Work(precision="float32", response_tokens=response))[1]
    assert meter.peak == pytest.approx(phase.total(batch), rel=0.02), f"{meter.peak / phase.total(batch) - 1:+.1%}"


def sampling_peak(config, prompts, response, precision):
    """The most live bytes while a policy answers, beside the three other models of PPO."""
    with Meter() as meter:
        models = four_models(config)
        set_precision(models[0], getattr(torch, precision))
        meter.peak = 0
        generate(
            models[0],
            prompts,
            max_new_tokens=response,
            stop_tokens=[],
            pad_id=0,
            want_logprobs=True,
            generator=torch.Generator().manual_seed(0),
        )
    return meter.peak


def sampling_plan(config, batch, response, precision):
    """The same, as it is planned."""
    phase = ppo_phases(config, CPU, Work(response_tokens=response, precision=precision))[0]
    weights = sum(size for part, size in phase.fixed.items() if part.startswith("weights"))
    return weights + batch * sum(phase.each.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "response"), [("ours", 12), ("ours", 30), ("large vocabulary", 40), ("llama", 12), ("gpt2", 12)]
)
def test_ppo_sampling_peaks_as_planned(name, response, precision):
    config, batch = MODELS[name], 24  # peaks reading, copying, choosing, copying, copying (llama in bfloat16: reading)
    prompts = random_ids(config, batch)[:, : config.context - response].tolist()
    peak, planned = (
        sampling_peak(config, prompts, response, precision),
        sampling_plan(config, batch, response, precision),
    )
    assert peak == pytest.approx(planned, rel=0.02), f"{peak / planned - 1:+.1%}"


@pytest.mark.parametrize(("name", "response"), [("ours", 12), ("ours", 30), ("llama", 12), ("gpt2", 12)])
def test_prompts_that_are_read_in_groups_need_less_than_planned(name, response):
    """A quarter has all the tokens that there is room for, the others are short: four groups."""
    config, batch = MODELS[name], 64
    prompts = random_ids(config, batch)[:, : config.context - response].tolist()
    short = [prompt[: 1 + number % 12] for number, prompt in enumerate(prompts[16:])]
    assert len(groups_of_like_length(torch.tensor([len(prompt) for prompt in short + prompts[:16]]))) == 4
    peak = sampling_peak(config, short + prompts[:16], response, "float32")
    assert peak < sampling_plan(config, batch, response, "float32")


@pytest.mark.parametrize("name", MODELS)
def test_the_four_models_and_what_trains_them_have_exactly_the_planned_bytes(name):
    config = MODELS[name]
    fixed = ppo_phases(config, CPU, Work())[1].fixed
    models = dict(
        zip(
            ("weights", "weights of the reference", "weights of the reward model", "weights of the value model"),
            four_models(config),
            strict=True,
        )
    )
    for part, model in models.items():
        assert fixed[part] == sum(parameter.nbytes for parameter in model.parameters()), part
    trained = [p for part in ("weights", "weights of the value model") for p in models[part].parameters()]
    gradients = sum(parameter.nbytes for parameter in trained if parameter.requires_grad)
    assert fixed["gradients"] == gradients, "an untied output matrix of the value model is frozen"
    assert fixed["optimiser"] == 2 * gradients


# ---- FLOPs of PPO ----


def test_ppo_takes_a_little_less_flops_than_planned(monkeypatch):
    # torch counts no FLOPs of the fused CPU kernel, so the products of attention have to be in plain sight
    for module in (model_module, flat_module):
        monkeypatch.setattr(module, "attention_fused", lambda q, k, v, mask, dropout: attention_by_heads(q, k, v, mask))
    config = GPTConfig(vocab_size=80, context=24, layers=3, heads=4, channels=64)
    part = make_episodes(config, batch=4, response=12)
    policy, reference, reward_model, value_model = four_models(config)
    prompts, generator = part.ids[:, :12].tolist(), torch.Generator().manual_seed(0)
    with FlopCounterMode(display=False) as counted:
        generate(policy, prompts, max_new_tokens=12, stop_tokens=[], pad_id=0, generator=generator)
        with torch.no_grad():
            response_logprobs(reference, part, temperature=1.0)
            reward_model(part.ids, part.total_lengths)
            response_values(value_model, part)
        for _ in range(2):
            response_logprobs(policy, part, temperature=1.0)[0].sum().backward()
            response_values(value_model, part).sum().backward()
    planned = ppo_flops(config, tokens=24, response=12, episodes=4, epochs=2)
    assert 0.97 * planned < counted.get_total_flops() < planned, f"{counted.get_total_flops() / planned - 1:+.1%}"


# ---- The largest batch ----


def searched(phase, room):
    batch = 0
    while phase.total(batch + 1) <= room:
        batch += 1
    return batch


@pytest.mark.parametrize("gigabytes", [0.02, 0.05, 0.1, 0.333, 1.0])
@pytest.mark.parametrize("name", MODELS)
def test_the_largest_batch_is_the_one_that_a_search_finds(name, gigabytes):
    machine = Machine(gpus=4, gpu_memory=gigabytes, shard=True)
    for phase in [pretraining_phases(MODELS[name], machine, Work())[0], *ppo_phases(MODELS[name], machine, Work())]:
        assert phase.largest_batch(machine.room) == searched(phase, machine.room), phase.name


def test_a_batch_that_fills_the_room_to_the_last_byte_fits():
    phase = Phase("made up", {"state": 10}, {"activations": 4, "logits": 1})
    assert [phase.largest_batch(room) for room in (5, 10, 14, 15, 19, 20)] == [0, 0, 0, 1, 1, 2]


def test_sharding_divides_the_state_and_spares_the_buckets():
    config = MODELS["ours"]
    alone, together, sharded = (
        pretraining_phases(config, machine, Work(optimizer="adamw"))[0].fixed
        for machine in (Machine(), Machine(gpus=8), Machine(gpus=8, shard=True))
    )
    assert together == alone | {"gradients in DDP's buckets": alone["gradients"]}, "DDP: a copy of all, and buckets"
    for part in ("weights", "gradients", "optimiser"):
        assert sharded[part] == pytest.approx(alone[part] / 8, abs=16), part


# ---- The shape ----


@pytest.mark.parametrize(
    ("params", "shape", "layers", "heads", "channels"),
    [
        (
            124e6,
            {"vocab_size": 50257, "context": 1024, "position": "learned", "norm": "layernorm", "bias": True},
            12,
            12,
            768,
        ),
        (6.7e9, {"mlp": "swiglu", "tied_embeddings": False}, 32, 32, 4096),
        (13e9, {"mlp": "swiglu", "tied_embeddings": False}, 40, 40, 5120),
        (175e9, {"vocab_size": 50257, "position": "learned", "norm": "layernorm", "bias": True}, 96, 96, 12288),
    ],
    ids=["GPT-2", "LLaMA 7B", "LLaMA 13B", "GPT-3"],
)
def test_a_size_becomes_the_shape_of_the_famous_model_of_that_size(params, shape, layers, heads, channels):
    config = build_config(Shape(params=params, **shape))
    assert (config.layers, config.heads, config.channels) == (layers, heads, channels)


def test_the_chosen_shape_is_the_nearest_of_its_family():
    for params in (20e6, 90e6, 400e6, 999e6, 1e9, 3.3e9, 40e9):
        size = 64 if params < 1e9 else 128
        family = [build_config(Shape(layers=n, heads=n, channels=n * size)).parameter_count() for n in range(1, 80)]
        chosen = build_config(Shape(params=params)).parameter_count()
        assert chosen == min(family, key=lambda count: abs(count - params)), f"{params:g}"


# ---- The command ----

LLAMA_7B = Shape(layers=32, heads=32, channels=4096, hidden=11008, mlp="swiglu", tied_embeddings=False)
PLAN_7B = ["--layers=32", "--heads=32", "--channels=4096", "--hidden=11008", "--mlp=swiglu", "--no-tied-embeddings"]


def lines_of(capsys, *flags):
    plan.main(list(flags))
    return capsys.readouterr().out.splitlines()


def test_days_and_flops_are_those_of_the_closed_form(capsys):
    lines = lines_of(capsys, *PLAN_7B, "--gpus=64", "--shard", "--tokens=1e12", "--peak-tflops=312", "--mfu=0.5")
    tokens_flops = 6 * (6_738_415_616 - 32_000 * 4096) + 12 * 32 * 4096 * 2048
    days = 1e12 * tokens_flops / (64 * 312e12 * 0.5) / 86400
    assert f"1 trillion tokens, {1e12 * tokens_flops:.3g} FLOPs, {days:.3g} days" in lines[2]
    whole, half, vocabulary = 2048 * tokens_flops / 3, 1024, 2 * 32_000 * 4096
    unread = 2 * 3 * 4096 * 11_008  # what a token that is not read saves in the last block
    policy, value = (whole - half * unread - unscored * vocabulary for unscored in (half, 2048))
    reward = whole - 2047 * unread - 2048 * vocabulary
    episodes_flops = 256_000 * (2 * policy + value + reward + 3 * (policy + value))
    assert f"{episodes_flops:.3g} FLOPs, at least {episodes_flops / (64 * 312e12 * 0.5) / 86400:.3g} days" in lines[3]


def test_without_tokens_it_plans_twenty_a_parameter(capsys):
    lines = lines_of(capsys, "--layers=12", "--heads=12", "--channels=768", "--vocab-size=50257")
    assert "pretraining: 2.47 billion tokens" in lines[2], "20 x 123.6 million"


def test_the_table_adds_up_and_names_the_largest_batch(capsys):
    lines = lines_of(capsys, *PLAN_7B, "--gpus=64", "--shard", "--optimizer=adamw", "--precision=float32")
    config, machine = build_config(LLAMA_7B), Machine(64, shard=True)
    phase = pretraining_phases(config, machine, Work(precision="float32", optimizer="adamw"))[0]
    batch = searched(phase, 72e9)
    column = {line[:40].strip(): line[40:].split()[0] for line in lines[6:] if line[40:].split()}
    assert column["sequences of 2,048 tokens at once"] == str(batch)
    assert float(column["sum"]) == pytest.approx(phase.total(batch) / 1e9, abs=0.06)
    parts = [float(column[name]) for name in phase.fixed if phase.fixed[name]] + [
        float(column[name]) for name in ("activations", "logits")
    ]
    assert sum(parts) == pytest.approx(phase.total(batch) / 1e9, rel=0.01), "rows and sum disagree"
    assert lines[6].startswith("GB on each GPU (72.0 to use)"), "80 GB less a tenth"
    assert lines[6].split()[7:] == ["pretraining", "PPO", "sampling", "PPO", "update"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([*PLAN_7B, "--gpus=64"], "it fits with --shard"),
        ([*PLAN_7B], "it fits with --shard on "),
        ([*PLAN_7B, "--gpus=2", "--shard"], "it fits with --shard on "),
        ([*PLAN_7B, "--gpus=64", "--shard", "--gpu-memory=10"], "no number of GPUs is enough"),
    ],
)
def test_what_does_not_fit_is_said_with_what_to_do(flags, sentence, capsys):
    lines = lines_of(capsys, *flags)
    said = [line for line in lines if line.startswith("pretraining does not fit")]
    assert len(said) == 1
    assert sentence in said[0]
    assert "Muon's step" in said[0] or "pretraining takes" in said[0]


@pytest.mark.parametrize("gigabytes", [60, 80, 130])
def test_the_number_of_gpus_that_is_enough_is_the_least_power_of_two(gigabytes, capsys):
    lines = lines_of(capsys, *PLAN_7B, f"--gpu-memory={gigabytes}")
    line = next(line for line in lines if line.startswith("pretraining does not fit"))
    config = build_config(LLAMA_7B)
    numbers = [2**power for power in range(1, 10)]
    enough = [n for n in numbers if plan.fits("pretraining", config, Machine(n, gigabytes, shard=True), Work())]
    assert line.endswith(f"it fits with --shard on {enough[0]} GPUs")


def test_passes_that_fit_are_of_no_use_if_the_step_of_muon_does_not():
    config = build_config(LLAMA_7B)
    passes, step = pretraining_phases(config, Machine(), Work())
    assert passes.total(1) < step.total(1)
    between = Machine(gpu_memory=(passes.total(1) + step.total(1)) / 2 / 1e9, reserve=0.0)
    assert passes.largest_batch(between.room) >= 1
    assert plan.pretraining_batch(config, between, Work()) == 0
    with pytest.raises(UserError, match="Muon's step takes"):
        plan.pretraining_batch(config, between, Work(batch_size=1))


def test_what_fits_is_not_complained_about(capsys):
    lines = lines_of(capsys, "--layers=4", "--heads=4", "--channels=128", "--vocab-size=1024", "--context=128")
    assert not [line for line in lines if "does not fit" in line]


def test_a_batch_that_was_asked_for_is_planned_with(capsys):
    lines = lines_of(capsys, *PLAN_7B, "--gpus=64", "--shard", "--batch-size=2")
    assert "262,144 tokens in one pass of all" in lines[2], "64 GPUs x 2 sequences x 2,048 tokens"
    assert lines[-1].split()[6] == "2"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--params, or all of"),
        (["--layers=4", "--heads=4"], "--params, or all of"),
        (["--params=7e9", "--layers=4"], "--layers cannot be given too"),
        (["--params=1e6"], "off by more than a quarter"),
        (["--params=0"], "--params: expected"),
        (["--layers=4", "--heads=3", "--channels=128"], "128 channels cannot be shared equally by 3 heads"),
        (["--params=7e9", "--gpus=0"], "--gpus: expected 1 or more, got 0"),
        (["--params=7e9", "--gpus=many"], "--gpus: expected a whole number"),
        (["--params=7e9", "--shard"], "give --gpus 2 or more"),
        (["--params=7e9", "--gpu-memory=0"], "--gpu-memory: expected"),
        (["--params=7e9", "--reserve=1"], "--reserve: expected"),
        (["--params=7e9", "--mfu=1.5"], "--mfu: expected"),
        (["--params=7e9", "--peak-tflops=-1"], "--peak-tflops: expected"),
        (["--params=7e9", "--device=cpu"], "give --peak-tflops"),
        (["--params=7e9", "--tokens=0"], "--tokens: expected"),
        (["--params=7e9", "--epochs=0"], "--epochs: expected 1 or more, got 0"),
        (["--params=7e9", "--episodes=0"], "--episodes: expected 1 or more, got 0"),
        (["--params=7e9", "--batch-size=-1"], "--batch-size: expected 0 or more, got -1"),
        (["--params=7e9", "--context=1"], "--context: expected 2 or more"),
        (["--params=7e9", "--response-tokens=2048"], "--response-tokens: expected 1 to 2047"),
        (["--params=7e9", "--gpus=64", "--shard", "--batch-size=1000"], "the largest batch that fits is 5"),
        (["--params=7e9", "--batch-size=1"], "it fits with --shard on "),
        (["--params=7e9", "--gpu=64"], "did you mean --gpus?"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(flags, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plan", *flags])
    with pytest.raises(SystemExit) as stop:
        run_main(plan.main)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "", "half a plan was printed"
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_no_gpu_of_any_number_holds_what_is_not_divided():
    with pytest.raises(UserError, match="no number of GPUs is enough"):
        plan.pretraining_batch(
            build_config(Shape(params=175e9)), Machine(gpus=1024, shard=True), Work(batch_size=1, optimizer="adamw")
        )
