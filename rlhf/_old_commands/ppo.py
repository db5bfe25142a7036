"""The old name of `python -m rlhf.stage3_ppo`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.ppo", "rlhf.stage3_ppo")
