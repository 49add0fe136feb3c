"""Limiter of the output: no sample exceeds full scale, and none is delayed.

A feed-forward limiter without look-ahead or knee, after a peak detector without attack time: the branching
one of Giannoulis, Massberg and Reiss, "Digital Dynamic Range Compressor Design - A Tutorial and Analysis", J.
Audio Eng. Soc. 60(6), 2012, with an infinite ratio. The detector's envelope is the larger of the bus's peak
sample and the decaying earlier envelope. If the envelope exceeds 1.0, the bus is divided by it. No sample is
larger than the envelope, so none exceeds 1.0.

All channels of a bus share one gain, so the stereo image does not move. While no sample exceeds full scale
and the last peak has decayed, the gain is 1 and samples are unchanged, bit by bit; only then do the feeds add
up to the input.

Block: any. Stream delay 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

RELEASE_S = 0.2
"""Time constant of the envelope after a peak in seconds: 6 dB take 0.14 s."""


class Limiter(NamedTuple):
    """State of the limiter of one output."""

    on: NDArray[np.bool_]  # [1]
    bus: NDArray[np.int64]  # [output channels] bus index of each, or -1: silence
    envelope: NDArray[np.float64]  # [buses] 1 while nothing is limited
    keep: NDArray[np.float64]  # [1] decay factor of the envelope per frame
    limited: NDArray[np.int64]  # [1] limited frames of all buses


def make_limiter(on: bool, out_map: tuple[int, ...], channels: int, rate: int) -> Limiter:
    """Return a limiter for an output at `rate` Hz.

    `out_map` has feed * channels + channel for each output channel, or -1; the channels of one feed are a
    bus.
    """
    feeds = sorted({entry // channels for entry in out_map if entry >= 0})
    buses = [feeds.index(entry // channels) if entry >= 0 else -1 for entry in out_map]
    return Limiter(
        on=np.array([on]),
        bus=np.array(buses, np.int64),
        envelope=np.ones(len(feeds)),
        keep=np.array([np.exp(-1.0 / (RELEASE_S * rate))]),
        limited=np.zeros(1, np.int64),
    )


@njit(cache=True, nogil=True)
def limit(limiter: Limiter, block: np.ndarray, frames: int) -> None:
    """Limit the first `frames` frames of `block` [output channels, frames or more] in place."""
    if not limiter.on[0]:
        return
    for b in range(limiter.envelope.size):
        envelope = limiter.envelope[b]
        for i in range(frames):
            envelope = max(1.0, envelope * limiter.keep[0])
            for d in range(limiter.bus.size):
                if limiter.bus[d] == b:
                    envelope = max(envelope, float(abs(block[d, i])))
            if envelope > 1.0:
                limiter.limited[0] += 1
                for d in range(limiter.bus.size):
                    if limiter.bus[d] == b:
                        # at most 1, by the rounding of division
                        block[d, i] = np.float32(block[d, i] / envelope)
        limiter.envelope[b] = envelope


@njit(cache=True, nogil=True)
def is_limiting(limiter: Limiter) -> bool:
    """Return whether a bus is limited now."""
    largest = 1.0
    for b in range(limiter.envelope.size):
        largest = max(largest, limiter.envelope[b])
    return largest > 1.0


def reduction_db(limiter: Limiter) -> float:
    """Return the gain in decibels of the bus that is limited most, 0 or less."""
    return float(min(0.0, -20.0 * np.log10(limiter.envelope.max(initial=1.0))))
