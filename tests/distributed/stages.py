"""The program of test_distributed.py, for one process or several: some commands, one after the other.

    python -m tests.distributed.stages RUNS [FLAGS]
    torchrun --nproc-per-node 2 -m tests.distributed.stages RUNS [FLAGS]

After each stage its result is replaced by that of the folder REFERENCE, if the environment names one, so that the next
stage starts from exactly the same weights.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch

from minigpt import pretrain
from minigpt.generate import generate
from minigpt.model import GPT, GPTConfig
from minigpt.scale.decoding import generate_together
from minigpt.scale.distributed import barrier, is_main, process_group
from rlhf.alternatives import dpo, grpo
from rlhf.stage1_sft import stage as sft
from rlhf.stage2_reward import stage as reward_model
from rlhf.stage3_ppo import stage as ppo
from tests.distributed.engines import expect_no_threads_of_gloo

# LLaMA's shape: where no logits are computed, as in the reward and value model, no gradient comes for the unembedding,
# and DDP waits for one. test_engines.py has tied weights.
UNTIED = ["--no-tied-embeddings", "--norm=rmsnorm", "--mlp=swiglu"]
FEW = "--max-new-tokens=8"
COMMON = ["--preset", "tiny", "--device", "cpu"]
STAGES = {
    "pretrain": (
        pretrain,
        ["--documents=400", "--layers=2", "--channels=16", "--heads=2", "--batch-size=4", "--steps=20", *UNTIED],
    ),
    "sft": (sft, ["--demonstration-count=40", "--batch-size=4", "--epochs=2.5"]),
    "reward_model": (reward_model, ["--batch-size=4", "--steps=20", "--optimizer=adamw"]),
    "ppo": (
        ppo,
        [
            "--prompts=36",
            "--iterations=6",
            "--batch-size=8",
            "--minibatch-size=4",
            "--micro-batch-size=2",
            FEW,
            "--critic-warmup=1",
            "--ptx-coefficient=0.1",
            "--ptx-batch-size=2",
            "--epochs=2",
            "--kl-controller=adaptive",
        ],
    ),
    "dpo": (dpo, ["--batch-size=4", "--steps=12"]),
    "grpo": (grpo, ["--prompts=12", "--batch-size=4", "--group-size=2", "--micro-batch-size=2", "--steps=6", FEW]),
}


def write_rankings(path: Path) -> None:
    """Rankings of meaningless answers: those of a model that was hardly trained are all alike, and cannot be ranked."""
    lines = []
    for number in range(40):
        answers = [f"{'cow ' * (1 + (number * rank) % 5)}{rank}" for rank in range(2 + number % 3)]
        ranks = sorted(range(len(answers)), key=lambda rank: (rank * 7 + number) % 5)
        lines.append(json.dumps({"prompt": f"What is {number}?", "responses": answers, "ranks": ranks}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def take_over(stage: str, runs: Path) -> None:
    """Keep what the stage made as own.pt, and put the reference's result in its place."""
    barrier()
    if is_main() and "REFERENCE" in os.environ:
        result = runs / "tiny" / stage / "checkpoint.pt"
        result.rename(result.with_name("own.pt"))
        shutil.copy(Path(os.environ["REFERENCE"]) / "tiny" / stage / "checkpoint.pt", result)
    barrier()


def sample(runs: Path) -> None:
    """Five prompts of other lengths, three answers each, by the processes together and by each alone."""
    model = GPT(GPTConfig(vocab_size=50, context=24, layers=1, heads=2, channels=16), seed=1)
    settings = {"max_new_tokens": 9, "stop_tokens": [3], "pad_id": 0, "samples_per_prompt": 3, "want_logprobs": True}
    prompts = [[5, 6, 7, 8][: 1 + number % 4] for number in range(5)]
    for name, function in (("together", generate_together), ("alone", generate)):
        written = function(model, prompts, generator=torch.Generator().manual_seed(2), **settings)
        if is_main():
            numbers = {key: getattr(written, key).tolist() for key in ("tokens", "lengths", "ended", "logprobs")}
            (runs / f"{name}.json").write_text(json.dumps(numbers), encoding="utf-8")


def main(argv: list[str]) -> None:
    """Runs everything below the folder argv[0], with the flags argv[1:]."""
    runs, flags = Path(argv[0]), argv[1:]
    runs.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with process_group():
        if is_main():
            write_rankings(runs / "rankings.jsonl")
        barrier()
        sample(runs)
        for stage, (module, own) in STAGES.items():
            rankings = [f"--rankings={runs / 'rankings.jsonl'}"] if stage in ("reward_model", "dpo") else []
            module.main([*COMMON, f"--runs={runs}", *own, *rankings, *flags])
            take_over(stage, runs)
    expect_no_threads_of_gloo()


if __name__ == "__main__":
    main(sys.argv[1:])
