"""`python -m rlhf.stage3_ppo`: see `stage.py`."""

from minigpt.runs.errors import run_main
from rlhf.stage3_ppo.stage import main

if __name__ == "__main__":
    run_main(main)
