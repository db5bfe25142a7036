"""One thread a test process, the order of the files, and a run with made-up figures for tests of what reads runs."""

import json
import os

# Before torch is imported, here and in every process that a test starts: with pytest-xdist there are as many processes
# as cores, and more threads than cores make all of them slower. The sums are the same in any number of processes.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

# The files that take longest, the longest first: a process that gets one of them last keeps the others waiting.
LONG = (
    "tests/rlhf/stage3_ppo/test_optimum.py",
    "tests/commands/test_bad_input.py",
    "tests/tutorials/experiments/test_experiments.py",
    "tests/rlhf/stage3_ppo/test_trajectories.py",
    "tests/tutorials/test_models.py",
    "tests/exercises/test_prove.py",
    "tests/commands/test_resume.py",
    "tests/rlhf/web/test_training.py",
    "tests/rlhf/web/test_storm.py",
    "tests/minigpt/scale/test_plan.py",
    "tests/minigpt/test_toyworld.py",
    "tests/minigpt/test_tokenizer_peers.py",
    "tests/minigpt/test_pretrain.py",
    "tests/benchmarks/test_benchmarks.py",
    "tests/exercises/test_worker.py",
    "tests/exercises/test_probes.py",
    "tests/tutorials/experiments/test_experiments_lab.py",
)


def pytest_collection_modifyitems(items):
    """Long files first; within a file, and among the others, the order stays."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.nodeid.split("::")[0], len(LONG)))


@pytest.fixture(autouse=True)
def same_random_numbers():
    """torch's global generator starts alike in each test. Peers of other libraries draw their weights from it, and one
    that got those of whatever test ran before failed in one of twelve orders (test_convert.py, 2026-11-29)."""
    torch.manual_seed(0)


STAGES = ("base", "base_first_line", "base_examples", "sft", "best_of_8", "ppo")
FAMILIES = ("fact", "story")
GOLD = {"base": 0.05, "base_first_line": 0.4, "base_examples": 0.5, "sft": 0.6, "best_of_8": 0.85, "ppo": 0.84}


def made_up_results(seed=0, **gold):
    totals = {**GOLD, **gold}
    won = {"wins": 50, "ties": 40, "losses": 10, "rate": 50 / 60, "low": 0.73, "high": 0.92}
    return {
        "preset": "small",
        "seed": seed,
        "temperature": 0.8,
        "gold": totals,
        "gold_to_first_stray": {stage: total + 0.01 for stage, total in totals.items()},
        "clean": dict.fromkeys(STAGES, 0.985),
        "fact_answers": {
            stage: {"right": 0.6, "unknown": 0.1 if stage == "sft" else 0.28, "wrong": 0.3 if stage == "sft" else 0.12}
            for stage in STAGES
        },
        "fact_answers_by_frequency": {
            stage: {"never": {"right": 0.1, "unknown": 0.5, "wrong": 0.4}} for stage in STAGES
        },
        "unanswerable": {stage: {"admitted": 0.97, "made_up": 0.03} for stage in STAGES},
        "over_refusal": dict.fromkeys(STAGES, 0.02),
        "words": dict.fromkeys(STAGES, 9.5),
        "gold_by_family": {stage: dict.fromkeys(FAMILIES, totals[stage]) for stage in STAGES},
        "three_h": {stage: {"helpful": 0.9, "honest": 0.8, "harmless": 1.0} for stage in STAGES},
        "win_rate": {"ppo_vs_sft": won},
        "reward_model": {
            "pair_accuracy_gold": 0.88,
            "pair_accuracy_annotators": 0.74,
            "pair_accuracy_gold_own": 0.82,
            "pair_accuracy_annotators_own": 0.7,
        },
        "pair_accuracy_likelihood_own": 0.7,
        "annotators": {"agreement": 0.745, "agreement_own": 0.74, "gold_order": 0.89, "gold_order_own": 0.9},
        "kl_nats_per_sequence": 9.5,
        "ended": dict.fromkeys(STAGES, 0.99),
        "bits_per_byte": {"base": 1.0, "sft": 1.1, "ppo": 1.12},
        "seconds": {"pretrain": 100.0, "sft": 5.0, "reward_model": 60.0, "ppo": 135.0, "total": 300.0},
        "peak_rss_mb": 900,
        "versions": {"torch": "2.13.0"},
    }


def made_up_answers(per_family=5):
    def answer(text, total, score):
        parts = {"helpful": total, "honest": 1.0, "harmless": 1.0, "total": total}
        return {"text": text, "ended": True, "score": score, **parts}

    return [
        {
            "id": f"D-{family}-{number}",
            "family": family,
            "prompt": [{"role": "user", "content": f"<b>{family}</b> question {number} | a pipe?"}],
            "ideal": "The ideal answer.",
            "answers": {
                "base": answer(f"Is it? {number}\nI ask.", 0.0, None),
                "base_first_line": answer(f"Is it? {number}", 0.0, None),
                "base_examples": answer("never shown", 0.4, None),
                "sft": answer(f"sft *{number}*", 0.5, 0.25),
                "best_of_8": answer("never shown", 0.9, 1.5),
                "ppo": {**answer(f"ppo {number}", 1.0, 1.25), "ended": number != 0},
            },
        }
        for family in FAMILIES
        for number in range(per_family)
    ]


@pytest.fixture
def make_results():
    """The function, so that a test can ask for other numbers."""
    return made_up_results


@pytest.fixture
def finished_run(tmp_path):
    """runs/small as an evaluation leaves it, with the curves and settings of two stages."""
    folder = tmp_path / "runs" / "small"
    (folder / "evaluation").mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(made_up_results()), encoding="utf-8")
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in made_up_answers())
    (folder / "evaluation" / "answers.jsonl").write_text(lines, encoding="utf-8")
    for stage in ("pretrain", "ppo"):
        (folder / stage).mkdir()
        (folder / stage / "curves.svg").write_text(f"<svg><!-- {stage} --></svg>", encoding="utf-8")
        settings = {"config": {"steps": 12345, "training": {"learning_rate": 0.0003}}}
        (folder / stage / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
