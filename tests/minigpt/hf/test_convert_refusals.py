"""A mistake in a model that is exported or imported is named in one sentence, and nothing is written."""

import errno
import json
import os
import sys
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from minigpt.hf import convert
from minigpt.runs.checkpoint import load_checkpoint, save_checkpoint
from minigpt.runs.errors import run_main
from minigpt.tokenizer import Tokenizer
from tests.minigpt.hf.hf_models import GPT2, LLAMA, SHAPE, export, make_run, small_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return small_tokenizer()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run the command, which must be refused; returns the sentence it was refused with."""

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["convert", "--runs", str(tmp_path / "runs"), *map(str, flags)])
        capsys.readouterr()
        before = files(tmp_path)
        with pytest.raises(SystemExit) as stop:
            run_main(convert.main)
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("error: "), err
        assert err.count("\n") == 1, f"more than one line:\n{err}"
        assert files(tmp_path) == before, "files were changed"
        assert not list(tmp_path.rglob("*.tmp")), "a temporary folder was left behind"
        return err

    return run


@pytest.fixture
def exported(tokenizer, tmp_path):
    """A LLaMA model in Hugging Face's format."""
    return export(tokenizer, tmp_path / "in", LLAMA)


def test_flags_that_do_not_go_together(refused):
    assert "one of --to-hf FOLDER" in refused()
    assert "one of --to-hf FOLDER" in refused("--to-hf", "a", "--from-hf", "b")
    assert "--stage belongs to --to-hf" in refused("--from-hf", "a", "--stage", "sft")
    assert "did you mean --to-hf?" in refused("--to-hv", "a")
    assert "did you mean tiny?" in refused("--preset", "tinny")


@pytest.mark.parametrize(
    "changes",
    [
        {"position": "sinusoidal"},
        {"position": "learned"},
        {"norm": "layernorm"},
        {"bias": True},
        {"position": "learned", "norm": "layernorm", "bias": True, "mlp": "swiglu"},
    ],
)
def test_a_model_that_no_architecture_holds_is_refused_by_its_settings(refused, tokenizer, tmp_path, changes):
    config = replace(SHAPE, **changes)
    make_run(tmp_path / "runs", tokenizer, config)
    sentence = refused("--to-hf", tmp_path / "out")
    assert f"position {config.position}, norm {config.norm}, mlp {config.mlp} and bias {config.bias}" in sentence


def test_a_stage_that_is_not_there(refused, tokenizer, tmp_path):
    assert "run `make pretrain` first" in refused("--to-hf", tmp_path / "out")
    make_run(tmp_path / "runs", tokenizer, SHAPE, stage="sft")
    sentence = refused("--to-hf", tmp_path / "out", "--stage", "stf")
    assert "has sft (did you mean sft?)" in sentence
    assert "pretrain" in refused("--to-hf", tmp_path / "out")


def test_a_reward_model_is_no_policy(refused, tokenizer, tmp_path):
    make_run(tmp_path / "runs", tokenizer, SHAPE, stage="reward_model")
    path = tmp_path / "runs" / "small" / "reward_model" / "checkpoint.pt"
    save_checkpoint(path, {**load_checkpoint(path), "kind": "reward_model"})
    assert "'reward_model'" in refused("--to-hf", tmp_path / "out", "--stage", "reward_model")


def test_what_is_there_already_is_never_overwritten(refused, exported, tokenizer, tmp_path):
    make_run(tmp_path / "runs", tokenizer, SHAPE)
    assert "already exists" in refused("--to-hf", exported)
    assert "already exists" in refused("--from-hf", exported)
    assert "already exists" in refused("--to-hf", exported / "config.json")


def test_an_empty_folder_may_be_filled(tokenizer, tmp_path):
    make_run(tmp_path / "runs", tokenizer, SHAPE)
    (tmp_path / "out").mkdir()
    convert.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_folder_that_cannot_be_made(refused, tokenizer, tmp_path):
    make_run(tmp_path / "runs", tokenizer, SHAPE)
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    sentence = refused("--to-hf", tmp_path / "file" / "out")
    assert f"{tmp_path / 'file' / 'out'} could not be written" in sentence


def test_a_disk_that_fills_up_leaves_no_half_of_a_model(refused, exported, tokenizer, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    make_run(tmp_path / "runs", tokenizer, SHAPE)
    monkeypatch.setattr(os, "fsync", full)
    assert "could not be written: No space left" in refused("--to-hf", tmp_path / "out")
    assert "could not be written: No space left" in refused("--from-hf", exported, "--preset", "tiny")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "runs" / "tiny").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "mistral"}, "model_type is 'mistral', but must be one of gpt2, llama, arcee"),
        ({"model_type": None}, "model_type is None"),
        ({"num_key_value_heads": 2}, "num_key_value_heads is 2, but must be 4"),
        ({"head_dim": 16}, "head_dim is 16, but must be 8"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', and only silu"),
        ({"hidden_act": ["silu"]}, "hidden_act"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling is {'type': 'linear', 'factor': 2.0}"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "rope_parameters is"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "rope_parameters is"),
        ({"rope_parameters": 3}, "rope_parameters is 3"),
        ({"num_hidden_layers": "two"}, "'layers': expected a whole number, got 'two'"),
        ({"num_hidden_layers": 3}, "lacks model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1}, "holds what no such model has: model.layers.1.input_layernorm.weight"),
        ({"intermediate_size": 56}, "model.layers.0.mlp.up_proj.weight is torch.float32 [48, 32]"),
        ({"hidden_size": 40, "head_dim": None}, "model.embed_tokens.weight is torch.float32 [291, 32]"),
        ({"hidden_size": 36}, "an even head size"),
        ({"hidden_size": 34}, "34 channels cannot be shared equally by 4 heads"),
        ({"tie_word_embeddings": True}, "lm_head.weight is not model.embed_tokens.weight"),
        ({"vocab_size": 300}, "vocab_size is 300, but the tokenizer beside it has 291"),
        ({"model_type": "gpt2"}, "lacks n_positions, n_layer"),
        ({"model_type": "arcee", "hidden_act": "relu2"}, "hidden_act is 'relu2', and only gelu, gelu_pytorch_tanh"),
    ],
)
def test_a_llama_that_is_none_of_ours(refused, exported, change, says):
    path = exported / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    sentence = refused("--from-hf", exported)
    assert says in sentence, sentence
    assert str(exported) in sentence


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"n_positions": 41}, "transformer.wpe.weight is torch.float32 [40, 32]"),
        ({"n_head": 5}, "cannot be shared equally"),
    ],
)
def test_a_gpt2_that_is_none_of_ours(refused, tokenizer, tmp_path, change, says):
    folder = export(tokenizer, tmp_path / "in", GPT2)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    sentence = refused("--from-hf", folder)
    assert says in sentence, sentence


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("model.norm.weight"), "lacks model.norm.weight;"),
        (lambda t: t.update(score=torch.ones(1, 2)), "holds what no such model has: score;"),
        (lambda t: t.update({"lm_head.bias": torch.ones(2)}), "holds what no such model has: lm_head.bias;"),
        (lambda t: t.update({"model.norm.weight": torch.ones(32).char()}), "model.norm.weight is torch.int8 [32]"),
        (lambda t: t.update({"model.norm.weight": torch.ones(3)}), "model.norm.weight is torch.float32 [3]"),
        (lambda t: [t.pop(name) for name in list(t) if "layers.1" in name], "lacks model.layers.1.input_layernorm"),
        (lambda t: t.update({f"a{n}": torch.ones(1) for n in range(5)}), "a0, a1, a2 and 2 more"),
    ],
)
def test_tensors_that_are_missing_left_over_or_of_another_shape(refused, exported, change, says):
    change_tensors(exported, change)
    sentence = refused("--from-hf", exported)
    assert says in sentence, sentence
    assert "model.safetensors" in sentence


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", b"{", "config.json is damaged"),
        ("config.json", b"\xff", "config.json is damaged"),
        ("config.json", b"[]", "config.json is no JSON object"),
        ("tokenizer.json", b"{", "tokenizer.json is damaged"),
        ("model.safetensors", None, "has no weights: expected model.safetensors"),
        ("model.safetensors", b"weights", "model.safetensors is truncated or damaged"),
        ("model.safetensors", b"", "model.safetensors is truncated or damaged"),
        ("model.safetensors", -100, "model.safetensors is truncated or damaged"),
    ],
)
def test_files_that_are_missing_or_damaged(refused, exported, name, content, says):
    path = exported / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    assert says in refused("--from-hf", exported)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({}, "has no weight_map"),
        ({"weight_map": {"a": 3}}, "has no weight_map"),
        ({"weight_map": {"a": "part-1.safetensors"}}, "part-1.safetensors is missing"),
        ({"weight_map": {"a": "../model.safetensors"}}, "'../model.safetensors' is not the name of a file"),
    ],
)
def test_an_index_that_leads_nowhere(refused, exported, index, says):
    (exported / "model.safetensors").unlink()
    (exported / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert says in refused("--from-hf", exported)


class Malicious:
    def __reduce__(self):
        return print, ("this must never run",)


@pytest.mark.parametrize("content", [{"a": Malicious()}, [1, 2], {"a": 3}, None])
def test_a_pickled_file_that_holds_more_than_tensors_is_refused_and_not_run(refused, exported, capsys, content):
    (exported / "model.safetensors").unlink()
    if content is None:
        (exported / "pytorch_model.bin").write_bytes(b"no archive")
    else:
        torch.save(content, exported / "pytorch_model.bin")
    assert "pytorch_model.bin" in refused("--from-hf", exported)
    assert "never" not in capsys.readouterr().out


def test_a_folder_that_is_none(refused, tmp_path):
    assert "config.json is missing" in refused("--from-hf", tmp_path / "nothing")
