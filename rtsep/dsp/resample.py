"""Streaming sample-rate conversion around the model: device rate -> model rate -> device rate.

Windowed-sinc interpolation at exact rational positions (J. O. Smith, "Digital Audio Resampling",
ccrma.stanford.edu/~jos/resample): model frame k is read at the device position k * q / p - delay, device
frame j at the model position that makes the whole round trip an *integer* number of device frames. The dry
signal is never converted, so the two stems still add up exactly.

Block: `frames_needed` device frames give one hop at the model's rate, and one hop gives the same number back.
Stream delay: `stream_delay` device frames, including this stage and the stages at the model's rate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.dsp.shift import copy_rows, push

HALF_TAPS = 32
"""Zero crossings on each side, at the lower of the two rates."""

PHASES = 512
"""Rows of the table between two input samples; the rows are interpolated linearly (-120 dB)."""

KAISER_BETA = 10.0  # stop band below -100 dB
PASS_BAND = 0.94  # of the lower Nyquist frequency; the -6 dB point


def sinc_table(ratio: float) -> NDArray[np.float32]:
    """Return the interpolation table [PHASES + 1, 2 * half] for output rate / input rate = `ratio`.

    Row r has the weights of the input samples at -half+1 .. half around a position r / PHASES after sample 0.
    Below a ratio of 1 the filter is longer, in proportion to its lower cut-off.
    """
    cutoff = PASS_BAND * min(1.0, ratio)
    half = math.ceil(HALF_TAPS / min(1.0, ratio))
    offset = np.arange(-half + 1, half + 1)[None, :] - np.arange(PHASES + 1)[:, None] / PHASES
    inside = np.clip(1.0 - (offset / half) ** 2, 0.0, None)
    window = np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA)
    table = cutoff * np.sinc(cutoff * offset) * window
    # unit gain at DC at every position: no ripple at low frequencies
    table /= table.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(table.astype(np.float32))


@njit(cache=True, nogil=True)
def interpolate(history: np.ndarray, newest: int, whole: int, part: float, table: np.ndarray) -> float:
    """Return the signal at position `whole + part`; history[-1] is the sample at position `newest`.

    Positions before the start give silence, the initial content of the history.
    """
    row = part * (table.shape[0] - 1)
    low = min(int(row), table.shape[0] - 2)
    mix = np.float32(row - low)
    taps = table.shape[1]
    first = history.size - 1 - (newest - (whole - taps // 2 + 1))
    total = np.float32(0)
    for t in range(taps):
        total += history[first + t] * (table[low, t] + mix * (table[low + 1, t] - table[low, t]))
    return total  # type: ignore[return-value]


class RateBridge(NamedTuple):
    """State of one stream's conversion in both directions. Rates are model / device = p / q, reduced."""

    ratio: NDArray[np.int64]  # [p, q]
    clock: NDArray[np.int64]  # [steps done]
    stream_delay: NDArray[np.int64]  # [device frames, whole path]
    inner_delay: NDArray[np.int64]  # [model frames between the two conversions]
    hop: NDArray[np.int64]  # [model frames a step]
    down_table: NDArray[np.float32]
    up_table: NDArray[np.float32]
    down_history: NDArray[np.float32]  # [channels, length] at the device rate
    up_history: NDArray[np.float32]  # [channels, length] at the model rate


def make_bridge(device_rate: int, model_rate: int, hop: int, inner_delay: int, channels: int) -> RateBridge:
    """Return a new bridge; with equal rates it passes blocks through and adds no delay."""
    common = math.gcd(device_rate, model_rate)
    p, q = model_rate // common, device_rate // common
    if p == q:
        down = up = np.zeros((2, 2), np.float32)
        delay = inner_delay
    else:
        down, up = sinc_table(p / q), sinc_table(q / p)
        delay = down.shape[1] // 2 + -(-(up.shape[1] // 2 + inner_delay) * q // p)
    max_frames = -(-hop * q // p) + 1
    return RateBridge(
        ratio=np.array([p, q]),
        clock=np.zeros(1, np.int64),
        stream_delay=np.array([delay]),
        inner_delay=np.array([inner_delay]),
        hop=np.array([hop]),
        down_table=down,
        up_table=up,
        down_history=np.zeros((channels, down.shape[1] + max_frames + 2), np.float32),
        # one step of output reaches back over a hop, plus the roundings of its delay
        up_history=np.zeros((channels, up.shape[1] + 2 * hop + 8), np.float32),
    )


@njit(cache=True, nogil=True)
def frames_until(bridge: RateBridge, steps: int) -> int:
    """Return the number of device frames in `steps` steps."""
    p, q = bridge.ratio
    return 0 if steps == 0 else ((steps * bridge.hop[0] - 1) * q) // p + 1


@njit(cache=True, nogil=True)
def frames_needed(bridge: RateBridge) -> int:
    """Return the number of device frames that the next step takes and gives."""
    return frames_until(bridge, bridge.clock[0] + 1) - frames_until(bridge, bridge.clock[0])


@njit(cache=True, nogil=True)
def to_model_rate(bridge: RateBridge, block: np.ndarray, hop: np.ndarray) -> None:
    """Convert `block` [channels, frames_needed] to `hop` [channels, hop]."""
    p, q = bridge.ratio
    if p == q:
        copy_rows(block, hop)
        return
    push(bridge.down_history, block)
    newest = frames_until(bridge, bridge.clock[0] + 1) - 1
    delay = bridge.down_table.shape[1] // 2
    for i in range(hop.shape[1]):
        at = (bridge.clock[0] * hop.shape[1] + i) * q
        for c in range(hop.shape[0]):
            hop[c, i] = interpolate(
                bridge.down_history[c], newest, at // p - delay, (at % p) / p, bridge.down_table
            )


@njit(cache=True, nogil=True)
def to_device_rate(bridge: RateBridge, hop: np.ndarray, block: np.ndarray) -> None:
    """Convert `hop` [channels, hop] to `block` [channels, frames_needed]; this ends the step."""
    p, q = bridge.ratio
    step = bridge.clock[0]
    if p == q:
        copy_rows(hop, block)
        bridge.clock[0] = step + 1
        return
    push(bridge.up_history, hop)
    newest = (step + 1) * hop.shape[1] - 1
    start = frames_until(bridge, step)
    # Device frame j outputs the input of `stream_delay` frames earlier; the conversion to the model's rate
    # took `delay` of them, the stages in between inner_delay model frames: the rest gives this position.
    delay = bridge.down_table.shape[1] // 2
    for i in range(block.shape[1]):
        at = (start + i - bridge.stream_delay[0] + delay) * p + bridge.inner_delay[0] * q
        for c in range(block.shape[0]):
            block[c, i] = interpolate(bridge.up_history[c], newest, at // q, (at % q) / q, bridge.up_table)
    bridge.clock[0] = step + 1
