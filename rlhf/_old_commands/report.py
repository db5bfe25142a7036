"""The old name of `python -m rlhf.evaluation.report`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.report", "rlhf.evaluation.report")
