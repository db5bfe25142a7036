"""`python -m rlhf.evaluation`: see `evaluate.py`."""

from minigpt.runs.errors import run_main
from rlhf.evaluation.evaluate import main

if __name__ == "__main__":
    run_main(main)
