"""Separators by steps: stems come with the stated latency, and equal those of the whole recording."""

import numpy as np
import pytest
import torch

from benchmarks.centre import CentreMask
from benchmarks.denoiser import RNNoise
from benchmarks.newest_frame import NewestFrame
from benchmarks.repet import OnlineRepetSim
from benchmarks.streams import MaskStream
from rtsep.errors import UsageError
from tests.models import PlainModel
from tests.train.recordings import music, voice
from train.data.cache import RATE
from train.score.evaluate import separate
from train.score.peers import SPLEETER_BINS, SPLEETER_FFT, SPLEETER_HOP, load_peer


def noise(frames, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (2, frames)).astype(np.float32)


def song(seconds=3.5):  # REPET waits for what comes again
    return np.ascontiguousarray((voice(seconds) + music(seconds)).T, np.float32)


def low_passed(wave, hertz):
    spectrum = np.fft.rfft(wave)
    spectrum[:, np.fft.rfftfreq(wave.shape[1], 1 / RATE) > hertz] = 0
    return np.fft.irfft(spectrum, wave.shape[1]).astype(np.float32)


class FakeSpleeter:
    """Predictable masks, from magnitudes as Spleeter gets them."""

    params, licence = 0, "none"

    def __init__(self, mask):
        self.mask = mask

    def masks(self, magnitudes):
        voice = self.mask(magnitudes)
        return torch.stack([voice, 1 - voice])


def blocks_of(stream, wave):
    return [wave[:, i : i + stream.hop] for i in range(0, wave.shape[1] - stream.hop + 1, stream.hop)]


@pytest.mark.parametrize("frames", [20_000, 256 * 60])
@pytest.mark.parametrize("profile", ["live", "stage", "studio"])
def test_a_mask_of_ones_gives_back_the_input_in_time(profile, frames):
    stream = MaskStream(PlainModel("ones", profile=profile), "ones", "none")
    mix = noise(frames)
    vocals, others = stream.separate(mix)
    assert vocals.shape == others.shape == mix.shape
    np.testing.assert_allclose(vocals, mix, atol=1e-5)
    np.testing.assert_allclose(others, 0, atol=1e-5)


def test_steps_lag_by_the_latency_that_is_declared():
    stream = MaskStream(PlainModel("ones"), "ones", "none")
    mix = noise(stream.hop * 20)
    played = np.concatenate([stream.step(block) for block in blocks_of(stream, mix)], 2)[0]
    late = stream.latency_samples - stream.hop  # the filling of a hop passes before the step
    np.testing.assert_allclose(played[:, late:], mix[:, :-late], atol=1e-5)
    np.testing.assert_allclose(played[:, :late], 0, atol=1e-5)


def test_spleeters_newest_frame_gives_back_the_input_in_time():
    stream = NewestFrame(FakeSpleeter(lambda magnitudes: torch.ones_like(magnitudes)))
    mix = low_passed(noise(12_345), 10_000)
    vocals, others = stream.separate(mix)
    # At the ends a cut-off window reaches over what was filtered.
    np.testing.assert_allclose(vocals[:, 200:-200], mix[:, 200:-200], atol=2e-4)
    np.testing.assert_allclose(others, 0, atol=1e-6)
    assert stream.latency_samples == SPLEETER_FFT


def test_spleeters_newest_frame_is_the_masked_stft_of_the_whole_recording():
    def mask(magnitudes):
        return magnitudes / (magnitudes + 1)  # of a bin and its frame: others do not matter

    mix = noise(SPLEETER_HOP * 12)
    vocals, _ = NewestFrame(FakeSpleeter(mask)).separate(mix)
    window = np.hanning(SPLEETER_FFT + 1)[:-1]
    padded = np.pad(mix, ((0, 0), (SPLEETER_FFT - SPLEETER_HOP, SPLEETER_FFT)))
    expected = np.zeros(padded.shape)
    for start in range(0, padded.shape[1] - SPLEETER_FFT + 1, SPLEETER_HOP):
        spectrum = np.fft.rfft(padded[:, start : start + SPLEETER_FFT] * window)
        spectrum[:, :SPLEETER_BINS] *= mask(np.abs(spectrum[:, :SPLEETER_BINS]))
        spectrum[:, SPLEETER_BINS:] = 0
        expected[:, start : start + SPLEETER_FFT] += np.fft.irfft(spectrum) * window / 1.5
    expected = expected[:, SPLEETER_FFT - SPLEETER_HOP :][:, : mix.shape[1]]
    np.testing.assert_allclose(vocals, expected, atol=1e-4)


@pytest.mark.parametrize("player", [CentreMask, OnlineRepetSim])
def test_steps_are_what_the_separator_makes_of_the_whole_recording(player):
    mix = song()
    stream = MaskStream(player(), "", "")
    stepped = stream.separate(mix)
    assert np.std(stepped[0]) > 1e-3 and np.std(stepped[1]) > 1e-3
    for ours, theirs in zip(stepped, separate(player(), mix), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    again = stream.separate(mix)
    np.testing.assert_array_equal(again[0], stepped[0], "earlier input is forgotten")


def test_rnnoise_is_in_time_and_loses_nothing():
    try:
        stream = RNNoise()
    except UsageError as error:
        pytest.skip(str(error))
    sung = np.ascontiguousarray(voice(3.0).T, np.float32)
    vocals, others = stream.separate(sung)
    # Both stems are of the resampled mix, which lacks the top of the band.
    np.testing.assert_allclose((vocals + others)[:, 2000:-2000], sung[:, 2000:-2000], atol=5e-3)
    hiss = np.random.default_rng(0).normal(0, np.std(sung), sung.shape).astype(np.float32)
    let_through = np.std(vocals) / np.std(sung), np.std(stream.separate(hiss)[0]) / np.std(hiss)
    assert let_through[0] > 10 * let_through[1]
    lags = np.arange(-400, 401)
    middle = sung[0, RATE : 2 * RATE]
    alike = [middle @ vocals[0, RATE + lag : 2 * RATE + lag] for lag in lags]
    assert abs(lags[int(np.argmax(alike))]) <= 2
    np.testing.assert_array_equal(stream.separate(sung)[0], vocals)


def test_the_whole_spleeter_stays_in_time():
    try:
        spleeter = load_peer("spleeter")
    except UsageError as error:
        pytest.skip(str(error))
    mix = low_passed(noise(RATE), 10_000)
    vocals, others = spleeter.separate(mix)
    np.testing.assert_allclose((vocals + others)[:, 5000:-5000], mix[:, 5000:-5000], atol=1e-3)
