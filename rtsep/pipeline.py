"""The signal path of one hop, compiled; file mode and the live engine share it.

    block -> model rate -> mid/side -> STFT -> column -> (the model) -> mask -> policy
          -> masked column -> inverse STFT -> left/right -> device rate (+ band above) -> router -> feeds

`begin_hop` runs up to the column, `finish_hop` starts at the mask; in between, the caller gets a mask from
the model. The pipeline does not depend on threads, devices or clocks. Block: `frames_needed(pipeline)` frames
at the device rate, in and out; the output lags the input by `stream_delay(pipeline)` frames.
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
"""Highest valid sample, +80 dB full scale. Samples beyond it, infinities and NaN are errors of the source and
become 0."""

FAINTEST = 1e-25
"""Smallest valid sample, -500 dB full scale. Smaller ones become 0: their products would be denormals, which
processors compute slowly. A plugin that fades out can send them for minutes."""

WET_FADE_HOPS = 2
"""Length of the cross-fade to the dry signal when masks stop, and back when they return."""


class Pipeline(NamedTuple):
    """State and buffers of one stream of `channels` channels."""

    bridge: RateBridge
    stft: Stft
    mid_side: NDArray[np.bool_]  # [1] True: the model takes mid and side
    rate: NDArray[np.float64]  # [1] the model's rate, Hz
    step: NDArray[np.int64]  # [1] hops begun
    bad_samples: NDArray[np.int64]  # [1] count of samples beyond LOUDEST
    clean: NDArray[np.float32]  # [channels, max frames a hop] the block with invalid samples set to 0
    hop: NDArray[np.float32]  # [channels, hop] at the model's rate
    # [lookahead + 1, channels, bins, 2] ring of columns that wait for their masks
    spectra: NDArray[np.float32]
    masked: NDArray[np.float32]  # [channels, bins, 2]
    smooth: NDArray[np.float32]  # [model channels, bins] state of the mask smoother
    mask: NDArray[np.float32]  # [model channels, bins] as played
    above: BandAbove
    vocals: NDArray[np.float32]  # [channels, max frames a hop]
    dry: NDArray[np.float32]  # [channels, delay + max frames a hop] the input, oldest first
    values: NDArray[np.float64]  # [controls] as read for this hop
    dry_share: NDArray[np.float64]  # [feeds] share of the dry signal in each feed
    levels: NDArray[np.float64]  # [2, feeds, sources] levels of this hop and of the previous one
    wet: NDArray[np.float64]  # [1] 1 while masks arrive, 0 after they have stopped


def make_pipeline(
    spec: ModelSpec,
    rate: int,
    channels: int,
    model_rate: int,
    dry_feeds: tuple[int, ...] = (VOCALS, MIX, BUS),
) -> Pipeline:
    """Return a new pipeline for audio at `rate` Hz with a model at `model_rate` (one of the model's rates).

    `dry_feeds` are the feeds (indices of FEEDS) that carry the dry signal under bypass and blend.
    """
    framing = spec.framing
    inner = framing.stream_delay + spec.lookahead_hops * framing.hop
    bridge = make_bridge(rate, model_rate, framing.hop, inner, channels)
    max_frames = max_frames_per_step(rate, model_rate, framing.hop)
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
        clean=np.zeros((channels, max_frames), np.float32),
        hop=np.zeros((channels, framing.hop), np.float32),
        spectra=np.zeros((spec.lookahead_hops + 1, channels, spec.bins, 2), np.float32),
        masked=np.zeros((channels, spec.bins, 2), np.float32),
        smooth=np.zeros((spec.channels, spec.bins), np.float32),
        mask=np.zeros((spec.channels, spec.bins), np.float32),
        above=make_band_above(follows, framing, bridge, channels, spec.channels, max_frames),
        vocals=np.zeros((channels, max_frames), np.float32),
        dry=np.zeros((channels, int(bridge.stream_delay[0]) + max_frames), np.float32),
        values=np.zeros(len(TABLE)),
        dry_share=share,
        levels=levels,
        wet=np.ones(1),
    )


def max_frames_per_step(rate: int, model_rate: int, hop: int) -> int:
    """Return the maximum of device frames in one hop."""
    return hop if rate == model_rate else -(-hop * rate // model_rate) + 1


def model_rate_for(spec: ModelSpec, rate: int) -> int:
    """Return the model's rate for audio at `rate` Hz: the same rate if supported, else the best match."""
    if rate in spec.rates:
        return rate
    whole = [own for own in spec.rates if rate % own == 0 or own % rate == 0]
    return min(whole or spec.rates, key=lambda own: abs(own - rate))


@njit(cache=True, nogil=True)
def frames_needed(pipeline: Pipeline) -> int:
    """Return the number of device frames that the next hop takes and gives."""
    return resample.frames_needed(pipeline.bridge)


def stream_delay(pipeline: Pipeline) -> int:
    """Return the lag of the feeds behind the input in device frames, without the filling of a hop."""
    return int(pipeline.bridge.stream_delay[0])


@njit(cache=True, nogil=True)
def begin_hop(pipeline: Pipeline, block: np.ndarray, column: np.ndarray) -> None:
    """Read `block` [channels, frames_needed]; write the model's `column` [model channels, bins, 2]."""
    channels, frames = block.shape
    clean = pipeline.clean[:, :frames]
    for c in range(channels):
        for i in range(frames):
            x = block[c, i]
            if not abs(x) <= LOUDEST:  # also true for NaN
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
    """Return the spectra [channels, bins, 2] of the most recent `begin_hop`."""
    return pipeline.spectra[(pipeline.step[0] - 1) % pipeline.spectra.shape[0]]


@njit(cache=True, nogil=True)
def finish_hop(
    pipeline: Pipeline, mask: np.ndarray, controls: np.ndarray, masks_come: bool, feeds: np.ndarray
) -> None:
    """Apply `mask` [model channels, bins] to the current hop; write `feeds` [feeds, channels, frames].

    `controls` is the control block of `rtsep.controls.Controls`. With `masks_come` False the dry signal
    replaces the output within WET_FADE_HOPS hops, until masks arrive again.
    """
    for k in range(pipeline.values.size):
        pipeline.values[k] = bits_to_float(load_acquire(controls, k))
    values = pipeline.values
    hop_samples = pipeline.hop.shape[1]

    factor = smoothing_factor(values[SMOOTHING], hop_samples, pipeline.rate[0])
    shape_mask(
        mask, pipeline.smooth, int(values[MASK]), values[THRESHOLD], values[GATE], factor, pipeline.mask
    )
    # The mask belongs to the oldest column of the ring; the next hop overwrites that column.
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
    if pipeline.step[0] == 1:  # the first hop: start at these levels, without a fade
        copy_rows(pipeline.levels[0], pipeline.levels[1])
    route(vocals, pipeline.dry[:, :frames], pipeline.levels[1], pipeline.levels[0], feeds)
    for c in range(vocals.shape[0]):
        shift_left(pipeline.dry[c, : delay + frames], frames)
