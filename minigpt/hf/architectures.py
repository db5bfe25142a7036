"""The architectures of transformers that compute what a GPT of ours computes: their settings, their tensors' names.

    gpt2    learned positions, layernorm, gelu_tanh or gelu, biases        (Radford et al. 2019)
    llama   rotary positions, rmsnorm, swiglu, no biases                   (Touvron et al. 2023)
    arcee   LLaMA with a plain MLP: gelu or gelu_tanh in place of swiglu   (the default of this project)

Arcee's own models have another activation, ReLU². transformers follows `hidden_act`, but vLLM's own Arcee refuses any
other one, and llama.cpp's uses ReLU² whatever `hidden_act` says. For those, train with --mlp swiglu.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from minigpt.model import GPTConfig
from minigpt.runs.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """One architecture of transformers: its keys for the settings of a GPTConfig, and its names of the tensors."""

    model_type: str
    class_name: str
    settings: Mapping[str, Any]  # settings of ours that are fixed in it
    activations: Mapping[str, tuple[str, ...]]  # our `mlp`: its names for that activation; the first is exported
    keys: Mapping[str, str]  # our setting: its key in config.json
    defaults: Mapping[str, Any]  # the values of absent keys
    fixed: Mapping[str, Any]  # keys that must have this value, because no GPT of ours computes another
    prefix: str  # of all tensors but lm_head's; files of the trunk alone, such as OpenAI's GPT-2, are without it
    block: str  # the prefix of block i is block + "i."
    modules: Mapping[str, tuple[str, ...]]  # our module: its module, or the several that ours is split into
    transposed: frozenset[str]  # modules of ours whose weight it stores as [in, out]
    ignored: re.Pattern[str]  # tensors that can be recomputed: masks and tables of older files


GPT2 = Architecture(
    "gpt2",
    "GPT2LMHeadModel",
    settings={"position": "learned", "norm": "layernorm", "bias": True},
    activations={"gelu_tanh": ("gelu_new", "gelu_pytorch_tanh"), "gelu": ("gelu",)},
    keys={
        "vocab_size": "vocab_size",
        "context": "n_positions",
        "layers": "n_layer",
        "heads": "n_head",
        "channels": "n_embd",
        "hidden": "n_inner",
        "norm_epsilon": "layer_norm_epsilon",
        "mlp": "activation_function",
        "tied_embeddings": "tie_word_embeddings",
        "dropout": "resid_pdrop",
    },
    defaults={
        "n_inner": None,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
        "tie_word_embeddings": True,
        "resid_pdrop": 0.1,
    },
    fixed={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
    prefix="transformer.",
    block="transformer.h.",
    modules={
        "token_embedding": ("transformer.wte",),
        "positions": ("transformer.wpe",),
        "attention_norm": ("ln_1",),
        "attention.qkv": ("attn.c_attn",),
        "attention.projection": ("attn.c_proj",),
        "mlp_norm": ("ln_2",),
        "mlp.up": ("mlp.c_fc",),
        "mlp.projection": ("mlp.c_proj",),
        "final_norm": ("transformer.ln_f",),
        "unembedding": ("lm_head",),
    },
    transposed=frozenset({"attention.qkv", "attention.projection", "mlp.up", "mlp.projection"}),
    ignored=re.compile(r".*\.attn\.(bias|masked_bias)"),
)

LLAMA = Architecture(
    "llama",
    "LlamaForCausalLM",
    settings={"position": "rotary", "norm": "rmsnorm", "bias": False},
    activations={"swiglu": ("silu",)},
    keys={
        "vocab_size": "vocab_size",
        "context": "max_position_embeddings",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "channels": "hidden_size",
        "hidden": "intermediate_size",
        "norm_epsilon": "rms_norm_eps",
        "mlp": "hidden_act",
        "tied_embeddings": "tie_word_embeddings",
        "rotary_base": "rope_theta",
    },
    defaults={"rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": False, "rope_theta": 10000.0},
    fixed={"attention_bias": False, "mlp_bias": False},
    prefix="model.",
    block="model.layers.",
    modules={
        "token_embedding": ("model.embed_tokens",),
        "attention_norm": ("input_layernorm",),
        "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.projection": ("self_attn.o_proj",),
        "mlp_norm": ("post_attention_layernorm",),
        "mlp.up": ("mlp.up_proj",),
        "mlp.gate": ("mlp.gate_proj",),
        "mlp.projection": ("mlp.down_proj",),
        "final_norm": ("model.norm",),
        "unembedding": ("lm_head",),
    },
    transposed=frozenset(),
    ignored=re.compile(r".*\.rotary_emb\.inv_freq"),
)

ARCEE = replace(
    LLAMA,
    model_type="arcee",
    class_name="ArceeForCausalLM",
    activations={"gelu": ("gelu",), "gelu_tanh": ("gelu_pytorch_tanh", "gelu_new")},
    defaults={**LLAMA.defaults, "rms_norm_eps": 1e-5, "hidden_act": "relu2"},
)

ARCHITECTURES = (GPT2, LLAMA, ARCEE)


def architecture_of(config: GPTConfig) -> Architecture:
    """The architecture that computes what this model computes. Raises UserError, naming the settings, if none does."""
    for architecture in ARCHITECTURES:
        fits = all(getattr(config, name) == value for name, value in architecture.settings.items())
        if fits and config.mlp in architecture.activations:
            return architecture
    raise UserError(
        f"a model with position {config.position}, norm {config.norm}, mlp {config.mlp} and bias {config.bias} cannot "
        "be exported: GPT-2 is learned, layernorm, gelu or gelu_tanh with bias; LLaMA and Arcee are rotary, rmsnorm, "
        "any mlp without bias"
    )
