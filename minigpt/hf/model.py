"""GPT models in the format of Hugging Face's transformers: the settings in config.json, the names of the tensors.

`architectures` says which of transformers' models compute what a GPT of ours computes, to the last rounding. They store
the same numbers differently. GPT-2 stores the matrices of its blocks as [in, out] ("Conv1D"), where nn.Linear has
[out, in]. LLaMA has three matrices where we have `qkv`. Its rotary positions rotate channel i together with channel
i + D/2, as ours do; weights that were trained to rotate neighbours (Meta's own files, before conversion) have the same
names and shapes, and give wrong results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from minigpt.hf.architectures import ARCHITECTURES, GPT2, Architecture, architecture_of
from minigpt.model import GPT, GPTConfig
from minigpt.runs.config import from_dict, to_dict
from minigpt.runs.errors import UserError

# ---- Settings ----------------------------------------------------------------------------------------------------


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
