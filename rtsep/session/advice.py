"""Advice on problems during a session: one line for each cause, with the remedy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtsep.errors import ModelError
from rtsep.limits import LARGEST_BLOCK
from rtsep.model.catalog import shipped_files
from rtsep.model.contract import ModelSpec
from rtsep.model.package import read_spec

WINDOW_S = 10.0
"""Length of the window in which faults are counted, in seconds."""

MIN_COUNTS = {
    "late_masks": 20,
    "underruns": 5,
    "overruns": 3,
    "device_xruns": 5,
    "source_starved_frames": 4096,
    "bad_samples": 1,
}
"""Minimum faults in a window that give a line during a session, once for each cause."""

_LIGHTER = 0.75
"""A model counts as lighter if its arithmetic is at most this share."""


@dataclass(frozen=True)
class Conditions:
    """Properties of the session that the advice depends on."""

    spec: ModelSpec
    block: int  # frames
    slack: int  # frames
    server_decides: bool  # the JACK server or PipeWire sets the block
    real_time: bool  # the hop loop runs at real-time priority


def advice(counted: Mapping[str, int], conditions: Conditions) -> Iterator[str]:
    """Yield a line with the remedy for each fault in `counted` (see `Engine.counters`)."""
    if late := counted["late_masks"]:
        remedies = [_larger_block(conditions), _lighter_model(conditions.spec)]
        yield f"{_many(late, 'mask')} came late: {_tried(remedies, _more_slack(conditions))}"
    if underruns := counted["underruns"]:
        remedies = [_more_slack(conditions), _larger_block(conditions)]
        tried = _tried(remedies) + _priority(conditions)
        yield f"the output had gaps ({_many(underruns, 'underrun')}): {tried}"
    if overruns := counted["overruns"]:
        yield (
            f"input was lost ({_many(overruns, 'overrun')}): other programs use the processor; close some or "
            "run 'rtsep doctor'"
        )
    if xruns := counted["device_xruns"]:
        yield f"the sound system lost audio ({_many(xruns, 'time')}): {_tried([_larger_block(conditions)])}"
    if starved := counted["source_starved_frames"]:
        yield f"{_many(starved, 'frame')} of the file came too late: play it from a faster disk"
    if bad := counted["bad_samples"]:
        yield (f"the input had {_many(bad, 'invalid sample')}: check the program that sends it")


class Adviser:
    """Gives advice during a session."""

    def __init__(self) -> None:
        self._before: Mapping[str, int] | None = None
        self._since = time.monotonic()
        self._advised: set[str] = set()

    def due(self) -> bool:
        """Return whether a window has ended."""
        return time.monotonic() - self._since >= WINDOW_S

    def look(self, counted: Mapping[str, int], conditions: Conditions) -> list[str]:
        """Read the counters since the start at the end of a window; return lines for the user."""
        before, self._before, self._since = self._before, dict(counted), time.monotonic()
        if before is None:  # the start ends with the first window
            return []
        new = {name: counted[name] - before[name] for name in MIN_COUNTS}
        many = {
            name: n if n >= MIN_COUNTS[name] and name not in self._advised else 0 for name, n in new.items()
        }
        self._advised |= {name for name, n in many.items() if n}
        return list(advice(many, conditions))


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _tried(remedies: list[str], otherwise: str = "") -> str:
    named = [remedy for remedy in remedies if remedy] or [otherwise]
    words = " or ".join(remedy for remedy in named if remedy)
    return f"try {words}" if words else "run 'rtsep doctor' to find the cause on this machine"


def _larger_block(conditions: Conditions) -> str:
    if 2 * conditions.block > LARGEST_BLOCK:
        return ""
    if conditions.server_decides:
        return f"a period (quantum) of {2 * conditions.block} on the sound server"
    return f"--block {2 * conditions.block}"


def _more_slack(conditions: Conditions) -> str:
    return f"--slack {conditions.slack + conditions.block}"


def _priority(conditions: Conditions) -> str:
    return (
        ""
        if conditions.real_time
        else "; rtsep has no real-time priority: 'rtsep doctor' shows how to get it"
    )


def _lighter_model(spec: ModelSpec) -> str:
    """Return the name of the lightest shipped model as text, "" if none is lighter."""

    def cost(of: ModelSpec) -> float:
        return of.macs_per_hop * of.rates[0] / of.hop

    lighter: dict[str, float] = {}
    files: list[Path] = []
    with contextlib.suppress(OSError):  # out of file handles: no reason to end the session
        files = shipped_files()
    for path in files:
        try:
            other = read_spec(path)
        except ModelError:
            continue
        if cost(other) <= _LIGHTER * cost(spec):
            lighter.setdefault(path.stem, cost(other))
    return f"the model '{min(lighter, key=lambda name: lighter[name])}'" if lighter else ""
