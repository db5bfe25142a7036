"""Wrong solutions: what students write on their way to a right one, and the check that must be the first to fail.

The first one, because its message is what a student reads. `also_right` holds the opposite: solutions unlike ours that
must pass, or the checks would be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wrong:
    """One wrong solution.

    `function` stands in place of the solution's; or else `edits`, pairs of (text, other text), are made in the master's
    file, and `answers` are laid over answers.toml. `caught_by` names the first check that must fail, and `says` is in
    its message; a file that is refused unread fails "can_be_checked".
    """

    exercise: str
    name: str
    caught_by: str
    function: Callable[..., Any] | None = None
    edits: tuple[tuple[str, str], ...] = ()
    answers: tuple[tuple[str, Any], ...] = ()
    says: str = ""
