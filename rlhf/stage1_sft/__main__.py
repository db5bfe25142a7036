"""`python -m rlhf.stage1_sft`: see `stage.py`."""

from minigpt.runs.errors import run_main
from rlhf.stage1_sft.stage import main

if __name__ == "__main__":
    run_main(main)
