import math

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from rtsep.dsp.policy import BINARY, BINARY_THRESHOLD, SOFT, apply_mask, shape_mask, smoothing_factor
from tests.dsp.twins import UNIT_ROUNDOFF

UNIT = st.floats(0, 1, width=32)
INAUDIBLE = 1e-8


def masks(seed=0, steps=1, bins=65):
    return np.random.default_rng(seed).uniform(0, 1, (steps, 2, bins)).astype(np.float32)


def shape(raw, mode=SOFT, threshold=0.0, gate=0.0, factor=0.0, smooth=None):
    smooth = np.zeros_like(raw) if smooth is None else smooth
    played = np.full_like(raw, np.nan)
    shape_mask(raw, smooth, mode, threshold, gate, factor, played)
    return played


def twin(raw, mode, threshold, gate):
    """The policy without smoothing, in float64, as the table of controls words it."""
    m = np.where(raw < gate, 0.0, raw.astype(float))
    if mode == BINARY:
        return (m > (threshold or BINARY_THRESHOLD)).astype(float)
    return np.where(m < threshold, m * (m / max(threshold, 1e-30)) ** 2, m)


def test_at_unity_masks_pass_bit_for_bit():
    raw = masks()[0]
    raw[0, :3] = 0, 1, np.float32(2e-8)
    assert np.array_equal(shape(raw).view(np.int32), raw.view(np.int32))


def test_what_nobody_hears_becomes_silence_so_that_no_denormal_lives_on():
    raw = np.full((1, 4), 9e-9, np.float32)
    assert not shape(raw).any()
    smooth = np.ones((1, 4), np.float32)
    for _ in range(3000):
        shape(np.zeros((1, 4), np.float32), factor=0.99, smooth=smooth)
    assert not smooth.any()


@given(st.integers(0, 999), st.sampled_from([SOFT, BINARY]), UNIT, UNIT)
def test_gate_threshold_and_mode_equal_the_plain_twin(seed, mode, threshold, gate):
    raw = masks(seed)[0]
    # three roundings of numbers up to 1
    assert (
        np.abs(shape(raw, mode, threshold, gate) - twin(raw, mode, threshold, gate)).max()
        <= 4 * UNIT_ROUNDOFF
    )


def test_gate_cuts_below_it_and_keeps_the_gate_value_itself():
    raw = np.array([[0.1, 0.25, 0.5]], np.float32)
    assert shape(raw, gate=0.25).tolist() == [[0, 0.25, 0.5]]


def test_binary_is_one_above_the_threshold_only():
    raw = np.array([[0.0, 0.49, 0.5, 0.51, 1.0]], np.float32)
    assert shape(raw, BINARY, threshold=0.5).tolist() == [[0, 0, 0, 1, 1]]


def test_binary_without_a_threshold_cuts_in_the_middle():
    raw = np.array([[0.01, 0.3, 0.5, 0.51, 1.0]], np.float32)
    assert shape(raw, BINARY).tolist() == [[0, 0, 0, 1, 1]]
    assert shape(raw, BINARY, threshold=0.05).tolist() == [[0, 1, 1, 1, 1]]


def test_soft_threshold_is_continuous_and_triples_the_slope_below_it():
    threshold = 0.5
    at = np.float32(threshold)
    below = np.nextafter(at, np.float32(0))
    around = shape(np.array([[below, at]], np.float32), threshold=threshold)[0]
    assert abs(around[1] - around[0]) <= 8 * UNIT_ROUNDOFF
    down = shape(np.array([[0.25, 0.125]], np.float32), threshold=threshold)[0]
    assert 20 * math.log10(down[0] / down[1]) == pytest.approx(3 * 20 * math.log10(2))


@given(st.integers(0, 999), st.floats(0.01, 0.98))
def test_smoothing_equals_scipys_lfilter(seed, factor):
    raw = masks(seed, steps=60)
    smooth = np.zeros_like(raw[0])
    played = np.stack([shape(m, factor=factor, smooth=smooth) for m in raw])
    reference = scipy.signal.lfilter([1 - factor], [1, -factor], raw.astype(float), axis=0)
    # Six roundings and the inaudible cut a step, each decaying with the filter itself.
    assert np.abs(played - reference).max() <= (6 * UNIT_ROUNDOFF + INAUDIBLE) / (1 - factor)


def test_smoothing_factor_is_a_time_constant():
    rate, hop, time_ms = 44100.0, 256, 40.0
    steps = time_ms * rate / (1000 * hop)
    assert smoothing_factor(time_ms, hop, rate) ** steps == pytest.approx(math.exp(-1))
    assert smoothing_factor(0.0, hop, rate) == 0


@pytest.mark.parametrize("mode", [SOFT, BINARY])
def test_masks_that_are_no_masks_cannot_blow(mode):
    raw = np.array([[np.nan, np.inf, -np.inf, -0.5, 1.5, 1e30, -0.0, 1e-42]], np.float32)
    assert shape(raw, mode).tolist() == [[0, 1, 0, 0, 1, 1, 0, 0]]


def test_a_bad_mask_does_not_stay_in_the_smoother():
    smooth = np.zeros((1, 3), np.float32)
    shape(np.array([[np.nan, np.inf, -np.inf]], np.float32), factor=0.5, smooth=smooth)
    assert np.isfinite(smooth).all() and smooth.max() <= 1 and smooth.min() >= 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("model_channels", [1, 2])
def test_even_channels_take_the_first_mask_odd_ones_the_last(channels, model_channels):
    spectra = np.random.default_rng(1).normal(size=(channels, 65, 2)).astype(np.float32)
    mask = masks()[0, :model_channels]
    masked = np.full_like(spectra, np.nan)
    apply_mask(mask, spectra, masked)
    for c in range(channels):
        row = mask[0] if c % 2 == 0 else mask[-1]
        assert np.array_equal(masked[c], spectra[c] * row[:, None])
