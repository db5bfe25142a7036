"""Compiled blocks: the same numbers for any length, for training only, and nothing of it in a checkpoint.

With the backend "eager", which runs the graph that was found as it is. What inductor makes of it needs a compiler and
half a minute.
"""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minigpt.attention import Layout, packed_layout
from minigpt.flat import flatten
from minigpt.generate import generate
from minigpt.model import GPT, GPTConfig
from minigpt.runs import folder
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.log.metrics import read_metrics
from minigpt.scale import compilation
from minigpt.scale.compilation import compile_blocks, pays_back
from minigpt.scale.precision import set_precision
from minigpt.training import TrainingConfig, train
from tests.minigpt.test_training import RaggedObjective

CONFIG = GPTConfig(vocab_size=13, context=24, layers=2, heads=2, channels=8)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def compiled_gpt(dtype: torch.dtype = torch.float32) -> GPT:
    model = set_precision(GPT(CONFIG, seed=1), dtype)
    compile_blocks(model, "on", backend="eager")
    return model


def rows(batch: int, tokens: int) -> torch.Tensor:
    return torch.randint(13, (batch, tokens), generator=torch.Generator().manual_seed(batch * tokens))  # [B,T]


def gradients(
    model: nn.Module, ids: torch.Tensor, layout: Layout | None = None, at: torch.Tensor | None = None
) -> list[torch.Tensor]:
    model.zero_grad()
    model(ids, layout, at=at).logsumexp(-1).square().sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_gradients_are_those_of_the_plain_blocks_at_every_length():
    plain, compiled = set_precision(GPT(CONFIG, seed=1), torch.bfloat16), compiled_gpt(torch.bfloat16)
    for batch, tokens in ((4, 16), (3, 11), (5, 24)):
        ids = rows(batch, tokens)
        assert_close(gradients(compiled, ids), gradients(plain, ids), rtol=0, atol=0)
        layout = packed_layout(torch.arange(tokens).expand(batch, tokens) // 5)  # as in SFT
        assert_close(gradients(compiled, ids, layout), gradients(plain, ids, layout), rtol=0, atol=0)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs <= 4, f"{graphs} graphs: one for the first length and one for all others, without and with a mask"
    assert not torch._dynamo.utils.counters["graph_break"], "a block falls apart into several graphs"


def test_gradients_are_those_of_the_plain_blocks_where_only_some_positions_are_returned():
    plain, compiled = GPT(CONFIG, seed=1), compiled_gpt()
    for batch, tokens in ((8, 16), (8, 11), (12, 24), (16, 20), (8, 13)):
        ids = rows(batch, tokens)
        at = (ids % 3 == 0) & (torch.arange(tokens) < tokens * 3 // 4)  # a quarter of the places is left out: flat
        assert flatten(ids, at) is not None
        assert_close(gradients(compiled, ids, at=at), gradients(plain, ids, at=at), rtol=0, atol=0)
    assert torch._dynamo.utils.counters["stats"], "nothing was compiled"
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs <= 8, (
        f"{graphs} graphs: first shape, other lengths, another number of rows; the last block has two parts"
    )


def test_gradients_are_those_of_the_plain_blocks_where_flat_and_padded_batches_take_turns():
    plain, compiled = GPT(CONFIG, seed=1), compiled_gpt()
    for batch, tokens, read in ((8, 16, 8), (8, 16, 16), (8, 11, 5), (8, 11, 11), (12, 24, 12), (12, 24, 24)):
        ids = rows(batch, tokens)
        at = (ids % 3 == 0) & (torch.arange(tokens) < read)
        at[:, read - 1] = True
        assert (flatten(ids, at) is None) == (read == tokens)
        assert_close(gradients(compiled, ids, at=at), gradients(plain, ids, at=at), rtol=0, atol=0)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs <= 16, f"{graphs} graphs: those of flat rows and as many of padded ones"


@pytest.mark.parametrize(
    ("triton", "capability", "expected"), [(True, (7, 0), True), (True, (6, 1), False), (False, (9, 0), False)]
)
def test_auto_compiles_on_cuda_only_where_triton_can(triton, capability, expected, monkeypatch):
    monkeypatch.setattr(compilation, "find_spec", lambda name: object() if triton else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pays_back(torch.device("cuda")) is expected, "on Windows, or on a GPU of 2016, training would fail"
    assert not pays_back(torch.device("cpu"))
    assert not pays_back(torch.device("mps"))


def test_auto_compiles_nothing_on_a_cpu_and_off_nowhere():
    for setting in ("auto", "off"):
        model = GPT(CONFIG)
        compile_blocks(model, setting)
        assert not any("forward" in vars(block) for block in model.blocks)


def test_writing_and_evaluation_run_as_they_are():
    model = compiled_gpt()
    generate(model, [[1, 2, 3]], max_new_tokens=4, stop_tokens=[], pad_id=0, temperature=0)
    with torch.no_grad():
        model(rows(2, 9))
    assert not torch._dynamo.utils.counters["stats"], "a cache of another length each time would compile each time"


def test_a_copy_of_a_compiled_model_computes_with_its_own_weights():
    model = compiled_gpt()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.blocks[0].mlp.up.weight.zero_()
    plain = GPT(CONFIG, seed=1)
    plain.load_state_dict(other.state_dict())
    assert_close(other(rows(2, 9)), plain(rows(2, 9)), rtol=0, atol=0, msg="the copy runs the original's blocks")


def test_a_compiled_run_is_the_plain_run_and_its_checkpoint_knows_nothing_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "draw_curves", lambda *arguments: None)
    monkeypatch.setattr("minigpt.training.compile_blocks", partial(compile_blocks, backend="eager"))
    losses, weights = {}, {}
    for setting in ("off", "on"):
        config = TrainingConfig(steps=6, batch_size=4, evaluate_every=3, checkpoint_every=2, compile=setting)
        train(
            GPT(CONFIG, seed=1),
            RaggedObjective(micro=2),
            config,
            stage_dir=tmp_path / setting,
            seed=0,
            describe={},
            checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
        )
        losses[setting] = [row["loss"] for row in read_metrics(tmp_path / setting / "metrics.jsonl") if row["step"]]
        weights[setting] = load_checkpoint(tmp_path / setting / "checkpoint.pt", kind="gpt")["model"]
    assert torch._dynamo.utils.counters["stats"], "nothing was compiled"
    assert losses["on"] == losses["off"]
    assert list(weights["on"]) == list(weights["off"]) == list(GPT(CONFIG).state_dict()), "_orig_mod in the names"
    assert_close(weights["on"], weights["off"], rtol=0, atol=0)
