"""The signal's way through one hop, compiled: the heart that file mode and the live engine share.

    block -> model rate -> mid/side -> STFT -> column -> (the model) -> mask -> policy
          -> masked column -> inverse STFT -> left/right -> device rate (+ band above) -> router -> feeds

`begin_hop` goes up to the column, `finish_hop` from the mask on; between them the caller gets a mask
from wherever the model runs. Knows no thread, device or clock. Block: `frames_needed(pipeline)`
frames at the device rate, in and out; output lags input by `stream_delay(pipeline)` frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.controls import GATE, MASK, SMOOTHING, TABLE, THRESHOLD
from rtsep.dsp import resample
from rtsep.dsp.band_above import BandAbove, add_band_above, keep_hop, make_band_above
from rtsep.dsp.policy import apply_mask, shape_mask, smoothing_factor
from rtsep.dsp.resample import RateBridge, make_bridge, to_device_rate, to_model_rate
from rtsep.dsp.router import BUS, FEEDS, MIX, SOURCES, VOCALS, feed_levels, route
from rtsep.dsp.shift import copy_row, copy_rows, shift_left
from rtsep.dsp.stereo import decode_mid_side, encode_mid_side, fold_columns
from rtsep.dsp.stft import Stft, analyse, make_stft, synthesise
from rtsep.model.contract import ModelSpec
from rtsep.realtime.atomics import bits_to_float, load_acquire

LOUDEST = 1e4
"""Samples beyond +80 dB full scale, infinite or not a number are a fault of the source: they become 0."""

FAINTEST = 1e-25
"""Samples below -500 dB full scale become 0: their products would be denormals, which processors are slow
with. A plugin that fades out may send them for minutes."""

WET_FADE_HOPS = 2
"""How fast the dry signal takes over, and gives way again, when masks stop and return."""


class Pipeline(NamedTuple):
    """State and work space of one stream of `channels` channels."""

    bridge: RateBridge
    stft: Stft
    mid_side: NDArray[np.bool_]  # [1] how the model wants its pairs
    rate: NDArray[np.float64]  # [1] the model's, Hz
    step: NDArray[np.int64]  # [1] hops begun
    bad_samples: NDArray[np.int64]  # [1] LOUDEST and beyond
    clean: NDArray[np.float32]  # [channels, most frames a step] the block, faults removed
    hop: NDArray[np.float32]  # [channels, hop] at the model's rate
    spectra: NDArray[np.float32]  # [lookahead + 1, channels, bins, 2] ring of columns awaiting their mask
    masked: NDArray[np.float32]  # [channels, bins, 2]
    smooth: NDArray[np.float32]  # [model channels, bins] state of the mask's smoother
    mask: NDArray[np.float32]  # [model channels, bins] as played
    above: BandAbove
    vocals: NDArray[np.float32]  # [channels, most frames a step]
    dry: NDArray[np.float32]  # [channels, delay + most frames a step] the input, oldest first
    values: NDArray[np.float64]  # [controls] as read for this hop
    dry_share: NDArray[np.float64]  # [feeds] who carries the dry signal
    levels: NDArray[np.float64]  # [2, feeds, sources] this hop's and the last one's
    wet: NDArray[np.float64]  # [1] 1 while masks come, 0 when they have stopped


def make_pipeline(
    spec: ModelSpec,
    rate: int,
    channels: int,
    model_rate: int,
    dry_feeds: tuple[int, ...] = (VOCALS, MIX, BUS),
) -> Pipeline:
    """Return a fresh pipeline for audio at `rate` Hz, the model running at `model_rate` (one of its own).

    `dry_feeds` are the feeds (indices of FEEDS) that carry the dry signal under bypass and blend.
    """
    framing = spec.framing
    inner = framing.stream_delay + spec.lookahead_hops * framing.hop
    bridge = make_bridge(rate, model_rate, framing.hop, inner, channels)
    most = max_frames_per_step(rate, model_rate, framing.hop)
    follows = spec.band_above == "follow" and rate != model_rate
    share = np.zeros(len(FEEDS))
    share[list(dry_feeds)] = 1.0
    levels = np.zeros((2, len(FEEDS), SOURCES))
    return Pipeline(
        bridge=bridge,
        stft=make_stft(framing, channels),
        mid_side=np.array([spec.stereo == "mid-side"]),
        rate=np.array([float(model_rate)]),
        step=np.zeros(1, np.int64),
        bad_samples=np.zeros(1, np.int64),
        clean=np.zeros((channels, most), np.float32),
        hop=np.zeros((channels, framing.hop), np.float32),
        spectra=np.zeros((spec.lookahead_hops + 1, channels, spec.bins, 2), np.float32),
        masked=np.zeros((channels, spec.bins, 2), np.float32),
        smooth=np.zeros((spec.channels, spec.bins), np.float32),
        mask=np.zeros((spec.channels, spec.bins), np.float32),
        above=make_band_above(follows, framing, bridge, channels, spec.channels, most),
        vocals=np.zeros((channels, most), np.float32),
        dry=np.zeros((channels, int(bridge.stream_delay[0]) + most), np.float32),
        values=np.zeros(len(TABLE)),
        dry_share=share,
        levels=levels,
        wet=np.ones(1),
    )


def max_frames_per_step(rate: int, model_rate: int, hop: int) -> int:
    """Return the most device frames a step can take."""
    return hop if rate == model_rate else -(-hop * rate // model_rate) + 1


def model_rate_for(spec: ModelSpec, rate: int) -> int:
    """Return the rate at which the model hears audio of `rate` Hz: its own, or the nearest sensible one."""
    if rate in spec.rates:
        return rate
    whole = [own for own in spec.rates if rate % own == 0 or own % rate == 0]
    return min(whole or spec.rates, key=lambda own: abs(own - rate))


@njit(cache=True, nogil=True)
def frames_needed(pipeline: Pipeline) -> int:
    """Return how many device frames the next hop takes and gives."""
    return resample.frames_needed(pipeline.bridge)


def stream_delay(pipeline: Pipeline) -> int:
    """Return by how many device frames the feeds lag the input, the filling of a hop not included."""
    return int(pipeline.bridge.stream_delay[0])


@njit(cache=True, nogil=True)
def begin_hop(pipeline: Pipeline, block: np.ndarray, column: np.ndarray) -> None:
    """Take `block` [channels, frames_needed] in; write the model's `column` [model channels, bins, 2]."""
    channels, frames = block.shape
    clean = pipeline.clean[:, :frames]
    for c in range(channels):
        for i in range(frames):
            x = block[c, i]
            if not abs(x) <= LOUDEST:  # NaN too
                x = np.float32(0)
                pipeline.bad_samples[0] += 1
            elif abs(x) < FAINTEST:
                x = np.float32(0)
            clean[c, i] = x
    to_model_rate(pipeline.bridge, clean, pipeline.hop)
    if pipeline.above.follows[0]:
        keep_hop(pipeline.above, pipeline.hop)
    if pipeline.mid_side[0]:
        encode_mid_side(pipeline.hop)
    spectra = pipeline.spectra[pipeline.step[0] % pipeline.spectra.shape[0]]
    analyse(pipeline.stft, pipeline.hop, spectra)
    fold_columns(spectra, not pipeline.mid_side[0], column)
    pipeline.step[0] += 1


@njit(cache=True, nogil=True)
def newest_spectra(pipeline: Pipeline) -> np.ndarray:
    """Return the spectra [channels, bins, 2] of the hop that was begun last."""
    return pipeline.spectra[(pipeline.step[0] - 1) % pipeline.spectra.shape[0]]


@njit(cache=True, nogil=True)
def finish_hop(
    pipeline: Pipeline, mask: np.ndarray, controls: np.ndarray, masks_come: bool, feeds: np.ndarray
) -> None:
    """Play the hop begun last with `mask` [model channels, bins]; write `feeds` [feeds, channels, frames].

    `controls` are the slots of `rtsep.controls.Controls`. With `masks_come` False the dry signal
    takes over within WET_FADE_HOPS hops, until masks come again.
    """
    for k in range(pipeline.values.size):
        pipeline.values[k] = bits_to_float(load_acquire(controls, k))
    values = pipeline.values
    hop_samples = pipeline.hop.shape[1]

    factor = smoothing_factor(values[SMOOTHING], hop_samples, pipeline.rate[0])
    shape_mask(
        mask, pipeline.smooth, int(values[MASK]), values[THRESHOLD], values[GATE], factor, pipeline.mask
    )
    # The mask belongs to the oldest column of the ring; the next hop will overwrite it.
    apply_mask(pipeline.mask, pipeline.spectra[pipeline.step[0] % pipeline.spectra.shape[0]], pipeline.masked)
    synthesise(pipeline.stft, pipeline.masked, pipeline.hop)
    if pipeline.mid_side[0]:
        decode_mid_side(pipeline.hop)
    frames = feeds.shape[2]
    vocals = pipeline.vocals[:, :frames]
    to_device_rate(pipeline.bridge, pipeline.hop, vocals)

    delay = pipeline.dry.shape[1] - pipeline.clean.shape[1]
    for c in range(vocals.shape[0]):
        copy_row(pipeline.clean[c, :frames], pipeline.dry[c, delay:])
    if pipeline.above.follows[0]:
        add_band_above(pipeline.above, pipeline.mask, pipeline.mid_side[0], pipeline.dry[:, :frames], vocals)
    change = 1.0 / WET_FADE_HOPS if masks_come else -1.0 / WET_FADE_HOPS
    pipeline.wet[0] = min(1.0, max(0.0, pipeline.wet[0] + change))
    feed_levels(values, pipeline.wet[0], pipeline.dry_share, pipeline.levels[0])
    if pipeline.step[0] == 1:  # nothing has sounded yet: start at the levels, do not fade in
        copy_rows(pipeline.levels[0], pipeline.levels[1])
    route(vocals, pipeline.dry[:, :frames], pipeline.levels[1], pipeline.levels[0], feeds)
    for c in range(vocals.shape[0]):
        shift_left(pipeline.dry[c, : delay + frames], frames)
