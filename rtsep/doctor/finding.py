"""Result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """Finding of one check. A note is harmless in most sessions; a problem needs action."""

    name: str
    state: State
    seen: str
    remedy: str = ""  # what to do; "" for nothing


def ok(name: str, seen: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(name, "ok", seen)


def note(name: str, seen: str, remedy: str) -> Finding:
    """Return a finding that some users may want to change."""
    return Finding(name=name, state="note", seen=seen, remedy=remedy)


def problem(name: str, seen: str, remedy: str) -> Finding:
    """Return a finding that needs action."""
    return Finding(name=name, state="problem", seen=seen, remedy=remedy)
