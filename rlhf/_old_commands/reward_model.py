"""The old name of `python -m rlhf.stage2_reward`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.reward_model", "rlhf.stage2_reward")
