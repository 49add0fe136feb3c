"""A recorded fade, compared with the predicted fade, to the sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine_mixer import FADE_S
from tests.e2e.exact import SUM_TOLERANCE
from tests.e2e.room import RATE, Sound

FADE = round(FADE_S * RATE)
RISING = (np.arange(FADE) + 1) / FADE

TOLERANCE = 2e-6
"""Accuracy of analysis and synthesis: -120 dB of the peak. A wrong step of a fade is 4.5e-4 of it."""

STEM_SUM_TOLERANCE = 3 * SUM_TOLERANCE
"""Each stem of a fade is rounded three times more than one that just plays."""


def ramp(start: int, frames: int) -> NDArray[np.float64]:
    """Return [frames, 1]: 0 before `start`, then rising to 1 over a fade."""
    gain = np.zeros((frames, 1))
    rising = RISING[: max(0, frames - start)]
    gain[start : start + len(rising), 0] = rising
    gain[start + len(rising) :] = 1
    return gain


def assert_fits(
    recorded: Sound, changes: Sound, foretold: Callable[[int], NDArray[np.float64]], what: str
) -> int:
    """Assert that `recorded` is the predicted fade that begins at the first frame of `changes`.

    Its very first steps may be too small to be seen. Returns the frame.
    """
    (changed,) = np.nonzero(np.abs(changes).max(axis=1) > 5 * TOLERANCE)
    assert len(changed), f"{what}: nothing has changed"
    errors = {k: np.abs(recorded - foretold(k)) for k in range(max(0, changed[0] - 4), changed[0] + 1)}
    start = min(errors, key=lambda k: float(errors[k].max()))
    worst = errors[start].max(axis=1)
    (wrong,) = np.nonzero(worst > TOLERANCE)
    assert not len(wrong), (
        f"{what}: a fade from frame {start} on differs from the recording: {len(wrong)} frames off, up to "
        f"{worst.max():.3g}, first {wrong[0]}, last {wrong[-1]} of {len(recorded)}"
    )
    return start
