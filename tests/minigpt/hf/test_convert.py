"""Models go to Hugging Face's format and come back: the same logits and answers as in transformers."""

import json
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from torch.testing import assert_close
from transformers import (
    ArceeConfig,
    ArceeForCausalLM,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from minigpt.attention import padded_layout
from minigpt.data import length_mask, pad_sequences
from minigpt.generate import generate
from minigpt.hf import convert
from minigpt.hf.convert import read_hf_folder, write_hf_folder
from minigpt.hf.model import export_config, export_tensors, grow_vocabulary
from minigpt.model import GPT, GPTConfig
from minigpt.positions import positions_from_mask
from minigpt.pretrain import PRESETS, PretrainConfig
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.config import from_dict, to_dict, with_overrides
from minigpt.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.minigpt.hf.gpt2_files import write_gpt2_files
from tests.minigpt.hf.hf_models import GPT2, LLAMA, SHAPE, make_run, restless, small_tokenizer

ROOT = Path(__file__).resolve().parents[3]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}

SHAPES = {
    "gpt2": GPT2,
    "gpt2 exact gelu": replace(GPT2, mlp="gelu"),
    "gpt2 untied": replace(GPT2, tied_embeddings=False),
    "llama": LLAMA,
    "llama tied": replace(LLAMA, tied_embeddings=True),
    "arcee": SHAPE,
    "arcee tanh untied": replace(SHAPE, mlp="gelu_tanh", tied_embeddings=False),
}
CLASSES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "arcee": "ArceeForCausalLM"}
every_shape = pytest.mark.parametrize("config", list(SHAPES.values()), ids=list(SHAPES))


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """No progress bars of transformers, and above all no network: everything is in the folder."""

    def refuse(*address):
        raise AssertionError(f"a connection to {address[1:]}")

    transformers.utils.logging.disable_progress_bar()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return small_tokenizer()


def ragged(vocab_size, lengths=(3, 11, 7), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocab_size, (length,), generator=generator).tolist() for length in lengths]


def padded(prompts, pad_id, left):
    """ids [B,T] and mask [B,T], True at real tokens."""
    ids, lengths = pad_sequences(prompts, pad_id)
    mask = length_mask(lengths, ids.shape[1])
    if not left:
        return ids, mask
    rows = [torch.roll(row, len(row) - int(length)) for row, length in zip(ids, lengths, strict=True)]
    return torch.stack(rows), mask.flip(1)


@torch.no_grad()
def assert_same_function(ours: GPT, theirs, pad_id, message):
    """Logits of a whole batch, and of the real tokens of batches that are padded on either side."""
    V = ours.config.vocab_size
    ids = torch.tensor(ragged(V, (20, 20, 20)))
    assert_close(theirs(ids).logits, ours(ids), **TOLERANCE, msg=lambda text: f"{message}\n{text}")
    for left in (False, True):
        ids, mask = padded(ragged(V), pad_id, left)
        positions = positions_from_mask(mask)
        logits = theirs(ids, attention_mask=mask.long(), position_ids=positions).logits
        expected = ours(ids, padded_layout(mask))
        assert_close(logits[mask], expected[mask], **TOLERANCE, msg=lambda text: f"padded: {message}\n{text}")


def assert_same_answers(ours: GPT, theirs, tokenizer: Tokenizer):
    """Greedy answers to prompts of different lengths, token for token."""
    prompts, end = ragged(tokenizer.end_of_text_id), theirs.generation_config.eos_token_id
    written = generate(ours, prompts, max_new_tokens=20, stop_tokens=[end], pad_id=tokenizer.pad_id, temperature=0)
    ids, mask = padded(prompts, tokenizer.pad_id, left=True)
    answers = theirs.generate(ids, attention_mask=mask.long(), max_new_tokens=20, do_sample=False)[:, ids.shape[1] :]
    expected = torch.full_like(written.tokens, tokenizer.pad_id)
    expected[:, : answers.shape[1]] = answers
    assert torch.equal(written.tokens, expected), "greedy answers differ"
    assert len(set(map(tuple, written.tokens.tolist()))) == len(prompts), "one answer to everything tests little"


# ---- To Hugging Face ---------------------------------------------------------------------------------------------


@every_shape
def test_transformers_loads_an_export_with_nothing_else_and_computes_the_same(tokenizer, tmp_path, config, request):
    model = make_run(tmp_path / "runs", tokenizer, config)
    convert.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == CLASSES[request.node.callspec.id.split()[0]]
    assert {parameter.dtype for parameter in theirs.parameters()} == {torch.float32}
    assert sum(p.numel() for p in theirs.parameters()) == model.parameter_count(), "a weight too many, or tied wrongly"
    assert_same_function(model, theirs, tokenizer.pad_id, "Conv1D, the rotary convention, an epsilon, qkv's order?")
    assert_same_answers(model, theirs, tokenizer)


@every_shape
def test_a_model_comes_back_bit_for_bit(tokenizer, tmp_path, config):
    model = make_run(tmp_path / "runs", tokenizer, config)
    convert.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    convert.main(["--from-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "again")])
    payload = load_checkpoint(tmp_path / "again" / "small" / "pretrain" / "checkpoint.pt", kind="gpt")
    assert payload["config"] == to_dict(model.config)
    assert payload["tokenizer"] == tokenizer.fingerprint
    assert Tokenizer.load(tmp_path / "again" / "small" / "tokenizer.json").fingerprint == tokenizer.fingerprint
    back = GPT(from_dict(GPTConfig, payload["config"], "test"))
    back.load_state_dict(payload["model"])
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


def test_the_default_model_of_this_project_is_an_arcee_model():
    settings = with_overrides(PretrainConfig(), PRESETS["small"]).model
    exported = export_config(settings)
    assert exported["architectures"] == ["ArceeForCausalLM"]
    expected = {
        "hidden_act": "gelu",
        "hidden_size": 128,
        "intermediate_size": 512,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "max_position_embeddings": 128,
        "vocab_size": 1536,
        "rms_norm_eps": 1e-5,
    }
    assert {key: exported[key] for key in expected} == expected


def test_the_files_are_those_that_other_tools_expect(tokenizer, tmp_path):
    make_run(tmp_path / "runs", tokenizer, SHAPE, stage="ppo")
    convert.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--stage", "ppo"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ]
    ids = {"bos_token_id": tokenizer.end_of_text_id, "eos_token_id": tokenizer.end_id, "pad_token_id": tokenizer.pad_id}
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert {key: config[key] for key in ids} == ids
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text(encoding="utf-8")) == ids
    with safetensors.safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}, "older transformers refuse a file that does not say so"


@pytest.mark.parametrize(("stage", "end"), [("pretrain", "<|endoftext|>"), ("sft", "<|end|>"), ("grpo", "<|end|>")])
def test_what_ends_a_text_is_what_the_stage_was_trained_to_write(tokenizer, tmp_path, stage, end):
    make_run(tmp_path / "runs", tokenizer, SHAPE, stage)
    convert.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--stage", stage])
    exported = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (exported.eos_token, exported.pad_token, exported.bos_token) == (end, "<|pad|>", "<|endoftext|>")
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["eos_token_id"] == exported.eos_token_id


def test_autotokenizer_gives_the_same_tokens(tokenizer, tmp_path):
    make_run(tmp_path / "runs", tokenizer, SHAPE)
    convert.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    exported = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert len(exported) == tokenizer.vocab_size
    assert exported.model_max_length == SHAPE.context
    for text in ("The cow eats.", "  two  blanks\n", "Naïve 東京 🦊", "say <|end|> now", ""):
        assert exported(text).input_ids == tokenizer.encode(text, allow_special=True)
        assert exported(text, split_special_tokens=True).input_ids == tokenizer.encode(text)
        assert exported.decode(tokenizer.encode(text)) == text, "a blank before a full stop was cleaned up?"
    assert exported.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(tokenizer.end_of_text_id, len(exported)))
    assert set(SPECIAL_TOKENS) == set(exported.all_special_tokens)


# ---- From Hugging Face -------------------------------------------------------------------------------------------

HF_SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "max_position_embeddings": 40}
SMALL_LLAMA = {**HF_SIZES, "intermediate_size": 48, "rms_norm_eps": 3e-3}
PEERS = {
    "gpt2": lambda V: GPT2LMHeadModel(GPT2Config(vocab_size=V, **HF_SIZES, layer_norm_epsilon=3e-3)),
    "gpt2 wide": lambda V: GPT2LMHeadModel(
        GPT2Config(vocab_size=V, **HF_SIZES, n_inner=72, activation_function="gelu")
    ),
    "llama": lambda V: LlamaForCausalLM(LlamaConfig(vocab_size=V, **SMALL_LLAMA)),
    "llama tied": lambda V: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V,
            **SMALL_LLAMA,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 300.0},
        )
    ),
    "arcee": lambda V: ArceeForCausalLM(ArceeConfig(vocab_size=V, **SMALL_LLAMA, hidden_act="gelu")),
}


def save_peer(folder, name, tokenizer, **how):
    """A model of transformers' with random weights, as it saves it, and a tokenizer beside it."""
    theirs = restless(PEERS[name](tokenizer.vocab_size))
    theirs.save_pretrained(folder, **how)
    add_tokenizer(folder, tokenizer)
    return theirs


def add_tokenizer(folder, tokenizer):
    scratch = folder / "scratch"
    config = replace(SHAPE, vocab_size=tokenizer.vocab_size)
    write_hf_folder(scratch, export_config(config), export_tensors(GPT(config)), tokenizer, "<|end|>", 40)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (scratch / name).rename(folder / name)
    shutil.rmtree(scratch)


@pytest.mark.parametrize("name", list(PEERS))
def test_models_that_transformers_saved_compute_the_same_here(tokenizer, tmp_path, name):
    theirs = save_peer(tmp_path / "in", name, tokenizer)
    ours, loaded = read_hf_folder(tmp_path / "in")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert ours.parameter_count() == sum(parameter.numel() for parameter in theirs.parameters())
    assert_same_function(ours, theirs, tokenizer.pad_id, name)
    theirs.generation_config.eos_token_id, theirs.generation_config.pad_token_id = tokenizer.end_id, tokenizer.pad_id
    assert_same_answers(ours, theirs, tokenizer)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_weights_in_several_files(tokenizer, tmp_path, name):
    theirs = save_peer(tmp_path / "in", name, tokenizer, max_shard_size="30KB")
    assert (tmp_path / "in" / "model.safetensors.index.json").is_file(), "then this tests nothing"
    ours, _ = read_hf_folder(tmp_path / "in")
    assert_same_function(ours, theirs, tokenizer.pad_id, name)


@pytest.mark.parametrize("name", ["gpt2", "llama tied"])
def test_weights_in_the_old_pickled_file(tokenizer, tmp_path, name):
    """There a tied unembedding stands a second time, and LLaMA's file had its table of angles."""
    theirs = save_peer(tmp_path / "in", name, tokenizer)
    (tmp_path / "in" / "model.safetensors").unlink()
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)} if name != "gpt2" else {}
    assert "lm_head.weight" in theirs.state_dict()
    torch.save({**theirs.state_dict(), **extra}, tmp_path / "in" / "pytorch_model.bin")
    ours, _ = read_hf_folder(tmp_path / "in")
    assert_same_function(ours, theirs, tokenizer.pad_id, name)


def test_half_precision_becomes_float32_and_loses_nothing_more(tokenizer, tmp_path):
    save_peer(tmp_path / "in", "llama", tokenizer).to(torch.bfloat16).save_pretrained(tmp_path / "in")
    ours, _ = read_hf_folder(tmp_path / "in")
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "in", dtype=torch.float32)
    assert_same_function(ours, theirs, tokenizer.pad_id, "rounded twice?")


# ---- GPT-2 as OpenAI published it --------------------------------------------------------------------------------


def published_gpt2(folder, tokenizer, prefix=""):
    """A toy GPT-2 in the layout of the published one: bare names, masks among the weights, an older config.json,
    vocab.json and merges.txt with bytes in GPT-2's order, and no token of ours but <|endoftext|>."""
    write_gpt2_files(tokenizer, folder)
    theirs = restless(GPT2LMHeadModel(GPT2Config(vocab_size=tokenizer.end_of_text_id + 1, **HF_SIZES)))
    mask = torch.ones(40, 40).tril().view(1, 1, 40, 40)
    tensors = {prefix + name: tensor.clone() for name, tensor in theirs.transformer.state_dict().items()}
    tensors |= {f"{prefix}h.{layer}.attn.bias": mask.clone() for layer in range(2)}
    tensors |= {f"{prefix}h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(2)}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    config = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 50256,
        "embd_pdrop": 0.1,
        "eos_token_id": 50256,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 40,
        "n_embd": 32,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 40,
        "resid_pdrop": 0.1,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_type": "cls_index",
        "vocab_size": tokenizer.end_of_text_id + 1,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return theirs


@pytest.mark.parametrize("prefix", ["", "transformer."])
@torch.no_grad()
def test_gpt2s_published_files_load_and_the_new_tokens_leave_the_old_logits_alone(tokenizer, tmp_path, prefix):
    theirs = published_gpt2(tmp_path / "in", tokenizer, prefix)
    ours, loaded = read_hf_folder(tmp_path / "in")
    old = tokenizer.end_of_text_id + 1
    assert ours.config.vocab_size == loaded.vocab_size == old + 4
    assert (ours.config.mlp, ours.config.position, ours.config.dropout) == ("gelu_tanh", "learned", 0.1)
    ids = torch.tensor(ragged(old, (20, 20)))
    logits = ours(ids)
    assert_close(logits[..., :old], theirs(ids).logits, **TOLERANCE)
    assert_close(logits[..., old:], logits[..., :old].mean(-1, keepdim=True).expand(-1, -1, 4), **TOLERANCE)


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_a_new_token_is_at_most_as_likely_as_the_old_ones_are_on_average(tied):
    model = restless(GPT(replace(SHAPE, vocab_size=50, tied_embeddings=tied)))
    grown = grow_vocabulary(model, 54)
    ids = torch.tensor(ragged(50, (30, 30)))
    logits = grown(ids)
    assert_close(logits[..., :50], model(ids), rtol=1e-6, atol=1e-6)
    means = logits[..., :50].mean(-1, keepdim=True).expand(-1, -1, 4)
    assert_close(logits[..., 50:], means, rtol=1e-4, atol=1e-5, msg="where others have -9, 0 is a favourite")
    probabilities = logits.softmax(-1)
    assert (probabilities[..., 50:] <= probabilities[..., :50].mean(-1, keepdim=True)).all(), "Jensen's inequality"
    assert torch.equal(grow_vocabulary(model, 50)(ids), model(ids))


# ---- The packages stand alone ------------------------------------------------------------------------------------


def test_neither_package_needs_transformers_or_tokenizers():
    for path in [*(ROOT / "minigpt").rglob("*.py"), *(ROOT / "rlhf").rglob("*.py")]:
        source = path.read_text(encoding="utf-8")
        found = re.search(r"^\s*(import|from)\s+(transformers|tokenizers|huggingface_hub)\b", source, re.MULTILINE)
        assert not found, f"{path}: {found.group()}"
