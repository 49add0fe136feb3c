"""The hop loop: one compiled function on one thread that turns input into feeds until it is told to stop.

Needs no GIL and takes no lock, so nothing that Python does can delay a hop. A mask is waited for
until the last moment at which the hop can still be played; a late one costs that hop its own mask
(the last one serves), never its deadline.

Block: one hop, `frames_needed` device frames. Stream delay: the pipeline's, and the drift's with two clocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.audio import drift as clocks
from rtsep.audio import rings as r
from rtsep.audio.drift import Drift
from rtsep.dsp.feedback import FeedbackGuard, dim, follow_feedback
from rtsep.dsp.limiter import Limiter, is_limiting, limit
from rtsep.dsp.router import FEEDS
from rtsep.dsp.shift import copy_row, copy_rows
from rtsep.pipeline import Pipeline, begin_hop, finish_hop, frames_needed, newest_spectra
from rtsep.realtime import clock, slots, wake
from rtsep.realtime.atomics import fence, load_acquire, store_release
from rtsep.realtime.slots import SLOTS, Exchange, mask_is_there, publish_column
from rtsep.realtime.stops import STOP_NS

RESERVE_NS = 500_000
"""What stays of a hop's time after its mask's deadline, besides what its synthesis takes: a late wake-up."""

HOLD_S = 0.06
"""How long the last mask may serve, for one hop at least; then the dry signal fades in."""

RESYNC_S = 0.1
"""Two clocks: a distance this far off its target is set anew at once, not steered."""

LATE_HOPS = 3
"""Two clocks: of so many hops running something came too late to be played, as the distance is too short: it
is set anew as well. Steered, it would crackle until half a per cent has made up for it."""

CALLS_COMPARED = 3
"""Whose times say when the next call is due: the earliest, as if all had come when it did. One that came late
would have the next one's mask waited for too long; after a gap of the device's own they are all late, and
masks are given up too early for as many calls less one."""

METER_FALL_S = 0.4  # of 20 dB

PATIENT_NS = 2_000_000_000
"""How long a mask is waited for while the device waits for us."""

SLEEP_AFTER_S = 10.0
SILENCE = 1e-4
"""Input below -80 dB full scale for so long puts the model to sleep: it gets no columns until sound returns.

Its state has settled by then, so to it the silence is only shorter. The last mask serves meanwhile."""

_LOOK_EVERY_NS = 100_000_000


class HopState(NamedTuple):
    """What the hop loop works on and what it leaves for others to read."""

    block: NDArray[np.float32]  # [channels, most frames]
    feeds: NDArray[np.float32]  # [feeds, channels, most frames]
    held: NDArray[np.float32]  # [model channels, bins] the last mask that came in time
    out_map: NDArray[np.int64]  # [device channels] feed * channels + channel, or -1 for silence
    mapped: NDArray[np.float32]  # [device channels, most frames]
    resampled: NDArray[np.float32]  # [device channels, most frames at the output's rate]
    record: NDArray[np.float32]  # [frames, feeds, channels] ring for the recorder; 0 frames: none
    meters: NDArray[np.float32]  # [feeds, 2] peak, mean square; decaying
    late_log: NDArray[np.int64]  # [LATE_LOG] numbers of late hops
    histogram: NDArray[np.int64]  # hops by duration
    finish_ns: NDArray[np.int64]  # [1] what the part of a hop after its mask takes, by the median
    bases_ns: NDArray[np.int64]  # [CALLS_COMPARED] time of frame 0 of the output by its last calls; 0: none
    drift: Drift
    limiter: Limiter  # at the output's rate, behind all else: recordings and meters are before it
    guard: FeedbackGuard  # listens to the input, and dims what the limiter has left
    two_clocks: bool
    compute_fill: float  # two clocks: output frames to keep ahead, besides a block of each side
    late_hops: NDArray[np.int64]  # [1] two clocks: hops running that came too late, in part at least
    silent_frames: NDArray[np.int64]  # [1] frames of silent input until now


@njit(cache=True, nogil=True)
def run_hops(
    state: np.ndarray, pipeline: Pipeline, controls: np.ndarray, exchange: Exchange, hop_state: HopState
) -> None:
    """Run until `state[RUN]` is cleared (and HOP_SIGNAL posted, or a moment passed)."""
    scratch = state[r.HOP_SCRATCH : r.HOP_SCRATCH + 2]
    hold_hops = max(1, int(HOLD_S * pipeline.rate[0] / pipeline.hop.shape[1]))
    state[r.LOOKED_NS] = clock.now_ns(scratch)
    while load_acquire(state, r.RUN) == 1:
        note_stop(state, clock.now_ns(scratch))
        frames = frames_needed(pipeline)
        complete_at = state[r.IN_READ] + frames
        store_release(state, r.NEXT_HOP_AT, complete_at)
        fence()  # see rtsep.audio.callback._input_arrived
        written = load_acquire(state, r.IN_WRITE)
        if written < complete_at:
            wake.wait(state[r.HOP_SIGNAL], _LOOK_EVERY_NS, scratch)
            continue
        started = clock.now_ns(scratch)
        _read_block(state, written, hop_state.block[:, :frames])

        number = exchange.header[slots.COLUMNS]  # ours to write: runs on when an engine is built anew
        begin_hop(pipeline, hop_state.block[:, :frames], exchange.columns[number % SLOTS])
        follow_silence(hop_state.silent_frames, hop_state.block[:, :frames])
        if hop_state.silent_frames[0] > SLEEP_AFTER_S * state[r.RATE]:
            state[r.LATE_RUN] = 0
        elif _ask_model(state, exchange, hop_state, number):
            copy_rows(exchange.masks[number % SLOTS], hop_state.held)
            state[r.LATE_RUN] = 0
        else:
            hop_state.late_log[state[r.LATE_MASKS] % r.LATE_LOG] = pipeline.step[0] - 1
            store_release(state, r.LATE_MASKS, state[r.LATE_MASKS] + 1)
            state[r.LATE_RUN] += 1
        answered = clock.now_ns(scratch)
        masks_come = state[r.LATE_RUN] <= hold_hops
        feeds = hop_state.feeds[:, :, :frames]
        finish_hop(pipeline, hop_state.held, controls, masks_come, feeds)
        seconds = frames / state[r.RATE]
        limiting = is_limiting(hop_state.limiter)
        follow_feedback(hop_state.guard, newest_spectra(pipeline), pipeline.values, limiting, seconds)

        store_release(state, r.IN_READ, complete_at)
        if hop_state.two_clocks:
            _write_drifting(state, hop_state, feeds, clock.now_ns(scratch))
        else:
            _write_mapped(state, hop_state, feeds)
        _follow_median(hop_state.finish_ns, clock.now_ns(scratch) - answered)
        _record(state, hop_state, feeds)
        _meter(hop_state.meters, feeds, seconds)
        took_ns = clock.now_ns(scratch) - started
        if took_ns > load_acquire(state, r.HOP_MAX_NS):  # before its bin: no percentile is above the maximum
            store_release(state, r.HOP_MAX_NS, took_ns)
        hop_state.histogram[min(took_ns // r.HISTOGRAM_STEP_NS, r.HISTOGRAM_BINS - 1)] += 1
        store_release(state, r.HOPS, state[r.HOPS] + 1)


@njit(cache=True, nogil=True)
def note_stop(state: np.ndarray, now: int) -> None:
    """Look at the clock: a long time since the last look is one in which the process was stopped."""
    stood = now - state[r.LOOKED_NS]
    if stood > STOP_NS:
        store_release(state, r.STOPPED_NS, state[r.STOPPED_NS] + stood)
    state[r.LOOKED_NS] = now


@njit(cache=True, nogil=True)
def wake_hops(state: np.ndarray) -> None:
    """Have the hop loop look at `state`."""
    wake.post(state[r.HOP_SIGNAL])


@njit(cache=True, nogil=True)
def _read_block(state: np.ndarray, written: int, block: np.ndarray) -> None:
    """Copy the next frames of the input ring to `block`; what was overwritten meanwhile reads as silence."""
    ring_frames, channels = state[r.RING_FRAMES], state[r.IN_CHANNELS]
    ring = r.input_ring(state)
    start = state[r.IN_READ]
    oldest = written - ring_frames + ring_frames // 8  # the callback may be writing just now
    for i in range(block.shape[1]):
        row = (start + i) & (ring_frames - 1)
        for c in range(channels):
            block[c, i] = ring[row, c] if start + i >= oldest else np.float32(0)
    if start < oldest:
        state[r.OVERRUNS] += 1


@njit(cache=True, nogil=True)
def follow_silence(silent_frames: np.ndarray, block: np.ndarray) -> None:
    """Count the frames of silent input until now in `silent_frames` [1]; `block` is [channels, frames]."""
    for c in range(block.shape[0]):
        for i in range(block.shape[1]):
            if not abs(block[c, i]) < SILENCE:  # not a number is no silence
                silent_frames[0] = 0
                return
    silent_frames[0] += block.shape[1]


@njit(cache=True, nogil=True)
def _ask_model(state: np.ndarray, exchange: Exchange, hop_state: HopState, number: int) -> bool:
    """Give column `number` to the model; return whether its mask has come in time."""
    publish_column(exchange, number)
    return _await_mask(state, exchange, number, _deadline(state, hop_state))


@njit(cache=True, nogil=True)
def _deadline(state: np.ndarray, hop_state: HopState) -> int:
    """Return the time at which the call that plays the first frame of this hop is due, less the reserve."""
    if load_acquire(state, r.PATIENT) != 0:
        return clock.now_ns(state[r.HOP_SCRATCH : r.HOP_SCRATCH + 2]) + PATIENT_NS
    block = state[r.OUT_FRAMES] if state[r.OUT_FRAMES] > 0 else max(1, state[r.BLOCK])
    last_end = load_acquire(state, r.OUT_READ)  # the calls to come begin whole blocks later
    played_at = state[r.OUT_WRITE] + load_acquire(state, r.OUT_LAG)
    call_start = last_end + (played_at - last_end) // block * block
    base = load_acquire(state, r.OUT_BASE_NS)
    if base == 0:  # the first input is here, its output call not yet: it comes now
        base = clock.now_ns(state[r.HOP_SCRATCH : r.HOP_SCRATCH + 2])
    else:
        hop_state.bases_ns[load_acquire(state, r.OUT_CALLS) % CALLS_COMPARED] = base
        for earlier in hop_state.bases_ns:
            if earlier != 0:
                base = min(base, earlier)
    return base + clock.frames_to_ns(call_start, state[r.OUT_RATE]) - RESERVE_NS - hop_state.finish_ns[0]


@njit(cache=True, nogil=True)
def _follow_median(median: np.ndarray, value: int) -> None:
    """Move `median` [1] towards `value` by a fixed share: a hop that was held up counts for no more."""
    if median[0] == 0:
        median[0] = value
    step = max(1, median[0] // 64)
    median[0] += step if value > median[0] else -step


@njit(cache=True, nogil=True)
def _await_mask(state: np.ndarray, exchange: Exchange, number: int, deadline: int) -> bool:
    scratch = state[r.HOP_SCRATCH : r.HOP_SCRATCH + 2]
    while not mask_is_there(exchange, number):
        now = clock.now_ns(scratch)
        note_stop(state, now)
        left = deadline - now
        if left <= 0 or load_acquire(exchange.header, slots.MODEL_STATE) != slots.READY:
            return mask_is_there(exchange, number)
        wake.wait(exchange.mask_signal, min(left, _LOOK_EVERY_NS), scratch)
    return True


@njit(cache=True, nogil=True)
def _map_feeds(hop_state: HopState, feeds: np.ndarray) -> np.ndarray:
    channels, frames = feeds.shape[1], feeds.shape[2]
    mapped = hop_state.mapped[:, :frames]
    for d in range(hop_state.out_map.size):
        source = hop_state.out_map[d]
        if source < 0:
            mapped[d] = 0
        else:
            copy_row(feeds[source // channels, source % channels], mapped[d])
    return mapped


@njit(cache=True, nogil=True)
def _write_frames(state: np.ndarray, start: int, block: np.ndarray, frames: int) -> None:
    ring_frames, ring = state[r.RING_FRAMES], r.output_ring(state)
    for i in range(frames):
        row = (start + i) & (ring_frames - 1)
        for d in range(block.shape[0]):
            ring[row, d] = block[d, i]


@njit(cache=True, nogil=True)
def _write_mapped(state: np.ndarray, hop_state: HopState, feeds: np.ndarray) -> None:
    start, frames = state[r.OUT_WRITE], feeds.shape[2]
    mapped = _map_feeds(hop_state, feeds)
    limit(hop_state.limiter, mapped, frames)
    dim(hop_state.guard, mapped, frames)
    _write_frames(state, start, mapped, frames)
    store_release(state, r.OUT_WRITE, start + frames)


@njit(cache=True, nogil=True)
def _write_drifting(state: np.ndarray, hop_state: HopState, feeds: np.ndarray, now: int) -> None:
    """Resample the hop to the output's clock and steer the distance between the two."""
    drift = hop_state.drift
    count = clocks.resample_block(drift, _map_feeds(hop_state, feeds), hop_state.resampled)
    limit(hop_state.limiter, hop_state.resampled, count)  # here: a resampler may overshoot
    dim(hop_state.guard, hop_state.resampled, count)
    if load_acquire(state, r.OUT_CALLS) == 0:
        return  # nobody listens yet
    # Positions by the clock, between the calls: no saw-tooth of blocks in what is measured.
    in_rate, out_rate = float(state[r.RATE]), float(state[r.OUT_RATE])
    heard = (now - load_acquire(state, r.IN_BASE_NS)) * 1e-9 * in_rate
    played = (now - load_acquire(state, r.OUT_BASE_NS)) * 1e-9 * out_rate
    waiting = (heard - state[r.IN_READ]) / drift.nominal
    fill = state[r.OUT_WRITE] + count + waiting - played
    start = state[r.OUT_WRITE]
    in_block = load_acquire(state, r.IN_BLOCK)
    target_fill = hop_state.compute_fill + load_acquire(state, r.BLOCK) + in_block * out_rate / in_rate
    added = load_acquire(state, r.ADDED)
    target_fill += added
    first = state[r.RESYNCS] == 0 or added > state[r.ADDED_BEFORE]
    state[r.ADDED_BEFORE] = added
    # What is late and no nearer than it should be was held up itself, and catches up.
    late = start < load_acquire(state, r.OUT_READ) and fill < target_fill - count / 2
    hop_state.late_hops[0] = hop_state.late_hops[0] + 1 if late else 0
    too_late = hop_state.late_hops[0] == LATE_HOPS
    if first or too_late or abs(fill - target_fill) > RESYNC_S * out_rate:
        start = int(played - waiting + target_fill) - count
        hop_state.resampled[:, count:] = 0
        drift.error[1] = 0.0
        hop_state.late_hops[0] = 0
        state[r.RESYNCS] += 1
    else:
        clocks.correct(drift, fill, target_fill, feeds.shape[2] / in_rate)
    _write_frames(state, start, hop_state.resampled, count)
    store_release(state, r.OUT_WRITE, start + count)


@njit(cache=True, nogil=True)
def _record(state: np.ndarray, hop_state: HopState, feeds: np.ndarray) -> None:
    ring_frames = hop_state.record.shape[0]
    if ring_frames == 0:
        return
    start = state[r.RECORD_WRITE]
    for i in range(feeds.shape[2]):
        row = hop_state.record[(start + i) & (ring_frames - 1)]
        for f in range(feeds.shape[0]):
            for c in range(feeds.shape[1]):
                row[f, c] = feeds[f, c, i]
    store_release(state, r.RECORD_WRITE, start + feeds.shape[2])


@njit(cache=True, nogil=True)
def _meter(meters: np.ndarray, feeds: np.ndarray, seconds: float) -> None:
    keep = np.float32(0.1 ** (seconds / METER_FALL_S))
    for f in range(len(FEEDS)):
        peak, power = np.float32(0), np.float32(0)
        for c in range(feeds.shape[1]):
            for i in range(feeds.shape[2]):
                x = feeds[f, c, i]
                peak = max(peak, abs(x))
                power += x * x
        power /= np.float32(feeds.shape[1] * feeds.shape[2])
        meters[f, 0] = max(peak, keep * meters[f, 0])
        meters[f, 1] = keep * meters[f, 1] + (np.float32(1) - keep) * power
