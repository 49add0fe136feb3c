"""The trainer's STFT is the runtime's: same columns, same sound, sample by sample."""

import numpy as np
import pytest
import torch

from rtsep.dsp.windows import PROFILES, Framing
from tests.dsp.twins import decibels, noise, stream
from tests.gpu import NEEDS_GPU
from train.learn.stft import played_columns, synthesise, windows

FRAMINGS = pytest.mark.parametrize(
    "framing",
    [
        PROFILES["live"],
        Framing(256, 64, 16),
        Framing(256, 256, 64),
        Framing(1024, 1024, 768),
        Framing(256, 256, 129),
        Framing(64, 64, 54),
    ],
    ids=str,
)


@FRAMINGS
@pytest.mark.parametrize("frames", [1, 700, 5001])
def test_columns_and_sound_are_those_of_the_stream(framing, frames):
    wave = noise(2, frames)
    analysis, synthesis = windows(framing)
    columns = played_columns(torch.from_numpy(wave), framing, analysis)
    steps = columns.shape[-2]
    assert steps * framing.hop >= frames + framing.stream_delay > (steps - 1) * framing.hop
    levels = np.random.default_rng(1).uniform(0, 1, steps).astype(np.float32)
    padded = np.pad(wave, ((0, 0), (0, steps * framing.hop - frames)))
    spectra, played = stream(padded, framing, levels)
    output = columns.numpy().transpose(1, 0, 2)
    assert decibels(np.abs(output - spectra), np.abs(spectra)) < -120
    masked = columns * torch.from_numpy(levels)[:, None]
    assert decibels(synthesise(masked, framing, synthesis).numpy() - played, padded) < -120


@FRAMINGS
def test_the_wave_comes_back_late_by_the_latency(framing):
    wave = torch.from_numpy(noise(2, 3001))
    analysis, synthesis = windows(framing)
    output = synthesise(played_columns(wave, framing, analysis), framing, synthesis)
    lag = framing.stream_delay
    assert decibels((output[:, lag : lag + 3001] - wave).numpy(), wave.numpy()) < -120


@FRAMINGS
def test_gradients_pass(framing):
    """The gradient of the sum of squares: with perfect reconstruction, twice the wave itself."""
    wave = torch.from_numpy(noise(1, 900)).requires_grad_()
    analysis, synthesis = windows(framing)
    synthesise(played_columns(wave, framing, analysis), framing, synthesis).square().sum().backward()
    assert wave.grad is not None
    torch.testing.assert_close(wave.grad, 2 * wave.detach(), atol=1e-4, rtol=0)


@NEEDS_GPU
@FRAMINGS
def test_a_cuda_device_gives_the_same(framing):
    wave = torch.from_numpy(noise(2, 3001))
    analysis, synthesis = windows(framing)
    here = synthesise(played_columns(wave, framing, analysis), framing, synthesis)
    there = synthesise(played_columns(wave.cuda(), framing, analysis.cuda()), framing, synthesis.cuda())
    torch.testing.assert_close(there.cpu(), here, atol=2e-6, rtol=0)
