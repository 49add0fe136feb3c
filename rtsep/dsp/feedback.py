"""Guard against acoustic feedback: reduces the output when microphone and loudspeakers howl.

Howling is one tone that grows by the same factor with each trip through loudspeaker, room and microphone. The
guard finds it in the spectrum of the input by three criteria of T. van Waterschoot and M. Moonen,
"Comparative evaluation of howling detection criteria in notch-filter-based howling suppression", J. Audio
Eng. Soc. 58(11), 2010: the power of the peak relative to the rest, its persistence in one bin, and the slope
of its level. Flutes and synthesisers meet them too. Therefore the guard makes a test that these do not pass:
it reduces the output for a moment. A tone of the loop falls after one trip; any other sound does not.

    listening -> testing -> holding -> listening    the tone fell: feedback, reduced until the tone is gone
                         -> listening               the tone continued: the output returns to its level

A loop without a resonance grows at all frequencies. Therefore a signal that the limiter holds at full scale
for a while is tested as a whole; if it is not feedback, the next such test comes later, each time with a
longer wait.

After the first detection the output returns to its full level, as a note may end by chance. If the tone
returns soon, it is feedback: the output stays reduced until the user changes a control of its level.

At a gain of 1 samples are unchanged, bit by bit. Block: one hop. Stream delay 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.controls import LEVEL_CONTROLS

LISTENING, TESTING, HOLDING = 0, 1, 2

NONE, WHOLE = -1, 0
"""Values in place of a tone's bin: no tone, and the whole spectrum."""

LOWEST_HZ = 80.0
LOBE = 3  # bins on each side of a peak that belong to one tone, with the longest window
PURE = 0.9  # minimum share of a howling tone in the total power
FAINT_DB = -60.0  # full scale; fainter signals are harmless

RISES = 4
RISE_DB = 1.5
"""A tone howls after RISES consecutive rises by RISE_DB, over steps of one of these lengths."""
STEPS_S = (0.05, 0.3)  # for slopes from 30 dB per second, and from 5
# a tone, and the whole spectrum, are also tested after this time at the limiter
LIMITED_S, WHOLE_LIMITED_S = 0.5, 1.5
WHOLE_AGAIN_S = 10.0  # time to the next test of the whole spectrum; it doubles each time

TEST_DB = -12.0
TRIPS = 1.5
"""A test reduces the output by TEST_DB more than the tone rises in this number of declared trips, because the
real trip is longer."""
FALL_DB = 6.0  # minimum fall of a tone of the loop
GONE_DB = 24.0
MARGIN_S = 0.15  # added to the trip for the sound's way through the room
DEEPEST_DB = -60.0
AGAIN_S = 10.0
STAYS_DB = 6.0  # lasting reduction of the output, added each time

DOWN_DB_S, UP_DB_S = 600.0, 24.0
"""Speed of the gain, in dB per second."""

_LEVELS = np.array(LEVEL_CONTROLS)
"""Controls that restore the output when they change."""


class FeedbackGuard(NamedTuple):
    """State of the guard of one output. Levels are in dB full scale."""

    on: NDArray[np.bool_]  # [1]
    hz_per_bin: float
    full_scale: float  # power of a tone at full scale, summed over its bins
    window_s: float
    trip_s: NDArray[np.float64]  # [1] time from input to output as declared by the engine
    mode: NDArray[np.int64]  # [1] LISTENING, TESTING or HOLDING
    tone: NDArray[np.int64]  # [2] bin, NONE or WHOLE: the current tone; the last one that was feedback
    rises: NDArray[np.int64]  # [2] consecutive rises, for each of STEPS_S
    step_s: NDArray[np.float64]  # [2] time since the last step of each
    step_db: NDArray[np.float64]  # [2] level at that step
    limited_s: NDArray[np.float64]  # [1] time at the limiter
    cleared: NDArray[np.bool_]  # [1] the tone was tested, and is not feedback
    whole_s: NDArray[np.float64]  # [2] time to the next test of the whole spectrum; the wait after that
    loudest_db: NDArray[np.float64]  # [1] highest level of the tone while TESTING
    timer_s: NDArray[np.float64]  # [2] time in this mode or at this depth; time since the last feedback
    depth_db: NDArray[np.float64]  # [1] gain while TESTING or HOLDING
    ceiling_db: NDArray[np.float64]  # [1] gain while LISTENING
    gain_db: NDArray[np.float64]  # [2] at the end of the previous hop and of this one
    found: NDArray[np.int64]  # [1] count of certain feedback
    levels: NDArray[np.float64]  # [LEVEL_CONTROLS] values at the previous hop


def make_feedback_guard(on: bool, analysis: np.ndarray, model_rate: int) -> FeedbackGuard:
    """Return a guard for spectra by the window `analysis` [n_fft] of audio at `model_rate` Hz."""
    n_fft = analysis.size
    return FeedbackGuard(
        on=np.array([on]),
        hz_per_bin=model_rate / n_fft,
        full_scale=float(n_fft * np.sum(analysis.astype(np.float64) ** 2) / 4.0),
        window_s=n_fft / model_rate,
        trip_s=np.zeros(1),
        mode=np.zeros(1, np.int64),
        tone=np.full(2, NONE),
        rises=np.zeros(2, np.int64),
        step_s=np.zeros(2),
        step_db=np.zeros(2),
        limited_s=np.zeros(1),
        cleared=np.zeros(1, np.bool_),
        whole_s=np.array([0.0, WHOLE_AGAIN_S]),
        loudest_db=np.zeros(1),
        timer_s=np.zeros(2),
        depth_db=np.zeros(1),
        ceiling_db=np.zeros(1),
        gain_db=np.zeros(2),
        found=np.zeros(1, np.int64),
        levels=np.full(len(LEVEL_CONTROLS), np.nan),
    )


@njit(cache=True, nogil=True)
def follow_feedback(
    guard: FeedbackGuard, spectra: np.ndarray, values: np.ndarray, limiting: bool, seconds: float
) -> None:
    """Analyse `spectra` [channels, bins, 2] of the input, and set the gain for this hop of `seconds`.

    `values` [controls] are the controls of this hop; `limiting` is True while the limiter acts.
    """
    if not guard.on[0]:
        return
    guard.timer_s[0] += seconds
    guard.timer_s[1] += seconds
    if _level_was_turned(guard, values):
        guard.ceiling_db[0] = 0.0
        guard.tone[1] = NONE
    if guard.mode[0] == LISTENING:
        _listen(guard, spectra, limiting, seconds)
    else:
        _judge(guard, spectra)
    target = guard.ceiling_db[0] if guard.mode[0] == LISTENING else guard.depth_db[0]
    guard.gain_db[0] = guard.gain_db[1]
    fastest_up, fastest_down = UP_DB_S * seconds, DOWN_DB_S * seconds
    guard.gain_db[1] += min(max(target - guard.gain_db[1], -fastest_down), fastest_up)


@njit(cache=True, nogil=True)
def dim(guard: FeedbackGuard, block: np.ndarray, frames: int) -> None:
    """Reduce the first `frames` frames of `block` [output channels, frames or more] in place."""
    start_db, end_db = guard.gain_db
    if start_db == 0.0 and end_db == 0.0:
        return
    start, end = 10.0 ** (start_db / 20.0), 10.0 ** (end_db / 20.0)
    for d in range(block.shape[0]):
        for i in range(frames):
            block[d, i] *= np.float32(start + (end - start) * ((i + 1) / frames))


@njit(cache=True, nogil=True)
def _level_was_turned(guard: FeedbackGuard, values: np.ndarray) -> bool:
    turned = False
    for i in range(_LEVELS.size):
        value = values[_LEVELS[i]]
        turned = turned or value != guard.levels[i]  # also true at the first hop, where it is NaN
        guard.levels[i] = value
    return turned


@njit(cache=True, nogil=True)
def _power(spectra: np.ndarray, k: int) -> float:
    power = 0.0
    for c in range(spectra.shape[0]):
        power += spectra[c, k, 0] * spectra[c, k, 0] + spectra[c, k, 1] * spectra[c, k, 1]
    return power


@njit(cache=True, nogil=True)
def _tone_power(spectra: np.ndarray, k: int) -> float:
    power = 0.0
    for i in range(max(0, k - LOBE), min(spectra.shape[1], k + LOBE + 1)):
        power += _power(spectra, i)
    return power


@njit(cache=True, nogil=True)
def _level_db(guard: FeedbackGuard, power: float) -> float:
    return 10.0 * np.log10(power / guard.full_scale + 1e-20)


@njit(cache=True, nogil=True)
def _listen(guard: FeedbackGuard, spectra: np.ndarray, limiting: bool, seconds: float) -> None:
    """Track the loudest tone; start a test if it may howl."""
    peak, peak_power, total = 0, 0.0, 0.0
    for k in range(int(LOWEST_HZ / guard.hz_per_bin), spectra.shape[1]):
        power = _power(spectra, k)
        total += power
        if power > peak_power:
            peak, peak_power = k, power
    power = _tone_power(spectra, peak)
    level = _level_db(guard, power)
    is_pure = power >= PURE * total and level > FAINT_DB
    guard.limited_s[0] = guard.limited_s[0] + seconds if limiting else 0.0
    guard.whole_s[0] -= seconds
    slope = 0.0  # dB per second
    if not is_pure or abs(peak - guard.tone[0]) > 1:
        guard.tone[0] = peak if is_pure else NONE
        guard.rises[:] = 0
        guard.step_s[:] = 0.0
        guard.step_db[:] = level
        guard.cleared[0] = False
        may_howl = guard.limited_s[0] >= WHOLE_LIMITED_S
    else:
        may_howl = guard.limited_s[0] >= LIMITED_S
        guard.tone[0] = peak
        for i in range(guard.rises.size):
            guard.step_s[i] += seconds
            # A step is at least as long as the window, so that the onset of a tone is one rise.
            if guard.step_s[i] >= max(STEPS_S[i], guard.window_s):
                rise = level - guard.step_db[i]
                slope = max(slope, rise / guard.step_s[i])
                guard.rises[i] = guard.rises[i] + 1 if rise >= RISE_DB else 0
                guard.step_s[i], guard.step_db[i] = 0.0, level
                may_howl = may_howl or guard.rises[i] >= RISES
    if not may_howl or (guard.whole_s[0] > 0.0 if guard.tone[0] == NONE else guard.cleared[0]):
        return
    if guard.tone[0] == NONE:
        guard.tone[0], level = WHOLE, _level_db(guard, total)
    guard.mode[0] = TESTING
    guard.timer_s[0] = 0.0
    guard.loudest_db[0] = level
    depth = guard.ceiling_db[0] + TEST_DB - TRIPS * slope * guard.trip_s[0]
    guard.depth_db[0] = max(depth, DEEPEST_DB)


@njit(cache=True, nogil=True)
def _judge(guard: FeedbackGuard, spectra: np.ndarray) -> None:
    """Evaluate the effect of the reduction on the tone, or on the whole spectrum."""
    power = 0.0
    if guard.tone[0] == WHOLE:
        for k in range(int(LOWEST_HZ / guard.hz_per_bin), spectra.shape[1]):
            power += _power(spectra, k)
    else:
        power = _tone_power(spectra, guard.tone[0])
    level = _level_db(guard, power)
    is_over = guard.timer_s[0] > guard.trip_s[0] + guard.window_s + MARGIN_S
    if guard.mode[0] == TESTING:
        # It may rise until the reduced output reaches the microphone.
        guard.loudest_db[0] = max(guard.loudest_db[0], level)
        if level <= guard.loudest_db[0] - FALL_DB:
            guard.mode[0] = HOLDING
            guard.timer_s[0] = 0.0
        elif is_over:
            guard.mode[0] = LISTENING
            guard.limited_s[0] = 0.0
            if guard.tone[0] == WHOLE:
                guard.tone[0] = NONE
                guard.whole_s[0] = guard.whole_s[1]
                guard.whole_s[1] *= 2.0
            else:
                guard.cleared[0] = True
    elif level <= max(guard.loudest_db[0] - GONE_DB, FAINT_DB):
        _end_hold(guard, guard.depth_db[0] + STAYS_DB)
    elif is_over and guard.depth_db[0] <= DEEPEST_DB:
        _end_hold(guard, 0.0)  # the remaining sound has another source
    elif is_over:
        guard.timer_s[0] = 0.0
        guard.depth_db[0] = max(guard.depth_db[0] + TEST_DB, DEEPEST_DB)


@njit(cache=True, nogil=True)
def _end_hold(guard: FeedbackGuard, max_db: float) -> None:
    """Return to LISTENING. If it was the same tone again, the output stays at `max_db` or lower."""
    before, now = guard.tone[1], guard.tone[0]
    is_again = before != NONE and guard.timer_s[1] <= AGAIN_S  # possibly at another mode of the room
    if is_again:
        guard.ceiling_db[0] = max(min(guard.ceiling_db[0] - STAYS_DB, max_db), DEEPEST_DB)
        guard.found[0] += 1
    guard.tone[1] = max(before, now) if is_again and now == WHOLE else now
    guard.tone[0] = NONE
    guard.timer_s[1] = 0.0
    guard.limited_s[0] = 0.0
    guard.mode[0] = LISTENING


class Feedback(NamedTuple):
    """Results of a guard, for other threads."""

    found: int  # count of certain feedback
    hz: float  # frequency of the last one; 0 before the first, and if it was not a single tone
    dimmed_db: float  # current gain of the output, 0 or less


def read_feedback(guard: FeedbackGuard) -> Feedback:
    """Return the detections of the guard so far, and its gain."""
    found, tone = int(guard.found[0]), max(0, int(guard.tone[1]))
    return Feedback(found, tone * guard.hz_per_bin if found else 0.0, float(guard.gain_db[1]))
