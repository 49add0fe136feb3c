"""Figures of an engine for its readers: positions and durations.

The words behind these figures are private to `rtsep.audio`: their layout may change. A reader on any thread
gets plain numbers. They are read one after the other while the engine runs, so two of them may be a hop or a
call apart.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS
from rtsep.realtime.atomics import acquire, release

__all__ = ["HISTOGRAM_BINS", "HISTOGRAM_STEP_NS", "UNKNOWN", "Progress", "Telemetry"]

UNKNOWN = int(np.iinfo(np.int64).max)
"""Value of `Progress.source_end` while the end of a played file is unknown."""


class Progress(NamedTuple):
    """Positions of one engine, counted from its start. Input frames are at the input's rate."""

    captured: int  # input frames from the device or the played file
    consumed: int  # input frames taken by the hop loop
    produced: int  # output frames, at the output's rate, written by the hop loop
    played: int  # output frames, at the output's rate, taken by the device
    recordable: int  # frames written for recorders
    hops: int
    input_calls: int  # calls of the input device
    output_calls: int  # calls of the output device
    output_block: int  # frames of the last output call; 0 before the first
    source_end: int  # input frames of the played file, or UNKNOWN


class Telemetry(NamedTuple):
    """Durations in one engine since its start, or since `forget_longest`."""

    call_gap_max_ns: int  # longest time between two calls of the output
    hop_max_ns: int  # longest duration of a hop
    late_run: int  # hops since the last mask in time
    stopped_ns: int = 0  # time during which the whole process stood still


def read_progress(state: NDArray[np.int64]) -> Progress:
    """Return the positions in the `state` of `rtsep.audio.rings`."""

    def read(slot: int) -> int:
        return int(acquire(state, slot))

    # A follower is read before the value that it follows, so that their distance is never too short.
    consumed, played = read(rings.IN_READ), read(rings.OUT_READ)
    return Progress(
        captured=read(rings.IN_WRITE),
        consumed=consumed,
        produced=read(rings.OUT_WRITE),
        played=played,
        recordable=read(rings.RECORD_WRITE),
        hops=read(rings.HOPS),
        input_calls=read(rings.IN_CALLS),
        output_calls=read(rings.OUT_CALLS),
        output_block=read(rings.OUT_FRAMES),
        source_end=read(rings.SOURCE_END),
    )


def read_telemetry(state: NDArray[np.int64]) -> Telemetry:
    """Return the durations in the `state` of `rtsep.audio.rings`."""
    return Telemetry(
        call_gap_max_ns=int(acquire(state, rings.CALL_GAP_MAX_NS)),
        hop_max_ns=int(acquire(state, rings.HOP_MAX_NS)),
        late_run=int(acquire(state, rings.LATE_RUN)),
        stopped_ns=int(acquire(state, rings.STOPPED_NS)),
    )


def forget_longest(state: NDArray[np.int64], passing_s: float) -> None:
    """Restart the longest durations in the `state` of `rtsep.audio.rings`.

    The callback and the hop loop raise such a value by a load and a store. A thread between the two restores
    the old value. Therefore the value is cleared again after `passing_s`, during which calls and hops pass.
    """
    for slot in (rings.CALL_GAP_MAX_NS, rings.HOP_MAX_NS):
        while (longest := acquire(state, slot)) > 0:
            release(state, slot, 0)
            time.sleep(passing_s)
            if acquire(state, slot) != longest:
                break
