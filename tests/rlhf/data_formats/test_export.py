"""The reward model scores the same as a sequence classifier of transformers'; the chat template is our chat format."""

import json
import socket
import sys
from dataclasses import replace

import pytest
import torch
import transformers
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from minigpt.data import length_mask, pad_sequences
from minigpt.hf import convert
from minigpt.hf.model import export_config, export_tensors
from minigpt.model import GPT, GPTConfig
from minigpt.positions import positions_from_mask
from minigpt.runs.checkpoint import save_checkpoint
from minigpt.runs.errors import run_main
from minigpt.tokenizer import Tokenizer
from rlhf.chat_format import Turn, encode_prompt, encode_response
from rlhf.data_formats import export
from rlhf.data_formats.export import classifier
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage2_reward.network import RewardModel, load_reward_model
from rlhf.stage_io import checkpoint_payload, load_policy, load_tokenizer
from tests.minigpt.hf.gpt2_files import write_gpt2_files

TEXT = "What does a cow eat? A cow eats grass. I do not know.\n"
SHAPE = GPTConfig(context=40, layers=2, heads=4, channels=32, hidden=48, norm_epsilon=3e-3, rotary_base=300.0)
SHAPES = {
    "gpt2": replace(SHAPE, position="learned", norm="layernorm", mlp="gelu_tanh", bias=True),
    "llama": replace(SHAPE, mlp="swiglu", tied_embeddings=False),
    "arcee": SHAPE,
    "arcee tanh untied": replace(SHAPE, mlp="gelu_tanh", tied_embeddings=False),
}
CLASSES = {"gpt2": "GPT2", "llama": "StableLm", "arcee": "Starcoder2", "arcee tanh untied": "Starcoder2"}


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
    return Tokenizer.train([TEXT], 256 + 20 + 5)


def restless(model):
    """Random weights large enough that everything matters; and a constant that cannot be overlooked."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        if isinstance(model, RewardModel):
            model.head.bias.fill_(1.25)
            model.shift.fill_(-3.5)
    return model.eval()


def make_reward_model(config, tokenizer) -> RewardModel:
    trunk = GPT(replace(config, vocab_size=tokenizer.vocab_size))
    return restless(RewardModel(trunk, torch.Generator().manual_seed(0)))


def save_reward_model(runs, model, tokenizer):
    tokenizer.save(runs / "small" / "tokenizer.json")
    payload = {**checkpoint_payload("reward_model", model.trunk, tokenizer), "model": model.state_dict()}
    save_checkpoint(runs / "small" / "reward_model" / "checkpoint.pt", payload)


# ---- The same scores ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", list(SHAPES))
@torch.no_grad()
def test_transformers_scores_padded_batches_as_we_do(tokenizer, tmp_path, shape):
    model = make_reward_model(SHAPES[shape], tokenizer)
    save_reward_model(tmp_path / "runs", model, tokenizer)
    export.main(["--to-hf", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")])
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == f"{CLASSES[shape]}ForSequenceClassification"
    assert theirs.num_labels == 1
    assert theirs.config.pad_token_id == tokenizer.pad_id

    prompt = encode_prompt(tokenizer, [Turn("user", "What does a cow eat?")])
    answers = ("Grass.", "I do not know.", "A cow eats grass, grass and grass.", "")
    sequences = [prompt + encode_response(tokenizer, answer) for answer in answers]
    ids, lengths = pad_sequences(sequences, tokenizer.pad_id)
    expected = model(ids, lengths)
    assert expected.std() > 0.1, "scores that are all alike test little"
    mask = length_mask(lengths, ids.shape[1])
    scores = theirs(ids, attention_mask=mask.long()).logits
    assert_close(scores[:, 0], expected, rtol=1e-4, atol=1e-4, msg=lambda text: f"the constant, or a norm?\n{text}")

    rows = [torch.roll(row, len(row) - int(length)) for row, length in zip(ids, lengths, strict=True)]
    left, mask = torch.stack(rows), mask.flip(1)
    scores = theirs(left, attention_mask=mask.long(), position_ids=positions_from_mask(mask)).logits
    assert_close(scores[:, 0], expected, rtol=1e-4, atol=1e-4, msg=lambda text: f"padded on the left\n{text}")
    alone = torch.cat([theirs(torch.tensor([sequence])).logits[:, 0] for sequence in sequences])
    assert_close(alone, expected, rtol=1e-4, atol=1e-4, msg=lambda text: f"one at a time\n{text}")


@pytest.mark.parametrize("constant", [0.0, -100.0])
@pytest.mark.parametrize("shape", ["gpt2", "arcee"])
@torch.no_grad()
def test_the_constant_is_exact_at_any_size(tokenizer, tmp_path, shape, constant):
    model = make_reward_model(SHAPES[shape], tokenizer)
    model.shift.fill_(-constant)
    model.head.bias.zero_()
    config, tensors = classifier(model)
    convert.write_hf_folder(tmp_path / "out", config, tensors, tokenizer, "<|end|>", SHAPE.context)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    ids = torch.randint(0, 256, (3, 9), generator=torch.Generator().manual_seed(1))
    assert_close(theirs(ids).logits[:, 0], model(ids, torch.tensor([9, 9, 9])), rtol=1e-6, atol=1e-5)


def test_a_layernorm_of_twice_the_width_is_an_rmsnorm():
    """The identity that the export of a trunk without biases rests on."""
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1
    doubled = torch.nn.functional.layer_norm(torch.cat([x, -x], dim=1), (16,), eps=3e-3)
    normed = torch.nn.functional.rms_norm(x, (8,), eps=3e-3)
    assert_close(doubled, torch.cat([normed, -normed], dim=1), rtol=1e-5, atol=1e-6)


def test_exporting_leaves_the_model_as_it_was(tokenizer):
    """GPT-2's constant goes into a copy of the last norm's bias, not into the model's own."""
    model = make_reward_model(SHAPES["gpt2"], tokenizer)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classifier(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# ---- The chat format ---------------------------------------------------------------------------------------------

TALK = [Turn("user", "What does a cow eat?"), Turn("assistant", "Grass."), Turn("user", "  And\na fox? ")]


@pytest.fixture(scope="module")
def exported_tokenizer(tokenizer, tmp_path_factory):
    model = restless(GPT(replace(SHAPE, vocab_size=tokenizer.vocab_size)))
    folder = tmp_path_factory.mktemp("policy") / "out"
    config, tensors = export_config(model.config), export_tensors(model)
    convert.write_hf_folder(folder, config, tensors, tokenizer, "<|end|>", SHAPE.context)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("turns", [TALK, TALK[:1], TALK[2:]])
def test_the_chat_template_is_our_chat_format_id_for_id(tokenizer, exported_tokenizer, turns):
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    ids = exported_tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == encode_prompt(tokenizer, turns)
    answered = [*messages, {"role": "assistant", "content": "Hens."}]
    whole = exported_tokenizer.apply_chat_template(answered, return_dict=False)
    assert whole == encode_prompt(tokenizer, turns) + encode_response(tokenizer, "Hens.")
    assert whole[: len(ids)] == ids, "TRL needs the prompt to be a beginning of the whole"


def test_the_chat_template_refuses_a_role_that_the_model_never_saw(exported_tokenizer):
    with pytest.raises(Exception, match="only the roles user and assistant"):
        exported_tokenizer.apply_chat_template([{"role": "system", "content": "Be kind."}])


# ---- The commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["export", "--runs", str(tmp_path / "runs"), *map(str, flags)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_main(export.main)
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err
        return err

    return run


def test_what_cannot_be_exported_is_refused_in_one_sentence(refused, tokenizer, tmp_path):
    assert "expected --to-hf FOLDER" in refused()
    assert "did you mean --to-hf?" in refused("--to-fh=x")
    assert "`make pretrain`" in refused("--to-hf", tmp_path / "out")
    sinusoidal = make_reward_model(replace(SHAPE, position="sinusoidal"), tokenizer)
    save_reward_model(tmp_path / "runs", sinusoidal, tokenizer)
    assert "position sinusoidal" in refused("--to-hf", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    save_reward_model(tmp_path / "runs", make_reward_model(SHAPE, tokenizer), tokenizer)
    assert "already exists" in refused("--to-hf", tmp_path / "runs")
    (tmp_path / "runs" / "small" / "reward_model" / "checkpoint.pt").unlink()
    assert "`make stage2`" in refused("--to-hf", tmp_path / "out")


def published_gpt2(folder):
    """A toy GPT-2 in transformers' hands, with vocab.json and merges.txt and no token of ours but <|endoftext|>."""
    tokenizer = Tokenizer.train([TEXT * 3], 256 + 20 + 5)
    write_gpt2_files(tokenizer, folder)
    config = transformers.GPT2Config(
        vocab_size=tokenizer.end_of_text_id + 1, n_positions=64, n_embd=32, n_layer=1, n_head=2, resid_pdrop=0.0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def test_the_chain_goes_on_from_a_gpt2_and_ends_in_transformers(tmp_path):
    """Import, stage 1 and stage 2 by their commands, then policy and reward model in transformers: the same figures."""
    published_gpt2(tmp_path / "gpt2")
    runs = ["--runs", str(tmp_path / "runs"), "--preset", "tiny"]
    convert.main(["--from-hf", str(tmp_path / "gpt2"), *runs])
    demonstration = {"prompt": "What does a cow eat?", "response": "A cow eats grass."}
    (tmp_path / "mine.jsonl").write_text((json.dumps(demonstration) + "\n") * 8, encoding="utf-8")
    sft.main([*runs, "--demonstrations", str(tmp_path / "mine.jsonl"), "--epochs=2", "--batch-size=4", "--device=cpu"])
    ranking = {"prompt": "What does a cow eat?", "responses": ["A cow eats grass.", "I do not know."], "ranks": [0, 1]}
    (tmp_path / "ranked.jsonl").write_text((json.dumps(ranking) + "\n") * 8, encoding="utf-8")
    ranked = ["--rankings", str(tmp_path / "ranked.jsonl"), "--epochs=1", "--batch-size=4", "--device=cpu"]
    reward_model.main([*runs, *ranked])

    convert.main(["--to-hf", str(tmp_path / "policy"), "--stage", "sft", *runs])
    export.main(["--to-hf", str(tmp_path / "scorer"), *runs])
    run = tmp_path / "runs" / "tiny"
    tokenizer = load_tokenizer(run)
    exported = AutoTokenizer.from_pretrained(tmp_path / "policy")
    messages = [{"role": "user", "content": demonstration["prompt"]}]
    prompt = exported.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    ids = torch.tensor([prompt + exported.encode(demonstration["response"] + "<|end|>")])
    lengths = torch.tensor([ids.shape[1]])
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")(ids).logits
        assert_close(theirs, load_policy(run / "sft", tokenizer)(ids), rtol=1e-4, atol=1e-4)
        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "scorer")(ids).logits[:, 0]
        assert_close(theirs, load_reward_model(run / "reward_model", tokenizer)(ids, lengths), rtol=1e-4, atol=1e-4)
