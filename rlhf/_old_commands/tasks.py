"""The old name of `python -m rlhf.people`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.tasks", "rlhf.people")
