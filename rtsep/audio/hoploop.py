"""The hop loop: one compiled function on one thread that turns input into feeds until it is stopped.

It needs no GIL and takes no lock, so no Python code can delay a hop. It waits for a mask until the last
moment at which the hop can still be played. If the mask is late, the hop uses the previous mask, and keeps
its deadline.

Block: one hop, `frames_needed` device frames. Stream delay: the pipeline's, and the drift's with two clocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.audio import drift as clocks
from rtsep.audio import rings
from rtsep.audio.drift import Drift
from rtsep.dsp.feedback import FeedbackGuard, dim, follow_feedback
from rtsep.dsp.limiter import Limiter, is_limiting, limit
from rtsep.dsp.router import FEEDS
from rtsep.dsp.shift import copy_row, copy_rows
from rtsep.pipeline import Pipeline, begin_hop, finish_hop, frames_needed, newest_spectra
from rtsep.realtime import clock, mask_exchange, wake
from rtsep.realtime.atomics import fence, load_acquire, store_release
from rtsep.realtime.mask_exchange import CAPACITY, Exchange, mask_is_there, publish_column
from rtsep.realtime.stops import STOP_NS

RESERVE_NS = 500_000
"""Part of a hop's time, after the mask's deadline and besides the synthesis, reserved for late wake-ups."""

HOLD_S = 0.06
"""Longest reuse of the last mask in seconds, at least one hop; then the dry signal fades in."""

RESYNC_S = 0.1
"""Two clocks: a distance that differs from its target by more than this, in seconds, is reset at once.

Smaller differences are corrected gradually."""

LATE_HOPS = 3
"""Two clocks: after this number of late hops in a row, the distance is too short and is reset as well.
Steering would crackle until a correction of half a per cent has made up for it."""

CALLS_COMPARED = 3
"""Number of recent output callbacks used to predict the next one; the earliest counts, so one late callback
does not extend the deadline. After a gap in the device, up to CALLS_COMPARED - 1 masks are given up too
early."""

METER_FALL_S = 0.4  # seconds for 20 dB

PATIENT_NS = 2_000_000_000
"""Maximum wait for a mask while the device waits for rtsep."""

SLEEP_AFTER_S = 10.0
SILENCE = 1e-4
"""Input below -80 dB full scale for SLEEP_AFTER_S puts the model to sleep: it gets no columns until there is
sound again. The model's state has settled by then, so it only sees a shorter silence. The last mask is used
meanwhile."""

_LOOK_EVERY_NS = 100_000_000


class HopState(NamedTuple):
    """State of the hop loop and its results for other readers."""

    block: NDArray[np.float32]  # [channels, max frames]
    feeds: NDArray[np.float32]  # [feeds, channels, max frames]
    held: NDArray[np.float32]  # [model channels, bins] the last mask in time
    out_map: NDArray[np.int64]  # [device channels] feed * channels + channel, or -1 for silence
    mapped: NDArray[np.float32]  # [device channels, max frames]
    resampled: NDArray[np.float32]  # [device channels, max frames at the output's rate]
    record: NDArray[np.float32]  # [frames, feeds, channels] ring for the recorder; 0 frames: none
    meters: NDArray[np.float32]  # [feeds, 2] peak, mean square; decaying
    late_log: NDArray[np.int64]  # [LATE_LOG] numbers of hops with late masks
    histogram: NDArray[np.int64]  # hops by duration
    finish_ns: NDArray[np.int64]  # [1] median time of the part of a hop after its mask
    # [CALLS_COMPARED] time of frame 0 of the output according to its last calls; 0: none
    bases_ns: NDArray[np.int64]
    drift: Drift
    limiter: Limiter  # at the output's rate, last in the path; recordings and meters come before it
    guard: FeedbackGuard  # analyses the input, and reduces the output after the limiter
    two_clocks: bool
    compute_fill: float  # two clocks: output frames to keep ahead, besides one block of each side
    late_hops: NDArray[np.int64]  # [1] two clocks: consecutive hops that were at least partly late
    silent_frames: NDArray[np.int64]  # [1] frames of silent input so far


@njit(cache=True, nogil=True)
def run_hops(
    state: np.ndarray, pipeline: Pipeline, controls: np.ndarray, exchange: Exchange, hop_state: HopState
) -> None:
    """Run until `state[RUN]` is cleared (and HOP_SIGNAL posted, or a moment passed)."""
    scratch = state[rings.HOP_SCRATCH : rings.HOP_SCRATCH + 2]
    hold_hops = max(1, int(HOLD_S * pipeline.rate[0] / pipeline.hop.shape[1]))
    state[rings.LOOKED_NS] = clock.now_ns(scratch)
    while load_acquire(state, rings.RUN) == 1:
        note_stop(state, clock.now_ns(scratch))
        frames = frames_needed(pipeline)
        complete_at = state[rings.IN_READ] + frames
        store_release(state, rings.NEXT_HOP_AT, complete_at)
        fence()  # see rtsep.audio.callback._input_arrived
        written = load_acquire(state, rings.IN_WRITE)
        if written < complete_at:
            wake.wait(state[rings.HOP_SIGNAL], _LOOK_EVERY_NS, scratch)
            continue
        started = clock.now_ns(scratch)
        _read_block(state, written, hop_state.block[:, :frames])

        # the hop loop owns this count, which continues across engines
        number = exchange.header[mask_exchange.COLUMNS]
        begin_hop(pipeline, hop_state.block[:, :frames], exchange.columns[number % CAPACITY])
        follow_silence(hop_state.silent_frames, hop_state.block[:, :frames])
        if hop_state.silent_frames[0] > SLEEP_AFTER_S * state[rings.RATE]:
            state[rings.LATE_RUN] = 0
        elif _request_mask(state, exchange, hop_state, number):
            copy_rows(exchange.masks[number % CAPACITY], hop_state.held)
            state[rings.LATE_RUN] = 0
        else:
            hop_state.late_log[state[rings.LATE_MASKS] % rings.LATE_LOG] = pipeline.step[0] - 1
            store_release(state, rings.LATE_MASKS, state[rings.LATE_MASKS] + 1)
            state[rings.LATE_RUN] += 1
        answered = clock.now_ns(scratch)
        masks_come = state[rings.LATE_RUN] <= hold_hops
        feeds = hop_state.feeds[:, :, :frames]
        finish_hop(pipeline, hop_state.held, controls, masks_come, feeds)
        seconds = frames / state[rings.RATE]
        limiting = is_limiting(hop_state.limiter)
        follow_feedback(hop_state.guard, newest_spectra(pipeline), pipeline.values, limiting, seconds)

        store_release(state, rings.IN_READ, complete_at)
        if hop_state.two_clocks:
            _write_drifting(state, hop_state, feeds, clock.now_ns(scratch))
        else:
            _write_mapped(state, hop_state, feeds)
        _follow_median(hop_state.finish_ns, clock.now_ns(scratch) - answered)
        _record(state, hop_state, feeds)
        _meter(hop_state.meters, feeds, seconds)
        took_ns = clock.now_ns(scratch) - started
        # stored before its bin: no percentile exceeds the maximum
        if took_ns > load_acquire(state, rings.HOP_MAX_NS):
            store_release(state, rings.HOP_MAX_NS, took_ns)
        hop_state.histogram[min(took_ns // rings.HISTOGRAM_STEP_NS, rings.HISTOGRAM_BINS - 1)] += 1
        store_release(state, rings.HOPS, state[rings.HOPS] + 1)


@njit(cache=True, nogil=True)
def note_stop(state: np.ndarray, now: int) -> None:
    """Check the clock: a long time since the last check means that the process was stopped."""
    stood = now - state[rings.LOOKED_NS]
    if stood > STOP_NS:
        store_release(state, rings.STOPPED_NS, state[rings.STOPPED_NS] + stood)
    state[rings.LOOKED_NS] = now


@njit(cache=True, nogil=True)
def wake_hops(state: np.ndarray) -> None:
    """Wake the hop loop to check `state`."""
    wake.post(state[rings.HOP_SIGNAL])


@njit(cache=True, nogil=True)
def _read_block(state: np.ndarray, written: int, block: np.ndarray) -> None:
    """Copy the next frames of the input ring to `block`; frames overwritten meanwhile become silence."""
    ring_frames, channels = state[rings.RING_FRAMES], state[rings.IN_CHANNELS]
    ring = rings.input_ring(state)
    start = state[rings.IN_READ]
    oldest = written - ring_frames + ring_frames // 8  # the callback may be writing now
    for i in range(block.shape[1]):
        row = (start + i) & (ring_frames - 1)
        for c in range(channels):
            block[c, i] = ring[row, c] if start + i >= oldest else np.float32(0)
    if start < oldest:
        state[rings.OVERRUNS] += 1


@njit(cache=True, nogil=True)
def follow_silence(silent_frames: np.ndarray, block: np.ndarray) -> None:
    """Count the frames of silent input until now in `silent_frames` [1]; `block` is [channels, frames]."""
    for c in range(block.shape[0]):
        for i in range(block.shape[1]):
            if not abs(block[c, i]) < SILENCE:  # NaN is not silence
                silent_frames[0] = 0
                return
    silent_frames[0] += block.shape[1]


@njit(cache=True, nogil=True)
def _request_mask(state: np.ndarray, exchange: Exchange, hop_state: HopState, number: int) -> bool:
    """Send column `number` to the model; return whether its mask came in time."""
    publish_column(exchange, number)
    return _await_mask(state, exchange, number, _deadline(state, hop_state))


@njit(cache=True, nogil=True)
def _deadline(state: np.ndarray, hop_state: HopState) -> int:
    """Return the due time of the call that plays the first frame of this hop, less the reserve."""
    if load_acquire(state, rings.PATIENT) != 0:
        return clock.now_ns(state[rings.HOP_SCRATCH : rings.HOP_SCRATCH + 2]) + PATIENT_NS
    block = state[rings.OUT_FRAMES] if state[rings.OUT_FRAMES] > 0 else max(1, state[rings.BLOCK])
    last_end = load_acquire(state, rings.OUT_READ)  # the next calls begin whole blocks later
    played_at = state[rings.OUT_WRITE] + load_acquire(state, rings.OUT_LAG)
    call_start = last_end + (played_at - last_end) // block * block
    base = load_acquire(state, rings.OUT_BASE_NS)
    if base == 0:  # the first input is here, but not its output call: it comes now
        base = clock.now_ns(state[rings.HOP_SCRATCH : rings.HOP_SCRATCH + 2])
    else:
        hop_state.bases_ns[load_acquire(state, rings.OUT_CALLS) % CALLS_COMPARED] = base
        for earlier in hop_state.bases_ns:
            if earlier != 0:
                base = min(base, earlier)
    return base + clock.frames_to_ns(call_start, state[rings.OUT_RATE]) - RESERVE_NS - hop_state.finish_ns[0]


@njit(cache=True, nogil=True)
def _follow_median(median: np.ndarray, value: int) -> None:
    """Move `median` [1] towards `value` by a fixed share, so that an outlier has no more effect."""
    if median[0] == 0:
        median[0] = value
    step = max(1, median[0] // 64)
    median[0] += step if value > median[0] else -step


@njit(cache=True, nogil=True)
def _await_mask(state: np.ndarray, exchange: Exchange, number: int, deadline: int) -> bool:
    scratch = state[rings.HOP_SCRATCH : rings.HOP_SCRATCH + 2]
    while not mask_is_there(exchange, number):
        now = clock.now_ns(scratch)
        note_stop(state, now)
        left = deadline - now
        if left <= 0 or load_acquire(exchange.header, mask_exchange.MODEL_STATE) != mask_exchange.READY:
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
    ring_frames, ring = state[rings.RING_FRAMES], rings.output_ring(state)
    for i in range(frames):
        row = (start + i) & (ring_frames - 1)
        for d in range(block.shape[0]):
            ring[row, d] = block[d, i]


@njit(cache=True, nogil=True)
def _silence(state: np.ndarray, start: int, end: int) -> None:
    """Write silence from frame `start` to `end`, not yet published: the ring still holds its last round."""
    ring_frames, ring = state[rings.RING_FRAMES], rings.output_ring(state)
    for frame in range(start, min(end, start + ring_frames)):
        ring[frame & (ring_frames - 1), :] = np.float32(0)


@njit(cache=True, nogil=True)
def _write_mapped(state: np.ndarray, hop_state: HopState, feeds: np.ndarray) -> None:
    start, frames = state[rings.OUT_WRITE], feeds.shape[2]
    mapped = _map_feeds(hop_state, feeds)
    limit(hop_state.limiter, mapped, frames)
    dim(hop_state.guard, mapped, frames)
    _write_frames(state, start, mapped, frames)
    store_release(state, rings.OUT_WRITE, start + frames)


@njit(cache=True, nogil=True)
def _write_drifting(state: np.ndarray, hop_state: HopState, feeds: np.ndarray, now: int) -> None:
    """Resample the hop to the output's clock and control the distance between the two."""
    drift = hop_state.drift
    count = clocks.resample_block(drift, _map_feeds(hop_state, feeds), hop_state.resampled)
    limit(hop_state.limiter, hop_state.resampled, count)  # limited here, because a resampler may overshoot
    dim(hop_state.guard, hop_state.resampled, count)
    if load_acquire(state, rings.OUT_CALLS) == 0:
        return  # no output call yet
    # Positions come from the clock, between calls: the measurement has no saw-tooth of blocks.
    in_rate, out_rate = float(state[rings.RATE]), float(state[rings.OUT_RATE])
    captured = (now - load_acquire(state, rings.IN_BASE_NS)) * 1e-9 * in_rate
    played = (now - load_acquire(state, rings.OUT_BASE_NS)) * 1e-9 * out_rate
    waiting = (captured - state[rings.IN_READ]) / drift.nominal
    fill = state[rings.OUT_WRITE] + count + waiting - played
    start = state[rings.OUT_WRITE]
    in_block = load_acquire(state, rings.IN_BLOCK)
    target_fill = hop_state.compute_fill + load_acquire(state, rings.BLOCK) + in_block * out_rate / in_rate
    added = load_acquire(state, rings.ADDED)
    target_fill += added
    first = state[rings.RESYNCS] == 0 or added > state[rings.ADDED_BEFORE]
    state[rings.ADDED_BEFORE] = added
    # Late output that is not too close was delayed itself, and catches up.
    late = start < load_acquire(state, rings.OUT_READ) and fill < target_fill - count / 2
    hop_state.late_hops[0] = hop_state.late_hops[0] + 1 if late else 0
    too_late = hop_state.late_hops[0] == LATE_HOPS
    if first or too_late or abs(fill - target_fill) > RESYNC_S * out_rate:
        start = int(played - waiting + target_fill) - count
        _silence(state, max(state[rings.OUT_WRITE], load_acquire(state, rings.OUT_READ)), start)
        drift.error[1] = 0.0
        hop_state.late_hops[0] = 0
        state[rings.RESYNCS] += 1
    else:
        clocks.correct(drift, fill, target_fill, feeds.shape[2] / in_rate)
    _write_frames(state, start, hop_state.resampled, count)
    store_release(state, rings.OUT_WRITE, start + count)


@njit(cache=True, nogil=True)
def _record(state: np.ndarray, hop_state: HopState, feeds: np.ndarray) -> None:
    ring_frames = hop_state.record.shape[0]
    if ring_frames == 0:
        return
    start = state[rings.RECORD_WRITE]
    for i in range(feeds.shape[2]):
        row = hop_state.record[(start + i) & (ring_frames - 1)]
        for f in range(feeds.shape[0]):
            for c in range(feeds.shape[1]):
                row[f, c] = feeds[f, c, i]
    store_release(state, rings.RECORD_WRITE, start + feeds.shape[2])


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
