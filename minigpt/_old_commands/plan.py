"""The old name of `python -m minigpt.scale.plan`."""

from minigpt.runs.errors import refuse_old_command

refuse_old_command("minigpt.plan", "minigpt.scale.plan")
