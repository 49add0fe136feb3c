"""The guard against feedback: it dims what howls in a simulated room, and nothing else for long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import iirpeak, lfilter

from rtsep.controls import VOCALS_GAIN, Controls
from rtsep.dsp.feedback import dim, follow_feedback, make_feedback_guard, read_feedback
from rtsep.dsp.limiter import limit, make_limiter
from rtsep.dsp.stft import analyse, make_stft
from rtsep.dsp.windows import Framing
from tests.audio.bench import Bench, noise, one_clock

RATE, HOP = 44100, 256
FRAMING = Framing()


class Rig:
    """A microphone, a guard with its limiter, and a loudspeaker `trip` frames later in one room."""

    def __init__(self, loop_db=None, trip=2048, hz=1000.0, limiter=True, gain=1.0):
        self.stft = make_stft(FRAMING, 1)
        self.guard = make_feedback_guard(True, self.stft.analysis, RATE)
        self.guard.trip_s[0] = trip / RATE
        self.limiter = make_limiter(limiter, (0,), 1, RATE)
        self.values = Controls().control_block.view(np.float64).copy()
        self.gain = gain
        self.on_air = np.zeros(trip)  # what has left the loudspeaker and is on its way
        self.loop = 0.0 if loop_db is None else 10 ** (loop_db / 20)
        # The room and its loudspeaker ring most at `hz`, or pass everything alike.
        self.b, self.a = iirpeak(hz, 3.0, fs=RATE) if hz else (np.array([1.0, 0, 0]), np.array([1.0, 0, 0]))
        self.z = np.zeros(2)
        self.spectra = np.zeros((1, FRAMING.n_fft // 2 + 1, 2), np.float32)

    def play(self, sound):
        """Return what the loudspeaker plays of `sound` [frames] at the microphone, and the dimming by hop."""
        played, dimmed = np.zeros(len(sound)), []
        for start in range(0, len(sound) - HOP + 1, HOP):
            room, self.z = lfilter(self.b, self.a, self.on_air[:HOP], zi=self.z)
            mic = (sound[start : start + HOP] + self.loop * room).astype(np.float32)[np.newaxis]
            analyse(self.stft, mic, self.spectra)
            limiting = self.limiter.envelope[0] > 1
            follow_feedback(self.guard, self.spectra, self.values, limiting, HOP / RATE)
            out = (self.gain * mic).astype(np.float32)
            limit(self.limiter, out, HOP)
            dim(self.guard, out, HOP)
            self.on_air = np.append(self.on_air[HOP:], out[0])
            played[start : start + HOP] = out[0]
            dimmed.append(read_feedback(self.guard).dimmed_db)
        return played, np.array(dimmed)


def hiss(seconds, level=1e-3, seed=0):
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def voice(seconds, level=0.1):
    """Return a sung tone of 16 harmonics with vibrato, in notes of 0.6 s that swell."""
    t = np.arange(round(seconds * RATE)) / RATE
    f0 = np.array([220, 262, 330, 294, 247])[(t / 0.6).astype(int) % 5] * (
        1 + 0.01 * np.sin(2 * np.pi * 5.5 * t)
    )
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    return level * sum(np.sin(k * phase) / k for k in range(1, 17)) * (0.2 + (t / 0.6) % 1)


@pytest.mark.parametrize("loop_db", [1.0, 3.0, 10.0, 30.0])
@pytest.mark.parametrize("hz, trip", [(300.0, 4410), (1000.0, 2048), (4100.0, 900)])
def test_a_howling_loop_is_found_and_kept_quiet(loop_db, hz, trip):
    rig = Rig(loop_db, trip, hz)
    played, _ = rig.play(hiss(20.0))
    feedback = read_feedback(rig.guard)
    assert feedback.found >= 1
    assert feedback.hz == pytest.approx(hz, abs=100)
    assert feedback.dimmed_db <= -loop_db + 1.0
    assert np.sqrt(np.mean(played[-5 * RATE :] ** 2)) < 0.05


@pytest.mark.parametrize("loop_db", [1.0, 6.0, 20.0])
def test_a_loop_without_a_resonance_is_found_at_the_limiter(loop_db):
    rig = Rig(loop_db, hz=0.0)
    played, _ = rig.play(hiss(25.0))
    feedback = read_feedback(rig.guard)
    assert feedback.found >= 1 and feedback.hz == 0.0
    assert np.sqrt(np.mean(played[-5 * RATE :] ** 2)) < 0.1


def test_what_is_too_loud_by_itself_is_tested_less_and_less_often():
    rig = Rig()
    _, dimmed = rig.play(hiss(40.0, 0.7))
    dips = np.flatnonzero(np.diff((dimmed < 0).astype(int)) == 1)
    assert read_feedback(rig.guard).found == 0
    assert 2 <= len(dips) <= 3


def test_without_the_guard_that_loop_is_at_full_scale():
    rig = Rig(3.0)
    rig.guard.on[0] = False
    played, dimmed = rig.play(hiss(5.0))
    assert np.abs(played[-RATE:]).max() > 0.9 and not dimmed.any()


def test_it_is_found_while_somebody_sings():
    rig = Rig(4.0, 3000, 1700.0)
    rig.play(voice(20.0) + hiss(20.0))
    assert read_feedback(rig.guard).found >= 1


def test_the_output_comes_back_when_its_level_is_turned():
    rig = Rig(3.0)
    rig.play(hiss(10.0))
    assert read_feedback(rig.guard).dimmed_db <= -6
    rig.values[VOCALS_GAIN] = -9.0
    rig.gain = 10 ** (-9 / 20)  # the loop is quiet by itself now
    before = read_feedback(rig.guard).found
    _, dimmed = rig.play(hiss(5.0))
    assert dimmed[-1] == 0.0 and read_feedback(rig.guard).found == before


def test_the_limiter_may_be_off():
    rig = Rig(6.0, limiter=False)
    played, _ = rig.play(hiss(10.0))
    assert read_feedback(rig.guard).found >= 1 and np.abs(played[-RATE:]).max() < 0.05


def test_voices_noise_and_steady_tones_pass_bit_by_bit():
    t = np.arange(8 * RATE) / RATE
    clicks = np.where(np.arange(8 * RATE) % 11025 < 40, 0.9, 0.0)
    for sound in (
        voice(8.0),
        hiss(8.0, 0.2),
        0.5 * np.sin(2 * np.pi * 440 * t),
        np.where((t % 0.5) < 0.25, 0.5, 0.0)
        * np.sin(2 * np.pi * 880 * t),  # notes that begin and end at once
        0.9 * np.sin(2 * np.pi * (100 + 400 * t) * t),  # a sweep
        clicks,
        np.zeros(8 * RATE),
    ):
        rig = Rig()
        played, dimmed = rig.play(sound)
        assert not dimmed.any()
        whole = len(sound) // HOP * HOP
        np.testing.assert_array_equal(played[:whole], np.float32(sound)[:whole])


def test_a_pure_tone_that_swells_is_tested_once_and_plays_on():
    t = np.arange(6 * RATE) / RATE
    level = np.minimum(0.5, 1e-3 * 10 ** (t * 1.5))  # 30 dB a second, then steady
    rig = Rig()
    _, dimmed = rig.play(level * np.sin(2 * np.pi * 1200 * t))
    assert read_feedback(rig.guard).found == 0
    dips = np.flatnonzero(np.diff((dimmed < 0).astype(int)) == 1)
    assert len(dips) == 1
    assert dimmed[-1] == 0.0
    assert (dimmed < -1).sum() * HOP / RATE < 0.9


def test_the_engine_dims_what_howls_and_records_what_did_not():
    form = replace(one_clock(HOP), limiter=True, feedback_guard=True)
    b, a = iirpeak(1000.0, 3.0, fs=RATE)
    z, back, loudest = np.zeros((2, 2)), np.zeros((HOP, 2)), []
    with Bench(form, lambda n, column: 0.5) as bench:
        for seed in range(6 * RATE // HOP):
            room, z = lfilter(b, a, 2.0 * back, axis=0, zi=z)
            out = bench.call((room + 1e-3 * noise(HOP, seed=seed)).astype(np.float32))
            back = out[:, :2] + out[:, 2:]
            loudest.append(np.abs(back).max())
        feedback = bench.engine.feedback()
        assert feedback.found >= 1 and feedback.hz == pytest.approx(1000, abs=60)
        assert max(loudest[-RATE // HOP :]) < 0.1 < max(loudest)
        tap = bench.engine.record_tap
        recorded = tap.copy(tap.written() - RATE, RATE)
        assert np.abs(recorded).max() > max(loudest[-RATE // HOP :])  # before the dimming
