"""Starts OSC beside a session."""

from __future__ import annotations

from collections.abc import Callable

from rtsep.surfaces.beside import Beside
from rtsep.surfaces.osc.address import Where
from rtsep.surfaces.osc.process import Task


def osc(name: str, where: Where, notify: Callable[[str], None]) -> Beside:
    """Return an OSC server for the session `name`; `notify` receives lines for the user."""
    task = Task(name, where.host, where.port)
    return Beside("rtsep.surfaces.osc.process", "osc", "OSC", lambda _: task, notify)
