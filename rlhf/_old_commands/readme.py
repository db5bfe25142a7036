"""The old name of `python -m rlhf.evaluation.readme`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.readme", "rlhf.evaluation.readme")
