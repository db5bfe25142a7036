"""Conversion to and from Hugging Face's format: config.json, model.safetensors and the tokenizer's files in a folder.

    python -m minigpt.hf.convert --to-hf exported/ppo --stage ppo
    python -m minigpt.hf.convert --from-hf gpt2/ --runs runs/gpt2

--to-hf writes a policy of a run so that transformers' AutoModelForCausalLM and AutoTokenizer load it with nothing
else and give the same logits and the same tokens; TRL can go on training it. vLLM and llama.cpp have GPT-2 and LLaMA
(--mlp swiglu), but not the plain MLP of our default, which becomes an Arcee model: see `hf.architectures`. llama.cpp's
converter knows tokenizers by a checksum: one that was trained here must first be entered in its table, as "gpt-2".
The reward model is exported by a command of its own, `python -m rlhf.data_formats.export`.

--from-hf takes a GPT-2, LLaMA or Arcee model from disk, OpenAI's GPT-2 among them, as the base model of a new run:
<runs>/<preset>/tokenizer.json and pretrain/checkpoint.pt, where the other stages start from (`python -m rlhf.stage1_sft
--runs runs/gpt2`; `make` would begin with a pretraining of its own). GPT-2 does not know our chat tokens: they get the
rows after its own, each the mean of all others, and no logit of an old token changes.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from minigpt.hf.model import export_config, export_tensors, grow_vocabulary, import_config, import_tensors
from minigpt.hf.tokenizer import END, END_OF_TEXT, read_json, read_tokenizer, tokenizer_files
from minigpt.model import GPT, GPTConfig
from minigpt.pretrain import STAGE
from minigpt.runs.checkpoint import UNREADABLE, load_checkpoint, load_weights, save_checkpoint
from minigpt.runs.config import PRESET_NAMES, RunConfig, from_dict, option, parse, to_dict
from minigpt.runs.errors import UserError, did_you_mean, run_main
from minigpt.runs.files import atomic_file, write_json, write_text
from minigpt.tokenizer import Tokenizer

WEIGHTS, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"


@dataclass(frozen=True)
class ConvertConfig(RunConfig):
    """The direction of the conversion, and the model."""

    to_hf: str | None = option(None, "write a model of the run to this new folder")
    from_hf: str | None = option(None, "begin a new run with the model in this folder")
    stage: str | None = option(None, f"with --to-hf: whose model, the name of a folder in the run; none is {STAGE}")


# ---- New folders -------------------------------------------------------------------------------------------------


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to write into; it is renamed to `path` when the block ends without an error.

    Raises UserError if there is anything at `path` already, or if the disk refuses.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} already exists, and nothing in it is overwritten: give another folder, or remove it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rmdir()  # it is empty; Windows does not rename onto a folder
        temporary.rename(path)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}; nothing was left there") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# ---- To Hugging Face ---------------------------------------------------------------------------------------------


def write_hf_folder(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], tokenizer: Tokenizer, end: str, context: int
) -> None:
    """All files of a model. `config` is config.json without the special tokens, `end` the token that ends a text."""
    ids = {
        "bos_token_id": tokenizer.end_of_text_id,
        "eos_token_id": {END_OF_TEXT: tokenizer.end_of_text_id, END: tokenizer.end_id}[end],
        "pad_token_id": tokenizer.pad_id,
    }
    with new_folder(folder) as temporary:
        write_json(temporary / "config.json", {**config, **ids})
        write_json(temporary / "generation_config.json", ids)
        for name, content in tokenizer_files(tokenizer, end, context).items():
            (write_text if isinstance(content, str) else write_json)(temporary / name, content)
        with atomic_file(temporary / WEIGHTS) as file:
            file.write(safetensors.torch.save(dict(tensors), metadata={"format": "pt"}))


def export_stage(config: ConvertConfig) -> None:
    """Writes the policy of a stage to a folder for transformers."""
    stage = config.stage or STAGE
    tokenizer = Tokenizer.load(config.run_dir / "tokenizer.json", made_by="make pretrain")
    path = config.stage_dir(stage) / "checkpoint.pt"
    if not path.is_file():
        trained = sorted(file.parent.name for file in config.run_dir.glob("*/checkpoint.pt"))
        raise UserError(
            f"{path} is missing: --stage expects a stage that was trained, and {config.run_dir} has "
            f"{', '.join(trained) or 'none'}{did_you_mean(stage, trained)}"
        )
    payload = load_checkpoint(path, kind="gpt", fingerprint=tokenizer.fingerprint)
    model = GPT(from_dict(GPTConfig, payload["config"], str(path)))
    load_weights(model, payload, path)
    settings = export_config(model.config)
    end = END_OF_TEXT if stage == STAGE else END  # a base model has never seen <|end|>
    write_hf_folder(Path(config.to_hf), settings, export_tensors(model), tokenizer, end, model.config.context)
    print(f"{config.to_hf} holds {path} as {settings['architectures'][0]}, {model.parameter_count():,} parameters")


# ---- From Hugging Face -------------------------------------------------------------------------------------------


def read_weights(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """The tensors of a model's folder, and the file that holds or lists them. Raises UserError, naming the file."""
    for name in (WEIGHTS, INDEX, PICKLED):
        path = folder / name
        if path.is_file():
            break
    else:
        raise UserError(f"{folder} has no weights: expected {WEIGHTS}, {INDEX} with its parts, or {PICKLED}")
    if name == WEIGHTS:
        return _read_safetensors(path), path
    if name == PICKLED:
        return _read_pickle(path), path
    parts = read_json(path).get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise UserError(f"{path} is damaged: it has no weight_map of tensors to files; fetch it again")
    tensors: dict[str, Tensor] = {}
    for part in sorted(set(parts.values())):
        if Path(part).name != part:
            raise UserError(f"{path}: {part!r} is not the name of a file in the same folder; fetch the model again")
        tensors |= _read_safetensors(folder / part)
    return tensors, path


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{path} is missing: the index beside it says that it holds a part of the weights; fetch it")
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is truncated or damaged ({error}); fetch it again") from None


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # an ordinary pickle can run any code
    except (pickle.UnpicklingError, *UNREADABLE):
        raise UserError(f"{path} is damaged, or holds other things than tensors; fetch {WEIGHTS} instead") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UserError(f"{path} holds other things than tensors by name; fetch {WEIGHTS} instead")
    return dict(tensors)


def read_hf_folder(folder: Path) -> tuple[GPT, Tokenizer]:
    """The model and the tokenizer of a folder; the model has a row for each of the tokenizer's tokens.

    Raises UserError, naming file and key or tensor, for whatever cannot be taken over exactly.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder / 'config.json'} is missing: expected a folder with a model of Hugging Face's")
    architecture, config = import_config(read_json(folder / "config.json"), str(folder / "config.json"))
    tokenizer, known = read_tokenizer(folder)
    if config.vocab_size != known:
        raise UserError(
            f"{folder / 'config.json'}: vocab_size is {config.vocab_size}, but the tokenizer beside it has {known} "
            "tokens; the two do not belong together"
        )
    tensors, source = read_weights(folder)
    model = import_tensors(architecture, config, tensors, str(source))
    return grow_vocabulary(model, tokenizer.vocab_size), tokenizer


def import_base_model(config: ConvertConfig) -> None:
    """Writes a model of Hugging Face's into a new run, as its base model."""
    model, tokenizer = read_hf_folder(Path(config.from_hf))
    with new_folder(config.run_dir) as run_dir:
        tokenizer.save(run_dir / "tokenizer.json")
        payload = {"kind": "gpt", "config": to_dict(model.config), "tokenizer": tokenizer.fingerprint}
        save_checkpoint(run_dir / STAGE / "checkpoint.pt", {**payload, "model": model.state_dict()})
    print(
        f"{config.from_hf} is the base model of {config.run_dir}: {model.parameter_count():,} parameters, "
        f"{tokenizer.vocab_size} tokens, a context of {model.config.context}"
    )


def main(argv: list[str]) -> None:
    """Converts one model."""
    config = parse(ConvertConfig, argv, description=__doc__, presets={name: {} for name in PRESET_NAMES})
    if (config.to_hf is None) == (config.from_hf is None):
        raise UserError("expected one of --to-hf FOLDER, to export a model, and --from-hf FOLDER, to take one over")
    if config.to_hf is not None:
        export_stage(config)
    elif config.stage is not None:
        raise UserError(f"--stage belongs to --to-hf: a model that is taken over is always the base model, {STAGE}")
    else:
        import_base_model(config)


if __name__ == "__main__":
    run_main(main)
