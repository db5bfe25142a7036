"""The old name of `python -m rlhf.stage1_sft`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.sft", "rlhf.stage1_sft")
