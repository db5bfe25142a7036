"""The old name of `python -m minigpt.hf.convert`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("minigpt.convert", "minigpt.hf.convert")
