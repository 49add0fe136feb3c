"""Effect of a key on a control: steps to round values, tenths of the travel, switches on and off."""

from __future__ import annotations

import math

from rtsep.controls import FADER_DB, TABLE, Control, Travel

LETTERS = {
    "v": "vocals_mute",
    "V": "vocals_solo",
    "i": "instrumental_mute",
    "I": "instrumental_solo",
    "b": "bypass",
    "k": "mask",
}
"""Keys that toggle a switch or choice, whichever control is selected."""

TURNS = {",": ("balance", -1), ".": ("balance", 1)}
"""Keys that change a control by steps, whichever control is selected."""

assert all(name in {control.name for control in TABLE} for name in LETTERS.values())


def is_switch(control: Control) -> bool:
    """Return whether a control has only discrete values."""
    return control.unit in ("switch", "choice")


def step_of(control: Control, fine: bool) -> float:
    """Return the step of a key press: 1 dB, or a twentieth of the range; if fine, a fraction of that."""
    if is_switch(control):
        return 1.0
    if control.unit == "dB":
        return 0.1 if fine else 1.0
    return (control.maximum - control.minimum) / (100 if fine else 20)


def stepped(control: Control, value: float, steps: int, fine: bool = False) -> float:
    """Return the value after `steps` presses (negative: down), limited to the range; switches do not wrap."""
    step = step_of(control, fine)
    origin = 0.0 if control.unit == "dB" else control.minimum
    passed = (value - origin) / step
    grid = math.floor(passed + 1e-6) if steps > 0 else math.ceil(passed - 1e-6)
    moved = round(origin + (grid + steps) * step, 6)
    if control.unit == "dB" and moved < (floor := control.maximum - FADER_DB):  # silence below
        moved = floor if steps > 0 else control.minimum
    return min(max(moved, control.minimum), control.maximum)


def at_tenth(control: Control, digit: int) -> float:
    """Return the value at `digit` tenths of the travel, 0 to 9, rounded to a fine step."""
    return nearest(control, Travel.whole(control).value(digit / 10))


def nearest(control: Control, value: float) -> float:
    """Return the fine step nearest to `value`; values below a fader's range stay silent."""
    if value <= control.minimum or value >= control.maximum:
        return min(max(value, control.minimum), control.maximum)
    step = step_of(control, fine=True)
    return min(max(round(round(value / step) * step, 6), control.minimum), control.maximum)


def toggled(control: Control, value: float) -> float:
    """Return the next value of a switch or choice; for others, the default, or from there the low end."""
    if is_switch(control):
        return control.minimum if value >= control.maximum else value + 1
    return control.minimum if value == control.default else control.default


def shown(control: Control, value: float) -> str:
    """Return a value as text for the user."""
    if control.choices:
        return control.choices[int(value)]
    if control.unit == "switch":
        return "on" if value else "off"
    if control.unit == "dB":
        if value <= control.minimum:
            return "-inf dB"
        return f"{value:+.1f} dB" if abs(value) >= 0.05 else "0.0 dB"
    return f"{value:.0f} {control.unit}" if control.unit else f"{value:.2f}"
