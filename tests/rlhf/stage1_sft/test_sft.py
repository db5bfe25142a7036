"""Stage 1 learns from response tokens only, the end token among them, whatever ids a text holds; and it runs."""

import json

import pytest
import torch
from torch.nn.functional import log_softmax

from minigpt.data import IGNORE
from minigpt.model import GPT, GPTConfig
from minigpt.objective import next_token_loss_sum
from minigpt.pretrain import main as pretrain
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.config import with_overrides
from minigpt.runs.errors import UserError
from minigpt.tokenizer import Tokenizer
from rlhf.bad_records import BadRecords
from rlhf.chat_format import Turn, user_prompt
from rlhf.data_formats.formats import read_demonstrations
from rlhf.people.prompts import prompt_set
from rlhf.records import Demonstration, write_demonstrations
from rlhf.stage1_sft.examples import Batch, Example, collate, encode_demonstration, encode_demonstrations
from rlhf.stage1_sft.objective import DemonstrationObjective
from rlhf.stage1_sft.stage import PRESETS, SFTConfig, imitate, main, toy_demonstrations

PAD = 9
END = 8
# prompt lengths, response lengths and the place of the longest differ; 9 is the pad id and occurs in texts as well
EXAMPLES = [Example((1, 2), (3, END)), Example((4, PAD, 5), (6, PAD, 7, END)), Example((1,), (END,))]


def objective(examples=EXAMPLES, validation=(), batch_size=16, micro_batch_size=0) -> DemonstrationObjective:
    tokenizer = Tokenizer.train(["A cow eats grass."], 256 + 5)
    sizes = {"batch_size": batch_size, "micro_batch_size": micro_batch_size}
    return DemonstrationObjective(
        examples, validation, **sizes, tokenizer=tokenizer, seed=0, device=torch.device("cpu")
    )


# ---- the mask ----


def test_collate_by_hand():
    inputs, targets, _ = collate(EXAMPLES, PAD)
    i = IGNORE
    assert inputs.tolist() == [[1, 2, 3, 8, 9, 9], [4, 9, 5, 6, 9, 7], [1, 8, 9, 9, 9, 9]]
    assert targets.tolist() == [[i, 3, 8, i, i, i], [i, i, 6, 9, 7, 8], [8, i, i, i, i, i]]


def test_first_and_last_target_of_the_smallest_example():
    _, targets, _ = collate([Example((1, 2), (3, END))], PAD)
    supervised = targets[targets != IGNORE].tolist()
    assert supervised[0] == 3, "the last prompt token predicts the first response token"
    assert supervised[-1] == END, "without the end token in its loss the policy never stops"
    assert targets.tolist() == [[IGNORE, 3, END]], "the mask belongs to the targets: masked inputs are off by one"


def test_gradient_is_exactly_zero_at_prompt_and_pad_targets():
    inputs, targets, _ = collate(EXAMPLES, PAD)
    logits = torch.randn(*inputs.shape, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)  # [B,T,V]
    next_token_loss_sum(logits, targets).backward()
    per_position = logits.grad.abs().sum(-1)  # [B,T]
    for row, example in enumerate(EXAMPLES):
        first, last = len(example.prompt) - 1, len(example.prompt) + len(example.response) - 2
        for place in range(inputs.shape[1]):
            inside = first <= place <= last
            assert (per_position[row, place] > 0) == inside, f"row {row} place {place}: the mask is off"


def test_the_tokens_of_a_prompt_are_no_targets():
    """Other prompts of the same lengths: what the model sees is another, what it is asked is the same."""
    others = [Example(tuple((token + 1) % 12 for token in e.prompt), e.response) for e in EXAMPLES]
    inputs, targets, _ = collate(EXAMPLES, PAD)
    other_inputs, other_targets, _ = collate(others, PAD)
    assert not torch.equal(inputs, other_inputs)
    assert torch.equal(targets, other_targets), "a prompt token is learned"
    logits = torch.randn(*inputs.shape, 12, generator=torch.Generator().manual_seed(0))  # [B,T,V]
    assert next_token_loss_sum(logits, targets) == next_token_loss_sum(logits, other_targets)


def test_loss_is_a_slow_double_loop():
    model = GPT(GPTConfig(vocab_size=12, context=16, layers=1, heads=2, channels=16), seed=0).eval()
    expected, count = 0.0, 0
    for example in EXAMPLES:
        for place, token in enumerate(example.response):
            seen = torch.tensor([[*example.prompt, *example.response[:place]]])  # [1,T] no padding, no shift
            expected -= log_softmax(model(seen)[0, -1].double(), dim=-1)[token].item()
            count += 1
    micro = collate(EXAMPLES, PAD)
    loss, metrics = objective().loss_sum(model, micro)
    torch.testing.assert_close(loss.item(), expected, rtol=1e-5, atol=1e-5)
    assert objective().weight(micro) == count == sum(len(example.response) for example in EXAMPLES)
    assert 0 <= metrics["mean_token_accuracy"] <= count


def test_accuracy_counts_response_tokens_only():
    inputs, targets, _ = collate(EXAMPLES, PAD)
    answers = torch.where(targets == IGNORE, inputs, targets)  # [B,T] right wherever it is asked

    class Oracle(torch.nn.Module):
        def forward(self, ids, layout, at):
            return torch.nn.functional.one_hot(answers, 12).float()[at]  # [M,V]

    _, metrics = objective().loss_sum(Oracle(), Batch(inputs, targets))
    assert int(metrics["mean_token_accuracy"]) == objective().weight(Batch(inputs, targets))


@pytest.mark.parametrize("pad", [0, 3, 6, 8, 11])
def test_the_pad_id_may_be_any_token_of_the_texts(pad):
    model = GPT(GPTConfig(vocab_size=12, context=16, layers=1, heads=2, channels=16), seed=0).eval()
    reference, _ = objective().loss_sum(model, collate(EXAMPLES, PAD))
    loss, _ = objective().loss_sum(model, collate(EXAMPLES, pad))
    torch.testing.assert_close(loss, reference, rtol=1e-6, atol=1e-6)
    _, targets, _ = collate(EXAMPLES, pad)
    assert int((targets != IGNORE).sum()) == 7, "the mask must come from lengths, not from comparing with the pad id"


# ---- batches ----


def numbered(count: int) -> list[Example]:
    return [Example((1, 2), (number, END)) for number in range(10, 10 + count)]


def drawn(parts) -> list[int]:
    return [row[1] for _, targets, _ in parts for row in targets.tolist()]


def test_an_epoch_visits_every_demonstration_once():
    chosen = objective(numbered(12), batch_size=4)
    assert chosen.steps_per_epoch() == 3
    first = [token for step in range(3) for token in drawn(chosen.micro_batches(step))]
    second = [token for step in range(3, 6) for token in drawn(chosen.micro_batches(step))]
    assert sorted(first) == sorted(second) == list(range(10, 22))
    assert first != second, "the second epoch has the order of the first"
    assert drawn(chosen.micro_batches(4)) == second[4:8], "a batch must be a pure function of its step"


def test_micro_batches_divide_a_batch_without_changing_it():
    whole, parts = objective(numbered(12), batch_size=5), objective(numbered(12), batch_size=5, micro_batch_size=2)
    assert [len(inputs) for inputs, _, _ in parts.micro_batches(1)] == [2, 2, 1]
    assert drawn(parts.micro_batches(1)) == drawn(whole.micro_batches(1))
    assert whole.steps_per_epoch() == 2, "whole batches only"


def test_fewer_demonstrations_than_a_batch_holds():
    few = objective(numbered(3), batch_size=16)
    assert few.steps_per_epoch() == 1
    assert sorted(drawn(few.micro_batches(5))) == [10, 11, 12]


def test_held_out_loss_is_the_mean_over_response_tokens():
    model = GPT(GPTConfig(vocab_size=261, context=16, layers=1, heads=2, channels=16), seed=0).eval()
    many = EXAMPLES * 15  # more than one batch of 32
    with torch.no_grad():
        found = objective(validation=many).evaluate(model)
        total = sum(objective().loss_sum(model, collate([example], PAD))[0].item() for example in many)
    assert found["loss"] == pytest.approx(total / sum(len(example.response) for example in many), rel=1e-5)
    assert objective(validation=[]).evaluate(model) == {}


# ---- encoding ----


def test_encoding_keeps_prompt_and_response_apart():
    tokenizer = Tokenizer.train(["A cow eats grass."], 256 + 5)
    example = encode_demonstration(tokenizer, Demonstration(user_prompt("a"), "b"), context=5, where="here")
    a, b = tokenizer.encode("a")[0], tokenizer.encode("b")[0]
    assert example == Example((tokenizer.user_id, a, tokenizer.assistant_id), (b, tokenizer.end_id))


def test_a_demonstration_that_does_not_fit():
    tokenizer = Tokenizer.train(["A cow eats grass."], 256 + 5)
    items = [Demonstration(user_prompt("a"), "b"), Demonstration(user_prompt("a"), "bc")]
    with pytest.raises(UserError, match=r"demonstration 2: .* 6 tokens together, but the model's context is 5"):
        encode_demonstrations(tokenizer, items, context=5, bad=BadRecords())
    bad = BadRecords(skip=True)
    fitting, examples = encode_demonstrations(tokenizer, [items[1], items[0]], context=5, bad=bad)
    assert fitting == items[:1], "items and examples must go together: samples.md shows the items' prompts"
    assert len(examples) == bad.count == 1


def test_toy_demonstrations_are_prompts_a_as_people_answer_them():
    prompts = prompt_set("A", 60, seed=2)
    best = toy_demonstrations(60, 2, demonstrators=5, careless_share=0.0)
    assert [item.turns for item in best] == [prompt.turns for prompt in prompts]
    assert all(item.response in prompt.request.good for item, prompt in zip(best, prompts, strict=True))
    people = toy_demonstrations(60, 2, demonstrators=5, careless_share=0.5)
    complete = [item.response in prompt.request.good for item, prompt in zip(people, prompts, strict=True)]
    assert 15 < sum(complete) < 45
    assert people == toy_demonstrations(60, 2, demonstrators=5, careless_share=0.5)


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_fit_together(name):
    config = with_overrides(SFTConfig(), PRESETS[name])
    held_out = round(config.demonstration_count * config.validation_fraction)
    assert held_out >= 10
    assert len(toy_demonstrations(config.demonstration_count, 0, 10, 0.5)) == config.demonstration_count
    steps = config.epochs * ((config.demonstration_count - held_out) // config.training.batch_size)
    assert steps > 2 * config.training.warmup_steps


# ---- from any policy and any answers ----


def test_imitation_goes_on_from_the_policy_it_is_given(tmp_path):
    """Stage 1 gives the chat tokens new embeddings first; done to a policy, it would forget what it knew."""
    tokenizer = Tokenizer.train(["A cow eats grass."], 256 + 5)
    policy = GPT(GPTConfig(vocab_size=261, context=16, layers=1, heads=2, channels=16), seed=0).eval()
    examples = [Example((tokenizer.user_id, n, tokenizer.assistant_id), (n, tokenizer.end_id)) for n in range(8)]
    with torch.no_grad():
        loss, _ = objective().loss_sum(policy, collate(examples, tokenizer.pad_id))
    before = loss.item() / 16  # two response tokens each
    config = with_overrides(SFTConfig(), {"epochs": 1.0, "batch_size": 8, "warmup_steps": 0, "device": "cpu"})
    row = imitate(policy, examples, tokenizer, config, stage_dir=tmp_path / "taught", validation=examples)
    assert row["step"] == 1, "one pass over 8 examples in batches of 8"
    torch.testing.assert_close(
        row["loss"], before, rtol=1e-5, atol=1e-6, msg="learning does not begin with the weights of the policy"
    )
    assert row["eval_loss"] < before, "the policy that was given is not the one that learned"
    saved = load_checkpoint(tmp_path / "taught" / "checkpoint.pt", kind="gpt", fingerprint=tokenizer.fingerprint)
    assert all(torch.equal(saved["model"][name], weight) for name, weight in policy.state_dict().items())


# ---- the command, end to end ----

SIZE = ["--layers=1", "--channels=16", "--heads=2", "--context=128", "--vocab-size=512", "--batch-size=4"]
FAST = ["--device=cpu", "--demonstration-count=40", "--batch-size=4", "--warmup-steps=1"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run whose base model has seen next to nothing, to be copied."""
    runs = tmp_path_factory.mktemp("base")
    pretrain(["--runs", str(runs), "--documents=150", "--steps=2", "--device=cpu", *SIZE])
    return runs / "small"


@pytest.fixture
def runs(base, tmp_path):
    (tmp_path / "runs" / "small" / "pretrain").mkdir(parents=True)
    for name in ("tokenizer.json", "pretrain/checkpoint.pt"):
        (tmp_path / "runs" / "small" / name).write_bytes((base / name).read_bytes())
    return tmp_path / "runs"


def run(runs, *more):
    main(["--runs", str(runs), *FAST, *more])
    return runs / "small" / "sft"


def test_main_trains_and_writes_everything(runs, capsys):
    stage = run(runs, "--epochs=2")
    tokenizer = Tokenizer.load(runs / "small" / "tokenizer.json")
    saved = load_checkpoint(stage / "checkpoint.pt", kind="gpt", fingerprint=tokenizer.fingerprint)
    before = load_checkpoint(runs / "small" / "pretrain" / "checkpoint.pt", kind="gpt", fingerprint=None)
    assert saved["config"] == before["config"]
    assert any(not torch.equal(saved["model"][name], before["model"][name]) for name in before["model"])
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["step"] == 2 * (36 // 4), "--epochs sets the steps: 36 of 40 demonstrations are learned"
    assert rows[-1]["eval_loss"] < rows[0]["eval_loss"]
    assert read_demonstrations(stage / "demonstrations.jsonl", BadRecords()) == toy_demonstrations(40, 0, 10, 0.5)
    assert json.loads((stage / "config.json").read_text(encoding="utf-8"))
    assert "assistant:" in (stage / "samples.md").read_text(encoding="utf-8")
    assert (stage / "curves.svg").exists()
    assert "36 demonstrations, validation loss" in capsys.readouterr().out


def test_packing_changes_the_rows_and_not_the_training(runs, monkeypatch):
    """The same demonstrations in the same batches: the losses are equal but for rounding."""
    monkeypatch.setattr("minigpt.runs.folder.draw_curves", lambda rows, path, *rest: path.write_text("<svg/>"))
    losses, tokens = [], []
    for flags in ([], ["--pack"]):
        stage = run(runs, "--epochs=2", "--batch-size=12", *flags)
        rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        losses.append([row["loss"] for row in rows if "loss" in row] + [rows[-1]["eval_loss"]])
        tokens.append(rows[-1]["num_tokens"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4), "a demonstration sees its neighbours in the row?"
    assert tokens[1] < 0.9 * tokens[0], "nothing was packed"


def test_own_demonstrations(runs, tmp_path):
    items = [
        Demonstration((*user_prompt("Hello?"), Turn("assistant", "Hi."), Turn("user", f"Say {n}.")), f"{n}.")
        for n in range(9)
    ]
    write_demonstrations(tmp_path / "mine.jsonl", items)
    stage = run(runs, "--demonstrations", str(tmp_path / "mine.jsonl"), "--validation-fraction=0")
    assert read_demonstrations(stage / "demonstrations.jsonl", BadRecords()) == items


def test_without_a_base_model(tmp_path, runs):
    (runs / "small" / "pretrain" / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match="make pretrain"):
        run(runs)
    with pytest.raises(UserError, match="make pretrain"):
        run(tmp_path / "empty")
    assert not (runs / "small" / "sft").exists(), "something was written before the input was checked"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--validation-fraction=1"], "--validation-fraction"),
        (["--validation-fraction=-0.1"], "--validation-fraction"),
        (["--validation-fraction=0.99"], "leaves none of 40"),
        (["--demonstration-count=0"], "--demonstration-count"),
        (["--epochs=0"], "--epochs"),
        (["--demonstrations=absent.jsonl"], "cannot read absent.jsonl"),
    ],
)
def test_bad_settings_are_one_sentence_and_nothing_is_written(runs, flags, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        run(runs, *flags)
    assert "\n" not in str(error.value)
    assert not (runs / "small" / "sft").exists(), "something was written before the input was checked"
