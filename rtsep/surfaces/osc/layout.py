"""The layout for Open Stage Control: `python -m rtsep.surfaces.osc.layout` prints docs/osc/rtsep.json."""

from __future__ import annotations

import json
from typing import Any

from rtsep.controls import BY_NAME, TABLE, Control, Travel
from rtsep.limits import HIGHEST_SPEED, LOWEST_SPEED, MAX_KEY
from rtsep.surfaces.osc.words import ROOT

_COLOURS = {"vocals": "#ffb13b", "instrumental": "#3fa0ff"}
_DECIMALS = 4
"""Digits that a fader sends behind the point: the two of its default are 0.8 dB of a gain."""

_FIRST = ("balance", "vocals_gain", "instrumental_gain")

Widget = dict[str, Any]


def layout() -> Widget:
    """Return the layout in Open Stage Control's format."""
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
    """Return the layout as the text of its file."""
    return json.dumps(layout(), indent=1) + "\n"


def _row(name: str, widgets: list[Widget], share: int) -> Widget:
    row = {"type": "panel", "id": name, "layout": "horizontal", "expand": share}
    return {**row, "widgets": widgets, "tabs": []}


def _fader(control: Control) -> Widget:
    position = round(Travel.whole(control).position(control.default), 4)
    return _labelled(control.name, f"position/{control.name}", 0.0, 1.0, position)


def _range(name: str, low: float, high: float, default: float, steps: int) -> Widget:
    """Return a fader in the unit of what it turns; `steps` values, its ends included."""
    return _labelled(name, name, low, high, default, steps=steps)


def _labelled(name: str, address: str, low: float, high: float, default: float, **more: int) -> Widget:
    """Return a fader over its name: a fader has no label of its own."""
    fader = {
        **_of("fader", name, address), "range": {"min": low, "max": high}, "default": default,
        "decimals": _DECIMALS, "doubleTap": True, **more,
    }  # fmt: skip
    label = {"type": "text", "id": f"name of {name}", "default": name.replace("_", " "), "height": 36}
    column = {"type": "panel", "id": f"column of {name}", "layout": "vertical", "expand": 1}
    return {**column, "widgets": [fader, {**label, "wrap": "soft"}], "tabs": []}


def _button(name: str, address: str, mode: str = "toggle", on: float = 1) -> Widget:
    label = name.replace("_", " ")
    return {**_of("button", name, address), "label": label, "mode": mode, "on": on, "off": 0}


def _of(kind: str, name: str, address: str) -> Widget:
    widget = {"type": kind, "id": name, "address": f"{ROOT}{address}", "expand": 1}
    colour = _COLOURS.get(name.partition("_")[0])
    return {**widget, "colorWidget": colour} if colour else widget


if __name__ == "__main__":
    print(text(), end="")
