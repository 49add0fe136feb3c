"""MIDI learn: detects the moved knob and its kind, and writes an entry to the user's map."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
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
"""Maximum duration of a move, from its first message, in seconds."""

QUIET_S = 0.7
"""Pause after which a move has ended, in seconds."""

OTHER_WAY_S = 10.0
"""Wait for the other direction of an endless knob, in seconds."""

_CENTRE = 64
_FEW_CLICKS = 16
"""Maximum number of different values from an endless knob: it sends clicks near 1, 64, 65 or 127."""

_ONE_WAY = ({"low"}, {"over"})
"""Groups of values (`_groups`) that fit two codings: 1 is a click to the right in two's complement and in
sign-magnitude; 65 is one to the right in offset, and one to the left in sign-magnitude."""

_KNOB_KEYS = (*SOURCES, "channel", "port", "mode", "encoder", "step", "takeover", "invert")
"""Settings that belong to a knob, replaced when another one is learned; range and curve belong to the
control."""

_HEADER = "# Assigns knobs to controls; 'rtsep midi show' prints it, 'rtsep midi learn CONTROL' changes it.\n"


class Received(NamedTuple):
    """Event, and the name of its port."""

    port: str
    event: Event


def burst(received: queue.Queue[Received], patience: float) -> list[Received]:
    """Return the events of the first move until it pauses or times out; wait at most `patience` s."""
    events: list[Received] = []
    until = time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        try:
            found = received.get(timeout=min(left, QUIET_S if events else left))
        except queue.Empty:
            if events:
                break
            continue
        if found.event.kind == PROGRAM:
            continue
        if not events:
            until = time.monotonic() + BURST_S
        events.append(found)
    return events


def moves(
    received: queue.Queue[Received], control: Control, patience: float, ask: Callable[[str], None]
) -> list[Received]:
    """Return the events of the first move; wait at most `patience` s.

    If an endless knob was turned one way only, `ask` gets a line for the user, and its next moves are added.
    """
    found = burst(received, patience)
    knob = recognise(_events(found), control)
    if knob is None or not is_ambiguous(_events(found), control):
        return found
    ask("turn the same knob the other way, too: one direction fits two kinds of endless knobs")
    until = time.monotonic() + OTHER_WAY_S
    while (left := until - time.monotonic()) > 0 and is_ambiguous(_events(found), control):
        found += [
            each for each in burst(received, left) if each.event.kind == CC and _is_of(each.event, knob)
        ]
    return found


def _events(found: Sequence[Received]) -> list[Event]:
    return [each.event for each in found]


class Learned(NamedTuple):
    """Result of learning."""

    words: str  # control, knob and manner as text
    others: tuple[str, ...]  # other controls of the same knob
    ambiguous: bool = False  # an endless knob that was turned one way only

    @property
    def clash(self) -> str:
        """Return the other controls as a message."""
        return f"the same knob also turns {' and '.join(self.others)}"

    @property
    def doubt(self) -> str:
        """Return a message about a knob that was turned one way only."""
        return "it was turned one way only; if a direction is wrong, learn it again and turn it both ways"


def learn(found: Sequence[Received], control: Control, path: Path, patience: float) -> Learned:
    """Assign the moved knob to `control` in the map at `path`; `patience` is the wait in s.

    Raise `DeviceError` if no suitable knob was moved, `UsageError` or `OutputError` for the map.
    """
    events = _events(found)
    settings = recognise(events, control)
    if settings is None:
        raise DeviceError(
            f"no knob or pad that can turn {control.name} was moved within {patience:g} s; {path} is "
            "unchanged"
        )
    write_entry(path, control, settings, {each.port for each in found if _is_of(each.event, settings)})
    entries = load_map(path).entries
    entry = next(entry for entry in entries if entry.control == control)
    others = sorted({other.control.name for other in entries if other is not entry and other.clashes(entry)})
    words = f"{control.name}: {entry.source}: {entry.manner}"
    return Learned(words, tuple(others), is_ambiguous(events, control))


def is_ambiguous(events: Sequence[Event], control: Control) -> bool:
    """Return whether an endless knob was turned one way only, and two codings fit its values."""
    settings = recognise(events, control)
    if settings is None or "encoder" not in settings:
        return False
    values = [event.value for event in events if event.kind == CC and _is_of(event, settings)]
    return _groups(values) in _ONE_WAY


def _is_of(event: Event, settings: dict[str, Any]) -> bool:
    """Return whether `event` is of the knob of `settings`."""
    return event.channel == settings["channel"] and any(
        settings.get(kind) == event.number for kind in SOURCES
    )


def recognise(events: Sequence[Event], control: Control) -> dict[str, Any] | None:
    """Return the settings of a map's entry for the moved knob, or None if none is suitable.

    `events` is a short burst: all events of one move.
    """
    steps = [event for event in events if event.kind in (NRPN, NRPN_STEP)]
    if steps:
        return _place(NRPN, _most_frequent(steps))
    notes = [event for event in events if event.kind == NOTE and event.value > 0]
    if notes:
        return _place(NOTE, _most_frequent(notes)) | {"mode": TOGGLE}
    pairs = [event for event in events if event.kind == CC14 and event.max_value == MAX_14]
    plain = [event for event in events if event.kind == CC]
    if pairs and _is_pair(_most_frequent(pairs), plain):
        return _place(CC14, _most_frequent(pairs))
    if not plain:
        return None
    chosen = _most_frequent(plain)
    same = (chosen.channel, chosen.number)
    values = [event.value for event in plain if (event.channel, event.number) == same]
    return _place(CC, chosen) | _manner(values, control.unit in ("switch", "choice"))


def _place(kind: str, event: Event) -> dict[str, Any]:
    return {kind: event.number, "channel": event.channel}


def _most_frequent(events: Sequence[Event]) -> Event:
    counts = Counter((event.channel, event.number) for event in events)
    channel, number = counts.most_common(1)[0][0]
    return next(event for event in events if (event.channel, event.number) == (channel, number))


def _is_pair(pair: Event, plain: Sequence[Event]) -> bool:
    """Return whether both halves moved together.

    Two knobs 32 apart that move one after the other are no pair.
    """
    halves = [
        event.number >= LSB_OFFSET
        for event in plain
        if event.channel == pair.channel and event.number in (pair.number, pair.number + LSB_OFFSET)
    ]
    changes = sum(a != b for a, b in pairwise(halves))
    return changes >= len(halves) / 2


def _manner(values: list[int], switch: bool) -> dict[str, Any]:
    """Return mode or encoder of a plain controller that sent `values`."""
    seen = set(values)
    if seen <= {0, 127} and (len(seen) == 2 or len(values) < 3):  # a button, pressed any number of times
        # Only one end and no release: the button latches.
        return {"mode": TOGGLE if len(values) > 1 else LATCHED}
    encoder = _encoder(values)
    if switch:
        return {"mode": TOGGLE}
    return {"encoder": encoder} if encoder else {}


def _encoder(values: list[int]) -> str | None:
    """Return the coding of an endless knob, or None for one with two ends.

    A knob with ends does not send the same position twice; an endless one sends 1 repeatedly.
    """
    repeats = sum(a == b for a, b in pairwise(values))
    if len(values) < 3 or repeats < len(values) / 3:
        return None
    there = _groups(values)
    if there in ({"low"}, {"high"}, {"low", "high"}):
        return "twos-complement"
    if there in ({"under"}, {"over"}, {"under", "over"}):
        return "offset"
    return "sign-magnitude" if there == {"low", "over"} else None


def _groups(values: list[int]) -> set[str]:
    """Return the groups of few clicks that `values` belong to; "" stands for any other value."""
    near = {
        "low": range(1, _FEW_CLICKS + 1),
        "high": range(128 - _FEW_CLICKS, 128),
        "under": range(_CENTRE - _FEW_CLICKS, _CENTRE),
        "over": range(_CENTRE + 1, _CENTRE + _FEW_CLICKS + 1),
    }
    return {next((name for name, group in near.items() if value in group), "") for value in values}


def write_entry(path: Path, control: Control, settings: dict[str, Any], ports: Collection[str] = ()) -> None:
    """Write the knob of `control` to the map at `path`; comments, order and other entries stay.

    `ports` are the names of the ports that the knob was moved on: an entry for another port loses its `port`.
    Raise `UsageError` if the map is invalid, `OutputError` if it cannot be written.
    """
    try:
        text = read_text(path, "map")
    except FileNotFoundError:
        text = _HEADER
    parse_map(text, path)
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as error:
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
    kept = str(entry.get("port", "")).lower()
    if kept and ports and all(kept in port.lower() for port in ports):
        settings = {**settings, "port": str(entry["port"])}
    _replace(entry, settings)
    changed = document.as_string()
    parse_map(changed, path)
    write_whole(path, changed, "map")


def _replace(entry: Any, settings: dict[str, Any]) -> None:
    """Replace the settings of the old knob by `settings`; keep its comment."""
    old = [key for key in entry if key in SOURCES]
    for key in _KNOB_KEYS:
        if key in entry and key not in settings and key not in old:
            del entry[key]
    if "mode" in settings and "curve" in entry:
        del entry["curve"]  # a button has no curve
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
