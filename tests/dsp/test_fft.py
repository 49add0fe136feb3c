import math

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from rtsep.dsp.fft import irfft, plan_fft, rfft
from tests.dsp.twins import UNIT_ROUNDOFF

SIZES = st.integers(3, 13).map(lambda exponent: 2**exponent)
SEEDS = st.integers(0, 2**32 - 1)


def tolerance(n: int) -> float:
    """Relative l2 error of a float32 FFT: Higham, Accuracy and Stability, theorem 24.2: 7 u a stage.

    log2(n / 2) stages of the complex transform, one of recombination, one for rounding the input.
    """
    return (math.log2(n) + 1) * 7 * UNIT_ROUNDOFF


def forward(x):
    spectrum = np.full((x.size // 2 + 1, 2), np.nan, np.float32)
    rfft(x, plan_fft(x.size), spectrum)
    return spectrum[:, 0] + 1j * spectrum[:, 1].astype(float)


def inverse(spectrum, n):
    pairs = np.stack([spectrum.real, spectrum.imag], axis=1).astype(np.float32)
    x = np.full(n, np.nan, np.float32)
    irfft(pairs, plan_fft(n), x)
    return x


def signal(n, seed):
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def relative(error, reference):
    return np.linalg.norm(error) / np.linalg.norm(reference)


@given(SIZES, SEEDS)
def test_forward_equals_scipy_in_float64(n, seed):
    x = signal(n, seed)
    reference = scipy.fft.rfft(x.astype(float))
    assert relative(forward(x) - reference, reference) < tolerance(n)


@given(SIZES, SEEDS)
def test_inverse_equals_scipy_in_float64(n, seed):
    spectrum = scipy.fft.rfft(signal(n, seed).astype(float)).astype(np.complex64)
    reference = scipy.fft.irfft(spectrum.astype(complex), n)
    assert relative(inverse(spectrum, n) - reference, reference) < tolerance(n)


@given(SIZES, SEEDS)
def test_round_trip_gives_the_signal_back(n, seed):
    x = signal(n, seed)
    assert relative(inverse(forward(x), n) - x, x) < 2 * tolerance(n)


@given(SIZES, SEEDS, st.floats(-4, 4), st.floats(-4, 4))
def test_is_linear(n, seed, a, b):
    x, y = signal(n, seed), signal(n, seed + 1)
    both = forward((a * x + b * y).astype(np.float32))
    bound = 2 * tolerance(n) * (abs(a) * np.linalg.norm(forward(x)) + abs(b) * np.linalg.norm(forward(y)))
    assert np.linalg.norm(both - (a * forward(x) + b * forward(y))) <= bound


@pytest.mark.parametrize("n", [8, 64, 2048, 4096])
def test_every_sine_on_a_bin_lands_in_its_bin_alone(n):
    for k in {0, 1, 2, n // 4, n // 2 - 1, n // 2}:
        x = np.cos(2 * np.pi * k * np.arange(n) / n).astype(np.float32)
        reference = np.zeros(n // 2 + 1)
        reference[k] = n if k in (0, n // 2) else n / 2
        assert relative(forward(x) - reference, reference) < tolerance(n)


def test_dc_and_nyquist_have_no_imaginary_part():
    spectrum = np.full((33, 2), np.nan, np.float32)
    rfft(signal(64, 5), plan_fft(64), spectrum)
    assert spectrum[0, 1] == 0 and spectrum[32, 1] == 0


def test_inverse_takes_imaginary_dc_and_nyquist_as_zero():
    spectrum = forward(signal(64, 5))
    crooked = spectrum.copy()
    crooked[0] += 3j
    crooked[-1] -= 5j
    assert np.array_equal(inverse(spectrum, 64), inverse(crooked, 64))


def test_a_plan_carries_nothing_from_one_call_to_the_next():
    plan, fresh = plan_fft(256), plan_fft(256)
    first, second = signal(256, 1), signal(256, 2)
    used, once = np.zeros((129, 2), np.float32), np.zeros((129, 2), np.float32)
    rfft(first, plan, used)
    rfft(second, plan, used)
    rfft(second, fresh, once)
    assert np.array_equal(used, once)


@pytest.mark.parametrize("n", [-8, 0, 1, 4, 7, 12, 1000, 2047])
def test_other_lengths_are_refused_by_name(n):
    with pytest.raises(ValueError, match=rf"{n}: must be a power of two"):
        plan_fft(n)
