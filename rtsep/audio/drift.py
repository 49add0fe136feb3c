"""Two devices, two clocks: the output is resampled by their difference of some parts per million.

The distance between the hop loop's write position and the output device's read position is held at a target.
It is measured from the clock instead of the rings, so it contains no saw-tooth of the devices' blocks. A
second-order loop (damping 0.7, natural frequency LOOP_RATE) controls it: a step settles within some 15 s
without audible wobble. F. Adriaensen, "Controlling adaptive resampling", Linux Audio Conference 2012, derives
the same loop.

Block: one hop in, about as much out. Stream delay: half a filter, 32 frames.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.dsp.resample import interpolate, sinc_table
from rtsep.dsp.shift import push

LOOP_RATE = 0.3  # rad/s
DAMPING = 0.7
LIMIT = 0.005
"""Largest correction: half a per cent, far beyond any two working clocks."""

LASTING_LIMIT = 0.001
"""Largest lasting correction: the real difference of two clocks. A step of the distance, as after a stall, is
not a clock difference: treated as one, it would cause a large overshoot, and output would come too late."""

_ERROR_SMOOTHING_S = 0.25


class Drift(NamedTuple):
    """State of the correction. One input frame advances the position by 1, one output frame by `step`."""

    table: NDArray[np.float32]
    history: NDArray[np.float32]  # [channels, length] input frames, newest last
    position: NDArray[np.float64]  # [1] input frames from the newest one to the next output frame
    correction: NDArray[np.float64]  # [1] relative; 1e-6 is 1 ppm
    integral: NDArray[np.float64]  # [1]
    error: NDArray[np.float64]  # [2] smoothed error in output frames; then 1 once it is valid
    nominal: float  # input rate / output rate
    out_rate: float


def make_drift(in_rate: int, out_rate: int, channels: int, max_frames: int) -> Drift:
    """Return a new state for blocks of at most `max_frames` input frames."""
    table = sinc_table(out_rate / in_rate)
    return Drift(
        table=table,
        history=np.zeros((channels, table.shape[1] + max_frames + 4), np.float32),
        position=np.array([1.0 - float(table.shape[1] // 2)]),
        correction=np.zeros(1),
        integral=np.zeros(1),
        error=np.zeros(2),
        nominal=in_rate / out_rate,
        out_rate=float(out_rate),
    )


def stream_delay(drift: Drift) -> int:
    """Return the delay of the interpolation in output frames."""
    return math.ceil(drift.table.shape[1] // 2 / drift.nominal)


@njit(cache=True, nogil=True)
def correct(drift: Drift, fill: float, target: float, elapsed_s: float) -> None:
    """Update the correction from `fill`, measured in output frames; call it every hop, `elapsed_s` apart."""
    error = fill - target
    if drift.error[1] == 0.0:
        drift.error[0], drift.error[1] = error, 1.0
    share = min(1.0, elapsed_s / _ERROR_SMOOTHING_S)
    drift.error[0] += share * (error - drift.error[0])
    smooth = drift.error[0] / drift.out_rate  # / drift.out_rate] seconds
    drift.integral[0] += LOOP_RATE * LOOP_RATE * smooth * elapsed_s
    drift.integral[0] = min(LASTING_LIMIT, max(-LASTING_LIMIT, drift.integral[0]))
    drift.correction[0] = min(LIMIT, max(-LIMIT, drift.integral[0] + 2.0 * DAMPING * LOOP_RATE * smooth))


@njit(cache=True, nogil=True)
def resample_block(drift: Drift, block: np.ndarray, out: np.ndarray) -> int:
    """Resample `block` [channels, frames] to `out` [channels, >= frames / nominal + 2]; return the frames.

    If the fill is too high, the correction is positive: steps grow, and fewer frames come out.
    """
    push(drift.history, block)
    # Counted from the newest frame: a growing position would lose its fraction over time, and so the
    # correction.
    drift.position[0] -= block.shape[1]
    half = drift.table.shape[1] // 2
    step = drift.nominal * (1.0 + drift.correction[0])
    count = 0
    while count < out.shape[1]:
        whole = math.floor(drift.position[0])
        if whole + half > 0:
            break
        part = drift.position[0] - whole
        for c in range(out.shape[0]):
            out[c, count] = interpolate(drift.history[c], 0, whole, part, drift.table)
        drift.position[0] += step
        count += 1
    return count
