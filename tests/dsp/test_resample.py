import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.dsp.resample import (
    HALF_TAPS,
    KAISER_BETA,
    PASS_BAND,
    frames_needed,
    frames_until,
    make_bridge,
    sinc_table,
    to_device_rate,
    to_model_rate,
)
from tests.dsp.twins import decibels, noise

# Kaiser's formulas (J. F. Kaiser, 1974): what a window of this beta and length must reach.
RIPPLE_DB = -(KAISER_BETA / 0.1102 + 8.7)  # -99.4: pass and stop band
HALF_TRANSITION = (
    (-RIPPLE_DB - 7.95) / (2.285 * 2 * HALF_TAPS) / (2 * math.pi)
)  # of the lower Nyquist frequency
PASS_EDGE, STOP_EDGE = PASS_BAND - HALF_TRANSITION, PASS_BAND + HALF_TRANSITION
ROUND_TRIP_DB = RIPPLE_DB + 20 * math.log10(2)  # there and back: twice the ripple, in phase: -93.4

PAIRS = [
    (96000, 48000),
    (88200, 44100),
    (192000, 48000),
    (176400, 44100),
    (96000, 44100),
    (48000, 44100),
    (44100, 48000),
    (37800, 44100),
    (32000, 48000),
    (32000, 44100),
    (22050, 44100),
    (16000, 48000),
    (11025, 44100),
    (8000, 44100),
    (44100, 22050),
    (48000, 8192),
]
PAIR = pytest.mark.parametrize(("device_rate", "model_rate"), PAIRS)
HOP = 256


def convert(x, device_rate, model_rate, hop=HOP, inner=0):
    """Return the model-rate signal, the device-rate signal that comes back, and the bridge.

    `inner` model frames of delay lie between the two conversions, as an STFT's would.
    """
    bridge = make_bridge(device_rate, model_rate, hop, inner, x.shape[0])
    there, back, position = [], [], 0
    late = np.zeros((x.shape[0], inner), np.float32)
    while (frames := frames_needed(bridge)) + position <= x.shape[1]:
        block = np.zeros((x.shape[0], hop), np.float32)
        to_model_rate(bridge, np.ascontiguousarray(x[:, position : position + frames]), block)
        there.append(block)
        late = np.concatenate([late, block], axis=1)
        out = np.full((x.shape[0], frames), np.nan, np.float32)
        to_device_rate(bridge, np.ascontiguousarray(late[:, :hop]), out)
        late = late[:, hop:]
        back.append(out)
        position += frames
    return np.concatenate(there, axis=1), np.concatenate(back, axis=1), bridge


def tone(share, device_rate, model_rate, seconds=0.4):
    """A full-scale sine at `share` of the lower Nyquist frequency, at the device rate."""
    n = np.arange(int(seconds * device_rate))
    return np.sin(np.pi * share * min(device_rate, model_rate) / device_rate * n)[None].astype(np.float32)


@PAIR
@pytest.mark.parametrize("inner", [0, 256, 1000])
def test_tones_come_back_the_declared_integer_latency_later(device_rate, model_rate, inner):
    assert PASS_EDGE > 0.84
    for share in (0.02, 0.3, 0.7, 0.84):
        x = tone(share, device_rate, model_rate)
        _, y, bridge = convert(x, device_rate, model_rate, inner=inner)
        latency, settled = int(bridge.stream_delay[0]), bridge.down_table.shape[1] + bridge.up_table.shape[1]
        output, meant = y[:, latency + settled :], x[:, settled : y.shape[1] - latency]
        assert decibels(output - meant, meant) < ROUND_TRIP_DB


@PAIR
def test_silence_before_the_sound_lasts_for_the_latency_less_the_filters_ringing(device_rate, model_rate):
    x = np.zeros((1, device_rate // 4), np.float32)
    click = 1000
    x[0, click] = 1
    _, y, bridge = convert(x, device_rate, model_rate, inner=256)
    peak = int(np.abs(y[0]).argmax())
    assert peak == click + int(bridge.stream_delay[0])
    assert not y[0, :click].any()  # causal: nothing before its cause


@pytest.mark.parametrize(("device_rate", "model_rate"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_the_model_rate_cannot_hold_does_not_alias_into_it(device_rate, model_rate):
    assert STOP_EDGE < 1.04
    for share in (1.04, 1.2, 1.7, 3.1):
        if share * model_rate < device_rate:
            x = tone(share, device_rate, model_rate)
            there, _, _ = convert(x, device_rate, model_rate)
            assert decibels(there[:, there.shape[1] // 4 :], x) < RIPPLE_DB


@pytest.mark.parametrize(("device_rate", "model_rate"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_upsampling_leaves_no_image_above_the_devices_band(device_rate, model_rate):
    x = tone(0.5, device_rate, model_rate)
    there = convert(x, device_rate, model_rate)[0][0, -4096:].astype(float)
    power = np.abs(np.fft.rfft(there * np.kaiser(4096, 20))) ** 2
    hertz = np.fft.rfftfreq(4096, 1 / model_rate)
    images = power[hertz > STOP_EDGE * device_rate / 2]
    assert images.size and 10 * np.log10(images.max() / power.max()) < RIPPLE_DB


@PAIR
def test_dc_has_unit_gain_at_every_phase(device_rate, model_rate):
    x = np.ones((1, device_rate // 4), np.float32)
    there, back, _ = convert(x, device_rate, model_rate)
    taps = sinc_table(model_rate / device_rate).shape[1]
    assert np.abs(there[:, -HOP:] - 1).max() < taps * 2.0**-24
    assert np.abs(back[:, -8:] - 1).max() < 3 * taps * 2.0**-24


@given(st.sampled_from([1, 2, 4]), st.sampled_from([64, 128, 256, 512]), st.integers(0, 700))
def test_equal_rates_pass_bit_for_bit_and_add_no_latency(channels, hop, inner):
    x = noise(channels, 4 * hop)
    there, _, bridge = convert(x, 44100, 44100, hop, inner)
    assert np.array_equal(there, x)
    assert int(bridge.stream_delay[0]) == inner
    assert frames_needed(bridge) == hop


@given(
    st.integers(4000, 400000), st.sampled_from([44100, 48000, 22050, 8192]), st.sampled_from([128, 256, 512])
)
def test_needs_never_drift(device_rate, model_rate, hop):
    bridge = make_bridge(device_rate, model_rate, hop, 0, 1)
    exact = Fraction(device_rate, model_rate) * hop
    total = 0
    for step in range(200):
        need = frames_needed(bridge)
        assert math.floor(exact) <= need <= math.ceil(exact) or step == 0
        total += need
        bridge.clock[0] += 1
        assert total == frames_until(bridge, step + 1)
        # every model frame of these steps lies within the frames taken, and not one frame more is taken
        last = math.floor(((step + 1) * hop - 1) * Fraction(device_rate, model_rate))
        assert total == last + 1
    assert (
        frames_until(bridge, 10**7) == math.floor((10**7 * hop - 1) * Fraction(device_rate, model_rate)) + 1
    )


@given(st.sampled_from(PAIRS), st.sampled_from([128, 256, 512]), st.integers(1, 3))
def test_channels_do_not_hear_each_other(pair, hop, channels):
    x = noise(channels, pair[0] // 10)
    together = convert(x, *pair, hop, 100)[1]
    for c in range(channels):
        alone = convert(np.ascontiguousarray(x[c : c + 1]), *pair, hop, 100)[1]
        assert np.array_equal(together[c], alone[0])
