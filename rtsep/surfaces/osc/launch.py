"""Starts OSC beside a session."""

from __future__ import annotations

from collections.abc import Callable

from rtsep.surfaces.osc.address import Where
from rtsep.surfaces.osc.process import Task
from rtsep.surfaces.server_process import ServerProcess


def osc(name: str, where: Where, notify: Callable[[str], None]) -> ServerProcess:
    """Return an OSC server for the session `name`; `notify` receives lines for the user."""
    task = Task(name, where.host, where.port)
    return ServerProcess("rtsep.surfaces.osc.process", "osc", "OSC", lambda _: task, notify)
