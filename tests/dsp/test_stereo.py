import numpy as np
import pytest

from rtsep.dsp.stereo import decode_mid_side, encode_mid_side, fold_columns
from tests.dsp.twins import UNIT_ROUNDOFF, noise

CHANNELS = pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])


@CHANNELS
def test_encoding_takes_half_sum_and_half_difference_of_each_pair(channels):
    x = noise(channels, 100)
    y = x.copy()
    encode_mid_side(y)
    expected = x.astype(float)
    for c in range(0, channels - 1, 2):
        expected[c], expected[c + 1] = (
            (x[c] + x[c + 1].astype(float)) / 2,
            (x[c] - x[c + 1].astype(float)) / 2,
        )
    assert np.abs(y - expected).max() <= UNIT_ROUNDOFF
    if channels % 2:
        assert np.array_equal(y[-1], x[-1])


@CHANNELS
def test_decoding_undoes_encoding(channels):
    x = noise(channels, 100, level=1.0)
    y = x.copy()
    encode_mid_side(y)
    decode_mid_side(y)
    assert (
        np.abs(y - x).max() <= 2 * UNIT_ROUNDOFF
    )  # half an ulp of mid, of side and of their sum, all below 1


def test_a_mono_source_in_both_channels_has_no_side_and_keeps_its_level():
    x = np.repeat(noise(1, 50), 2, axis=0)
    y = x.copy()
    encode_mid_side(y)
    assert np.array_equal(y[0], x[0]) and not y[1].any()


def spectra(channels):
    return np.random.default_rng(1).normal(size=(channels, 9, 2)).astype(np.float32)


@CHANNELS
@pytest.mark.parametrize("lone_has_side", [False, True])
@pytest.mark.parametrize("model_channels", [1, 2])
def test_even_channels_fold_into_the_first_column_odd_ones_into_the_second(
    channels, lone_has_side, model_channels
):
    x = spectra(channels)
    column = np.full((model_channels, 9, 2), np.nan, np.float32)
    fold_columns(x, lone_has_side, column)
    expected = np.zeros((model_channels, 9, 2))
    expected[0] = x[0::2].mean(axis=0, dtype=float)
    if model_channels == 2:
        if channels > 1:
            expected[1] = x[1::2].mean(axis=0, dtype=float)
        elif lone_has_side:
            expected[1] = x[0]
    assert np.allclose(column, expected, atol=8 * UNIT_ROUNDOFF, rtol=8 * UNIT_ROUNDOFF)


def test_two_channels_pass_bit_for_bit():
    x, column = spectra(2), np.zeros((2, 9, 2), np.float32)
    fold_columns(x, False, column)
    assert np.array_equal(column, x)
