"""GPT models in the format of Hugging Face's transformers: the settings in config.json, the names of the tensors.

Three of its architectures compute what a GPT of ours can compute, to the last rounding:

    gpt2    learned positions, layernorm, gelu_tanh or gelu, biases        (Radford et al. 2019)
    llama   rotary positions, rmsnorm, swiglu, no biases                   (Touvron et al. 2023)
    arcee   LLaMA with a plain MLP: gelu or gelu_tanh in place of swiglu   (the default of this project)

They store the same numbers differently. GPT-2 stores the matrices of its blocks as [in, out] ("Conv1D"), where
nn.Linear has [out, in]. LLaMA has three matrices where we have `qkv`. Its rotary positions rotate channel i together
with channel i + D/2, as ours do; weights that were trained to rotate neighbours (Meta's own files, before conversion)
have the same names and shapes, and give wrong results.

Arcee's own models have another activation, ReLU². transformers follows `hidden_act`, but vLLM's own Arcee refuses any
other one, and llama.cpp's uses ReLU² whatever `hidden_act` says. For those, train with --mlp swiglu.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import from_dict, to_dict
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


# ---- Settings ----------------------------------------------------------------------------------------------------


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


def export_config(config: GPTConfig) -> dict[str, Any]:
    """config.json, all of it but the special tokens, which belong to the tokenizer. Raises UserError as above."""
    architecture = architecture_of(config)
    ours = to_dict(config) | {"hidden": config.mlp_width, "mlp": architecture.activations[config.mlp][0]}
    theirs = {key: ours[name] for name, key in architecture.keys.items()}
    if architecture is GPT2:
        # n_ctx is the older name of n_positions, and llama.cpp reads only that one
        theirs |= {"n_ctx": config.context, "embd_pdrop": config.dropout, "attn_pdrop": config.dropout}
    else:
        theirs |= {"num_key_value_heads": config.heads, "head_dim": config.head_size}
    return {
        "architectures": [architecture.class_name],
        "model_type": architecture.model_type,
        **theirs,
        **architecture.fixed,
        "dtype": "float32",
        "torch_dtype": "float32",
        "use_cache": True,
    }


def import_config(data: Mapping[str, Any], source: str) -> tuple[Architecture, GPTConfig]:
    """The shape that a config.json describes. Raises UserError with `source` and the key if no GPT of ours computes it.

    Dropout acts in training only: LLaMA and Arcee have none, and GPT-2's becomes ours.
    """
    kinds = {architecture.model_type: architecture for architecture in ARCHITECTURES}
    architecture = kinds.get(str(data.get("model_type")))
    if architecture is None:
        raise UserError(f"{source}: model_type is {data.get('model_type')!r}, but must be one of {', '.join(kinds)}")
    absent = [key for key in architecture.keys.values() if key not in data and key not in architecture.defaults]
    if absent:
        raise UserError(f"{source} lacks {', '.join(absent)}: this is no whole {architecture.model_type} model")
    theirs = {**architecture.defaults, **data}
    if "rope_theta" in theirs:
        theirs["rope_theta"] = _rope_theta(theirs, source)
    ours = {name: theirs[key] for name, key in architecture.keys.items()}
    activation = architecture.keys["mlp"]
    names = {name: mlp for mlp, names in architecture.activations.items() for name in names}
    if str(theirs[activation]) not in names:
        raise UserError(f"{source}: {activation} is {theirs[activation]!r}, and only {', '.join(names)} are known")
    ours |= {"mlp": names[theirs[activation]], "hidden": ours["hidden"] or 0, **architecture.settings}
    try:
        config = from_dict(GPTConfig, to_dict(GPTConfig()) | ours, "model")
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    _check_fixed(architecture, config, theirs, source)
    return architecture, config


def _rope_theta(theirs: Mapping[str, Any], source: str) -> float:
    """The base of the rotary angles: a key of its own, or with transformers 5 one of `rope_parameters`."""
    for key in ("rope_scaling", "rope_parameters"):
        rope = theirs.get(key) or {}
        plain = isinstance(rope, Mapping) and rope.get("rope_type", rope.get("type", "default")) == "default"
        if not plain or rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise UserError(f"{source}: {key} is {rope}, and only plain rotary positions on all channels are known")
    return (theirs.get("rope_parameters") or {}).get("rope_theta", theirs["rope_theta"])


def _check_fixed(architecture: Architecture, config: GPTConfig, theirs: Mapping[str, Any], source: str) -> None:
    fixed = dict(architecture.fixed)
    if architecture is not GPT2:
        # fewer heads of keys than of queries is grouped-query attention (Ainslie et al. 2023)
        fixed |= {"num_key_value_heads": config.heads, "head_dim": config.head_size}
    for key, value in fixed.items():
        found = theirs.get(key)
        if found is not None and found != value:
            raise UserError(f"{source}: {key} is {found!r}, but must be {value!r}: nothing else can be computed here")


# ---- Tensors -----------------------------------------------------------------------------------------------------


def their_names(architecture: Architecture, name: str) -> tuple[list[str], bool]:
    """The names of the tensors that one of ours is joined from, often a single one, and True if they are transposed.

    blocks.3.attention.qkv.weight  ->  model.layers.3.self_attn.q_proj.weight, ...k_proj.weight, ...v_proj.weight
    """
    layer, module, kind = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)\.(weight|bias)", name).groups()
    where = "" if layer is None else f"{architecture.block}{layer}."
    transposed = kind == "weight" and module in architecture.transposed
    return [f"{where}{part}.{kind}" for part in architecture.modules[module]], transposed


def split_tensor(tensor: Tensor, parts: int, transposed: bool) -> list[Tensor]:
    """One of our tensors, whole or as equal parts of its rows, each with its own memory."""
    pieces = tensor.chunk(parts)
    return [(piece.T if transposed else piece).clone(memory_format=torch.contiguous_format) for piece in pieces]


def export_tensors(model: GPT) -> dict[str, Tensor]:
    """All weights under the architecture's names. A tied unembedding is written once, as the embedding."""
    architecture = architecture_of(model.config)
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        names, transposed = their_names(architecture, name)
        tensors |= zip(names, split_tensor(tensor.cpu(), len(names), transposed), strict=True)
    return tensors


@torch.no_grad()
def import_tensors(architecture: Architecture, config: GPTConfig, theirs: Mapping[str, Tensor], source: str) -> GPT:
    """The model with these weights, in float32 and evaluation mode.

    Raises UserError, naming `source` and the tensor, if one is missing, left over, or of another shape than config.json
    says.
    """
    model = GPT(config)
    theirs = _tidy(architecture, config, theirs, source)
    taken: set[str] = set()
    for name, tensor in model.state_dict().items():  # the model's own memory: what is copied here, it has
        names, transposed = their_names(architecture, name)
        _check_names("lacks", [part for part in names if part not in theirs], source)
        for part, expected in zip(names, split_tensor(tensor, len(names), transposed), strict=True):
            if theirs[part].shape != expected.shape or not theirs[part].is_floating_point():
                raise UserError(
                    f"{source}: {part} is {theirs[part].dtype} {list(theirs[part].shape)}, but config.json makes it a "
                    f"matrix of floats {list(expected.shape)}; the two files do not belong together"
                )
        tensor.copy_(torch.cat([theirs[part].T if transposed else theirs[part] for part in names]))
        taken.update(names)
    _check_names("holds what no such model has:", [name for name in theirs if name not in taken], source)
    return model.eval()


def _tidy(
    architecture: Architecture, config: GPTConfig, theirs: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The tensors under their full names, without what can be recomputed and without a copy of a tied embedding."""
    bare = not any(name.startswith(architecture.prefix) for name in theirs)
    prefix = architecture.prefix if bare else ""
    kept = {
        name if name.startswith("lm_head.") else prefix + name: tensor
        for name, tensor in theirs.items()
        if not architecture.ignored.fullmatch(name)
    }
    ([embedding], _), ([head], _) = (
        their_names(architecture, f"{module}.weight") for module in ("token_embedding", "unembedding")
    )
    copy = kept.pop(head, None) if config.tied_embeddings else None
    if copy is not None and not torch.equal(copy.float(), kept.get(embedding, copy).float()):
        raise UserError(
            f"{source}: {head} is not {embedding}, though config.json has tie_word_embeddings; set that to false"
        )
    return kept


def _check_names(complaint: str, names: Sequence[str], source: str) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(f"{source} {complaint} {', '.join(names[:3])}{more}; give a whole model with its config.json")


@torch.no_grad()
def grow_vocabulary(model: GPT, vocab_size: int) -> GPT:
    """The same model with rows for new tokens at the end of its vocabulary; the logits of the old ones do not change.

    A new row is the mean of the old ones. Its logit is then the mean of the old logits, so (Jensen) it is at most as
    likely as the old tokens are on average; a row of small random numbers has logit 0, and where trained logits are
    far below 0 such a token would take all the probability (Hewitt 2021, "Initializing new word embeddings for
    pretrained language models").
    """
    state = model.state_dict()
    for name in ("token_embedding.weight", "unembedding.weight"):
        if name in state:
            rows = state[name]  # [V,C]
            new = rows.mean(dim=0).expand(vocab_size - len(rows), -1)  # [V'-V,C]
            state[name] = torch.cat([rows, new])  # [V',C]
    grown = GPT(replace(model.config, vocab_size=vocab_size))
    grown.load_state_dict(state)
    return grown.eval()
