"""Takes that must be exact, and what they are compared with."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from rtsep.files.demo import demo_song
from tests.e2e.liveprocess import LiveProcess, faults

if TYPE_CHECKING:  # needs libjack
    from tests.e2e.player_recorder import PlayerRecorder, Take

ATTEMPTS = 12
"""Takes until one without an xrun must have come; else see `no_clean_take`."""

_PROBE = """
import os, time
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(70))
except OSError:
    pass
worst, until = 0.0, time.monotonic() + 10
while (began := time.monotonic()) < until:
    time.sleep(0.0005)
    worst = max(worst, time.monotonic() - began - 0.0005)
print(worst)
"""

SUM_TOLERANCE = 2e-7
"""instrumental = mix - vocals is rounded once and its sum with vocals once: half a unit of the last place
each, of values below 2 (2^-23 = 1.2e-7)."""


def noise(frames: int, channels: int = 2, seed: int = 1) -> NDArray[np.float32]:
    """Return white noise [frames, channels], half scale, every channel its own."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


VOICE_AT_S = 7.3
"""Position in the demo song: for two seconds from there, every model finds a voice some 2 dB under the mix.
Half-way through the song, with almost no voice, a good model finds none."""


@functools.cache
def _song() -> tuple[NDArray[np.float32], int]:
    return soundfile.read(demo_song(), dtype="float32", always_2d=True)


def music(frames: int) -> NDArray[np.float32]:
    """Return [frames, 2] of the demo song, from where its voice is in full flow."""
    song, rate = _song()
    start = round(VOICE_AT_S * rate)
    return np.ascontiguousarray(song[start : start + frames, :2])


def clean_take(
    live: LiveProcess,
    player_recorder: PlayerRecorder,
    played: NDArray[np.float32],
    tail: int,
    begin: Callable[[], None] = lambda: None,
) -> Take:
    """Return the first take for which neither the server nor rtsep has counted a loss.

    `begin()` is called before each take.
    """
    tried: list[str] = []
    for _ in range(ATTEMPTS):
        before = live.lines[-1]  # what happened since counts as well; a take more is the worst of it
        begin()
        take = player_recorder.take(played, tail)
        after = live.fresh()
        lost = faults(after) - faults(before)
        if take.clean and lost == 0:
            return take
        tried.append(f"{take.xruns} xruns of the server, {lost} of rtsep")
    no_clean_take(player_recorder.server.period / player_recorder.server.rate, f"{tried}\n{live.lines[-1]}")


def no_clean_take(period_s: float, tried: object) -> NoReturn:
    """Fail: every take in `tried` has lost something. Skip where the machine itself stops for a period."""
    if (stall_s := worst_stall_s()) > period_s:
        pytest.skip(
            f"this machine stops a waiting thread for {1e3 * stall_s:.1f} ms by itself: "
            f"no period of {1e3 * period_s:.1f} ms can be held on it now"
        )
    raise AssertionError(f"no take without a loss: {tried}")


def worst_stall_s() -> float:
    """By how much the machine wakes too late, at worst, a thread above all of ours and the server's.

    A server whose host takes its cores away loses periods whatever rtsep does: then a test can tell nothing.
    """
    found = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True)
    return float(found.stdout)


def delayed(played: NDArray[np.float32], delay: int, frames: int) -> NDArray[np.float32]:
    """Return `played` after `delay` frames of silence, `frames` long."""
    whole = np.zeros((frames, played.shape[1]), np.float32)
    count = min(len(played), frames - delay)
    whole[delay : delay + count] = played[:count]
    return whole


def assert_equal(
    recorded: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float, what: str
) -> None:
    """Assert equality within `tolerance`; the error has the differing frames and the best delay."""
    worst = np.abs(recorded.astype(np.float64) - expected).max(axis=1)
    wrong = np.flatnonzero(worst > tolerance)
    assert not len(wrong), (
        f"{what}: {len(wrong)} of {len(worst)} frames differ, by up to {worst.max():.3g} "
        f"(allowed {tolerance:.3g}), first at {wrong[0]}, last at {wrong[-1]}; "
        f"the best fit is {best_shift(recorded, expected)} frames later"
    )


def best_shift(recorded: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    """Return by how many frames `recorded` lags `expected`, by correlation."""
    size = 2 * len(recorded)
    spectrum = np.fft.rfft(recorded[:, 0], size) * np.conj(np.fft.rfft(expected[:, 0], size))
    lag = int(np.argmax(np.fft.irfft(spectrum, size)))
    return lag - size if lag > size // 2 else lag


def rms(sound: NDArray[np.float32]) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
