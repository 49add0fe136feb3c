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
