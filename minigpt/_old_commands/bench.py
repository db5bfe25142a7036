"""The old name of `python -m minigpt.scale.bench`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("minigpt.bench", "minigpt.scale.bench")
