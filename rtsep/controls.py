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
    meaning: str
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


_SILENT = MINUS_INFINITY_DB

TABLE: tuple[Control, ...] = (
    Control("threshold", 0, 0, 1, "", "where the mask decides 'voice': bins under it fade out or are cut"),
    Control("mask", 0, 0, 1, "choice", "masks as they come, or 0/1 at the threshold", ("soft", "binary")),
    Control("gate", 0, 0, 1, "", "mask values below it become 0"),
    Control("smoothing", 0, 0, 100, "ms", "time constant of the mask"),
    Control("vocals_gain", 0, _SILENT, 12, "dB", "level of the vocals"),
    Control("instrumental_gain", 0, _SILENT, 12, "dB", "level of the instrumental"),
    Control("vocals_mute", 0, 0, 1, "switch", "silence the vocals"),
    Control("vocals_solo", 0, 0, 1, "switch", "only the vocals"),
    Control("instrumental_mute", 0, 0, 1, "switch", "silence the instrumental"),
    Control("instrumental_solo", 0, 0, 1, "switch", "only the instrumental"),
    Control("blend", 1, 0, 1, "", "dry to separated, aligned in time; the feeds always add up"),
    Control("bypass", 0, 0, 1, "switch", "the aligned dry signal, cross-faded"),
)

BY_NAME: dict[str, Control] = {control.name: control for control in TABLE}

# Slots, for compiled code; the test of the table holds them to it.
THRESHOLD, MASK, GATE, SMOOTHING = 0, 1, 2, 3
VOCALS_GAIN, INSTRUMENTAL_GAIN = 4, 5
VOCALS_MUTE, VOCALS_SOLO, INSTRUMENTAL_MUTE, INSTRUMENTAL_SOLO = 6, 7, 8, 9
BLEND, BYPASS = 10, 11

UNITY_BINARY_THRESHOLD = 0.5
"""What `--mask binary` means where no threshold is given (`mask_at_eval` of the source documents)."""


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


class Controls:
    """Live values of the table. Attributes are the controls: `controls.threshold = 0.4`."""

    slots: NDArray[np.int64]  # float64 bits, one a control; what compiled code reads

    def __init__(self, **values: float) -> None:
        object.__setattr__(self, "slots", np.array([_bits(c.default) for c in TABLE], np.int64))
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
        index = self._find(name)
        release(self.slots, index, _bits(TABLE[index].check(float(value))))

    def set_text(self, name: str, text: str) -> None:
        """Set a control from text, as a command line or a map file gives it."""
        index = self._find(name)
        release(self.slots, index, _bits(TABLE[index].parse(text)))

    def snapshot(self) -> dict[str, float]:
        """Return every value by name."""
        return {control.name: getattr(self, control.name) for control in TABLE}
