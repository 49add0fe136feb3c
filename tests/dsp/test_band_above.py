"""The band above a model of a low rate, and the framings of published systems."""

import numpy as np
import pytest

from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS, INSTRUMENTAL, VOCALS
from rtsep.dsp.windows import window_pair
from rtsep.offline.separator import Separator
from rtsep.pipeline import begin_hop, finish_hop, frames_needed, make_pipeline, stream_delay
from tests.dsp.twins import decibels, noise
from tests.models import FRAMINGS, PlainModel, make_spec, mark

LOW = [name for name, entries in FRAMINGS.items() if entries["rates"][0] < 44100]
RATES = [8000, 22050, 32000, 44100, 48000, 96000]


def separator_of(system, rate, channels=2, kind="ones", lookahead=2, **changes):
    """A separator with a short look-ahead; None: the system's own."""
    own = FRAMINGS[system]
    changes["lookahead"] = own["lookahead"] if lookahead is None else lookahead
    return Separator(PlainModel(kind, **(own | changes)), rate, channels)


def play(spec, rate, x, mask, controls=None):
    """Return the feeds of `x` under one mask [model channels, bins], and the pipeline's latency."""
    pipeline = make_pipeline(spec, rate, x.shape[0], spec.rates[0])
    column = np.zeros((spec.channels, spec.bins, 2), np.float32)
    block, parts, position = (controls or Controls()).control_block, [], 0
    while (frames := frames_needed(pipeline)) + position <= x.shape[1]:
        begin_hop(pipeline, np.ascontiguousarray(x[:, position : position + frames]), column)
        feeds = np.zeros((len(FEEDS), x.shape[0], frames), np.float32)
        finish_hop(pipeline, mask.astype(np.float32), block, True, feeds)
        parts.append(feeds)
        position += frames
    return np.concatenate(parts, axis=2), stream_delay(pipeline)


def tone(hertz, rate, seconds=1.0, channels=1):
    n = np.arange(int(seconds * rate))
    return np.stack(
        [0.5 * np.sin(2 * np.pi * hertz / rate * n + c) * min(1, 1 / (1 + c)) for c in range(channels)]
    ).astype(np.float32)


@pytest.mark.parametrize("system", FRAMINGS)
@pytest.mark.parametrize("rate", RATES)
def test_latency_is_the_specs_and_the_conversions_at_the_devices_rate(system, rate):
    entries = FRAMINGS[system]
    separator = separator_of(system, rate, lookahead=None)
    spec, own = make_spec(**entries), entries["rates"][0]
    exact = spec.algorithmic_latency * rate / own
    if rate == own:
        assert separator.latency == spec.algorithmic_latency
    else:  # half a filter each way, 32 samples at the lower rate, and the roundings to whole frames
        filters = 64 * rate / min(rate, own)
        assert exact < separator.latency <= exact + filters + 5


@pytest.mark.parametrize("system", LOW)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_with_a_mask_of_ones_the_vocals_are_the_input(system, rate, channels):
    separator = separator_of(system, rate, channels, band_above="follow")
    x = noise(channels, separator.latency + rate // 2)
    stems = separator.process(x)
    sound = x[:, : x.shape[1] - separator.latency]
    assert decibels(stems[VOCALS, :, separator.latency :] - sound, sound) < -120
    assert np.abs(stems[VOCALS, :, : separator.latency]).max() < 1e-6


@pytest.mark.parametrize("system", LOW)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("rule", ["follow", "instrumental"])
def test_with_a_mask_of_zeros_the_vocals_are_silent(system, rate, rule):
    separator = separator_of(system, rate, kind="zeros", band_above=rule)
    x = noise(2, separator.latency + rate // 4)
    stems = separator.process(x)
    assert not stems[VOCALS].any()
    assert np.array_equal(stems[INSTRUMENTAL, :, separator.latency :], x[:, : x.shape[1] - separator.latency])


@pytest.mark.parametrize("system", LOW)
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("kind", ["half", "marker", "echo"])
def test_the_instrumental_is_the_mix_minus_the_vocals_at_the_same_latency(system, rate, kind):
    latency = {}
    for rule in ("follow", "instrumental"):
        separator = separator_of(system, rate, kind=kind, band_above=rule)
        latency[rule] = separator.latency
        x = noise(2, separator.latency + rate // 2)
        stems = separator.process(x)
        delayed = np.pad(x, ((0, 0), (separator.latency, 0)))[:, : x.shape[1]]
        assert np.array_equal(stems[INSTRUMENTAL], delayed - stems[VOCALS])
        assert stems[VOCALS].any()
    assert latency["follow"] == latency["instrumental"]


def marked_gain(spec, rate, frames):
    """Return the gain [frames] that a marker's masks give the input, from the windows alone.

    The mask of column j, which ends with hop j, weighs the newest `synthesis` samples of its frame.
    """
    analysis, synthesis = window_pair(spec.framing)
    weights = analysis[-spec.synthesis :] * synthesis
    own = spec.rates[0]
    steps = int(frames * own / rate / spec.hop) + 8
    gain = np.zeros((steps + 1) * spec.hop + spec.synthesis)  # from model frame -synthesis on
    for j in range(steps):
        start = (j + 1) * spec.hop
        gain[start : start + spec.synthesis] += mark(j) * weights
    delay = make_pipeline(spec, rate, 1, own).bridge.down_table.shape[1] // 2
    position = (np.arange(frames) + delay * (rate != own)) * own / rate
    return np.interp(position + spec.synthesis, np.arange(len(gain)), gain)


@pytest.mark.parametrize("system", LOW)
@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000])
def test_a_mask_with_equal_bins_plays_like_a_mask_of_the_whole_band(system, rate):
    """And each mask comes to its own column, whatever the look-ahead; no step anywhere: it cannot click."""
    separator = separator_of(system, rate, kind="marker", lookahead=None, band_above="follow")
    spec = make_spec("marker", **FRAMINGS[system])
    frames = 2 * rate
    x = noise(2, separator.latency + frames)
    output = separator.process(x)[VOCALS, :, separator.latency :]
    gain = marked_gain(spec, rate, frames)
    meant = gain * x[:, :frames]
    assert np.abs(output - meant).max() < 5e-3  # a moving gain and a filter do not quite commute
    assert decibels(output - meant, meant) < -50
    other = np.roll(gain, round(spec.hop * rate / spec.rates[0])) * x[:, :frames]
    assert decibels(output - other, meant) > -20


@pytest.mark.parametrize("rule", ["follow", "instrumental"])
def test_the_band_follows_the_top_octave_alone(rule):
    spec = make_spec(**(FRAMINGS["column-resnet"] | {"band_above": rule}))
    x = tone(17000, 44100)
    for upper in (0.0, 0.25, 1.0):
        mask = np.full((1, spec.bins), 1 - upper)
        mask[:, (spec.bins - 1) // 2 :] = upper
        feeds, latency = play(spec, 44100, x, mask)
        output, meant = feeds[VOCALS, :, latency:], x[:, : feeds.shape[2] - latency]
        share = upper if rule == "follow" else 0.0
        assert np.abs(output - share * meant)[:, 2000:].max() < 1e-4


def test_the_octave_is_audible_if_the_device_has_the_lower_rate():
    spec = make_spec(**(FRAMINGS["column-resnet"] | {"band_above": "follow"}))
    x = noise(1, 12000)
    mask = np.zeros((1, spec.bins))
    top_bin = int((spec.bins - 1) * 8000 / 22050)
    mask[:, : top_bin + 1] = 1  # above it lies nothing: what is said of it must not matter
    feeds, latency = play(spec, 8000, x, mask)
    bands = np.fft.rfft(feeds[VOCALS, 0, latency:]), np.fft.rfft(x[0, : feeds.shape[2] - latency])
    edge = slice(int(0.9 * len(bands[0])), None)
    assert decibels(np.abs(bands[0] - bands[1])[edge], np.abs(bands[1])[edge]) < -20


def test_policy_shapes_what_the_band_follows():
    spec = make_spec(**(FRAMINGS["column-resnet"] | {"band_above": "follow"}))
    x = tone(17000, 44100)
    mask = np.full((1, spec.bins), 0.4)
    for controls, share in ((Controls(gate=0.5), 0.0), (Controls(mask=1, threshold=0.3), 1.0)):
        feeds, latency = play(spec, 44100, x, mask, controls)
        error = feeds[VOCALS, :, latency:] - share * x[:, : feeds.shape[2] - latency]
        assert np.abs(error)[:, 2000:].max() < 1e-4


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_mid_and_side_have_gains_of_their_own_where_the_mask_has(channels):
    entries = FRAMINGS["column-resnet"] | {"channels": 2, "band_above": "follow"}
    x = tone(17000, 44100, channels=channels)
    pairs = channels - channels % 2
    middle = x.copy()  # the mid of a pair on both sides; a lone channel is its own mid
    middle[:pairs] = np.repeat((x[0:pairs:2] + x[1:pairs:2]) / 2, 2, axis=0)
    left = np.where(np.arange(channels) % 2 == 0, 1.0, 0.0)[:, None] * x
    for stereo, meant in (("mid-side", middle), ("left-right", left)):
        spec = make_spec(**(entries | {"stereo": stereo}))
        mask = np.stack([np.ones(spec.bins), np.zeros(spec.bins)])
        feeds, latency = play(spec, 44100, x, mask)
        error = feeds[VOCALS, :, latency:] - meant[:, : feeds.shape[2] - latency]
        assert np.abs(error)[:, 2000:].max() < 1e-4


def test_at_the_models_own_rate_the_rule_changes_nothing_and_costs_nothing():
    x = noise(2, 30000)
    played = [
        separator_of("column-resnet", 22050, kind="marker", band_above=rule).process(x)
        for rule in ("follow", "instrumental")
    ]
    assert np.array_equal(*played)
    for rate, rule in ((22050, "follow"), (44100, "instrumental")):
        spec = make_spec(**(FRAMINGS["column-resnet"] | {"band_above": rule}))
        above = make_pipeline(spec, rate, 2, 22050).above
        assert not above.follows[0] and above.line.size == above.hop.size == 0


def test_the_result_does_not_depend_on_how_the_input_is_cut():
    x = noise(2, 40000)
    whole = separator_of("column-resnet", 44100, kind="marker", band_above="follow").process(x)
    separator = separator_of("column-resnet", 44100, kind="marker", band_above="follow")
    parts = [separator.process(x[:, i : i + 777]) for i in range(0, x.shape[1], 777)]
    assert np.array_equal(np.concatenate(parts, axis=2), whole)
