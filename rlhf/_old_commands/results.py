"""The old name of `python -m rlhf.evaluation.results`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.results", "rlhf.evaluation.results")
