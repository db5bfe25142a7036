"""The command that measures training on this machine: what it counts, and that it runs at all."""

import json

import pytest
import torch

from minigpt.model import GPTConfig
from minigpt.runs.config import parse
from minigpt.runs.errors import UserError
from minigpt.scale import bench
from minigpt.scale.accounting import flops_per_token
from minigpt.training import TrainingConfig

TINY = GPTConfig(vocab_size=32, context=8, layers=1, heads=2, channels=8)
CPU = torch.device("cpu")


def brief(**settings):
    return TrainingConfig(**{"steps": 5, "batch_size": 4, "evaluate_every": 0, "checkpoint_every": 0, **settings})


def test_mfu_is_the_training_flops_over_those_of_the_product():
    found = bench.utilisation(TINY, [10.0, 30.0, 20.0], product_flops=1e6)
    assert found.tokens_per_second == 20.0
    assert found.mfu == pytest.approx(20.0 * flops_per_token(TINY, TINY.context) / 1e6)


def test_the_first_steps_are_not_counted_and_the_others_are_rates():
    rates = bench.training_rates(TINY, brief(), CPU)
    assert len(rates) == 5 - bench.WARM_UP
    assert all(rate > 0 for rate in rates)


def test_the_batch_is_split_as_training_splits_it():
    objective = bench.RandomTokens(TINY, brief(micro_batch_size=3), CPU)
    micros = objective.micro_batches(0)
    assert [tuple(inputs.shape) for inputs, _ in micros] == [(3, 8), (1, 8)]
    assert sum(objective.tokens(micro) for micro in micros) == 4 * 8
    for inputs, targets in micros:
        assert torch.equal(inputs[:, 1:], targets[:, :-1]), "targets must be the inputs one token later"


def test_measuring_leaves_the_global_random_numbers_alone():
    before = torch.random.get_rng_state()
    bench.training_rates(TINY, brief(), CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_gpt2_has_its_124_million_parameters():
    config = parse(bench.BenchConfig, ["--preset", "gpt2"], description="", presets=bench.PRESETS).model
    assert config.context == 1024
    padding = (config.vocab_size - 50257) * config.channels
    assert config.parameter_count() - padding == 124_439_808  # what transformers' GPT2LMHeadModel counts


def test_the_command_prints_and_writes_one_measurement(tmp_path, capsys):
    argv = "--preset tiny --layers 1 --channels 8 --heads 2 --context 8 --vocab-size 32 --batch-size 2 --steps 5"
    bench.main([*argv.split(), "--product-side", "16", "--device", "cpu", "--runs", str(tmp_path)])
    written = json.loads((tmp_path / "tiny" / "bench" / "bench.json").read_text(encoding="utf-8"))
    assert written["mfu"] == pytest.approx(written["training_flops"] / written["product_flops"])
    assert f"MFU {written['mfu']:.1%}" in capsys.readouterr().out


def test_a_gpu_is_not_called_threads():
    assert bench.device_name(CPU) == f"{torch.get_num_threads()} threads"
    assert "threads" not in bench.device_name(torch.device("mps"))


def test_a_sharded_measurement_is_refused_as_only_one_process_is_measured():
    with pytest.raises(UserError, match="--shard: bench measures one process"):
        parse(bench.BenchConfig, ["--shard"], description="", presets=bench.PRESETS)


def test_too_few_steps_to_measure_are_refused():
    with pytest.raises(UserError, match="--steps: expected more than 3"):
        parse(bench.BenchConfig, ["--steps", "3"], description="", presets=bench.PRESETS)
