"""What a probe returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note costs nothing in most sessions; a problem needs something done."""

    name: str
    state: State
    seen: str
    remedy: str = ""  # what to do; "" where nothing is to be done


def ok(name: str, seen: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(name, "ok", seen)


def note(name: str, seen: str, remedy: str) -> Finding:
    """Return a finding that some users will want to change."""
    return Finding(name, "note", seen, remedy)


def problem(name: str, seen: str, remedy: str) -> Finding:
    """Return a finding that needs something done."""
    return Finding(name, "problem", seen, remedy)
