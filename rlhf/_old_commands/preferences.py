"""The old name of `python -m rlhf.data_formats.preferences`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.preferences", "rlhf.data_formats.preferences")
