"""The old name of `python -m rlhf.alternatives.dpo`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.dpo", "rlhf.alternatives.dpo")
