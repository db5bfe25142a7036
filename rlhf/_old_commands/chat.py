"""The old name of `python -m rlhf.evaluation.chat`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.chat", "rlhf.evaluation.chat")
