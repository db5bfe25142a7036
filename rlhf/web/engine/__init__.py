"""The models of the stages, read once, behind one queue.

events     what is asked, and what comes back    models     policies and reward models in memory
text       tokens to whole characters            batch      answers of one model, written together
worker     the thread and its queue              streams    events in an event loop, server-sent events
look       a text through a model, head by head
"""

from __future__ import annotations

from minigpt.runs.config import RunConfig
from rlhf.web.engine.worker import Engine


def create_engine(config: RunConfig) -> Engine:
    """The engine of a server; `app.state.engine`. Its thread runs until `stop()`."""
    return Engine(config)
