import math

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from rtsep.dsp.windows import PROFILES, Framing, window_pair
from rtsep.errors import UsageError
from tests.dsp.twins import decibels, noise, stream, whole_istft, whole_stft

MAX_HOPS = {16: 13, 64: 54, 512: 432, 1024: 864, 4096: 3459}
"""The longest hops whose dual windows stay under 10."""

PROFILE = pytest.mark.parametrize("framing", PROFILES.values(), ids=PROFILES)


@st.composite
def framings(draw):
    n_fft = 2 ** draw(st.integers(5, 12))
    half = draw(st.integers(1, 6)) * max(1, 2 ** draw(st.integers(0, 11)) // 8)
    half = min(max(2, half), n_fft // 2)
    divisors = [hop for hop in range(1, half + 1) if half % hop == 0 and n_fft // hop <= 128]
    return Framing(n_fft, 2 * half, draw(st.sampled_from(divisors or [half])))


@st.composite
def far_framings(draw):
    """Symmetric windows with hops of more than half of them."""
    n_fft = 2 ** draw(st.integers(4, 11))
    return Framing(n_fft, n_fft, draw(st.integers(n_fft // 2 + 1, int(0.84 * n_fft))))


any_framings = st.one_of(framings(), far_framings())


@PROFILE
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_profiles_reconstruct_below_minus_120_db_exactly_the_declared_latency_later(framing, channels):
    x = noise(channels, framing.hop * (3 * framing.n_fft // framing.hop), seed=channels)
    y = stream(x, framing)[1]
    assert decibels(y[:, framing.stream_delay :] - x[:, : x.shape[1] - framing.stream_delay], x) < -120
    assert decibels(y[:, : framing.stream_delay], x) < -120  # silence before the sound


@given(any_framings, st.integers(1, 5), st.integers(0, 99))
def test_any_framing_reconstructs_below_minus_120_db(framing, channels, seed):
    x = noise(channels, framing.hop * math.ceil(2.5 * framing.n_fft / framing.hop), seed)
    y = stream(x, framing)[1]
    assert decibels(y[:, framing.stream_delay :] - x[:, : x.shape[1] - framing.stream_delay], x) < -120


@given(any_framings, st.integers(0, 99))
def test_streaming_equals_the_whole_signal_twin_with_columns_changed_on_the_way(framing, seed):
    steps = math.ceil(2.5 * framing.n_fft / framing.hop)
    x = noise(2, framing.hop * steps, seed)
    levels = np.random.default_rng(seed).uniform(0, 1, steps)
    columns, y = stream(x, framing, levels)
    twin = whole_stft(x, framing)
    assert columns.shape == twin.shape
    assert decibels(np.abs(columns - twin), np.abs(twin)) < -120
    assert decibels(y - whole_istft(twin * levels[:, None, None], framing), x) < -120


@PROFILE
def test_columns_equal_scipys_short_time_fft(framing):
    x = noise(1, 4 * framing.n_fft)
    columns = stream(x, framing)[0][:, 0]
    scipy_stft = scipy.signal.ShortTimeFFT(
        window_pair(framing)[0], framing.hop, 1.0, fft_mode="onesided", mfft=framing.n_fft, phase_shift=None
    )
    # scipy centres slice p on p * hop; our step t ends with its hop.
    first = 1 - framing.n_fft // (2 * framing.hop)
    reference = scipy_stft.stft(x[0].astype(float), p0=first, p1=first + len(columns)).T
    assert decibels(np.abs(columns - reference), np.abs(reference)) < -120


def test_a_symmetric_pair_is_scipys_cosine_window_and_inverts_as_scipy_does():
    framing = Framing(512, 512, 128)
    cosine = scipy.signal.windows.cosine(512)
    analysis, synthesis = window_pair(framing)
    assert np.allclose(analysis, cosine * 2 / cosine.sum(), rtol=1e-12, atol=0)
    reference = scipy.signal.ShortTimeFFT(analysis, 128, 1.0, phase_shift=None)
    assert np.allclose(synthesis, reference.dual_win, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("n_fft", "longest"), MAX_HOPS.items())
def test_a_far_pair_is_scipys_hann_window_and_its_dual_and_stays_bounded(n_fft, longest):
    hann = scipy.signal.windows.hann(n_fft, sym=False)
    for hop in (n_fft // 2 + 1, 3 * n_fft // 4, longest):
        analysis, synthesis = window_pair(Framing(n_fft, n_fft, hop))
        assert np.allclose(analysis, hann * 2 / hann.sum(), rtol=1e-9, atol=0)
        reference = scipy.signal.ShortTimeFFT(analysis, hop, 1.0, phase_shift=None)
        assert np.allclose(synthesis, reference.dual_win, rtol=1e-9, atol=1e-12)
        assert (synthesis / hann.sum() * 2).max() <= 10  # the edges, where the analysis is all but 0, too


@given(far_framings(), st.integers(0, 99))
def test_a_far_framing_gives_the_first_and_the_last_sample_back(framing, seed):
    x = noise(1, 6 * framing.hop, seed)
    y = stream(x, framing)[1]
    assert np.abs(y[:, framing.stream_delay :] - x[:, : x.shape[1] - framing.stream_delay]).max() < 5e-6
    assert np.abs(y[:, : framing.stream_delay]).max() < 5e-6


@PROFILE
def test_pair_is_mauler_and_martins(framing):
    n_fft, half = framing.n_fft, framing.synthesis // 2
    analysis, synthesis = window_pair(framing)
    level = analysis.max() / scipy.signal.windows.cosine(2 * (n_fft - half)).max()
    slow, quick = scipy.signal.windows.cosine(2 * (n_fft - half)), scipy.signal.windows.cosine(2 * half)
    assert np.allclose(analysis[: n_fft - half], level * slow[: n_fft - half], rtol=1e-9)
    assert np.allclose(analysis[n_fft - half :], level * quick[half:], rtol=1e-6)
    product = analysis[-2 * half :] * synthesis
    assert np.allclose(product / product.max(), quick**2 / (quick**2).max(), atol=1e-9)
    shifted = np.zeros(2 * half)
    for start in range(0, 2 * half, framing.hop):
        shifted += np.roll(product, start)
    assert np.allclose(shifted, 1.0, atol=1e-12)


@pytest.mark.parametrize("framing", [*PROFILES.values(), Framing(1024, 1024, 768)])
def test_a_full_scale_sine_on_a_bins_centre_has_magnitude_1_there(framing):
    n = np.arange(2 * framing.n_fft)
    for k in (10, framing.bins // 3, framing.bins - 20):
        x = np.cos(2 * np.pi * k * n / framing.n_fft + 0.3)[None].astype(np.float32)
        column = stream(x, framing)[0][-1, 0]
        # The difference from 1 is the mirror image of the sine, 2k bins away: a side lobe of the window.
        window = window_pair(framing)[0]
        side_lobe = (
            abs(np.sum(window * np.exp(-4j * np.pi * k * np.arange(framing.n_fft) / framing.n_fft))) / 2
        )
        assert side_lobe < 10 ** (0.1 / 20) - 1  # 0.1 dB, and that near DC only
        assert abs(abs(column[k]) - 1) < side_lobe + 1e-5
        assert np.abs(column).argmax() == k


def test_latency_and_block_follow_from_the_sizes():
    framing = Framing(2048, 512, 256)
    assert (framing.bins, framing.block_size, framing.stream_delay) == (1025, 256, 256)
    assert framing.stream_delay + framing.hop == framing.synthesis
    assert PROFILES["light"] == Framing() == framing
    far = Framing(1024, 1024, 768)
    assert (far.bins, far.block_size, far.stream_delay) == (513, 768, 256)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((2047, 512, 256), "n_fft 2047: must be a power of two"),
        ((8, 4, 2), "n_fft 8: .*at least 16"),
        ((2048, 511, 1), "synthesis 511: must be even"),
        ((2048, 2, 1), "synthesis 2: .*4 to n_fft"),
        ((2048, 4096, 256), r"synthesis 4096: .*\(2048\)"),
        ((2048, 512, 0), "hop 0: must divide"),
        ((2048, 512, 512), r"hop 512: must divide half the synthesis window \(256\)"),
        ((2048, 512, 100), "hop 100: must divide"),
        ((2048, 1024, 768), r"hop 768: must divide half the synthesis window \(512\)$"),
        ((1024, 1024, 300), r"hop 300: must divide half the synthesis window \(512\), or be longer"),
        ((1024, 1024, 865), "hop 865: windows of 1024 overlap too little to be inverted; 864 is the longest"),
        ((1024, 1024, 1024), "hop 1024: .*864 is the longest hop"),
        ((16, 16, 14), "hop 14: .*13 is the longest hop"),
    ],
)
def test_impossible_sizes_are_refused_by_name(sizes, words):
    with pytest.raises(UsageError, match=words):
        Framing(*sizes)
