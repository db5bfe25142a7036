"""The old name of `python -m rlhf.chat`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.evaluation.chat", "rlhf.chat")
