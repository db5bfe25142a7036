"""`python -m rlhf.web`: see `app.py`."""

from minigpt.runs.errors import run_main
from rlhf.web.app import main

if __name__ == "__main__":
    run_main(main)
