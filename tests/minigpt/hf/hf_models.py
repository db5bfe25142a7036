"""Small models with random weights, as runs and in Hugging Face's format, for the tests of convert."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from minigpt.hf.convert import write_hf_folder
from minigpt.hf.model import export_config, export_tensors
from minigpt.model import GPT, GPTConfig
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.config import to_dict
from minigpt.tokenizer import Tokenizer

TEXT = "The cow eats grass, the fox eats the hen. What does it eat? It's 12 o'clock.\n" * 3

# Nothing at its default, so that a setting that is not carried over shows.
SHAPE = GPTConfig(context=40, layers=2, heads=4, channels=32, hidden=48, norm_epsilon=3e-3, rotary_base=300.0)
GPT2 = replace(
    SHAPE, position="learned", norm="layernorm", mlp="gelu_tanh", bias=True, dropout=0.25, rotary_base=10000.0
)
LLAMA = replace(SHAPE, mlp="swiglu", tied_embeddings=False)


def small_tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT], 256 + 30 + 5)


def restless(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights large enough that everything matters: biases, norms, positions, every head."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return module.eval()


def make_run(folder: Path, tokenizer: Tokenizer, config: GPTConfig, stage: str = "pretrain") -> GPT:
    """A run with one stage, and its model."""
    model = restless(GPT(replace(config, vocab_size=tokenizer.vocab_size)))
    tokenizer.save(folder / "small" / "tokenizer.json")
    payload = {"kind": "gpt", "config": to_dict(model.config), "tokenizer": tokenizer.fingerprint}
    save_checkpoint(folder / "small" / stage / "checkpoint.pt", {**payload, "model": model.state_dict()})
    return model


def export(tokenizer: Tokenizer, folder: Path, config: GPTConfig) -> Path:
    """A model in Hugging Face's format."""
    config = replace(config, vocab_size=tokenizer.vocab_size)
    write_hf_folder(folder, export_config(config), export_tensors(GPT(config)), tokenizer, "<|end|>", config.context)
    return folder
