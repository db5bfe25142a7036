"""The old name of `python -m rlhf.evaluation.best_of_k`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.best_of_k", "rlhf.evaluation.best_of_k")
