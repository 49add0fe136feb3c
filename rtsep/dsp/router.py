"""Mixes vocals and input to the output feeds: gains, mute, solo, balance, blend, bypass.

A feed is a sum of three sources with one coefficient each: the vocals, the instrumental (mix minus vocals,
exact to the last bit), and the dry mix with matching delay. Coefficients move linearly within one hop, so
that no change clicks. Any block size, stream delay 0.

Dry (blend 0, bypass, or no network) means: the mix on the feed that carries it (`dry_share`), silence on the
others. Therefore the feeds add up to the delayed input at every setting of blend and bypass, as two returns
of a DAW require. Blend and bypass are the user's choice, and ignore mute, solo and gains. The loss of the
network is not: a muted stem stays silent, and the mix gets the level of the stem that it replaces, or of the
other stem if that one is silent.

The bus is one stereo output for both stems. At balance b its gain of the vocals is min(1, 2b) and its gain of
the instrumental min(1, 2 - 2b), multiplied by the two gains: neither stem is louder than at b = 0.5, where
the bus equals the remix. At b = 1 it equals the vocals and at b = 0 the instrumental, exact to the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsep.controls import (
    BALANCE,
    BLEND,
    BYPASS,
    INSTRUMENTAL_GAIN,
    INSTRUMENTAL_MUTE,
    INSTRUMENTAL_SOLO,
    MINUS_INFINITY_DB,
    VOCALS_GAIN,
    VOCALS_MUTE,
    VOCALS_SOLO,
)
from rtsep.dsp.shift import copy_rows

FEEDS = ("vocals", "instrumental", "mix", "dry", "bus")
VOCALS, INSTRUMENTAL, MIX, DRY, BUS = 0, 1, 2, 3, 4
"""Feeds. `mix` is the remix: both stems at their levels on one feed. `dry` is the input, delayed to match.
`bus` is the remix after the control `balance`, for one stereo output."""

SOURCES = 3  # vocals, instrumental, dry


@njit(cache=True, nogil=True)
def _gain(level_db: float, muted: float, soloed: float, other_soloed: float) -> float:
    if muted > 0.5 or (other_soloed > 0.5 and not soloed > 0.5) or level_db <= MINUS_INFINITY_DB:
        return 0.0
    return 10.0 ** (level_db / 20.0)


@njit(cache=True, nogil=True)
def feed_levels(values: np.ndarray, wet: float, dry_share: np.ndarray, levels: np.ndarray) -> None:
    """Write the coefficients `levels` [feeds, sources] for the control `values`.

    `wet` 0..1 is the share of the separated signal (0: no network); `dry_share` [feeds].
    """
    vocals = _gain(values[VOCALS_GAIN], values[VOCALS_MUTE], values[VOCALS_SOLO], values[INSTRUMENTAL_SOLO])
    instrumental = _gain(
        values[INSTRUMENTAL_GAIN], values[INSTRUMENTAL_MUTE], values[INSTRUMENTAL_SOLO], values[VOCALS_SOLO]
    )
    wanted = values[BLEND] * (0.0 if values[BYPASS] > 0.5 else 1.0)
    share = wanted * wet
    missing = wanted - share
    levels[:] = 0
    levels[VOCALS, 0] = share * vocals
    levels[INSTRUMENTAL, 1] = share * instrumental
    levels[MIX, 0] = share * vocals
    levels[MIX, 1] = share * instrumental
    bus_vocals = vocals * min(1.0, 2.0 * values[BALANCE])
    bus_instrumental = instrumental * min(1.0, 2.0 - 2.0 * values[BALANCE])
    levels[BUS, 0] = share * bus_vocals
    levels[BUS, 1] = share * bus_instrumental
    for feed in range(levels.shape[0]):
        levels[feed, 2] = (1.0 - wanted) * dry_share[feed]
    if dry_share[INSTRUMENTAL] > dry_share[VOCALS]:
        first, first_gain, other, other_gain = INSTRUMENTAL, instrumental, VOCALS, vocals
    else:
        first, first_gain, other, other_gain = VOCALS, vocals, INSTRUMENTAL, instrumental
    if first_gain > 0:
        levels[first, 2] += missing * dry_share[first] * first_gain
    else:
        levels[other, 2] += missing * dry_share[first] * other_gain
    levels[MIX, 2] += missing * dry_share[MIX] * max(vocals, instrumental)
    levels[BUS, 2] += missing * dry_share[BUS] * max(bus_vocals, bus_instrumental)
    levels[DRY, 2] = 1.0


@njit(cache=True, nogil=True)
def route(
    vocals: np.ndarray, dry: np.ndarray, previous: np.ndarray, levels: np.ndarray, feeds: np.ndarray
) -> None:
    """Mix `vocals` and `dry` [channels, frames] into `feeds` [feeds, channels, frames].

    Coefficients move from `previous` to `levels` (both [feeds, sources]) over the block and reach `levels` at
    its last frame; `previous` is then set to `levels`.
    """
    channels, frames = vocals.shape
    for f in range(feeds.shape[0]):
        start_v, start_i, start_d = previous[f]
        end_v, end_i, end_d = levels[f]
        steady = start_v == end_v and start_i == end_i and start_d == end_d
        for c in range(channels):
            for n in range(frames):
                v, d = vocals[c, n], dry[c, n]
                i = d - v
                if steady:
                    feeds[f, c, n] = end_v * v + end_i * i + end_d * d
                else:
                    t = np.float32((n + 1) / frames)
                    level_v = start_v + (end_v - start_v) * t
                    level_i = start_i + (end_i - start_i) * t
                    level_d = start_d + (end_d - start_d) * t
                    feeds[f, c, n] = level_v * v + level_i * i + level_d * d
    copy_rows(levels, previous)
