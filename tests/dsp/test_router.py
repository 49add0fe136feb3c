import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, TABLE
from rtsep.dsp.router import BUS, DRY, FEEDS, INSTRUMENTAL, MIX, SOURCES, VOCALS, feed_levels, route
from tests.dsp.twins import UNIT_ROUNDOFF, noise

FRAMES = 96


def values(**changes):
    row = np.array([control.default for control in TABLE], float)
    for name, value in changes.items():
        row[list(BY_NAME).index(name)] = value
    return row


def levels(wet=1.0, dry_feeds=(VOCALS, MIX, BUS), **changes):
    share = np.zeros(len(FEEDS))
    share[list(dry_feeds)] = 1
    out = np.full((len(FEEDS), SOURCES), np.nan)
    feed_levels(values(**changes), wet, share, out)
    return out


def play(vocals, dry, to, previous=None):
    feeds = np.full((len(FEEDS), *dry.shape), np.nan, np.float32)
    route(vocals, dry, to.copy() if previous is None else previous, to, feeds)
    return feeds


def sources(seed=0, channels=2):
    dry = noise(channels, FRAMES, seed, level=1.0)
    mask = np.random.default_rng(seed + 1).uniform(-0.2, 1.2, dry.shape)
    return (dry * mask).astype(np.float32), dry


CONTROLS = st.fixed_dictionaries(
    {},
    optional={
        "vocals_gain": st.floats(-60, 12),
        "instrumental_gain": st.floats(-60, 12),
        "vocals_mute": st.booleans(),
        "vocals_solo": st.booleans(),
        "instrumental_mute": st.booleans(),
        "instrumental_solo": st.booleans(),
        "blend": st.floats(0, 1),
        "bypass": st.booleans(),
        "balance": st.floats(0, 1),
    },
)


@given(st.integers(0, 999))
def test_at_unity_vocals_pass_and_the_instrumental_is_mix_minus_vocals_to_the_last_bit(seed):
    vocals, dry = sources(seed)
    feeds = play(vocals, dry, levels())
    assert np.array_equal(feeds[VOCALS], vocals)
    assert np.array_equal(feeds[INSTRUMENTAL], dry - vocals)
    assert np.array_equal(feeds[DRY], dry)


@given(st.integers(0, 999))
def test_at_unity_the_stems_add_up_to_the_input_within_their_own_rounding(seed):
    vocals, dry = sources(seed)
    feeds = play(vocals, dry, levels())
    total = feeds[VOCALS].astype(float) + feeds[INSTRUMENTAL]
    assert np.all(np.abs(total - dry) <= UNIT_ROUNDOFF * np.abs(feeds[INSTRUMENTAL].astype(float)))


def test_sixteen_bit_audio_adds_up_bit_for_bit():
    steps = np.random.default_rng(3)
    dry = (steps.integers(-(2**15), 2**15, (2, FRAMES)) / 2**15).astype(np.float32)
    vocals = (steps.integers(-(2**15), 2**15, (2, FRAMES)) / 2**15).astype(np.float32)
    feeds = play(vocals, dry, levels())
    assert np.array_equal(feeds[VOCALS] + feeds[INSTRUMENTAL], dry)


@given(st.integers(0, 999), st.floats(0, 1), st.booleans(), st.floats(0, 1))
def test_feeds_add_up_to_the_input_at_any_blend_bypass_and_wetness(seed, blend, bypass, wet):
    vocals, dry = sources(seed)
    feeds = play(vocals, dry, levels(wet, blend=blend, bypass=bypass)).astype(float)
    # Each feed is rounded to float32 once, the instrumental before it once more; all are below 4.
    assert np.abs(feeds[VOCALS] + feeds[INSTRUMENTAL] - dry).max() <= 4 * 4 * UNIT_ROUNDOFF
    assert np.abs(feeds[MIX] - dry).max() <= 4 * 4 * UNIT_ROUNDOFF


@given(CONTROLS, CONTROLS, st.integers(0, 99), st.floats(0, 1))
def test_the_dry_feed_is_the_input_whatever_is_turned(before, after, seed, wet):
    vocals, dry = sources(seed)
    feeds = play(vocals, dry, levels(wet, **after), previous=levels(1.0, **before))
    assert np.array_equal(feeds[DRY], dry)


@given(CONTROLS, CONTROLS, st.integers(0, 99), st.floats(0, 1))
def test_ramps_are_straight_lines_from_the_old_levels_to_the_new(before, after, seed, wet):
    vocals, dry = sources(seed)
    start, end = levels(1.0, **before), levels(wet, **after)
    previous = start.copy()
    feeds = play(vocals, dry, end, previous=previous)
    t = np.arange(1, FRAMES + 1) / FRAMES
    three = np.stack([vocals, dry - vocals, dry]).astype(float)
    for f in range(len(FEEDS)):
        line = start[f][:, None] + (end[f] - start[f])[:, None] * t
        expected = np.einsum("sn,scn->cn", line, three)
        size = np.einsum("sn,scn->cn", np.abs(line), np.abs(three)) + 1
        assert np.all(np.abs(feeds[f] - expected) <= 3 * UNIT_ROUNDOFF * size * 4)
    assert np.array_equal(previous, end)  # the next block starts where this one ended


@given(
    st.lists(st.tuples(CONTROLS, st.sampled_from([0, 0.5, 1])), min_size=2, max_size=6), st.integers(0, 99)
)
def test_no_change_of_any_control_steps_by_more_than_its_ramp(settings, seed):
    channels, frames = 1, 64
    vocals, dry = np.full((channels, frames), 0.3, np.float32), np.full((channels, frames), 0.7, np.float32)
    previous = levels(settings[0][1], **settings[0][0])
    outputs, largest = [play(vocals, dry, previous.copy())], np.zeros(len(FEEDS))
    for setting, wet in settings[1:]:
        to = levels(wet, **setting)
        largest = np.maximum(largest, np.abs(to - previous) @ np.array([0.3, 0.4, 0.7]) / frames)
        outputs.append(play(vocals, dry, to, previous))
    steps = np.abs(np.diff(np.concatenate(outputs, axis=2).astype(float), axis=2)).max(axis=(1, 2))
    assert np.all(steps <= largest + 16 * UNIT_ROUNDOFF)  # rounding of levels up to 4


@pytest.mark.parametrize("state", list(itertools.product([0, 1], repeat=4)), ids=str)
def test_mute_and_solo(state):
    vocals_mute, vocals_solo, instrumental_mute, instrumental_solo = state
    out = levels(
        vocals_mute=vocals_mute,
        vocals_solo=vocals_solo,
        instrumental_mute=instrumental_mute,
        instrumental_solo=instrumental_solo,
    )
    # As on a desk: mute wins; once anything is soloed only what is soloed sounds.
    any_solo = vocals_solo or instrumental_solo
    vocals = float(not vocals_mute and (vocals_solo or not any_solo))
    instrumental = float(not instrumental_mute and (instrumental_solo or not any_solo))
    assert out[VOCALS].tolist() == [vocals, 0, 0]
    assert out[INSTRUMENTAL].tolist() == [0, instrumental, 0]
    assert out[MIX].tolist() == [vocals, instrumental, 0]
    assert out[DRY].tolist() == [0, 0, 1]


def test_gains_are_decibels_and_the_lowest_is_silence():
    out = levels(vocals_gain=-20, instrumental_gain=6)
    assert out[VOCALS, 0] == pytest.approx(0.1)
    assert out[INSTRUMENTAL, 1] == pytest.approx(10 ** (6 / 20))
    assert levels(vocals_gain=-144)[VOCALS, 0] == 0


def test_unity_is_exactly_one():
    assert levels()[VOCALS, 0] == 1 and levels()[INSTRUMENTAL, 1] == 1


GAIN_AND_MUTES = {
    "vocals_gain": st.sampled_from([-144.0, -144.0, -30.0, 0.0, 6.0]),
    "instrumental_gain": st.sampled_from([-144.0, -30.0, 0.0, 6.0]),
    **{f"{stem}_{what}": st.booleans() for stem in ("vocals", "instrumental") for what in ("mute", "solo")},
}


@given(st.fixed_dictionaries(GAIN_AND_MUTES), st.floats(0, 1), st.sampled_from([VOCALS, INSTRUMENTAL]))
def test_without_masks_no_feed_is_louder_than_its_stem_was(setting, wet, first):
    separated, out = levels(dry_feeds=(first, MIX), **setting), levels(wet, dry_feeds=(first, MIX), **setting)
    vocals, instrumental = separated[VOCALS, 0], separated[INSTRUMENTAL, 1]
    assert out[:DRY, :2] == pytest.approx(wet * separated[:DRY, :2])
    assert out[MIX, 2] == pytest.approx((1 - wet) * max(vocals, instrumental))
    own = {VOCALS: vocals, INSTRUMENTAL: instrumental}
    other = INSTRUMENTAL if first == VOCALS else VOCALS
    carrier, silent = (first, other) if own[first] else (other, first)
    assert out[carrier, 2] == pytest.approx((1 - wet) * own[carrier])
    assert out[silent, 2] == 0


def test_a_muted_stem_stays_silent_without_masks_and_bypass_is_still_audible():
    muted = levels(wet=0.0, vocals_mute=1, instrumental_gain=-20)
    assert muted[VOCALS].tolist() == [0, 0, 0]
    assert muted[INSTRUMENTAL].tolist() == pytest.approx([0, 0, 0.1])
    assert not levels(wet=0.0, vocals_mute=1, instrumental_mute=1)[:DRY].any()
    assert levels(wet=0.0, bypass=1, vocals_mute=1, instrumental_mute=1)[VOCALS].tolist() == [0, 0, 1]
    # Half by blend, which passes a mute by, and half for want of masks, which does not.
    assert levels(wet=0.0, blend=0.5, vocals_mute=1)[VOCALS].tolist() == [0, 0, 0.5]
    assert levels(wet=0.0, blend=0.5, vocals_mute=1)[INSTRUMENTAL].tolist() == [0, 0, 0.5]


@pytest.mark.parametrize("setting", [{"bypass": 1}, {"blend": 0}, {"wet": 0.0}], ids=str)
def test_dry_goes_to_the_feed_that_listens_and_nowhere_else(setting):
    out = levels(dry_feeds=(INSTRUMENTAL,), **setting)
    assert out[VOCALS].tolist() == [0, 0, 0]
    assert out[INSTRUMENTAL].tolist() == [0, 0, 1]
    assert out[MIX].tolist() == [0, 0, 0]
    vocals, dry = sources()
    assert np.array_equal(play(vocals, dry, out)[INSTRUMENTAL], dry)


def test_bypass_ignores_gains_and_mutes():
    assert np.array_equal(levels(bypass=1, vocals_mute=1, vocals_gain=-30), levels(bypass=1))


@pytest.mark.parametrize(("balance", "feed"), [(1, VOCALS), (0, INSTRUMENTAL), (0.5, MIX)])
@given(CONTROLS, st.floats(0, 1))
def test_at_its_ends_and_in_the_middle_the_bus_is_a_feed_to_the_last_bit(balance, feed, setting, wet):
    out = levels(wet, **setting | {"balance": balance, "bypass": 0, "blend": 1})
    vocals, dry = sources()
    feeds = play(vocals, dry, out)
    if out[feed, :2].any():  # else its mix stands in on the other feed, when masks are missing
        assert np.array_equal(feeds[BUS], feeds[feed] if feed != INSTRUMENTAL else play_dry_on_it(out))


def play_dry_on_it(out):
    """The instrumental as it would be played if it carried the dry signal, as it does where it is alone."""
    vocals, dry = sources()
    alone = out.copy()
    alone[INSTRUMENTAL, 2] = out[BUS, 2]
    return play(vocals, dry, alone)[INSTRUMENTAL]


@given(st.floats(0, 1), st.floats(-60, 12), st.floats(-60, 12))
def test_balance_turns_one_stem_down_and_never_the_other_one_up(balance, vocals_gain, instrumental_gain):
    gains = {"vocals_gain": vocals_gain, "instrumental_gain": instrumental_gain}
    stems, bus = levels(**gains), levels(**gains, balance=balance)[BUS]
    assert bus[0] == pytest.approx(stems[VOCALS, 0] * min(1, 2 * balance))
    assert bus[1] == pytest.approx(stems[INSTRUMENTAL, 1] * min(1, 2 - 2 * balance))
    assert bus[0] <= stems[VOCALS, 0] and bus[1] <= stems[INSTRUMENTAL, 1]


@given(st.floats(0, 1), CONTROLS)
def test_balance_leaves_all_other_feeds_alone(balance, setting):
    assert np.array_equal(
        levels(**setting | {"balance": balance})[:BUS], levels(**setting | {"balance": 0.5})[:BUS]
    )


@pytest.mark.parametrize("balance", [0, 0.3, 0.5, 1])
def test_bypass_is_the_input_on_the_bus_at_any_balance(balance):
    assert levels(bypass=1, balance=balance, vocals_mute=1)[BUS].tolist() == [0, 0, 1]


def test_what_the_balance_has_turned_off_does_not_come_back_when_the_network_goes():
    assert levels(wet=0.0, balance=1, vocals_mute=1)[BUS].tolist() == [0, 0, 0]
    assert levels(wet=0.0, balance=0, vocals_mute=1)[BUS].tolist() == [0, 0, 1]
    assert levels(wet=0.0, balance=0.25)[BUS].tolist() == [0, 0, 1]
