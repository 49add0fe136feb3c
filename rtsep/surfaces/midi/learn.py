"""Learning: which knob was moved, what kind it is, and how that is written into a person's map."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from rtsep.controls import Control
from rtsep.errors import DeviceError, UsageError
from rtsep.surfaces.midi.map import LATCHED, SOURCES, TOGGLE, load_map, parse_map
from rtsep.surfaces.midi.messages import CC, CC14, LSB_OFFSET, MAX_14, NOTE, NRPN, NRPN_STEP, PROGRAM, Event
from rtsep.surfaces.toml import read_text, write_whole

BURST_S = 1.5
"""How long a move is listened to, from its first message on."""

QUIET_S = 0.7
"""A move that pauses for so long is over."""

_CENTRE = 64
_FEW_CLICKS = 16
"""An endless knob sends its clicks: near 1, 64, 65 or 127. More than this at once is no hand."""

_KNOB_KEYS = (*SOURCES, "channel", "mode", "encoder", "step", "takeover", "invert")
"""What belongs to a knob, and goes when another one is learned; range and curve belong to the control."""

_HEADER = "# Which knob turns what; 'rtsep midi show' prints it, 'rtsep midi learn CONTROL' changes it.\n"


def burst(heard: queue.Queue[Event], patience: float) -> list[Event]:
    """Return the events of the first move, until it pauses or has lasted; wait `patience` s at most."""
    events: list[Event] = []
    until = time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        try:
            event = heard.get(timeout=min(left, QUIET_S if events else left))
        except queue.Empty:
            if events:
                break
            continue
        if event.kind == PROGRAM:
            continue
        if not events:
            until = time.monotonic() + BURST_S
        events.append(event)
    return events


class Learned(NamedTuple):
    """What was learned."""

    words: str  # control, knob and manner
    others: tuple[str, ...]  # controls that the same knob turns as well

    @property
    def clash(self) -> str:
        """The others in words."""
        return f"the same knob turns {' and '.join(self.others)} as well"


def learn(events: Sequence[Event], control: Control, path: Path, patience: float) -> Learned:
    """Let what was moved turn `control` in the map at `path`; `patience` in s is how long it was waited for.

    Raises `DeviceError` where nothing that counts was moved, `UsageError` or `OutputError` for the map.
    """
    settings = recognise(events, control)
    if settings is None:
        raise DeviceError(
            f"nothing that can turn {control.name} was moved within {patience:g} s; {path} is unchanged"
        )
    write_entry(path, control, settings)
    entries = load_map(path).entries
    entry = next(entry for entry in entries if entry.control == control)
    others = sorted({other.control.name for other in entries if other is not entry and other.clashes(entry)})
    return Learned(f"{control.name}: {entry.source}: {entry.manner}", tuple(others))


def recognise(events: Sequence[Event], control: Control) -> dict[str, Any] | None:
    """Return the settings of a map's entry for what was moved, or None where nothing that counts was.

    `events` is a short burst: all that the decoder made of one move.
    """
    steps = [event for event in events if event.kind in (NRPN, NRPN_STEP)]
    if steps:
        return _place(NRPN, _most_heard(steps))
    notes = [event for event in events if event.kind == NOTE and event.value > 0]
    if notes:
        return _place(NOTE, _most_heard(notes)) | {"mode": TOGGLE}
    pairs = [event for event in events if event.kind == CC14 and event.max_value == MAX_14]
    plain = [event for event in events if event.kind == CC]
    if pairs and _is_pair(_most_heard(pairs), plain):
        return _place(CC14, _most_heard(pairs))
    if not plain:
        return None
    chosen = _most_heard(plain)
    same = (chosen.channel, chosen.number)
    values = [event.value for event in plain if (event.channel, event.number) == same]
    return _place(CC, chosen) | _manner(values, control.unit in ("switch", "choice"))


def _place(kind: str, event: Event) -> dict[str, Any]:
    return {kind: event.number, "channel": event.channel}


def _most_heard(events: Sequence[Event]) -> Event:
    counts = Counter((event.channel, event.number) for event in events)
    channel, number = counts.most_common(1)[0][0]
    return next(event for event in events if (event.channel, event.number) == (channel, number))


def _is_pair(pair: Event, plain: Sequence[Event]) -> bool:
    """Tell whether both halves moved together: two knobs 32 apart, moved one after the other, are no pair."""
    halves = [
        event.number >= LSB_OFFSET
        for event in plain
        if event.channel == pair.channel and event.number in (pair.number, pair.number + LSB_OFFSET)
    ]
    changes = sum(a != b for a, b in pairwise(halves))
    return changes >= len(halves) / 2


def _manner(values: list[int], switch: bool) -> dict[str, Any]:
    """Return mode or encoder of a plain controller that sent `values`."""
    heard = set(values)
    if heard <= {0, 127} and (len(heard) == 2 or len(values) < 3):  # a button, pressed as often as one likes
        # Only one end and no release: it holds its state itself.
        return {"mode": TOGGLE if len(values) > 1 else LATCHED}
    encoder = _encoder(values)
    if switch:
        return {"mode": TOGGLE}
    return {"encoder": encoder} if encoder else {}


def _encoder(values: list[int]) -> str | None:
    """Return how an endless knob counts, or None for one with two ends.

    A knob with ends does not send a place twice, an endless one sends 1 again and again.
    """
    repeats = sum(a == b for a, b in pairwise(values))
    if len(values) < 3 or repeats < len(values) / 3:
        return None
    near = {
        "low": [v for v in values if 0 < v <= _FEW_CLICKS],
        "high": [v for v in values if v >= 128 - _FEW_CLICKS],
        "under": [v for v in values if _CENTRE - _FEW_CLICKS <= v < _CENTRE],
        "over": [v for v in values if _CENTRE < v <= _CENTRE + _FEW_CLICKS],
    }
    there = {name for name, found in near.items() if found}
    if sum(len(found) for found in near.values()) < len(values):
        return None
    if there in ({"low"}, {"high"}, {"low", "high"}):
        return "twos-complement"
    if there in ({"under"}, {"over"}, {"under", "over"}):
        return "offset"
    return "sign-magnitude" if there == {"low", "over"} else None


def write_entry(path: Path, control: Control, settings: dict[str, Any]) -> None:
    """Write what turns `control` into the map at `path`; comments, order and all else stay.

    Raises `UsageError` where the map is no map, `OutputError` where it cannot be written.
    """
    try:
        text = read_text(path, "map")
    except FileNotFoundError:
        text = _HEADER
    parse_map(text, path)
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise UsageError(f"{path}: {error}") from None
    entry = document.get(control.name)
    if isinstance(entry, list):
        raise UsageError(
            f"{path}: {control.name} has {len(entry)} knobs ([[{control.name}]]); "
            f"write this one by hand: {', '.join(f'{key} = {value}' for key, value in settings.items())}"
        )
    if entry is None:
        entry = tomlkit.table()
        if document.as_string().strip():
            document.add(tomlkit.nl())
        document.add(control.name, entry)
    _replace(entry, settings)
    changed = document.as_string()
    parse_map(changed, path)
    write_whole(path, changed, "map")


def _replace(entry: Any, settings: dict[str, Any]) -> None:
    """Put `settings` in the place of what described the old knob; its comment stays."""
    old = [key for key in entry if key in SOURCES]
    for key in _KNOB_KEYS:
        if key in entry and key not in settings and key not in old:
            del entry[key]
    if "mode" in settings and "curve" in entry:
        del entry["curve"]  # a button has none
    kind = next(key for key in settings if key in SOURCES)
    if old and old[0] != kind:
        comment = entry[old[0]].trivia.comment if isinstance(entry, Table) else ""
        for key in old:
            del entry[key]
        entry[kind] = settings[kind]
        if comment:
            entry[kind].comment(comment)
    for key, value in settings.items():
        entry[key] = value
