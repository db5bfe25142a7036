"""The old name of `python -m rlhf.evaluation`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.evaluate", "rlhf.evaluation")
