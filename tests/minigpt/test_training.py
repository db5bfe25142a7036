"""The training loop: what a step computes, what it leaves behind, and that stopping changes nothing."""

import json
import os
import signal
import threading
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minigpt import training
from minigpt.data import IGNORE
from minigpt.model import GPT, GPTConfig
from minigpt.runs import folder as folder_module
from minigpt.runs.checkpoint import load_checkpoint
from minigpt.runs.errors import DivergedError, UserError
from minigpt.runs.interrupt import uninterrupted
from minigpt.runs.log.metrics import RunLog
from minigpt.runs.resume import resume_paths
from minigpt.runs.seeds import seed_of, seeded_generator
from minigpt.scale.precision import set_precision
from minigpt.training import TrainingConfig, train

MODEL = GPTConfig(vocab_size=13, context=8, layers=1, heads=2, channels=8, dropout=0.1)
SHORT = TrainingConfig(steps=8, batch_size=4, evaluate_every=3, checkpoint_every=3, warmup_steps=2)
TIMES = ("seconds", "tokens_per_second")


class RaggedObjective:
    """Random ragged rows: their targets number 1 to 7, so a mean of micro-batch means is not the mean over tokens."""

    def __init__(self, batch_size=4, micro=4, stop_at=None, poison_at=None, noisy_evaluation=False, same_batch=False):
        self.batch_size, self.micro, self.stop_at, self.poison_at = batch_size, micro, stop_at, poison_at
        self.noisy_evaluation, self.same_batch = noisy_evaluation, same_batch
        self.stop_in_evaluation_at = None
        self.evaluations = 0

    def micro_batches(self, step):
        if step == self.stop_at:
            raise KeyboardInterrupt
        generator = seeded_generator(5, "ragged rows", 0 if self.same_batch else step)
        ids = torch.randint(0, 13, (self.batch_size, 8), generator=generator)
        lengths = torch.tensor([1, 7, 2, 5])[: self.batch_size]
        targets = ids[:, 1:].masked_fill(torch.arange(7) >= lengths[:, None], IGNORE)
        self.poisoned = step == self.poison_at
        return list(zip(ids[:, :-1].split(self.micro), targets.split(self.micro), strict=True))

    def weight(self, micro):
        return int((micro[1] != IGNORE).sum())

    def tokens(self, micro):
        return self.weight(micro)

    def loss_sum(self, model, micro):
        logits = model(micro[0])
        loss = F.cross_entropy(logits.flatten(0, 1), micro[1].flatten(), reduction="sum")
        right = (logits.argmax(-1) == micro[1]).sum()
        return loss * (float("nan") if self.poisoned else 1.0), {"mean_token_accuracy": right}

    def evaluate(self, model):
        if self.evaluations == self.stop_in_evaluation_at:
            self.stop_in_evaluation_at = None
            raise KeyboardInterrupt
        self.evaluations += 1
        assert not model.training, "evaluation must not use dropout"
        if self.noisy_evaluation:
            torch.rand(17)  # a careless objective that draws from the global generator
            torch.manual_seed(123)
        ids = torch.randint(0, 13, (2, 8), generator=torch.Generator().manual_seed(9))
        return {"loss": F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()}

    def samples(self, model):
        return f"weight {model.token_embedding.weight[0, 0]:.6f}"


@pytest.fixture(autouse=True)
def _fast_curves(monkeypatch):
    """Drawing takes longer than these trainings, and test_curves.py tests it."""
    monkeypatch.setattr(
        folder_module, "draw_curves", lambda rows, path, *rest: path.write_text("<svg/>", encoding="utf-8")
    )


def run(folder, objective=None, config=SHORT, describe=None, seed=0, **hooks):
    model = GPT(MODEL, seed=seed)
    row = train(
        model,
        objective or RaggedObjective(),
        config,
        stage_dir=folder,
        describe=describe or {"steps": config.steps},
        checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": "none"},
        seed=seed,
        **hooks,
    )
    return model, row


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def timeless(folder):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows(folder)]


def assert_same_weights(a, b, why):
    for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y), f"{name} differs: {why}"


# ---- One step ----


@pytest.mark.parametrize("micro", [1, 2, 3])
def test_any_split_into_micro_batches_is_the_whole_batch(tmp_path, micro):
    # No dropout here: it would draw other numbers for other shapes.
    def one(folder, size):
        torch.manual_seed(0)
        model = GPT(GPTConfig(**{**MODEL.__dict__, "dropout": 0.0}), seed=0)
        row = train(
            model,
            RaggedObjective(micro=size),
            TrainingConfig(steps=1, warmup_steps=0, optimizer="adamw", eps=1.0),
            stage_dir=folder,
            describe={},
            checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
            seed=0,
        )
        return model, row

    whole, row = one(tmp_path / "whole", 4)
    split, split_row = one(tmp_path / "split", micro)
    for name in ("loss", "grad_norm", "mean_token_accuracy"):
        assert split_row[name] == pytest.approx(row[name], rel=1e-5), f"{name}: a mean of micro-batch means?"
    for (name, a), b in zip(whole.named_parameters(), split.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b[1].grad, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
        torch.testing.assert_close(a, b[1], rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_a_step_computes_the_mean_over_its_tokens(tmp_path):
    config = TrainingConfig(steps=1, warmup_steps=0)
    objective = RaggedObjective(micro=1)
    model = GPT(GPTConfig(**{**MODEL.__dict__, "dropout": 0.0}), seed=0)
    losses = []
    for ids, targets in objective.micro_batches(0):
        logprobs = model(ids)[0].log_softmax(-1)
        losses += [-logprobs[t, target].item() for t, target in enumerate(targets[0].tolist()) if target != IGNORE]
    row = train(
        model,
        objective,
        config,
        stage_dir=tmp_path,
        describe={},
        seed=0,
        checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
    )
    assert len(losses) == 1 + 7 + 2 + 5
    assert row["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert row["num_tokens"] == len(losses)


def test_one_batch_can_be_learned_by_heart(tmp_path):
    config = TrainingConfig(
        steps=120,
        warmup_steps=5,
        learning_rate=0.02,
        matrix_learning_rate=0.05,
        weight_decay=0.0,
        evaluate_every=0,
        checkpoint_every=0,
    )
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=13, context=8, layers=2, heads=2, channels=32), seed=0)
    row = train(
        model,
        RaggedObjective(same_batch=True),
        config,
        stage_dir=tmp_path,
        describe={},
        seed=0,
        checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
    )
    assert rows(tmp_path)[1]["loss"] > 2
    assert row["loss"] < 0.1, f"loss {row['loss']}: the optimiser does not get one batch right"


def test_a_batch_without_targets_is_one_sentence(tmp_path):
    objective = RaggedObjective()
    objective.weight = lambda micro: 0
    with pytest.raises(UserError, match=r"step 1: the batch has no target.* likely .*no earlier state"):
        run(tmp_path, objective)


def test_a_later_batch_without_targets_names_the_state_to_go_back_to(tmp_path):
    objective = RaggedObjective()
    weigh = objective.weight
    objective.weight = lambda micro: weigh(micro) if objective.evaluations < 3 else 0  # evaluated at steps 0, 3, 6
    with pytest.raises(UserError, match=r"step 7: the batch has no target.*last saved state is step 6 in .*resume-"):
        run(tmp_path, objective)


# ---- What is left behind ----


def test_files_and_metrics(tmp_path):
    model, last = run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.pt",
        "config.json",
        "curves.svg",
        "metrics.jsonl",
        "samples.md",
    ]
    written = rows(tmp_path)
    assert [row["step"] for row in written] == list(range(9))
    assert [row["step"] for row in written if "eval_loss" in row] == [0, 3, 6, 8]
    assert last == written[-1]
    assert set(last) >= {"step", "num_tokens", "seconds", "loss", "learning_rate", "grad_norm", "tokens_per_second"}
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == {"steps": 8, "computes_in": "float32"}
    page = (tmp_path / "samples.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        f"## After step {n}" for n in (0, 3, 6, 8)
    ]
    saved = load_checkpoint(tmp_path / "checkpoint.pt", kind="gpt")
    assert saved["step"] == 8
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, saved["model"][name])


def test_log_every_thins_the_metrics_but_keeps_evaluations(tmp_path):
    run(tmp_path, config=TrainingConfig(steps=8, evaluate_every=3, log_every=4))
    assert [row["step"] for row in rows(tmp_path)] == [0, 3, 4, 6, 8]


def test_same_seed_same_metrics_and_the_callers_random_state_is_untouched(tmp_path):
    before = torch.get_rng_state()
    first, _ = run(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before), "train() moved the caller's global generator"
    torch.rand(3)
    second, _ = run(tmp_path / "b")
    assert_same_weights(first, second, "the run depends on the global random state at its start")
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b")


def test_each_process_drops_out_other_activations_and_the_same_ones_again_when_resumed(tmp_path, monkeypatch):
    """With one seed for all processes, the same places would be dropped in each part of the batch; hash(), which once
    made the seed, is no fixed function."""
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    for process in (0, 1, 0):
        monkeypatch.setattr(training, "rank", lambda process=process: process)
        run(tmp_path / f"{process} {len(seeds)}")
    first, second, again = seeds[:8], seeds[8:16], seeds[16:]
    assert len(set(first + second)) == 16, "two steps or two processes share their dropout"
    assert first == again == [seed_of(0, "dropout", step, 0) for step in range(8)]


def test_evaluation_does_not_disturb_training(tmp_path):
    often = TrainingConfig(**{**SHORT.__dict__, "evaluate_every": 1})
    never = TrainingConfig(**{**SHORT.__dict__, "evaluate_every": 0})
    looked, _ = run(tmp_path / "often", RaggedObjective(noisy_evaluation=True), often)
    blind, _ = run(tmp_path / "never", config=never)
    assert_same_weights(looked, blind, "evaluation consumed random numbers of training, or left the model in eval mode")


def test_every_step_trains_with_dropout_however_often_one_looks(tmp_path):
    modes = []

    class Watched(RaggedObjective):
        def loss_sum(self, model, micro):
            modes.append(model.training)
            return super().loss_sum(model, micro)

    run(tmp_path, Watched(), TrainingConfig(**{**SHORT.__dict__, "evaluate_every": 1}))
    assert modes == [True] * SHORT.steps, "an evaluation left the model in evaluation mode"


def test_a_step_forgets_the_gradient_of_the_step_before(tmp_path):
    """On one batch, without dropout and with learning rates of 0, every step has the same gradient."""
    still = TrainingConfig(**{**SHORT.__dict__, "learning_rate": 0.0, "matrix_learning_rate": 0.0})
    train(
        GPT(replace(MODEL, dropout=0.0)),
        RaggedObjective(same_batch=True),
        still,
        stage_dir=tmp_path,
        describe={},
        seed=0,
        checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
    )
    norms = [row["grad_norm"] for row in rows(tmp_path) if "grad_norm" in row]
    assert norms == pytest.approx([norms[0]] * SHORT.steps, rel=1e-5), "gradients of all steps add up"


def test_dropout_is_on_during_training(tmp_path):
    model = GPT(MODEL, seed=0).eval()  # as a model comes from a checkpoint that was evaluated
    train(
        model,
        RaggedObjective(),
        SHORT,
        stage_dir=tmp_path,
        describe={},
        seed=0,
        checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
    )
    fresh, _ = run(tmp_path / "fresh")
    assert_same_weights(model, fresh, "train() did not switch dropout on")


# ---- Stopping and resuming ----


@pytest.mark.parametrize("stop_at", [0, 1, 3, 5, 7])
def test_resumed_run_equals_uninterrupted_run_bit_for_bit(tmp_path, stop_at, capsys):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", RaggedObjective(stop_at=stop_at))
    assert not (tmp_path / "parts" / "checkpoint.pt").exists(), "an unfinished run must not look finished"
    resumed, _ = run(tmp_path / "parts")
    assert f"resuming after step {stop_at}" in capsys.readouterr().out
    assert_same_weights(whole, resumed, "optimiser state, data cursor or dropout numbers were lost")
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "parts"), "a step is missing or twice in the metrics"
    whole_page, page = ((tmp_path / part / "samples.md").read_text(encoding="utf-8") for part in ("whole", "parts"))
    assert page.replace("parts", "whole") == whole_page
    assert resume_paths(tmp_path / "parts") == []


@pytest.mark.parametrize("evaluation", [0, 1, 2, 3])
def test_ctrl_c_during_an_evaluation_loses_nothing(tmp_path, evaluation):
    whole, _ = run(tmp_path / "whole")
    objective = RaggedObjective()
    objective.stop_in_evaluation_at = evaluation
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", objective)
    resumed, _ = run(tmp_path / "parts")
    assert_same_weights(whole, resumed, "a step was lost or taken twice")
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "parts")


def test_a_killed_run_goes_back_to_its_last_save(tmp_path):
    whole, _ = run(tmp_path / "whole")

    class KilledError(Exception):
        pass

    def die(step):
        if step == 5:
            raise KilledError
        return RaggedObjective().micro_batches(step)

    objective = RaggedObjective()
    objective.poisoned, objective.micro_batches = False, die
    with pytest.raises(KilledError):
        run(tmp_path / "parts", objective)
    assert rows(tmp_path / "parts")[-1]["step"] == 5
    with (tmp_path / "parts" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 6, "lo')  # the line that was being written
    resumed, _ = run(tmp_path / "parts")
    assert_same_weights(whole, resumed, "the run did not go back to the save of step 3")
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "parts"), "rows after step 3 were kept and written again"


def test_other_settings_are_refused_and_the_stopped_run_stays_as_it_was(tmp_path):
    described = {"training": {"learning_rate": 0.1, "steps": 8}}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RaggedObjective(stop_at=5), describe=described)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"other settings \(training.learning_rate was 0.1 and is 0.2\).*resume-"):
        run(
            tmp_path,
            describe={"training": {"learning_rate": 0.2, "steps": 8}},
            on_start=lambda _: pytest.fail("too early"),
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    model, _ = run(tmp_path, describe=described)
    whole, _ = run(tmp_path / "whole")
    assert_same_weights(whole, model, "the refused run has left something")


def test_a_stopped_run_does_not_go_on_in_another_precision(tmp_path):
    # both say --precision auto, so their settings are equal: the first on a CPU, the second on a GPU
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RaggedObjective(stop_at=5))
    model = set_precision(GPT(MODEL, seed=0), torch.bfloat16)
    with pytest.raises(UserError, match=r"other settings \(computes_in was float32 and is bfloat16\)"):
        train(
            model,
            RaggedObjective(),
            SHORT,
            stage_dir=tmp_path,
            describe={"steps": SHORT.steps},
            seed=0,
            checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": "none"},
        )


def test_after_its_resume_files_are_deleted_a_run_starts_afresh(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", RaggedObjective(stop_at=5), seed=1)
    for path in resume_paths(tmp_path / "a"):
        path.unlink()
    model, _ = run(tmp_path / "a")
    fresh, _ = run(tmp_path / "b")
    assert_same_weights(model, fresh, "something of the earlier run was kept")
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b")


def test_a_finished_run_is_no_obstacle_to_another(tmp_path):
    run(tmp_path, describe={"steps": 8})
    run(tmp_path, describe={"steps": 8, "data": "other"})
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == {
        "steps": 8,
        "data": "other",
        "computes_in": "float32",
    }


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_result_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    run(tmp_path)
    old = contents(tmp_path)
    other = {"steps": 8, "seed": 1}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RaggedObjective(stop_at=5), seed=1, describe=other)
    assert contents(tmp_path) == old, "a retraining that was stopped has changed the result before it"
    model, _ = run(tmp_path, seed=1, describe=other)
    whole, _ = run(tmp_path / "whole", seed=1, describe=other)
    assert_same_weights(whole, model, "the retraining was not resumed")
    assert timeless(tmp_path) == timeless(tmp_path / "whole")
    assert sorted(contents(tmp_path)) == sorted(old), "files of the retraining were left behind"
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["seed"] == 1
    assert not (tmp_path / "unfinished").exists()


def test_a_kill_while_a_result_is_replaced_leaves_one_of_the_two_and_the_next_run_finishes_it(tmp_path, monkeypatch):
    """Kills before each of the renames."""
    for number in range(5):
        stage_dir = tmp_path / str(number) / "sft"
        run(stage_dir)
        old = contents(stage_dir)
        calls = iter(range(100))
        replace_file = os.replace

        def killed(source, target, number=number, calls=calls, replace_file=replace_file):
            if "unfinished" in str(source) and "unfinished" not in str(target) and next(calls) == number:
                raise SystemExit
            replace_file(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(folder_module.os, "replace", killed)
            with pytest.raises(SystemExit):
                run(stage_dir, seed=1)
        assert contents(stage_dir)["checkpoint.pt"] == old["checkpoint.pt"], "the result goes last"
        folder_module.finish_replacing(stage_dir)
        assert not (stage_dir / "unfinished").exists()
        fresh, _ = run(tmp_path / "fresh" / str(number), seed=1)
        found = load_checkpoint(stage_dir / "checkpoint.pt")["model"]
        assert all(torch.equal(weight, found[name]) for name, weight in fresh.state_dict().items())
        assert timeless(stage_dir) == timeless(tmp_path / "fresh" / str(number))


def test_a_damaged_resume_file_is_refused_and_the_one_before_it_gives_the_same_run(tmp_path):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", RaggedObjective(stop_at=7))
    saved = resume_paths(tmp_path / "parts")
    assert [path.name for path in saved] == ["resume-000006.pt", "resume-000007.pt"]
    data = saved[1].read_bytes()
    saved[1].write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"resume-000007\.pt is .*damaged.* delete it to resume from resume-000006\.pt"):
        run(tmp_path / "parts")
    saved[1].unlink()
    resumed, _ = run(tmp_path / "parts")
    assert_same_weights(whole, resumed, "the run did not go on from the save of step 6")
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "parts")


@pytest.mark.parametrize("where", ["curves", "finish"])
def test_ctrl_c_after_the_last_step_loses_nothing(tmp_path, monkeypatch, where):
    """The work after the last step takes seconds too, and with checkpoint_every=0 nothing would have been saved yet."""

    def stop(*arguments):
        raise KeyboardInterrupt

    config = replace(SHORT, checkpoint_every=0)
    whole, _ = run(tmp_path / "whole", config=config)
    draw, calls = folder_module.draw_curves, iter([stop])
    with monkeypatch.context() as patch:
        if where == "curves":
            patch.setattr(folder_module, "draw_curves", lambda *arguments: next(calls, draw)(*arguments))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", config=config, on_finish=stop if where == "finish" else None)
    assert not (tmp_path / "parts" / "checkpoint.pt").exists()
    resumed, _ = run(tmp_path / "parts", RaggedObjective(stop_at=0), config=config)  # takes no step
    assert_same_weights(whole, resumed, "the last step was lost")
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "parts")


def test_ctrl_c_while_the_result_is_written_comes_too_late(tmp_path, monkeypatch):
    """Stopped here, the command would say that it can be gone on with, and begin anew when it is given again."""
    end = training.RunFolder.end

    def pressed(self, step, payload):
        os.kill(os.getpid(), signal.SIGINT)
        end(self, step, payload)

    monkeypatch.setattr(training.RunFolder, "end", pressed)
    _, row = run(tmp_path)
    assert row["step"] == 8
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 8
    assert resume_paths(tmp_path) == [], "a finished run must not look stopped"


def test_rows_are_on_the_disk_before_the_state_that_follows_them(tmp_path, monkeypatch):
    order = []
    sync, save = RunLog.sync, folder_module.save_state
    monkeypatch.setattr(RunLog, "sync", lambda self: (order.append("rows"), sync(self)))
    monkeypatch.setattr(folder_module, "save_state", lambda *a: (order.append("state"), save(*a)))
    run(tmp_path)
    assert order == ["rows", "state"] * 2, "after a power cut the resumed run would have a hole in its metrics"


def test_what_the_stage_keeps_is_written_when_it_is_sure_that_the_run_goes_ahead(tmp_path):
    seen = []
    run(tmp_path, on_start=lambda _: seen.append(sorted(path.name for path in tmp_path.glob("*"))))
    assert seen == [[]], "on_start comes once, and before anything else is written"


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []

    def block():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("after the signal")

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["after the signal"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_outside_the_main_thread_there_is_no_ctrl_c_to_hold_back():
    """Python delivers it to the main thread, and only that one may change what happens then."""
    done = []

    def block():
        with uninterrupted():
            done.append("in another thread")

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert done == ["in another thread"]


# ---- Numbers that are none ----


def test_non_finite_loss_stops_and_says_where_and_what_to_do(tmp_path):
    with pytest.raises(UserError) as error:
        run(tmp_path, RaggedObjective(micro=2, poison_at=4))
    message = str(error.value)
    parts = "step 5: the loss is nan", "micro-batch 1 of 2", "--learning-rate", "state is step 3 in", "resume-000003.pt"
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"
    assert "\n" not in message
    assert not (tmp_path / "checkpoint.pt").exists()


def test_non_finite_gradient_stops_before_it_reaches_the_weights(tmp_path):
    class Infinite(RaggedObjective):
        def loss_sum(self, model, micro):
            loss, metrics = super().loss_sum(model, micro)
            zero = model.token_embedding.weight[0, 0] * 0
            return loss + zero.sqrt(), metrics  # finite, but its derivative at 0 is not

    model = GPT(MODEL, seed=0)
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(UserError, match=r"step 1: the gradient norm is .*no earlier state of this run was saved"):
        train(
            model,
            Infinite(),
            SHORT,
            stage_dir=tmp_path,
            describe={},
            seed=0,
            checkpoint_payload={"kind": "gpt", "config": {}, "tokenizer": ""},
        )
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])


def test_a_last_update_that_destroys_the_weights_is_no_result(tmp_path, monkeypatch):
    """No loss is computed after it, so that nobody else would notice."""
    step = training.Optimizer.step

    def destroy(self, factor):
        step(self, factor)
        if factor == pytest.approx(last):
            self.parameters[0].data[0, 0] = float("inf")

    last = training.lr_factor(SHORT.steps - 1, SHORT.steps, SHORT)
    monkeypatch.setattr(training.Optimizer, "step", destroy)
    with pytest.raises(UserError, match=r"after step 8: the weights \S+ are not finite.*state is step 6 in"):
        run(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_model_that_cannot_write_any_more_stops_with_the_step(tmp_path):
    class Writing(RaggedObjective):
        def samples(self, model):
            logits = model.token_embedding.weight[0] * (float("nan") if self.evaluations > 2 else 1.0)
            if not logits.isfinite().all():
                raise DivergedError("the model's logits are not finite numbers, so no token can be chosen")
            return "text"

    with pytest.raises(UserError, match=r"after step 6: the model's logits .*--learning-rate.*state is step 3 in"):
        run(tmp_path, Writing())


def test_a_warning_is_shown_with_the_step_and_the_state_to_go_back_to(tmp_path, capsys):
    run(tmp_path, on_log=lambda rows: "something is wrong" if rows[-1]["step"] == 5 else "")
    err = capsys.readouterr().err
    assert err.count("warning:") == 1
    assert "warning: after step 5: something is wrong; the last saved state is step 3 in" in err
    assert "resume-000003.pt" in err


def test_model_need_not_be_a_gpt(tmp_path):
    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(2, 2)])
            self.head = nn.Linear(2, 1)

    class Regression:
        def micro_batches(self, step):
            return [torch.ones(3, 2)]

        def weight(self, micro):
            return len(micro)

        def tokens(self, micro):
            return len(micro)

        def loss_sum(self, model, micro):
            return (model.head(model.blocks[0](micro)) - 1).square().sum(), {}

        def evaluate(self, model):
            return {}

        def samples(self, model):
            return ""

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Line()
    config = TrainingConfig(steps=60, learning_rate=0.05, weight_decay=0.0)
    row = train(
        model,
        Regression(),
        config,
        stage_dir=tmp_path,
        describe={},
        seed=0,
        checkpoint_payload={"kind": "line", "config": {}, "tokenizer": ""},
    )
    assert row["loss"] < 0.05
    assert not (tmp_path / "samples.md").exists()


@pytest.mark.parametrize("name", ["steps", "batch_size", "log_every"])
def test_impossible_settings_name_their_flag(name):
    with pytest.raises(UserError, match="--" + name.replace("_", "-")):
        TrainingConfig(**{name: 0})
