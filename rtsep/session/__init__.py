"""Live sessions: one thread owns a session, all others send it commands. `Session` is the interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep.session.api import Session

__all__ = ["Session"]


def __getattr__(name: str) -> object:
    """Import the session at its first use: each of its modules is quick to load, all together are not."""
    if name != "Session":
        raise AttributeError(f"module 'rtsep.session' has no attribute '{name}'")
    from rtsep.session.api import Session

    return Session
