"""Watchdog of the playback: checks whether it has ended, and whether devices still call."""

from __future__ import annotations

import math
import time

from rtsep.audio.engine import Engine
from rtsep.audio.streams import Streams
from rtsep.session.endpoints import ResolvedIO

LOST_AFTER_S = 1.0
"""A playing device that has not called for this time is lost, in seconds."""

STARTS_WITHIN_S = 6.0
"""Time limit in seconds until a device has played for a second, also after the user moved the stream. A sound
server can sleep: an idle PulseAudio wakes up every 2 s. A driver first fills its own buffer with some calls,
and then waits."""

SETTLES_IN_S = 1.0
"""A device to which the user moved the stream has started when it has called for this time, in seconds."""

LOST_IN_FREEWHEEL_S = 30.0
"""Time limit in freewheel mode, in seconds, where the server waits for its slowest client."""


class Watchdog:
    """Watches the active engine, which can change."""

    def __init__(self, streams: Streams, io: ResolvedIO, frames: int | None) -> None:
        """Watch these streams for at most `frames` frames of input (None: no limit)."""
        self._streams, self._io, self._frames = streams, io, frames
        sides = ("input", "output") if io.input else ("output",)
        self._called = {side: (-1, time.monotonic()) for side in sides}
        self._moves, self._moved_at = 0, -math.inf

    def follow(self, io: ResolvedIO) -> None:
        """Watch the same streams on other devices."""
        self._io = io

    def forgive(self, seconds: float) -> None:
        """Do not count `seconds` during which the whole session stood still as silence of a device."""
        self._called = {side: (calls, since + seconds) for side, (calls, since) in self._called.items()}

    def over(self, engine: Engine) -> bool:
        """Return whether all input has been played."""
        at = engine.progress()
        end = at.source_end
        if self._frames is not None:
            end = min(end, self._frames)
        played = at.played * engine.format.rate // engine.format.out_rate
        return min(at.consumed, played) >= end + engine.latency.total

    def lost(self, engine: Engine) -> str | None:
        """Return why a device is lost, None while it plays."""
        at = engine.progress()
        if reason := self._streams.lost:
            return reason
        now = time.monotonic()
        if (moves := self._streams.moves) != self._moves:
            self._moves, self._moved_at = moves, now
        patience = LOST_IN_FREEWHEEL_S if self._streams.waits_for_us else LOST_AFTER_S
        calls = {"input": at.input_calls, "output": at.output_calls}
        format = engine.format
        plays = {"input": at.captured >= format.rate, "output": at.played >= format.out_rate}
        for side, (before, since) in self._called.items():
            if calls[side] != before:
                self._called[side] = (calls[side], now)
                continue
            settled = plays[side] and since > self._moved_at + SETTLES_IN_S
            if now - since > (patience if settled else max(patience, STARTS_WITHIN_S)):
                silent = self._io.input if side == "input" else self._io.output
                return f"{silent.name if silent else 'the device'} has stopped answering"
        return None
