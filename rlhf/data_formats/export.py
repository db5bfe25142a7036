"""The reward model as a sequence classifier of Hugging Face's, with the same scores.

    python -m rlhf.data_formats.export --to-hf exported/reward-model

AutoModelForSequenceClassification loads it with nothing else. It reads the score at the last token of a row that is
not the pad token, so pad with that, and pass the attention mask. Ours counts tokens (`RewardModel.forward`): the two
read at different places only where a policy wrote a pad token as its last word.

**The constant.** Its head is score = w·h. Ours is w·h + c, with the head's bias and the shift in c, so c has to come
out of h, the output of the last norm. GPT-2's last norm adds a bias b, and w·(b + c w/|w|²) = w·b + c: done.

**LLaMA and Arcee** have no bias, and without one no constant can come out of an RMSNorm. But a LayerNorm of twice the
width is an RMSNorm: the mean of [x, -x] is 0 and its variance is the mean of x², so

    LayerNorm([x, -x]) = [RMSNorm(x), -RMSNorm(x)]

and LayerNorms may have a bias. So the model is written twice as wide, in the architectures that are LLaMA and Arcee
with biased LayerNorms: StableLM (gated MLP) and StarCoder2 (plain). Every layer that writes to the residual stream
writes y and -y; every layer that reads from it reads the first half; and the last norm has c in a channel of the second
half, where the score picks it up. The price is size: about two and a half times the numbers, zeros and copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.hf.architectures import GPT2, architecture_of
from minigpt.hf.convert import write_hf_folder
from minigpt.hf.model import export_config, export_tensors
from minigpt.hf.tokenizer import END
from minigpt.runs.config import PRESET_NAMES, RunConfig, option, parse
from minigpt.runs.errors import UserError, run_main
from rlhf.stage2_reward.network import STAGE, RewardModel, load_reward_model
from rlhf.stage_io import load_tokenizer


@dataclass(frozen=True)
class ExportConfig(RunConfig):
    """The run to export from, and the folder to write."""

    to_hf: str | None = option(None, "write the reward model of the run to this new folder")


# ---- GPT-2 -------------------------------------------------------------------------------------------------------


def gpt2_classifier(model: RewardModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json and tensors of a trunk whose last norm has a bias: the constant goes into it."""
    tensors = export_tensors(model.trunk)
    direction = model.head.weight[0]  # [C]
    tensors["transformer.ln_f.bias"] += constant(model) * direction / direction.square().sum()
    tensors["score.weight"] = model.head.weight.clone()  # [1,C]
    config = export_config(model.trunk.config)
    return {**config, "architectures": ["GPT2ForSequenceClassification"]}, tensors


# ---- LLaMA and Arcee, twice as wide ------------------------------------------------------------------------------


def doubled_config(model: RewardModel) -> dict[str, Any]:
    """config.json of StableLM for a gated MLP, of StarCoder2 for a plain one."""
    config, gated = export_config(model.trunk.config), model.trunk.config.mlp == "swiglu"
    for key in ("head_dim", "attention_bias", "mlp_bias"):  # keys of LLaMA's
        del config[key]
    epsilon = config.pop("rms_norm_eps")
    # twice the heads, the new ones all zeros: that keeps the head size, and with it the rotary angles, as it was
    config |= {key: 2 * config[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads")}
    if gated:
        names = {"architectures": ["StableLmForSequenceClassification"], "model_type": "stablelm"}
        return (
            config
            | names
            | {
                "layer_norm_eps": epsilon,
                "partial_rotary_factor": 1.0,
                "use_qkv_bias": False,
                "qk_layernorm": False,
                "use_parallel_residual": False,
            }
        )
    names = {"architectures": ["Starcoder2ForSequenceClassification"], "model_type": "starcoder2"}
    return config | names | {"norm_epsilon": epsilon, "use_bias": False, "sliding_window": None}


def doubled(name: str, tensor: Tensor, channels: int) -> Tensor:
    """A tensor of LLaMA's, by its name there, as a model needs it whose stream is [x, -x]; `channels` is C."""
    if name.endswith("norm.weight"):
        return F.pad(tensor, (0, channels))  # [2C]: what is behind the norm is in the first half
    if name.endswith("embed_tokens.weight"):
        return torch.cat([tensor, -tensor], dim=1)  # [V,2C]
    if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
        return F.pad(tensor, (0, channels, 0, channels))  # [2C,2C]: reads the first half, gives H more heads of zeros
    if name.endswith("o_proj.weight"):
        return F.pad(torch.cat([tensor, -tensor]), (0, channels))  # [2C,2C]
    if name.endswith("down_proj.weight"):
        return torch.cat([tensor, -tensor])  # [2C,M]
    return F.pad(tensor, (0, channels))  # up and gate [M,2C]


def doubled_classifier(model: RewardModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json and tensors of a trunk without biases: twice as wide, with the constant in the last norm's bias."""
    config, channels = doubled_config(model), model.trunk.config.channels
    tensors: dict[str, Tensor] = {}
    for name, tensor in export_tensors(model.trunk).items():
        if name == "lm_head.weight":
            continue
        tensors[name] = doubled(name, tensor, channels)
        if name.endswith("norm.weight"):
            tensors[name.replace("weight", "bias")] = torch.zeros(2 * channels)  # [2C]
    tensors["model.norm.bias"][channels] = constant(model)
    tensors["score.weight"] = F.pad(model.head.weight, (0, channels)).clone()  # [1,2C]
    tensors["score.weight"][0, channels] = 1.0
    if config["model_type"] == "starcoder2":
        renamed = {"up_proj": "c_fc", "down_proj": "c_proj"}
        for old, new in renamed.items():
            tensors = {name.replace(f"mlp.{old}", f"mlp.{new}"): tensor for name, tensor in tensors.items()}
    return config, tensors


# ---- Either ------------------------------------------------------------------------------------------------------


def constant(model: RewardModel) -> Tensor:
    """The constant that our head adds to w·h: its bias, less the shift."""
    return model.head.bias[0] - model.shift


@torch.no_grad()
def classifier(model: RewardModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json, without the special tokens, and tensors of a classifier with one label that scores as `model` does.

    Raises UserError if no architecture holds the trunk.
    """
    gpt2 = architecture_of(model.trunk.config) is GPT2
    config, tensors = (gpt2_classifier if gpt2 else doubled_classifier)(model)
    tensors.pop("lm_head.weight", None)  # no logits of the next token are computed
    # one label makes it a regression: the score as it is, neither sigmoid nor softmax
    label = {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    return {**config, **label}, tensors


def main(argv: list[str]) -> None:
    """Exports the reward model of a run."""
    config = parse(ExportConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    if config.to_hf is None:
        raise UserError("expected --to-hf FOLDER: where the reward model is to be written")
    tokenizer = load_tokenizer(config.run_dir)
    model = load_reward_model(config.stage_dir(STAGE), tokenizer)
    settings, tensors = classifier(model)
    write_hf_folder(Path(config.to_hf), settings, tensors, tokenizer, END, model.trunk.config.context)
    print(f"{config.to_hf} holds the reward model of {config.run_dir} as {settings['architectures'][0]}")


if __name__ == "__main__":
    run_main(main)
