"""Processes that others have started."""

from __future__ import annotations

from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below `pid`, those that it started first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:  # a thread that has ended
            continue
        for child in map(int, children):
            found += [child]
            try:
                found += descendants(child)
            except OSError:
                continue
    return found


def plugin_hosts() -> set[int]:
    """Return the ids of all engines of plugins on this machine."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"\0plugin-host\0" in (process / "cmdline").read_bytes():
                found.add(int(process.name))
        except OSError:  # it has ended
            continue
    return found
