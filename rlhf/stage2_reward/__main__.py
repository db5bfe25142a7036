"""`python -m rlhf.stage2_reward`: see `stage.py`."""

from minigpt.runs.errors import run_main
from rlhf.stage2_reward.stage import main

if __name__ == "__main__":
    run_main(main)
