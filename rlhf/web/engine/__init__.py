"""The models of the stages, loaded once, and their generations."""

from __future__ import annotations

from typing import Any

from rlhf.web.config import WebConfig


def create_engine(config: WebConfig) -> Any:
    """The engine of a server; `app.state.engine`."""
    return None
