"""The program of test_distributed.py, for one process or two: pretraining on a text that counts as too long for memory.

    torchrun --nproc-per-node 2 -m tests.distributed.shared_tokens RUNS CORPUS

Leaves beside the run which process wrote which file of tokens, and which of them each process has mapped.
"""

import os
import sys
from pathlib import Path

import numpy as np

from minigpt import pretrain, pretraining_data
from minigpt.pretraining_data import PretrainingData

RANK = os.environ.get("RANK", "0")
FLAGS = ["--layers=1", "--channels=16", "--heads=2", "--context=32", "--vocab-size=280", "--batch-size=4", "--steps=8"]
WRITE, PREPARE = pretraining_data.write_tokens, pretraining_data.prepare


def noted_write(path: Path, blocks: object) -> None:
    with Path(sys.argv[1], "written").open("a", encoding="utf-8") as file:
        file.write(f"{RANK} {path.name}\n")
    WRITE(path, blocks)


def noted_prepare(config: pretrain.PretrainConfig, *more: int) -> PretrainingData:
    data = PREPARE(config, *more)
    mapped = {
        line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines() if "/" in line
    }
    names = sorted(Path(name).name for name in mapped if name.endswith(".bin"))
    kinds = [isinstance(stream, np.memmap) for stream in (data.training, data.validation)]
    (Path(config.runs) / f"mapped-{RANK}").write_text(f"{names} {kinds}", encoding="utf-8")
    return data


if __name__ == "__main__":
    pretraining_data.IN_MEMORY = 0
    pretraining_data.write_tokens, pretrain.prepare = noted_write, noted_prepare
    runs, corpus = sys.argv[1:3]
    Path(runs).mkdir(exist_ok=True)
    pretrain.main([f"--runs={runs}", f"--corpus={corpus}", "--preset=tiny", "--device=cpu", *FLAGS])
