"""What a key does to a control: steps onto round values, tenths of the travel, switches back and forth."""

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
"""Keys that turn a switch or choice at once, whichever control is chosen."""

TURNS = {",": ("balance", -1), ".": ("balance", 1)}
"""Keys that turn a control by so many steps, whichever control is chosen."""

assert all(name in {control.name for control in TABLE} for name in LETTERS.values())


def is_switch(control: Control) -> bool:
    """Whether a control has a few values and nothing in between."""
    return control.unit in ("switch", "choice")


def step_of(control: Control, fine: bool) -> float:
    """Return how far a press goes: 1 dB, or a twentieth of the range; if fine a tenth, a fifth of that."""
    if is_switch(control):
        return 1.0
    if control.unit == "dB":
        return 0.1 if fine else 1.0
    return (control.maximum - control.minimum) / (100 if fine else 20)


def stepped(control: Control, value: float, steps: int, fine: bool = False) -> float:
    """Return where `steps` presses (negative: down) take `value`; the ends hold, and switches do not wrap."""
    step = step_of(control, fine)
    origin = 0.0 if control.unit == "dB" else control.minimum
    passed = (value - origin) / step
    grid = math.floor(passed + 1e-6) if steps > 0 else math.ceil(passed - 1e-6)
    moved = round(origin + (grid + steps) * step, 6)
    if control.unit == "dB" and moved < (floor := control.maximum - FADER_DB):  # under it is silence
        moved = floor if steps > 0 else control.minimum
    return min(max(moved, control.minimum), control.maximum)


def at_tenth(control: Control, digit: int) -> float:
    """Return the value at `digit` tenths of the way, 0 to 9, on a step of the fine kind."""
    return nearest(control, Travel.whole(control).value(digit / 10))


def nearest(control: Control, value: float) -> float:
    """Return the fine step that is nearest to `value`; what is under the range of a fader stays silent."""
    if value <= control.minimum or value >= control.maximum:
        return min(max(value, control.minimum), control.maximum)
    step = step_of(control, fine=True)
    return min(max(round(round(value / step) * step, 6), control.minimum), control.maximum)


def toggled(control: Control, value: float) -> float:
    """Return the next value of a switch or choice; of others, the default or, if it is there, the minimum."""
    if is_switch(control):
        return control.minimum if value >= control.maximum else value + 1
    return control.minimum if value == control.default else control.default


def shown(control: Control, value: float) -> str:
    """Return a value as a player reads it."""
    if control.choices:
        return control.choices[int(value)]
    if control.unit == "switch":
        return "on" if value else "off"
    if control.unit == "dB":
        if value <= control.minimum:
            return "-inf dB"
        return f"{value:+.1f} dB" if abs(value) >= 0.05 else "0.0 dB"
    return f"{value:.0f} {control.unit}" if control.unit else f"{value:.2f}"
