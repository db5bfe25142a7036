"""The old name of `python -m rlhf.alternatives.grpo`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.grpo", "rlhf.alternatives.grpo")
