"""A signal that can be distinguished from any other, and its position in a recording.

Maximum length sequences: noise to the ear and to a model, with an autocorrelation of one peak that is one
frame wide. The second channel has the first one's sequence, reversed: the two correlate little.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate, max_len_seq

ORDER = 14  # 16,383 frames
CLEAR = 2.0
"""Minimum ratio of a peak to the next one: in noise alone, the two largest peaks are similar."""

_GUARD = 64
"""Frames on either side of a peak that belong to it, because the filters of a sound card ring."""


class Arrival(NamedTuple):
    """Position at which a signal was found."""

    frame: int  # position of its first sample
    clear: float  # ratio of its correlation peak to the next one
    level_db: float  # relative to the given signal
    inverted: bool

    @property
    def found(self) -> bool:
        """Return whether the signal was found."""
        return self.clear >= CLEAR


def sequences(level_db: float) -> NDArray[np.float32]:
    """Return the signal [frames, 2], every sample plus or minus `level_db` (0 is full scale)."""
    signs = 2.0 * max_len_seq(ORDER)[0] - 1.0
    return (10.0 ** (level_db / 20.0) * np.stack([signs, signs[::-1]], axis=1)).astype(np.float32)


def find(signal: NDArray[np.float32], captured: NDArray[np.float32]) -> Arrival:
    """Find `signal` [frames] in `captured` [no fewer frames], at any position where it fits completely."""
    if len(captured) < len(signal):
        raise ValueError(f"{len(signal)} frames do not fit into {len(captured)}")
    sent = signal.astype(np.float64)
    along = correlate(captured.astype(np.float64), sent, mode="valid", method="fft") / (sent @ sent)
    size = np.abs(along)
    frame = int(np.argmax(size))
    others = np.concatenate([size[: max(0, frame - _GUARD)], size[frame + _GUARD + 1 :]])
    peak, next_peak = float(size[frame]), float(others.max(initial=0.0))
    if peak < 1e-9:  # silence, apart from the rounding of a Fourier transform
        return Arrival(frame=frame, clear=0.0, level_db=-np.inf, inverted=False)
    return Arrival(
        frame=frame,
        clear=peak / max(next_peak, 1e-9),
        level_db=20.0 * float(np.log10(peak)),
        inverted=along[frame] < 0,
    )


def clearest(signal: NDArray[np.float32], captured: NDArray[np.float32]) -> Arrival:
    """Find the clearest of all channels of `signal` in all of `captured`, as cables may be crossed."""
    return _clearest(find(one, sound) for one in signal.T for sound in captured.T)


def _clearest(arrivals: Iterable[Arrival]) -> Arrival:
    return max(arrivals, key=lambda arrival: arrival.clear)
