"""The layout for Open Stage Control: `python -m rtsep.surfaces.osc.layout` prints docs/osc/rtsep.json."""

from __future__ import annotations

import json
from typing import Any

from rtsep.controls import BY_NAME, TABLE, Control, Travel
from rtsep.limits import HIGHEST_SPEED, LOWEST_SPEED, MAX_KEY
from rtsep.surfaces.osc.words import ROOT

_COLOURS = {"vocals": "#ffb13b", "instrumental": "#3fa0ff"}
_FIRST = ("balance", "vocals_gain", "instrumental_gain")

Widget = dict[str, Any]


def layout() -> Widget:
    """Return it as Open Stage Control stores it."""
    switches = [control for control in TABLE if control.unit in ("switch", "choice")]
    others = [control for control in TABLE if control not in switches and control.name not in _FIRST]
    faders = [*(BY_NAME[name] for name in _FIRST), *others]
    file = [
        _button("5 s back", "skip", mode="tap", on=-5),
        _button("pause", "pause"),
        _button("5 s on", "skip", mode="tap", on=5),
        _button("record", "record"),
        _button("sync", "sync", mode="tap"),
    ]
    stretch = [
        _range("speed", LOWEST_SPEED, HIGHEST_SPEED, 1.0, steps=101),
        _range("key", -MAX_KEY, MAX_KEY, 0.0, steps=int(2 * MAX_KEY) + 1),
    ]
    rows = [
        _row("faders", [*map(_fader, faders), *stretch], 3),
        _row("switches", [_button(control.name, control.name) for control in switches], 1),
        _row("file", file, 1),
    ]
    root = {"type": "root", "id": "root", "layout": "vertical", "widgets": rows, "tabs": []}
    return {"version": "1.27.0", "createdWith": "Open Stage Control", "type": "session", "content": root}


def text() -> str:
    """Return it as the file has it."""
    return json.dumps(layout(), indent=1) + "\n"


def _row(name: str, widgets: list[Widget], share: int) -> Widget:
    row = {"type": "panel", "id": name, "layout": "horizontal", "expand": share}
    return {**row, "widgets": widgets, "tabs": []}


def _fader(control: Control) -> Widget:
    return {
        **_of("fader", control.name, f"position/{control.name}"),
        "range": {"min": 0, "max": 1},
        "default": round(Travel.whole(control).position(control.default), 4),
        "doubleTap": True,
    }


def _range(name: str, low: float, high: float, default: float, steps: int) -> Widget:
    """Return a fader in the unit of what it turns; `steps` values, its ends included."""
    span = {"range": {"min": low, "max": high}, "steps": steps}
    return {**_of("fader", name, name), **span, "default": default, "doubleTap": True}


def _button(name: str, address: str, mode: str = "toggle", on: float = 1) -> Widget:
    return {**_of("button", name, address), "mode": mode, "on": on, "off": 0}


def _of(kind: str, name: str, address: str) -> Widget:
    label = name.replace("_", " ")
    widget = {"type": kind, "id": name, "label": label, "address": f"{ROOT}{address}", "expand": 1}
    colour = _COLOURS.get(name.partition("_")[0])
    return {**widget, "colorWidget": colour} if colour else widget


if __name__ == "__main__":
    print(text(), end="")
