"""Guard against acoustic feedback: a loop of microphone and loudspeakers that howls is dimmed.

Howling is one tone that grows by the same factor with each trip through loudspeaker, room and microphone. The
guard looks for it in the spectrum of the input, by three criteria of T. van Waterschoot and M. Moonen,
"Comparative evaluation of howling detection criteria in notch-filter-based howling suppression", J. Audio
Eng. Soc. 58(11), 2010: the power of the peak against that of all else, its persistence in one bin, and the
slope of its level. Flutes and synthesisers meet them too. So the guard makes a test that these do not pass:
it dims the output for a moment. A tone of the loop falls after one trip; any other sound goes on as it was.

    listening -> testing -> holding -> listening    the tone fell: feedback, dimmed until the tone has gone
                         -> listening               the tone went on: the output returns to its level

A loop without a resonance grows at all frequencies. What the limiter holds at full scale for a while is
therefore tested as well, as a whole; if it is not feedback, the next such test waits, longer each time.

After the first time the output returns to its full level, as a note may end by chance. If it comes again
soon, it is feedback: the output stays softer until somebody turns a control of its level.

At a gain of 1 samples pass bit by bit. Block: one hop. Stream delay 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.controls import LEVEL_CONTROLS

LISTENING, TESTING, HOLDING = 0, 1, 2

NONE, WHOLE = -1, 0
"""In place of a tone's bin: no tone, and the whole spectrum."""

LOWEST_HZ = 80.0
LOBE = 3  # bins on each side of a peak that belong to one tone, with the longest window
PURE = 0.9  # share of all power that is in a howling tone
FAINT_DB = -60.0  # full scale; what is below harms nobody

RISES = 4
RISE_DB = 1.5
"""A tone howls that has risen RISES times running by RISE_DB, over steps of one of these lengths."""
STEPS_S = (0.05, 0.3)  # from 30 dB a second; from 5
LIMITED_S, WHOLE_LIMITED_S = 0.5, 1.5  # a tone, and all, that the limiter holds for so long is tested too
WHOLE_AGAIN_S = 10.0  # the next test of the whole spectrum; twice as long each time

TEST_DB = -12.0
TRIPS = 1.5
"""A test dims by TEST_DB more than what the tone rises in so many declared trips: the real one is longer."""
FALL_DB = 6.0  # a tone of the loop falls by as much at least
GONE_DB = 24.0
MARGIN_S = 0.15  # to the trip: sound crosses a room in it
DEEPEST_DB = -60.0
AGAIN_S = 10.0
STAYS_DB = 6.0  # by which the output stays softer, each time

DOWN_DB_S, UP_DB_S = 600.0, 24.0
"""How fast the gain moves."""

_LEVELS = np.array(LEVEL_CONTROLS)
"""The output comes back when one of them is turned."""


class FeedbackGuard(NamedTuple):
    """State of the guard of one output. Levels are in dB full scale."""

    on: NDArray[np.bool_]  # [1]
    hz_per_bin: float
    full_scale: float  # power of a tone at full scale, summed over its bins
    window_s: float
    trip_s: NDArray[np.float64]  # [1] from input to output, as the engine declares it
    mode: NDArray[np.int64]  # [1] LISTENING, TESTING or HOLDING
    tone: NDArray[
        np.int64
    ]  # [2] bin, NONE or WHOLE: the tone that is followed; the last one that was feedback
    rises: NDArray[np.int64]  # [2] rises running, for each of STEPS_S
    step_s: NDArray[np.float64]  # [2] time since the last step of each
    step_db: NDArray[np.float64]  # [2] level at that step
    limited_s: NDArray[np.float64]  # [1] time at the limiter
    cleared: NDArray[np.bool_]  # [1] the tone was tested, and is no feedback
    whole_s: NDArray[np.float64]  # [2] until the whole spectrum may be tested; how long it waits after that
    loudest_db: NDArray[np.float64]  # [1] highest level of the tone while TESTING
    timer_s: NDArray[np.float64]  # [2] in this mode or at this depth; since the last feedback
    depth_db: NDArray[np.float64]  # [1] what it is dimmed to while TESTING or HOLDING
    ceiling_db: NDArray[np.float64]  # [1] what it is dimmed to while LISTENING
    gain_db: NDArray[np.float64]  # [2] at the end of the last hop and of this one
    found: NDArray[np.int64]  # [1] times that feedback was certain
    levels: NDArray[np.float64]  # [LEVEL_CONTROLS] as they were at the last hop


def make_feedback_guard(on: bool, analysis: np.ndarray, model_rate: int) -> FeedbackGuard:
    """Return a guard for spectra that the window `analysis` [n_fft] makes of audio at `model_rate` Hz."""
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
    """Look at `spectra` [channels, bins, 2] of the input, and set the gain for this hop of `seconds`.

    `values` [controls] are the controls of this hop; `limiting` tells whether the limiter acts.
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
    """Dim the first `frames` frames of `block` [output channels, frames or more] in place."""
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
        turned = turned or value != guard.levels[i]  # at the first hop, too: it is not a number then
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
    """Follow the loudest tone; begin to test it if it may howl."""
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
    slope = 0.0  # dB a second
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
            # A step is as long as the window at least: a tone that begins at once is one rise then.
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
    """Look at what dimming does to the tone, or to all."""
    power = 0.0
    if guard.tone[0] == WHOLE:
        for k in range(int(LOWEST_HZ / guard.hz_per_bin), spectra.shape[1]):
            power += _power(spectra, k)
    else:
        power = _tone_power(spectra, guard.tone[0])
    level = _level_db(guard, power)
    is_over = guard.timer_s[0] > guard.trip_s[0] + guard.window_s + MARGIN_S
    if guard.mode[0] == TESTING:
        # It may rise until the dimmed sound is at the microphone.
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
        _end_hold(guard, 0.0)  # what is left comes from elsewhere
    elif is_over:
        guard.timer_s[0] = 0.0
        guard.depth_db[0] = max(guard.depth_db[0] + TEST_DB, DEEPEST_DB)


@njit(cache=True, nogil=True)
def _end_hold(guard: FeedbackGuard, most_db: float) -> None:
    """Listen again. If it was the same tone again, the output stays softer, at `most_db` at most."""
    before, now = guard.tone[1], guard.tone[0]
    is_again = before != NONE and guard.timer_s[1] <= AGAIN_S  # at another of the room's modes, perhaps
    if is_again:
        guard.ceiling_db[0] = max(min(guard.ceiling_db[0] - STAYS_DB, most_db), DEEPEST_DB)
        guard.found[0] += 1
    guard.tone[1] = max(before, now) if is_again and now == WHOLE else now
    guard.tone[0] = NONE
    guard.timer_s[1] = 0.0
    guard.limited_s[0] = 0.0
    guard.mode[0] = LISTENING


class Feedback(NamedTuple):
    """What a guard has found, for readers on other threads."""

    found: int  # times that feedback was certain
    hz: float  # of the last one; 0 before the first, and where it was no single tone
    dimmed_db: float  # of the output now, 0 or less


def read_feedback(guard: FeedbackGuard) -> Feedback:
    """Return what the guard has found so far, and its gain."""
    found, tone = int(guard.found[0]), max(0, int(guard.tone[1]))
    return Feedback(found, tone * guard.hz_per_bin if found else 0.0, float(guard.gain_db[1]))
