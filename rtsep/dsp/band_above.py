"""The band above a model's rate, which follows the mask just below it.

A model with a lower rate than the device gives no mask above its Nyquist frequency. This module gives that
band to the vocals by the mean of the played mask over the model's top octave, one gain per column; Spleeter's
mask extension "average" does the same with the mean over all bins. Gains cross-fade under the product of the
STFT's two windows, like the columns themselves: a mask that is equal in all bins acts on the whole band.

The band is the aligned dry signal minus its unmasked round trip through the model's rate, so it is exactly
the part that the vocals lack, including the flanks of the conversion's filters. Block: one hop, started by
`keep_hop` and finished by `add_band_above`. Stream delay 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.dsp.resample import RateBridge, to_device_rate
from rtsep.dsp.shift import copy_row, copy_rows, shift_left
from rtsep.dsp.windows import Framing, window_pair


class BandAbove(NamedTuple):
    """State of one stream; empty arrays if the band stays with the instrumental (`follows` False)."""

    follows: NDArray[np.bool_]  # [1]
    octave: NDArray[np.int64]  # [first bin, last bin] range whose mean is the gain
    bridge: RateBridge  # a second conversion to the device rate, for the rows of `hop`
    # [synthesis] weight of a column in the output; shifted by hops they sum to 1
    weights: NDArray[np.float32]
    overlap: NDArray[np.float32]  # [gains, synthesis]
    line: NDArray[np.float32]  # [channels, whole hops] delay line of the signal at the model's rate
    hop: NDArray[np.float32]  # [channels + gains, hop] the signal with the STFT's delay, then the gains
    block: NDArray[np.float32]  # [channels + gains, max frames a hop] the same at the device's rate


def make_band_above(
    follows: bool, framing: Framing, bridge: RateBridge, channels: int, gains: int, max_frames: int
) -> BandAbove:
    """Return a new state for `channels` beside `bridge`; the mask has `gains` channels."""
    if not follows:
        channels = gains = 0
    analysis, synthesis = window_pair(framing)
    p, q = bridge.ratio
    last = int((framing.bins - 1) * min(1.0, q / p))  # the band above the device's Nyquist frequency is empty
    inner, rows = int(bridge.inner_delay[0]), channels + gains
    length = (-(-inner // framing.hop) + 1) * framing.hop
    second = bridge._replace(
        clock=np.zeros(1, np.int64),
        down_history=np.zeros((0, 0), np.float32),
        up_history=np.zeros((rows, bridge.up_history.shape[1]), np.float32),
    )
    return BandAbove(
        follows=np.array([follows]),
        octave=np.array([last // 2, last]),
        bridge=second,
        weights=(analysis[framing.n_fft - framing.synthesis :] * synthesis).astype(np.float32),
        overlap=np.zeros((gains, framing.synthesis), np.float32),
        line=np.zeros((channels, length), np.float32),
        hop=np.zeros((rows, framing.hop), np.float32),
        block=np.zeros((rows, max_frames), np.float32),
    )


@njit(cache=True, nogil=True)
def keep_hop(above: BandAbove, hop: np.ndarray) -> None:
    """Store the hop `hop` [channels, hop] at the model's rate, left and right, before any mask."""
    size = hop.shape[1]
    start = above.bridge.clock[0] * size % above.line.shape[1]
    copy_rows(hop, above.line[:, start : start + size])


@njit(cache=True, nogil=True)
def add_band_above(
    above: BandAbove, mask: np.ndarray, mid_side: bool, dry: np.ndarray, vocals: np.ndarray
) -> None:
    """Add the band above to `vocals` [channels, frames] by the played `mask` [gains, bins].

    `dry` [channels, frames] is the input, aligned with the vocals. With `mid_side` the gains apply to mid and
    side, as in `rtsep.dsp.policy.apply_mask`.
    """
    channels, frames = vocals.shape
    gains, size = above.overlap.shape[0], above.hop.shape[1]
    length = above.line.shape[1]
    position = above.bridge.clock[0] * size - above.bridge.inner_delay[0]
    for c in range(channels):
        for i in range(size):
            above.hop[c, i] = above.line[c, (position + i) % length]  # silence before the start
    first, last = above.octave
    span = above.weights.size
    for g in range(gains):
        total = np.float32(0)
        for k in range(first, last + 1):
            total += mask[g, k]
        gain = total / np.float32(last + 1 - first)
        overlap = above.overlap[g]
        for i in range(span):
            overlap[i] += gain * above.weights[i]
        copy_row(overlap[:size], above.hop[channels + g])
        shift_left(overlap, size)
        overlap[span - size :] = 0
    block = above.block[:, :frames]
    to_device_rate(above.bridge, above.hop, block)
    even, odd = block[channels], block[channels + gains - 1]
    for c in range(0, channels, 2):
        alone = c + 1 == channels
        for i in range(frames):
            left = dry[c, i] - block[c, i]
            if alone:
                vocals[c, i] += even[i] * left
                continue
            right = dry[c + 1, i] - block[c + 1, i]
            if mid_side:
                mid = even[i] * np.float32(0.5) * (left + right)
                side = odd[i] * np.float32(0.5) * (left - right)
                left, right = mid + side, mid - side
            else:
                left, right = even[i] * left, odd[i] * right
            vocals[c, i] += left
            vocals[c + 1, i] += right
