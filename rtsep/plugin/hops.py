"""The hop loop of a plugin's engine: input ring to output ring, until the stream, or the engine, ends.

It uses the same pipeline as the rest of rtsep, so the stems add up here too. Each hop waits for its mask
until the plugin is about to need the output, and in a render until the mask arrives. A block is one
hop, `frames_needed` frames. The stream delay is that of the pipeline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.audio.hoploop import HOLD_S, RESERVE_NS, SLEEP_AFTER_S, follow_silence
from rtsep.dsp.router import BUS, FEEDS, INSTRUMENTAL, VOCALS
from rtsep.dsp.shift import copy_rows
from rtsep.model.contract import ModelSpec
from rtsep.pipeline import (
    Pipeline,
    begin_hop,
    finish_hop,
    frames_needed,
    make_pipeline,
    max_frames_per_step,
    model_rate_for,
    stream_delay,
)
from rtsep.plugin import layout
from rtsep.realtime import clock, mask_exchange, wake
from rtsep.realtime.atomics import fence, load_acquire, store_release
from rtsep.realtime.mask_exchange import CAPACITY, Exchange, mask_is_there, publish_column

ENDED, BEGINS, BEHIND = 0, 1, 2
"""Results of `run_stream`: the end was requested; the plugin has started another stream; it is too far
behind."""

BEHIND_S = 1.0
"""Lag in seconds after which a live engine skips to the current input."""

RENDER_PATIENCE_NS = 60_000_000_000
"""Maximum wait of a render for a mask: the model process may have to restart."""

RENDER_TRIES = 3
"""Number of model processes that may try a column of a render before the last mask is reused."""

_LOOK_NS = 100_000_000
_PLAYED = (BUS, VOCALS, INSTRUMENTAL)  # feeds behind the six output channels


class Work(NamedTuple):
    """State and buffers of the loop."""

    block: NDArray[np.float32]  # [channels, max frames]
    feeds: NDArray[np.float32]  # [feeds, channels, max frames]
    held: NDArray[np.float32]  # [model channels, bins] the last mask in time
    late_run: NDArray[np.int64]  # [1] hops since then
    silent_frames: NDArray[np.int64]  # [1] frames of silent input so far
    finish_ns: NDArray[np.int64]  # [1] recent maximum duration of a hop after its mask
    scratch: NDArray[np.int64]  # [wake.SCRATCH]


def fresh(spec: ModelSpec, rate: int) -> tuple[Pipeline, Work]:
    """Return pipeline and work space for a new stream of `rate` Hz."""
    model_rate = model_rate_for(spec, rate)
    max_frames = max_frames_per_step(rate, model_rate, spec.hop)
    work = Work(
        block=np.zeros((layout.IN_CHANNELS, max_frames), np.float32),
        feeds=np.zeros((len(FEEDS), layout.IN_CHANNELS, max_frames), np.float32),
        held=np.zeros((spec.channels, spec.bins), np.float32),
        late_run=np.zeros(1, np.int64),
        silent_frames=np.zeros(1, np.int64),
        finish_ns=np.zeros(1, np.int64),
        scratch=np.zeros(wake.SCRATCH, np.int64),
    )
    return make_pipeline(spec, rate, layout.IN_CHANNELS, model_rate), work


def latency_of(spec: ModelSpec, rate: int) -> tuple[int, int]:
    """Return, in frames at `rate` Hz, the longest hop of a model, and the delay of its stream."""
    pipeline, work = fresh(spec, rate)
    return work.block.shape[1], stream_delay(pipeline)


def compile_loop(spec: ModelSpec, rate: int, exchange: Exchange) -> None:
    """Compile the loop (a minute), or load it from the cache. `exchange` does not change."""
    pipeline, work = fresh(spec, rate)
    exchange = exchange._replace(header=exchange.header.copy())
    state, ended = np.zeros(layout.SLOT_COUNT, np.int64), np.zeros(1, np.int64)
    rings = np.zeros((1, layout.IN_CHANNELS), np.float32), np.zeros((1, layout.OUT_CHANNELS), np.float32)
    run_stream(state, ended, rings, (0, 0), pipeline, exchange, work, 0, 0, 0)
    settle(exchange, work, 0, ended)


@njit(cache=True, nogil=True)
def run_stream(
    state: np.ndarray,
    running: np.ndarray,
    rings: tuple[np.ndarray, np.ndarray],
    signals: tuple[int, int],
    pipeline: Pipeline,
    exchange: Exchange,
    work: Work,
    stream: int,
    start: int,
    first: int,
) -> int:
    """Play a stream that begins with input frame `start`; its output counts from frame `first` on.

    `stream` is its number.

    `state` are the slots of the memory, `running` [1] is cleared to end it. Returns ENDED, BEGINS or BEHIND.
    """
    hold_hops = max(1, int(HOLD_S * pipeline.rate[0] / pipeline.hop.shape[1]))
    read = start
    # First: a reader of the new end reads the new beginning, too.
    store_release(state, layout.SLOT_OUT_BEGIN, first)
    store_release(state, layout.SLOT_OUT_WRITE, read)
    store_release(state, layout.SLOT_OUT_STREAMS, stream)
    wake.post(signals[1])
    while load_acquire(running, 0) == 1:
        frames = frames_needed(pipeline)
        complete_at = read + frames
        store_release(state, layout.SLOT_NEXT_HOP_AT, complete_at)
        fence()  # the plugin stores IN_WRITE, then looks at NEXT_HOP_AT; one of us must see the other
        written = load_acquire(state, layout.SLOT_IN_WRITE)
        if load_acquire(state, layout.SLOT_STREAMS) != stream:
            return BEGINS
        if written < complete_at:
            wake.wait(signals[0], _LOOK_NS, work.scratch)
            continue
        rendering = load_acquire(state, layout.SLOT_OFFLINE) != 0
        if not rendering and written - read > BEHIND_S * state[layout.SLOT_RATE]:
            return BEHIND
        block = work.block[:, :frames]
        _read_block(rings[0], read, block)
        number = exchange.header[mask_exchange.COLUMNS]
        begin_hop(pipeline, block, exchange.columns[number % CAPACITY])
        follow_silence(work.silent_frames, block)
        if not rendering and work.silent_frames[0] > SLEEP_AFTER_S * state[layout.SLOT_RATE]:
            work.late_run[0] = 0
        else:
            _request_mask(
                state, exchange, work, number, _deadline(state, work, read, written), rendering, running
            )
        answered = clock.now_ns(work.scratch)
        feeds = work.feeds[:, :, :frames]
        masks_come = work.late_run[0] <= hold_hops
        controls = state[layout.SLOT_VALUES : layout.SLOT_VALUES + pipeline.values.size]
        finish_hop(pipeline, work.held, controls, masks_come, feeds)
        _write_block(rings[1], read, feeds)
        read = complete_at
        store_release(state, layout.SLOT_OUT_WRITE, read)
        store_release(state, layout.SLOT_HOPS, state[layout.SLOT_HOPS] + 1)
        wake.post(signals[1])
        took = clock.now_ns(work.scratch) - answered
        work.finish_ns[0] = max(took, work.finish_ns[0] - work.finish_ns[0] // 64)
    return ENDED


@njit(cache=True, nogil=True)
def _read_block(ring: np.ndarray, start: int, block: np.ndarray) -> None:
    for i in range(block.shape[1]):
        row = (start + i) & (ring.shape[0] - 1)
        for c in range(block.shape[0]):
            block[c, i] = ring[row, c]


@njit(cache=True, nogil=True)
def _write_block(ring: np.ndarray, start: int, feeds: np.ndarray) -> None:
    channels = feeds.shape[1]
    for i in range(feeds.shape[2]):
        row = (start + i) & (ring.shape[0] - 1)
        for k in range(len(_PLAYED)):
            for c in range(channels):
                ring[row, k * channels + c] = feeds[_PLAYED[k], c, i]


@njit(cache=True, nogil=True)
def _deadline(state: np.ndarray, work: Work, read: int, written: int) -> int:
    """Return the time at which the plugin may come for output frame `read`, less the reserve."""
    ahead = state[layout.SLOT_LAG] - state[layout.SLOT_BLOCK] - state[layout.SLOT_SPARE]
    left_ns = clock.frames_to_ns(read + ahead - written, state[layout.SLOT_RATE])
    return clock.now_ns(work.scratch) + left_ns - RESERVE_NS - work.finish_ns[0]


@njit(cache=True, nogil=True)
def _request_mask(
    state: np.ndarray,
    exchange: Exchange,
    work: Work,
    number: int,
    deadline: int,
    rendering: bool,
    running: np.ndarray,
) -> None:
    """Send column `number` to the model; store its mask, or keep the last one if it is late."""
    tries = 1
    if rendering:
        tries = RENDER_TRIES
        deadline = clock.now_ns(work.scratch) + RENDER_PATIENCE_NS
    for _ in range(tries):
        publish_column(exchange, number)
        if _await_mask(exchange, work, number, deadline, running):
            copy_rows(exchange.masks[number % CAPACITY], work.held)
            work.late_run[0] = 0
            return
        if not rendering or not _await_model(exchange, work, deadline, running):
            break
        again = exchange.columns[(number + 1) % CAPACITY]  # a new process answers new columns only
        for c in range(again.shape[0]):
            copy_rows(exchange.columns[number % CAPACITY, c], again[c])
        number += 1
    work.late_run[0] += 1
    store_release(state, layout.SLOT_LATE_MASKS, state[layout.SLOT_LATE_MASKS] + 1)


@njit(cache=True, nogil=True)
def _await_mask(exchange: Exchange, work: Work, number: int, deadline: int, running: np.ndarray) -> bool:
    """Wait for mask `number`; return whether it arrives before the time `deadline`."""
    while not mask_is_there(exchange, number):
        left = deadline - clock.now_ns(work.scratch)
        ready = load_acquire(exchange.header, mask_exchange.MODEL_STATE) == mask_exchange.READY
        if left <= 0 or not ready or load_acquire(running, 0) == 0:
            return mask_is_there(exchange, number)
        wake.wait(exchange.mask_signal, min(left, _LOOK_NS), work.scratch)
    return True


@njit(cache=True, nogil=True)
def _await_model(exchange: Exchange, work: Work, deadline: int, running: np.ndarray) -> bool:
    """Wait for a model process that answers; return whether there is one before the time `deadline`."""
    while load_acquire(exchange.header, mask_exchange.MODEL_STATE) != mask_exchange.READY:
        if clock.now_ns(work.scratch) > deadline or load_acquire(running, 0) == 0:
            return False
        clock.sleep_ns(_LOOK_NS // 10, work.scratch)
    return True


@njit(cache=True, nogil=True)
def settle(exchange: Exchange, work: Work, patience_ns: int, running: np.ndarray) -> bool:
    """Wait until every column so far has its mask; return whether that worked.

    A column of the previous stream must not reach the model after its reset.
    """
    columns = load_acquire(exchange.header, mask_exchange.COLUMNS)
    until = clock.now_ns(work.scratch) + patience_ns
    return columns == 0 or _await_mask(exchange, work, columns - 1, until, running)
