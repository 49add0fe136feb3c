"""Waiting for what happens elsewhere, by its condition: how long it takes decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE_S = 30.0

Found = TypeVar("Found")


def until(
    there: Callable[[], Found],
    what: str = "it should come about",
    patience_s: float = PATIENCE_S,
    every_s: float = 0.02,
) -> Found:
    """Wait until `there()` is true and return it. Raises `AssertionError` with `what` after `patience_s`."""
    over = time.monotonic() + patience_s
    while not (found := there()):
        assert time.monotonic() < over, what
        time.sleep(every_s)
    return found


def running(pid: int) -> bool:
    """Tell whether process `pid` runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
