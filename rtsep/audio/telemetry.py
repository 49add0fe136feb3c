"""Figures that an engine gives to its readers: how far it has come, and how long things took.

The slots behind these figures are private to `rtsep.audio`: their layout may change. A reader on any thread
gets plain numbers. They are read one after the other while the engine runs, so two of them may be a hop or a
call apart.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings as r
from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS
from rtsep.realtime.atomics import acquire, release

__all__ = ["HISTOGRAM_BINS", "HISTOGRAM_STEP_NS", "UNKNOWN", "Progress", "Telemetry"]

UNKNOWN = int(np.iinfo(np.int64).max)
"""Value of `Progress.source_end` while no end of a played file is known."""


class Progress(NamedTuple):
    """Positions of one engine, counted from its start. Input frames are at the input's rate."""

    captured: int  # input frames that the device or the played file has given
    consumed: int  # input frames that the hop loop has taken
    produced: int  # output frames, at the output's rate, that the hop loop has written
    played: int  # output frames, at the output's rate, that the device has taken
    recordable: int  # frames that the hop loop has left for recorders
    hops: int
    input_calls: int  # calls of the device that has the input
    output_calls: int  # calls of the device that has the output
    output_block: int  # frames of the last call of the output; 0 before the first
    source_end: int  # input frames of the played file, or UNKNOWN


class Telemetry(NamedTuple):
    """Times of one engine since its start, or since `forget_longest`."""

    call_gap_max_ns: int  # longest time between two calls of the output
    hop_max_ns: int  # longest time that a hop took
    late_run: int  # hops since the last mask that came in time
    stopped_ns: int = 0  # in which the whole process stood still


def read_progress(slots: NDArray[np.int64]) -> Progress:
    """Return the positions in the `slots` of `rtsep.audio.rings`."""

    def read(slot: int) -> int:
        return int(acquire(slots, slot))

    # What follows is read before what it follows: the distance between the two is never too short.
    consumed, played = read(r.IN_READ), read(r.OUT_READ)
    return Progress(
        captured=read(r.IN_WRITE),
        consumed=consumed,
        produced=read(r.OUT_WRITE),
        played=played,
        recordable=read(r.RECORD_WRITE),
        hops=read(r.HOPS),
        input_calls=read(r.IN_CALLS),
        output_calls=read(r.OUT_CALLS),
        output_block=read(r.OUT_FRAMES),
        source_end=read(r.SOURCE_END),
    )


def read_telemetry(slots: NDArray[np.int64]) -> Telemetry:
    """Return the times in the `slots` of `rtsep.audio.rings`."""
    return Telemetry(
        call_gap_max_ns=int(acquire(slots, r.CALL_GAP_MAX_NS)),
        hop_max_ns=int(acquire(slots, r.HOP_MAX_NS)),
        late_run=int(acquire(slots, r.LATE_RUN)),
        stopped_ns=int(acquire(slots, r.STOPPED_NS)),
    )


def forget_longest(slots: NDArray[np.int64], passing_s: float) -> None:
    """Let the longest times in the `slots` of `rtsep.audio.rings` count from now on.

    The callback and the hop loop raise such a value by a load and a store. One that is between the two just
    now puts the old value back. So it is read again after `passing_s`, in which some calls and hops pass.
    """
    for slot in (r.CALL_GAP_MAX_NS, r.HOP_MAX_NS):
        while (longest := acquire(slots, slot)) > 0:
            release(slots, slot, 0)
            time.sleep(passing_s)
            if acquire(slots, slot) != longest:
                break
