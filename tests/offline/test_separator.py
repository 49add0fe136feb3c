import argparse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.cli.options import read_controls
from rtsep.controls import BY_NAME, Controls
from rtsep.dsp.router import DRY, FEEDS, INSTRUMENTAL, MIX, VOCALS
from rtsep.dsp.windows import PROFILES
from rtsep.offline.separator import Separator
from rtsep.pipeline import LOUDEST, WET_FADE_HOPS, begin_hop, finish_hop, make_pipeline, model_rate_for
from rtsep.surfaces.midi.map import MidiMap, parse_map
from rtsep.surfaces.midi.messages import Decoder
from rtsep.surfaces.midi.turn import ActiveMap
from rtsep.surfaces.presets import Preset
from rtsep.surfaces.view.turning import toggled
from tests.dsp.test_resample import PASS_EDGE, ROUND_TRIP_DB
from tests.dsp.twins import UNIT_ROUNDOFF, decibels, noise, whole_istft, whole_stft
from tests.models import PlainModel, mark

RATES = [44100, 48000, 96000, 22050, 32000]
NATIVE = (44100, 48000)


def separate(x, rate, kind="ones", controls=None, **entries):
    separator = Separator(PlainModel(kind, **entries), rate, x.shape[0], controls)
    return separator.process(x), separator.latency


def chord(channels, frames, rate):
    """Tones in the pass band of every conversion, another phase in each channel."""
    n = np.arange(frames)
    low = min(rate, min(NATIVE))
    shares = [0.01, 0.07, 0.2, 0.41, 0.62, 0.8]
    assert max(shares) < PASS_EDGE
    x = [
        sum(np.sin(np.pi * s * low / rate * n + i + 7 * c) for i, s in enumerate(shares))
        for c in range(channels)
    ]
    return (np.array(x) / len(shares)).astype(np.float32)


def play_hops(pipeline, spec, masks, hop_count, x, controls=None, come=None):
    """Run a pipeline by hand at a native rate; return feeds [feeds, channels, frames]."""
    block = (controls or Controls()).control_block
    column = np.zeros((spec.channels, spec.bins, 2), np.float32)
    feeds = np.zeros((len(FEEDS), x.shape[0], hop_count * spec.hop), np.float32)
    for t in range(hop_count):
        part = slice(t * spec.hop, (t + 1) * spec.hop)
        begin_hop(pipeline, np.ascontiguousarray(x[:, part]), column)
        hop_feeds = np.zeros((len(FEEDS), x.shape[0], spec.hop), np.float32)
        finish_hop(pipeline, masks, block, True if come is None else come(t), hop_feeds)
        feeds[:, :, part] = hop_feeds
    return feeds


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("lookahead", [0, 1, 2, 3])
def test_a_mask_of_ones_gives_the_input_back_the_declared_latency_later(rate, channels, lookahead):
    x = chord(channels, rate // 3, rate)
    stems, latency = separate(x, rate, lookahead=lookahead)
    settled = 2048 * rate // 44100 + 200
    output, meant = stems[VOCALS, :, latency + settled :], x[:, settled : x.shape[1] - latency]
    assert decibels(output - meant, meant) < (-120 if rate in NATIVE else ROUND_TRIP_DB)
    if rate in NATIVE:  # a resampler rings before a sound that begins at once
        assert decibels(stems[VOCALS, :, :latency], meant) < -120


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("lookahead", [0, 3])
def test_at_native_rates_latency_is_the_specs(profile, lookahead):
    model = PlainModel(profile=profile, lookahead=lookahead)
    for rate in NATIVE:
        assert Separator(model, rate, 2).latency == model.spec.algorithmic_latency


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_reconstructs(profile):
    x = noise(2, 20000)
    stems, latency = separate(x, 44100, profile=profile)
    assert decibels(stems[VOCALS, :, latency:] - x[:, : x.shape[1] - latency], x) < -120


@pytest.mark.parametrize("stereo", ["mid-side", "left-right"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_both_stereo_forms_reconstruct_any_number_of_channels(stereo, channels):
    x = noise(channels, 12000)
    stems, latency = separate(x, 44100, stereo=stereo)
    assert decibels(stems[VOCALS, :, latency:] - x[:, : x.shape[1] - latency], x) < -120


@pytest.mark.parametrize("rate", [*RATES, 37800])
@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_mask_of_zeros_gives_no_vocals_and_the_input_itself_as_instrumental(rate, lookahead):
    x = noise(2, rate // 5)
    stems, latency = separate(x, rate, "zeros", lookahead=lookahead)
    assert not stems[VOCALS].any()
    assert not stems[INSTRUMENTAL, :, :latency].any()
    assert np.array_equal(stems[INSTRUMENTAL, :, latency:], x[:, : x.shape[1] - latency])


@given(
    st.integers(0, 999), st.sampled_from([*RATES, 8000]), st.sampled_from(["half", "state-counter", "echo"])
)
def test_stems_add_up_to_the_delayed_input(seed, rate, kind):
    x = noise(2, 6000, seed)
    stems, latency = separate(x, rate, kind)
    delayed = np.pad(x, ((0, 0), (latency, 0)))[:, : x.shape[1]]
    assert np.array_equal(stems[INSTRUMENTAL], delayed - stems[VOCALS])
    total = stems[VOCALS].astype(float) + stems[INSTRUMENTAL]
    assert np.all(np.abs(total - delayed) <= UNIT_ROUNDOFF * np.abs(stems[INSTRUMENTAL].astype(float)))


@given(
    st.sampled_from(RATES),
    st.sampled_from([1, 2, 3]),
    st.lists(st.integers(0, 2500), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_output_does_not_depend_on_how_the_input_is_cut(rate, channels, cuts, lookahead):
    frames = 8000
    x = noise(channels, frames, seed=len(cuts))
    whole, _ = separate(x, rate, "state-counter", lookahead=lookahead)
    separator = Separator(PlainModel("state-counter", lookahead=lookahead), rate, channels)
    parts, position = [], 0
    for cut in [*cuts, frames]:
        block = x[:, position : min(position + cut, frames)]
        stems = separator.process(block)
        assert stems.shape == (2, *block.shape)
        parts.append(stems)
        position += block.shape[1]
    assert np.array_equal(np.concatenate(parts, axis=2), whole)


@pytest.mark.parametrize("lookahead", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("profile", PROFILES)
def test_lookahead_brings_each_mask_to_its_own_column(lookahead, profile):
    framing = PROFILES[profile]
    x = noise(2, framing.hop * 40)
    stems, latency = separate(x, 44100, "marker", lookahead=lookahead, profile=profile)
    columns = whole_stft(x, framing)
    marks = np.array([mark(j) for j in range(len(columns))])
    reference = whole_istft(columns * marks[:, None, None], framing)
    behind = (1 + lookahead) * framing.hop  # to fill a hop, and for the look-ahead
    assert latency == behind + framing.stream_delay
    output, meant = stems[VOCALS, :, behind:], reference[:, : x.shape[1] - behind]
    assert decibels(output - meant, meant) < -120
    # The same masks, one column off, are far from that: the marks do mark.
    wrong = whole_istft(columns * np.roll(marks, 1)[:, None, None], framing)[:, : x.shape[1] - behind]
    assert decibels(output - wrong, meant) > -20


@pytest.mark.parametrize("rate", [44100, 96000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1.1e4])
def test_a_bad_sample_counts_as_silence_and_poisons_nothing(rate, bad):
    clean = noise(2, 9000)
    x = clean.copy()
    x[0, 3000:3010] = bad
    x[1, 5000] = bad
    clean[0, 3000:3010] = 0
    clean[1, 5000] = 0
    assert np.array_equal(separate(x, rate, "half")[0], separate(clean, rate, "half")[0])


def test_bad_samples_are_counted_and_loud_ones_are_not_bad():
    model = PlainModel()
    pipeline = make_pipeline(model.spec, 44100, 1, 44100)
    block = np.full((1, model.spec.hop), LOUDEST, np.float32)
    block[0, :3] = np.nan, np.inf, -1e30
    begin_hop(pipeline, block, model.column[:1])
    assert pipeline.bad_samples[0] == 3


@pytest.mark.parametrize("kind", ["nan-later"])
def test_a_model_that_turns_to_nan_falls_silent_and_leaves_the_instrumental_whole(kind):
    x = noise(2, 256 * 60)
    stems, latency = separate(x, 44100, kind)
    assert np.isfinite(stems).all()
    after = 256 * 44
    assert not stems[VOCALS, :, after:].any()
    delayed = x[:, after - latency : x.shape[1] - latency]
    assert np.array_equal(stems[INSTRUMENTAL, :, after:], delayed)


def test_when_masks_stop_the_dry_signal_takes_over_and_gives_way_again_without_a_click():
    spec = PlainModel(profile="live").spec
    pipeline = make_pipeline(spec, 44100, 2, 44100)
    hops = 40
    x = np.full((2, hops * spec.hop), 0.5, np.float32)
    mask = np.full((2, spec.bins), 0.25, np.float32)
    feeds = play_hops(pipeline, spec, mask, hops, x, come=lambda t: not 20 <= t < 28).astype(float)
    hop = spec.hop
    gone, back = (20 + WET_FADE_HOPS) * hop, (28 + WET_FADE_HOPS) * hop
    steady = feeds[:, :, 12 * hop :]  # the start of the constant is behind
    share = 0.125
    assert np.abs(feeds[VOCALS, :, 12 * hop : 20 * hop] - share).max() < 1e-6
    assert np.all(feeds[VOCALS, :, gone - 1 : 28 * hop] == 0.5)
    assert np.all(feeds[INSTRUMENTAL, :, gone - 1 : 28 * hop] == 0)
    assert np.abs(feeds[VOCALS, :, back - 1 :] - share).max() < 1e-6
    assert np.abs(steady[VOCALS] + steady[INSTRUMENTAL] - steady[DRY]).max() < 4 * UNIT_ROUNDOFF
    slope = (0.5 - share) / (WET_FADE_HOPS * hop)
    assert np.abs(np.diff(steady[: MIX + 1], axis=2)).max() < slope * 1.001 + 4 * UNIT_ROUNDOFF


def test_when_masks_stop_what_was_muted_stays_silent_and_what_was_quiet_stays_quiet():
    spec = PlainModel(profile="live").spec
    pipeline = make_pipeline(spec, 44100, 2, 44100)
    hops, hop = 40, spec.hop
    x = np.full((2, hops * hop), 0.5, np.float32)
    mask = np.full((2, spec.bins), 0.25, np.float32)
    controls = Controls(vocals_mute=1, instrumental_gain=-20)
    feeds = play_hops(pipeline, spec, mask, hops, x, controls, lambda t: not 20 <= t < 28).astype(float)
    assert not feeds[VOCALS].any()
    dry = slice((20 + WET_FADE_HOPS) * hop - 1, 28 * hop)
    for feed in (INSTRUMENTAL, MIX):
        assert np.abs(feeds[feed, :, 12 * hop : 20 * hop] - 0.0375).max() < 1e-6
        assert np.abs(feeds[feed, :, dry] - 0.05).max() < 1e-6
    slope = (0.05 - 0.0375) / (WET_FADE_HOPS * hop)
    assert np.abs(np.diff(feeds[: MIX + 1, :, 12 * hop :], axis=2)).max() < slope * 1.001 + 4 * UNIT_ROUNDOFF


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 1.0),
        ("mask", 1.0),
        ("gate", 1.0),
        ("smoothing", 100.0),
        ("vocals_gain", 12.0),
        ("vocals_gain", -144.0),
        ("instrumental_gain", 12.0),
        ("vocals_mute", 1.0),
        ("vocals_solo", 1.0),
        ("instrumental_mute", 1.0),
        ("instrumental_solo", 1.0),
        ("blend", 0.0),
        ("bypass", 1.0),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_that_is_turned_clicks(name, value, profile):
    assert name in BY_NAME
    spec = PlainModel(profile=profile).spec
    pipeline = make_pipeline(spec, 44100, 2, 44100)
    settle = spec.n_fft // spec.hop + 3
    hops = 5 * settle
    controls = Controls()
    default = getattr(controls, name)
    x = np.full((2, hops * spec.hop), 0.5, np.float32)
    mask = np.full((2, spec.bins), 0.7, np.float32)

    def turn(t):
        if t == 2 * settle:
            setattr(controls, name, value)
        if t == 3 * settle + 5:
            setattr(controls, name, default)
        return True

    feeds = play_hops_turning(pipeline, spec, mask, hops, x, controls, turn).astype(float)
    steady = feeds[:, :, settle * spec.hop :]
    # A level moves by 4 (12 dB) at most within one hop; a mask by 1 along a Hann window's flank, or, where
    # hops are shorter than the flank, slower.
    bound = 0.5 * max(4 / spec.hop, np.pi / spec.synthesis)
    assert np.abs(np.diff(steady, axis=2)).max() < bound
    assert np.abs(steady[:, :, -spec.hop :] - steady[:, :, : spec.hop]).max() < 1e-6  # and back where it was


def play_hops_turning(pipeline, spec, mask, hops, x, controls, turn):
    feeds = []
    for t in range(hops):
        turn(t)
        feeds.append(play_hops(pipeline, spec, mask, 1, x[:, t * spec.hop : (t + 1) * spec.hop], controls))
    return np.concatenate(feeds, axis=2)


def test_a_stream_starts_at_its_levels_and_does_not_fade_in():
    spec = PlainModel().spec
    pipeline = make_pipeline(spec, 44100, 1, 44100)
    x = noise(1, spec.hop)
    silent = np.zeros((2, spec.bins), np.float32)
    feeds = play_hops(pipeline, spec, silent, 1, x, Controls(bypass=1))
    assert np.array_equal(pipeline.levels[1], pipeline.levels[0])
    assert not feeds[VOCALS].any()  # the input has not come through yet


def test_controls_are_audible():
    x = noise(2, 20000)
    quiet, latency = separate(x, 44100, controls=Controls(vocals_gain=-20))
    delayed = x[:, : x.shape[1] - latency]
    assert decibels(quiet[VOCALS, :, latency:] - 0.1 * delayed, delayed) < -120
    dry, _ = separate(x, 44100, "zeros", controls=Controls(bypass=1))
    assert np.array_equal(dry[VOCALS, :, latency:], delayed)


@pytest.mark.parametrize(
    ("setting", "share"),
    [
        ({}, 0.5),
        ({"threshold": 0.8}, 0.5 * (0.5 / 0.8) ** 2),
        ({"threshold": 0.4}, 0.5),
        ({"mask": 1, "threshold": 0.4}, 1.0),
        ({"mask": 1, "threshold": 0.6}, 0.0),
        ({"gate": 0.6}, 0.0),
        ({"gate": 0.4}, 0.5),
        ({"smoothing": 10.0}, 0.5),
    ],
    ids=str,
)
def test_mask_controls_are_audible(setting, share):
    x = noise(2, 20000)
    stems, latency = separate(x, 44100, "half", controls=Controls(**setting))
    settled = 8000  # more than twelve time constants of the smoothing
    output, delayed = stems[VOCALS, :, latency + settled :], x[:, settled : x.shape[1] - latency]
    assert decibels(output - share * delayed, delayed) < -100  # e^-12 of 0.5 is -110 dB


def test_smoothing_takes_its_time_at_the_models_rate():
    x = noise(2, 20000)
    stems, _ = separate(x, 48000, "ones", controls=Controls(smoothing=50.0))
    framing = PROFILES["light"]
    columns = whole_stft(x, framing)
    rise = 1 - np.exp(-1000 * framing.hop * np.arange(1, len(columns) + 1) / (48000 * 50.0))
    reference = whole_istft(columns * rise[:, None, None], framing)[:, : x.shape[1] - framing.hop]
    output = stems[VOCALS, :, framing.hop :]
    assert decibels(output[:, : reference.shape[1]] - reference[:, : output.shape[1]], x) < -110


def test_a_separator_starts_its_model_afresh():
    model = PlainModel("state-counter")
    x = noise(2, 5000)
    first = Separator(model, 44100, 2).process(x)
    assert np.array_equal(Separator(model, 44100, 2).process(x), first)


@pytest.mark.parametrize("shape", [(1, 100), (3, 100), (200,), (2, 10, 10)])
def test_blocks_of_another_form_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(2, frames\)"):
        Separator(PlainModel(), 44100, 2).process(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("rate", "own", "expected"),
    [
        (44100, NATIVE, 44100),
        (48000, NATIVE, 48000),
        (88200, NATIVE, 44100),
        (96000, NATIVE, 48000),
        (192000, NATIVE, 48000),
        (22050, NATIVE, 44100),
        (16000, NATIVE, 48000),
        (32000, NATIVE, 44100),
        (48000, (8192,), 8192),
    ],
)
def test_the_model_hears_its_own_rate_or_the_nearest_whole_multiple(rate, own, expected):
    assert model_rate_for(PlainModel(rates=own).spec, rate) == expected


def by_key(controls):
    controls.set("mask", toggled(BY_NAME["mask"], controls.mask), by="key")


def by_midi(controls):
    (entry,) = [e for e in parse_map("[mask]\nnote = 50\n", Path("midi.toml")).entries if e.in_file]
    ActiveMap(MidiMap((entry,)), controls).take(Decoder().feed([0x90, 50, 100]), 0, "pad")


def by_command_line(controls):
    arguments = argparse.Namespace(**dict.fromkeys(BY_NAME) | {"mask": "Binary"})
    read_controls(arguments, controls)


WAYS = [
    by_key,
    by_midi,
    by_command_line,
    lambda controls: Preset("cut", {"mask": 1.0}).recall(controls),
    lambda controls: controls.set_text("mask", "binary"),
    lambda controls: setattr(controls, "mask", 1),
]


@pytest.mark.parametrize("turn", WAYS)
def test_binary_masks_cut_in_the_middle_whoever_turns_them_on(turn):
    x, controls = noise(2, 20000), Controls()
    turn(controls)
    assert controls.mask == 1
    stems, latency = separate(x, 44100, "half", controls)  # a mask of 0.5 is no voice
    assert not stems[VOCALS].any()
    assert np.array_equal(stems[INSTRUMENTAL][:, latency:], x[:, :-latency])
