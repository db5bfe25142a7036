"""`python -m rlhf.report`: see `page.py`."""

from minigpt.runs.errors import run_main
from rlhf.report.page import main

if __name__ == "__main__":
    run_main(main)
