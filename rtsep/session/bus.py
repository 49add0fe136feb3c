"""The stereo bus: the initial value of its balance, and its content as text."""

from __future__ import annotations

import numpy as np

from rtsep.audio.engine import StreamFormat
from rtsep.controls import OUTPUT, TABLE, Controls
from rtsep.dsp.router import BUS, FEEDS, SOURCES, feed_levels
from rtsep.session.options import BALANCES

_STEM_NAMES = ("voice", "music")


def plays_bus(format: StreamFormat) -> bool:
    """Return whether the output is the stereo bus, not a pair of channels for each stem."""
    return any(entry // format.channels == BUS for entry in format.out_map if entry >= 0)


def begin_balance(format: StreamFormat, controls: Controls) -> None:
    """Set `balance` to the default of the output, unless something else has set it before."""
    if plays_bus(format) and controls.moved_by("balance") in ("", OUTPUT):
        controls.set("balance", BALANCES[format.bus], OUTPUT)


def output_in_words(format: StreamFormat, controls: Controls) -> str:
    """Return the output as text, such as "voice" or "voice -6 dB + music"; "" without a stereo bus."""
    if not plays_bus(format):
        return ""
    values = np.array([getattr(controls, control.name) for control in TABLE])
    levels = np.empty((len(FEEDS), SOURCES))
    feed_levels(values, 1.0, np.ones(len(FEEDS)), levels)
    gains, dry = levels[BUS, :2], levels[BUS, 2]
    if dry == 1.0:
        return "the input, unchanged"
    parts = [_part(name, gain) for name, gain in zip(_STEM_NAMES, gains / (1.0 - dry), strict=True) if gain]
    words = " + ".join(parts) or "silence"
    if dry:
        return f"{words}, {dry:.0%} of it the input"
    return f"{words}, unchanged" if np.all(gains == 1.0) else words


def _part(name: str, gain: float) -> str:
    level = round(20.0 * np.log10(gain), 1)
    return f"{name} {level:+g} dB" if level else name
