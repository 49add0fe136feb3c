"""Conversion of OSC messages to requests of the session's socket, and of the session's state to messages.

/rtsep/balance 0.3              a control, in its own unit, or as a user types it
/rtsep/position/vocals_gain 0.8 the same by the travel of a fader, 0 to 1
/rtsep/pause 1, /rtsep/seek 12.5, /rtsep/skip -5, /rtsep/loop 10 20 (without arguments: no loop)
/rtsep/speed 0.8, /rtsep/key -2
/rtsep/record 1, /rtsep/preset verse, /rtsep/model stage

"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rtsep.controls import BY_NAME, Travel
from rtsep.errors import UsageError
from rtsep.surfaces.remote.messages import (
    LoadPreset,
    Loop,
    Pause,
    Record,
    Request,
    Seek,
    Set,
    State,
    StopRecording,
    Stretch,
    SwitchModel,
)

ROOT = "/rtsep/"
BY = "OSC"
FEEDBACK, SYNC = "feedback", "sync"
"""Special addresses. `/rtsep/feedback PORT`: the sender's receiving port. `/rtsep/sync`: send all values
again."""

POSITION_PLACES = 4
"""Decimal places of a position in feedback."""

FLOOR_DB = -144.0

Sent = tuple[str, Any]


def request_of(address: str, arguments: Sequence[Any]) -> Request:
    """Return the request of a message. Raise `UsageError` for an invalid one."""
    what, _, rest = address.removeprefix(ROOT).partition("/")
    if what == "position" and rest in BY_NAME:
        travel = Travel.whole(BY_NAME[rest])
        return Set(controls={rest: travel.value(_number(arguments, address))}, by=BY)
    if rest:
        raise UsageError(f"{address}: no such address")
    if what in BY_NAME:
        return Set(controls={what: _value(arguments, address)}, by=BY)
    match what:
        case "pause":
            return Pause(on=bool(_number(arguments, address)))
        case "seek" | "skip":
            return Seek(seconds=_number(arguments, address), relative=what == "skip")
        case "loop" if not arguments:
            return Loop(on=False)
        case "loop":
            return Loop(start=_number(arguments[:1], address), end=_number(arguments[1:], address))
        case "speed":
            return Stretch(speed=_number(arguments, address))
        case "key":
            return Stretch(key=_number(arguments, address))
        case "record":
            return Record() if _number(arguments, address) else StopRecording()
        case "preset":
            return LoadPreset(name=_word(arguments, address))
        case "model":
            return SwitchModel(name=_model(_word(arguments, address)))
    raise UsageError(f"{address}: no such address")


def messages_of(state: State) -> dict[str, Any]:
    """Return the messages for `state`: arguments by address."""
    messages: dict[str, Any] = {}
    for name, value in state.controls.items():
        if name in BY_NAME:
            messages[f"{ROOT}{name}"] = value.value
            position = Travel.whole(BY_NAME[name]).position(value.value)
            messages[f"{ROOT}position/{name}"] = round(position, POSITION_PLACES)
    stats = state.stats
    for feed in ("dry", "vocals", "instrumental"):
        peak = stats["levels"][feed]["peak"]
        messages[f"{ROOT}level/{feed}"] = round(20 * math.log10(peak), 1) if peak > 0 else FLOOR_DB
    messages[f"{ROOT}latency"] = stats["latency_ms"]["total"]
    messages[f"{ROOT}late"] = stats["late_masks"]
    messages[f"{ROOT}underruns"] = stats["underruns"]
    messages[f"{ROOT}model"] = state.model
    recording = stats["recording"]
    messages[f"{ROOT}record"] = int(bool(recording and not recording["failure"]))
    if file := stats["file"]:
        messages[f"{ROOT}file/position"] = round(file["position_s"], 1)
        messages[f"{ROOT}file/length"] = file["length_s"] or 0.0
        messages[f"{ROOT}pause"] = int(file["paused"])
        messages[f"{ROOT}speed"], messages[f"{ROOT}key"] = file["speed"], file["key"]
    return messages


def _number(arguments: Sequence[Any], address: str) -> float:
    if len(arguments) == 1 and isinstance(arguments[0], int | float) and math.isfinite(arguments[0]):
        return float(arguments[0])
    raise UsageError(f"{address}: one number")


def _value(arguments: Sequence[Any], address: str) -> float | bool | str:
    if len(arguments) == 1 and isinstance(arguments[0], bool | str):
        return arguments[0]
    return _number(arguments, address)


def _word(arguments: Sequence[Any], address: str) -> str:
    if len(arguments) == 1 and isinstance(arguments[0], str):
        return arguments[0]
    raise UsageError(f"{address}: one word")


def _model(name: str) -> str:
    """Return the name of a model; a path is refused, because it could name any file of the disk."""
    if not name or set(name) & set("/\\") or name.startswith((".", "~")):
        raise UsageError(f"{ROOT}model: the name of a model")
    return name
