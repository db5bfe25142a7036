"""The old name of `python -m rlhf.data_formats.export`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("rlhf.export", "rlhf.data_formats.export")
