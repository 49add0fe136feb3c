"""Level meters: RMS as the bright bar, the peak as the dim bar, the recent maximum as a tick, clip marks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from textual import events
from textual.geometry import Size

from rtsep.surfaces.view.bars import dimmed, solid
from rtsep.surfaces.view.canvas import Canvas, Part
from rtsep.surfaces.view.palette import BACKGROUND, BAD, DIM, INPUT, REST, TRACK, VOICE, WARN, Ink

FLOOR_DB, TOP_DB = -60.0, 3.0
HOLD_S = 1.5
"""Hold time of the highest peak before it falls, in seconds."""

FALL_DB_PER_S = 30.0

FEEDS = {"dry": ("input", INPUT), "vocals": ("vocals", VOICE), "instrumental": ("instrumental", REST)}
"""Metered feeds with name on the screen and colour."""

_WARN_DB, _BAD_DB = -6.0, -0.5
_NAME, _NUMBERS = 13, 27
_MARKS = (-48, -36, -24, -18, -12, -6, 0)


class Meter:
    """Values of one meter, in dB full scale."""

    def __init__(self) -> None:
        self.rms_db = self.peak_db = self.held_db = -math.inf
        self.clipped = False
        self._held_s = 0.0

    def follow(self, peak: float, rms: float, seconds: float) -> None:
        """Update from a linear peak and RMS, `seconds` after the previous ones."""
        self.peak_db, self.rms_db = _decibels(peak), _decibels(rms)
        self.clipped |= peak >= 1.0
        self._held_s += seconds
        if self.peak_db >= self.held_db:
            self.held_db, self._held_s = self.peak_db, 0.0
        elif self._held_s > HOLD_S:
            self.held_db = max(self.peak_db, self.held_db - FALL_DB_PER_S * seconds)


def _decibels(level: float) -> float:
    return 20.0 * math.log10(level) if level > 0 else -math.inf


def position(db: float) -> float:
    """Return the position of `db` on a meter, 0..1."""
    return (min(max(db, FLOOR_DB), TOP_DB) - FLOOR_DB) / (TOP_DB - FLOOR_DB)


class Meters(Canvas):
    """One line for each feed, with a scale below if there is space."""

    def __init__(self, ink: Ink, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        self.meters = {feed: Meter() for feed in FEEDS}

    def follow(self, levels: Mapping[str, Mapping[str, float]], seconds: float) -> None:
        """Show `levels` of `Session.stats`, `seconds` after the previous ones."""
        for y, (feed, meter) in enumerate(self.meters.items()):
            meter.follow(levels[feed]["peak"], levels[feed]["rms"], seconds)
            self._draw(y, feed, meter)

    def forget_clips(self) -> None:
        """Reset the clip marks."""
        for meter in self.meters.values():
            meter.clipped = False

    def on_click(self, _: events.Click) -> None:
        """Reset the clip marks after a click."""
        self.forget_clips()

    def resized(self, size: Size) -> None:
        """Draw the static parts."""
        self._draw_scale(size.width)
        for y, (feed, meter) in enumerate(self.meters.items()):
            self._draw(y, feed, meter)

    @property
    def _bar_width(self) -> int:
        return max(8, self.size.width - _NAME - _NUMBERS)

    def _draw(self, y: int, feed: str, meter: Meter) -> None:
        width = self._bar_width
        name, colour = FEEDS[feed]
        cells = (round(position(meter.rms_db) * width), round(position(meter.peak_db) * width))
        held = round(position(meter.held_db) * width) - 1
        peak, rms = _text(meter.held_db), _text(meter.rms_db)
        if self._drawn[y : y + 1] == [(cells, held, peak, rms, meter.clipped)]:
            return
        ink = self.ink
        parts: list[Part] = [(f"{name:<{_NAME}}", ink(colour, bold=True))]
        parts += self._bar(width, *cells, held, colour)
        parts += [(" peak", ink.dim), (peak, ink.base), ("  rms", ink.dim), (rms, ink.base)]
        parts.append(
            (" CLIP", ink("#ffffff", BAD, bold=True, reverse=ink.plain)) if meter.clipped else ("", ink())
        )
        self.put_new(y, (cells, held, peak, rms, meter.clipped), parts)

    def _bar(self, width: int, rms: int, peak: int, held: int, colour: str) -> list[Part]:
        ink = self.ink
        warn, bad = (round(position(db) * width) for db in (_WARN_DB, _BAD_DB))
        edges = sorted({0, *(min(max(e, 0), width) for e in (rms, peak, held, held + 1, warn, bad, width))})
        parts: list[Part] = []
        for start, end in pairwise(edges):
            zone, cells = colour if start < warn else WARN if start < bad else BAD, end - start
            if start == held and held >= rms:
                ground = dimmed(zone) if start < peak else TRACK
                parts.append(("│" if ink.plain else "▌", ink(zone, ground, bold=True)))
            elif start < rms:
                parts.append(solid(ink, cells, zone))
            elif start < peak:
                parts.append(("▒" * cells, ink()) if ink.plain else solid(ink, cells, dimmed(zone)))
            else:
                parts.append(("·" * cells, ink(dim=True)) if ink.plain else (" " * cells, ink(DIM, TRACK)))
        return parts

    def _draw_scale(self, width: int) -> None:
        bar = self._bar_width
        text = [" "] * width
        for mark in _MARKS:
            label, cell = str(mark), _NAME + round(position(mark) * bar) - 1
            if not "".join(text[cell - len(label) : cell + 1]).strip():
                text[cell - len(label) + 1 : cell + 1] = label
        self.put(len(FEEDS), [("".join(text[:width]), self.ink(DIM, BACKGROUND, dim=self.ink.plain))])


def _text(db: float) -> str:
    return f"{db:6.1f}" if db > FLOOR_DB else "     -"
