"""A live session: one thread owns it, everybody else sends it commands. `Session` is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep.session.api import Session

__all__ = ["Session"]


def __getattr__(name: str) -> object:
    """Load the session when it is first asked for: its modules are light, all of them together are not."""
    if name != "Session":
        raise AttributeError(f"module 'rtsep.session' has no attribute '{name}'")
    from rtsep.session.api import Session

    return Session
