"""The old name of `python -m rlhf.report`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.evaluation.report", "rlhf.report")
