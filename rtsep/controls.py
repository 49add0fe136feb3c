"""The one table of controls: what a player may turn while it plays.

Command line, keys, MIDI and the Python API read this table; the compiled hop reads the values. A
control is one 64-bit slot, stored atomically by whoever turns it and read once a hop, so that a
change is heard from the next hop on and nothing ever waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError, suggest
from rtsep.realtime.atomics import acquire, release

MINUS_INFINITY_DB = -144.0
"""Gains at or below this are silence: 24 bits down."""


@dataclass(frozen=True)
class Control:
    """One row of the table."""

    name: str
    default: float
    minimum: float
    maximum: float
    unit: str  # "", "dB", "ms", "switch", or "choice"
    meaning: str  # for an engineer
    effect: str  # what it does to the sound, for a musician
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> float:
        """Read a value as a person writes it; raises `UsageError` that names what is accepted."""
        word = text.strip().lower()
        if self.choices:
            if word in self.choices:
                return float(self.choices.index(word))
            raise UsageError(
                f"{self.name} '{text}': one of {', '.join(self.choices)}{suggest(word, self.choices)}"
            )
        if self.unit == "switch" and word in ("on", "off"):
            return float(word == "on")
        try:
            value = float(word.removesuffix(self.unit.lower()) if self.unit != "switch" else word)
        except ValueError:
            raise UsageError(f"{self.name} '{text}': not a number; {self.accepted}") from None
        return self.check(value)

    def check(self, value: float) -> float:
        """Return `value` if it lies in range (-inf dB becomes the silent gain), else raise `UsageError`."""
        if self.unit == "dB" and value == -math.inf:
            value = self.minimum
        if not self.minimum <= value <= self.maximum:  # NaN fails this as well
            raise UsageError(f"{self.name} {value:g}: out of range; {self.accepted}")
        if self.unit in ("switch", "choice") and value != int(value):
            raise UsageError(f"{self.name} {value:g}: nothing in between; {self.accepted}")
        return value

    @property
    def accepted(self) -> str:
        """What a value may be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.unit == "switch":
            return "on or off"
        low = "-inf" if self.unit == "dB" else f"{self.minimum:g}"
        return f"{low} to {self.maximum:g}{' ' + self.unit if self.unit else ''}"

    def shown(self, value: float) -> str:
        """Return `value` as a person writes it."""
        if self.choices:
            return self.choices[int(value)]
        if self.unit == "switch":
            return "on" if value else "off"
        number = "-inf" if self.unit == "dB" and value <= self.minimum else f"{value:g}"
        return f"{number} {self.unit}" if self.unit else number


_SILENT = MINUS_INFINITY_DB

TABLE: tuple[Control, ...] = (
    Control(
        "threshold",
        0,
        0,
        1,
        "",
        "where the mask decides 'voice': bins under it fade out or are cut",
        "higher: less music in the voice, but soft singing goes too",
    ),
    Control(
        "mask",
        0,
        0,
        1,
        "choice",
        "as it comes, or 0/1 at the threshold (0: at 0.5)",
        "binary: a harder cut, with a watery sound",
        ("soft", "binary"),
    ),
    Control(
        "gate",
        0,
        0,
        1,
        "",
        "mask values below it become 0",
        "higher: what is left of the music in the voice falls silent",
    ),
    Control(
        "smoothing",
        0,
        0,
        100,
        "ms",
        "time constant of the mask",
        "higher: less chirping, but attacks get softer",
    ),
    Control("vocals_gain", 0, _SILENT, 12, "dB", "level of the vocals", "the voice louder or softer"),
    Control(
        "instrumental_gain", 0, _SILENT, 12, "dB", "level of the instrumental", "the music louder or softer"
    ),
    Control("vocals_mute", 0, 0, 1, "switch", "silence the vocals", "karaoke: the music alone"),
    Control("vocals_solo", 0, 0, 1, "switch", "only the vocals", "a cappella: the voice alone"),
    Control(
        "instrumental_mute", 0, 0, 1, "switch", "silence the instrumental", "a cappella: the voice alone"
    ),
    Control("instrumental_solo", 0, 0, 1, "switch", "only the instrumental", "karaoke: the music alone"),
    Control(
        "blend",
        1,
        0,
        1,
        "",
        "dry to separated, aligned in time; the feeds always add up",
        "lower: closer to the original, with fewer artefacts",
    ),
    Control(
        "bypass",
        0,
        0,
        1,
        "switch",
        "the aligned dry signal, cross-faded, past mute, solo and gains",
        "the original, to compare with",
    ),
    Control(
        "balance",
        0.5,
        0,
        1,
        "",
        "on one stereo output: 0 music alone, 0.5 both, 1 voice alone",
        "one fader from karaoke to a cappella",
    ),
)

BY_NAME: dict[str, Control] = {control.name: control for control in TABLE}

# Slots, for compiled code; the test of the table holds them to it.
THRESHOLD, MASK, GATE, SMOOTHING = 0, 1, 2, 3
VOCALS_GAIN, INSTRUMENTAL_GAIN = 4, 5
VOCALS_MUTE, VOCALS_SOLO, INSTRUMENTAL_MUTE, INSTRUMENTAL_SOLO = 6, 7, 8, 9
BLEND, BYPASS = 10, 11
BALANCE = 12

LEVEL_CONTROLS = (
    VOCALS_GAIN, INSTRUMENTAL_GAIN, VOCALS_MUTE, INSTRUMENTAL_MUTE, VOCALS_SOLO, INSTRUMENTAL_SOLO,
    BALANCE, BLEND, BYPASS,
)  # fmt: skip
"""Controls of the level at an output: those that `rtsep.dsp.router.feed_levels` reads."""


FADER_DB = 72.0
"""How far below its top a fader that ends in silence (or a knob that ends in 0) still counts decibels."""

CURVES = ("lin", "dB")


@dataclass(frozen=True)
class Travel:
    """How a knob, fader or slider goes through a control's range: position 0..1 to value and back.

    "lin" moves evenly in the plain quantity (for a gain, its amplitude), "dB" evenly in decibels. Where the
    range starts at 0 or -inf, which no decibel reaches, position 0 is exactly that. A switch or choice
    takes the nearest of its values.
    """

    control: Control
    low: float
    high: float
    curve: str = "lin"

    @classmethod
    def whole(cls, control: Control) -> Travel:
        """Return the whole range of `control`, in dB where that is its unit."""
        return cls(control, control.minimum, control.maximum, "dB" if control.unit == "dB" else "lin")

    def value(self, position: float) -> float:
        """Return the value at `position`, 0..1 (limited to that)."""
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
        """Return where `value` lies, 0..1; values outside of the range lie at its ends."""
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
        """Return low and high in what the travel is even in: decibels, amplitude, or the plain unit."""
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


class Controls:
    """Live values of the table. Attributes are the controls: `controls.threshold = 0.4`."""

    slots: NDArray[np.int64]  # float64 bits, one a control; what compiled code reads
    movers: dict[str, str]  # by name, who moved it last; controls nobody moved are not in it

    def __init__(self, **values: float) -> None:
        object.__setattr__(self, "slots", np.array([_bits(c.default) for c in TABLE], np.int64))
        object.__setattr__(self, "movers", {})
        for name, value in values.items():
            setattr(self, name, value)

    @staticmethod
    def _find(name: str) -> int:
        for index, control in enumerate(TABLE):
            if control.name == name:
                return index
        raise UsageError(f"unknown control '{name}'{suggest(name, BY_NAME)}; known: {', '.join(BY_NAME)}")

    def __getattr__(self, name: str) -> float:
        if name.startswith("__"):
            raise AttributeError(name)
        return float(np.int64(acquire(self.slots, self._find(name))).view(np.float64))

    def __setattr__(self, name: str, value: float) -> None:
        self.set(name, value)

    def set(self, name: str, value: float, by: str = "API") -> None:
        """Set a control; `by` says who did: "MIDI", "key", "API". Raises `UsageError`, and sets nothing."""
        index = self._find(name)
        release(self.slots, index, _bits(TABLE[index].check(float(value))))
        self.movers[name] = by

    def set_text(self, name: str, text: str, by: str = "API") -> None:
        """Set a control from text, as a command line or a map file gives it."""
        self.set(name, TABLE[self._find(name)].parse(text), by)

    def moved_by(self, name: str) -> str:
        """Return who moved a control last, "" if nobody has."""
        self._find(name)
        return self.movers.get(name, "")

    def snapshot(self) -> dict[str, float]:
        """Return every value by name."""
        return {control.name: getattr(self, control.name) for control in TABLE}


def markdown_table() -> str:
    """Return the table as Markdown: as docs/controls.md shows it."""
    rows = [("control", "range", "at first", "what you hear", "meaning"), ("---",) * 5]
    for control in TABLE:
        flag = f"`--{control.name.replace('_', '-')}`"
        accepted = ", ".join(control.choices) or control.accepted
        rows.append((flag, accepted, control.shown(control.default), control.effect, control.meaning))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    print(markdown_table(), end="")
