"""The table of controls: everything that can be changed while a session plays.

The command line, keys, MIDI and the Python API read this table; the compiled hop loop reads the values. A
control is one 64-bit slot. Writers store it atomically, and the hop loop reads it once per hop, so a change
takes effect at the next hop and no thread waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError, suggest
from rtsep.realtime.atomics import acquire, release

MINUS_INFINITY_DB = -144.0
"""Gain that counts as silence, as do all lower ones: the range of 24 bits."""


@dataclass(frozen=True)
class Control:
    """Row of the table: one control with its range, unit, default and texts."""

    name: str
    default: float
    minimum: float
    maximum: float
    unit: str  # "", "dB", "ms", "switch", or "choice"
    meaning: str  # technical description
    effect: str  # audible effect, for musicians
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> float:
        """Read a value as a user types it; raise `UsageError` with the accepted values."""
        word = text.strip().lower()
        if self.choices:
            if word in self.choices:
                return float(self.choices.index(word))
            raise UsageError(
                f"{self.name} '{text}': must be one of {', '.join(self.choices)}{suggest(word, self.choices)}"
            )
        if self.unit == "switch" and word in ("on", "off"):
            return float(word == "on")
        try:
            value = float(word.removesuffix(self.unit.lower()) if self.unit != "switch" else word)
        except ValueError:
            raise UsageError(f"{self.name} '{text}': not a number; {self.accepted}") from None
        return self.check(value)

    def check(self, value: float) -> float:
        """Return `value` if it is in range (-inf dB becomes the silent gain), else raise `UsageError`."""
        if self.unit == "dB" and value == -math.inf:
            value = self.minimum
        if not self.minimum <= value <= self.maximum:  # also refuses NaN
            hint = "; write -inf for silence" if self.unit == "dB" and value < self.minimum else ""
            raise UsageError(f"{self.name} {value:g}: out of range; {self.accepted}{hint}")
        if self.unit in ("switch", "choice") and value != int(value):
            raise UsageError(f"{self.name} {value:g}: in-between values are not accepted; {self.accepted}")
        return value

    @property
    def accepted(self) -> str:
        """Return the accepted values as text."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.unit == "switch":
            return "on or off"
        low = "-inf" if self.unit == "dB" else f"{self.minimum:g}"
        return f"{low} to {self.maximum:g}{' ' + self.unit if self.unit else ''}"

    def shown(self, value: float) -> str:
        """Return `value` as a user would type it."""
        if self.choices:
            return self.choices[int(value)]
        if self.unit == "switch":
            return "on" if value else "off"
        number = "-inf" if self.unit == "dB" and value <= self.minimum else f"{value:g}"
        return f"{number} {self.unit}" if self.unit else number


_SILENT = MINUS_INFINITY_DB

TABLE: tuple[Control, ...] = (
    Control(
        name="threshold",
        default=0,
        minimum=0,
        maximum=1,
        unit="",
        meaning="mask value that counts as voice: bins below it fade out, or are cut with a binary mask",
        effect="higher: less music in the voice, but soft singing is lost too",
    ),
    Control(
        name="mask",
        default=0,
        minimum=0,
        maximum=1,
        unit="choice",
        meaning="soft: as the model gives it; binary: 0 or 1, cut at the threshold (at 0.5 if that is 0)",
        effect="binary: a harder cut, with a watery sound",
        choices=("soft", "binary"),
    ),
    Control(
        name="gate",
        default=0,
        minimum=0,
        maximum=1,
        unit="",
        meaning="mask values below it become 0",
        effect="higher: removes faint music that remains in the voice",
    ),
    Control(
        name="smoothing",
        default=0,
        minimum=0,
        maximum=100,
        unit="ms",
        meaning="time constant that smooths the mask",
        effect="higher: less chirping, but softer attacks",
    ),
    Control(
        name="vocals_gain",
        default=0,
        minimum=_SILENT,
        maximum=12,
        unit="dB",
        meaning="level of the vocals",
        effect="makes the voice louder or softer",
    ),
    Control(
        name="instrumental_gain",
        default=0,
        minimum=_SILENT,
        maximum=12,
        unit="dB",
        meaning="level of the instrumental",
        effect="makes the music louder or softer",
    ),
    Control(
        name="vocals_mute",
        default=0,
        minimum=0,
        maximum=1,
        unit="switch",
        meaning="silence the vocals",
        effect="karaoke: only the music",
    ),
    Control(
        name="vocals_solo",
        default=0,
        minimum=0,
        maximum=1,
        unit="switch",
        meaning="play only the vocals",
        effect="a cappella: only the voice",
    ),
    Control(
        name="instrumental_mute",
        default=0,
        minimum=0,
        maximum=1,
        unit="switch",
        meaning="silence the instrumental",
        effect="a cappella: only the voice",
    ),
    Control(
        name="instrumental_solo",
        default=0,
        minimum=0,
        maximum=1,
        unit="switch",
        meaning="play only the instrumental",
        effect="karaoke: only the music",
    ),
    Control(
        name="blend",
        default=1,
        minimum=0,
        maximum=1,
        unit="",
        meaning="from dry (0) to separated (1), aligned in time; the stems always add up to the input",
        effect="lower: closer to the original, with fewer artefacts",
    ),
    Control(
        name="bypass",
        default=0,
        minimum=0,
        maximum=1,
        unit="switch",
        meaning="play the dry signal, aligned and cross-faded; mute, solo and gains have no effect",
        effect="the original, for comparison",
    ),
    Control(
        name="balance",
        default=0.5,
        minimum=0,
        maximum=1,
        unit="",
        meaning="on one stereo output: 0 is only music, 0.5 both, 1 only voice",
        effect="one fader from karaoke to a cappella",
    ),
)

BY_NAME: dict[str, Control] = {control.name: control for control in TABLE}

# Indices for compiled code; a test compares them with the table.
THRESHOLD, MASK, GATE, SMOOTHING = 0, 1, 2, 3
VOCALS_GAIN, INSTRUMENTAL_GAIN = 4, 5
VOCALS_MUTE, VOCALS_SOLO, INSTRUMENTAL_MUTE, INSTRUMENTAL_SOLO = 6, 7, 8, 9
BLEND, BYPASS = 10, 11
BALANCE = 12

LEVEL_CONTROLS = (
    VOCALS_GAIN, INSTRUMENTAL_GAIN, VOCALS_MUTE, INSTRUMENTAL_MUTE, VOCALS_SOLO, INSTRUMENTAL_SOLO,
    BALANCE, BLEND, BYPASS,
)  # fmt: skip
"""Controls that set the level of an output; `rtsep.dsp.router.feed_levels` reads them."""


FADER_DB = 72.0
"""Range in dB, counted from the top, of a fader or knob whose low end is silence or 0."""

CURVES = ("lin", "dB")


@dataclass(frozen=True)
class Travel:
    """Mapping between a position 0..1 of a knob, fader or slider and a control's value.

    The curve "lin" is even in the plain value (amplitude for a gain), "dB" is even in decibels. If the range
    starts at 0 or -inf, which decibels cannot reach, position 0 gives exactly that value. A switch or choice
    takes its nearest value.
    """

    control: Control
    low: float
    high: float
    curve: str = "lin"

    @classmethod
    def whole(cls, control: Control) -> Travel:
        """Return the travel over the whole range of `control`, in dB if that is the control's unit."""
        return cls(control, control.minimum, control.maximum, "dB" if control.unit == "dB" else "lin")

    def value(self, position: float) -> float:
        """Return the value at `position`, which is limited to 0..1."""
        position = min(max(position, 0.0), 1.0)
        if position in (0.0, 1.0):
            return self.high if position else self.low
        if self.control.unit in ("switch", "choice"):
            return self.low + math.floor(position * (self.high - self.low) + 0.5)
        low, high = self._ends()
        moved = low + position * (high - low)
        if self._in_db == (self.control.unit == "dB"):
            value = moved
        else:
            value = 10.0 ** (moved / 20.0) if self._in_db else _decibels(moved)
        return min(max(value, self.low), self.high)

    def position(self, value: float) -> float:
        """Return the position 0..1 of `value`; values outside the range give 0 or 1."""
        if not self.low < value < self.high:
            return float(value >= self.high)
        low, high = self._ends()
        if self._in_db == (self.control.unit == "dB"):
            moved = value
        else:
            moved = _decibels(value) if self._in_db else 10.0 ** (value / 20.0)
        return min(max((moved - low) / (high - low), 0.0), 1.0)

    @property
    def _in_db(self) -> bool:
        return self.curve == "dB"

    def _ends(self) -> tuple[float, float]:
        """Return low and high in the unit of the curve: decibels, amplitude, or the plain value."""
        low, high = self.low, self.high
        if self.control.unit == "dB":
            if not self._in_db:
                return (0.0 if low <= MINUS_INFINITY_DB else 10.0 ** (low / 20.0)), 10.0 ** (high / 20.0)
            return (high - FADER_DB if low <= MINUS_INFINITY_DB else low), high
        if self._in_db:
            top = _decibels(high)
            return (_decibels(low) if low > 0 else top - FADER_DB), top
        return low, high


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0 else MINUS_INFINITY_DB


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


OUTPUT = "output"
"""Source of a change of `balance` that only the output caused; see `Controls.moved_by`."""


class Controls:
    """Live values of the table. The controls are attributes: `controls.threshold = 0.4`."""

    control_block: NDArray[np.int64]  # [controls] float64 bits, read by compiled code
    movers: dict[str, str]  # by control name, the last source of a change; untouched controls are missing

    def __init__(self, **values: float) -> None:
        object.__setattr__(self, "control_block", np.array([_bits(c.default) for c in TABLE], np.int64))
        object.__setattr__(self, "movers", {})
        for name, value in values.items():
            setattr(self, name, value)

    @staticmethod
    def _find(name: str) -> int:
        for index, control in enumerate(TABLE):
            if control.name == name:
                return index
        raise UsageError(
            f"unknown control '{name}'{suggest(name, BY_NAME)}; the controls are {', '.join(BY_NAME)}"
        )

    @property
    def slots(self) -> NDArray[np.int64]:
        """`control_block` by its old name."""
        return self.control_block

    def __getattr__(self, name: str) -> float:
        if name.startswith("__"):
            raise AttributeError(name)
        return float(np.int64(acquire(self.control_block, self._find(name))).view(np.float64))

    def __setattr__(self, name: str, value: float) -> None:
        self.set(name, value)

    def set(self, name: str, value: float, by: str = "API") -> None:
        """Set a control; `by` is the source, such as "MIDI". Raise `UsageError` for a bad name or value."""
        index = self._find(name)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            control = TABLE[index]
            raise UsageError(f"{control.name} {value!r:.60}: not a number; {control.accepted}") from None
        release(self.control_block, index, _bits(TABLE[index].check(number)))
        self.movers[name] = by

    def set_text(self, name: str, text: str, by: str = "API") -> None:
        """Set a control from text, as in a command line or a map file; raise `UsageError` for bad text."""
        self.set(name, TABLE[self._find(name)].parse(text), by)

    def moved_by(self, name: str) -> str:
        """Return the last source that changed a control, "" for an untouched one."""
        self._find(name)
        return self.movers.get(name, "")

    def snapshot(self) -> dict[str, float]:
        """Return all values by control name."""
        return {control.name: getattr(self, control.name) for control in TABLE}

    def chosen(self) -> dict[str, float]:
        """Return the values that another session may take over: without a `balance` that nobody has set.

        Such a balance belongs to the output of this session; another output begins with its own.
        """
        values = self.snapshot()
        if self.moved_by("balance") in ("", OUTPUT):
            del values["balance"]
        return values


def markdown_table() -> str:
    """Return the table of docs/controls.md in Markdown."""
    rows = [("control", "range", "default", "audible effect", "meaning"), ("---",) * 5]
    for control in TABLE:
        flag = f"`--{control.name.replace('_', '-')}`"
        accepted = ", ".join(control.choices) or control.accepted
        rows.append((flag, accepted, control.shown(control.default), control.effect, control.meaning))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    print(markdown_table(), end="")
