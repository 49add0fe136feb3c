"""The running engine: rings, pipeline and hop loop together, its latency budget and its state."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import drift as clocks
from rtsep.audio import rings
from rtsep.audio.bursts import read_spread
from rtsep.audio.hoploop import CALLS_COMPARED, SLEEP_AFTER_S, HopState, run_hops, wake_hops
from rtsep.audio.latency_budget import LatencyBudget
from rtsep.audio.prefill import CHOSEN, MIN_COMPUTE_SHARE, chosen_slack, prefill
from rtsep.audio.record_tap import RecordTap
from rtsep.audio.rings import most_slack as most_slack
from rtsep.audio.source import FileSource
from rtsep.audio.telemetry import Progress, Telemetry, forget_longest, read_progress, read_telemetry
from rtsep.controls import Controls
from rtsep.dsp.feedback import Feedback, make_feedback_guard, read_feedback
from rtsep.dsp.limiter import make_limiter, reduction_db
from rtsep.dsp.router import BUS, FEEDS, INSTRUMENTAL, MIX, VOCALS
from rtsep.model.contract import ModelSpec
from rtsep.pipeline import make_pipeline, max_frames_per_step, model_rate_for, stream_delay
from rtsep.realtime import priority, threads, wake
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.mask_exchange import Exchange, MaskExchange
from rtsep.realtime.memory import mapped_zeros

PRIORITY = 65
RECORD_SECONDS = 8.0
"""Maximum delay of a recorder in seconds before it loses frames."""


@dataclass(frozen=True)
class StreamFormat:
    """Rates, channels and blocks of one run."""

    rate: int  # Hz of the input and of the engine's device side
    channels: int  # channels of the signal
    in_map: tuple[int, ...]  # device channel (from 0) for each channel
    out_map: tuple[int, ...]  # for each device channel: feed * channels + channel, or -1
    block: int  # frames per call of the input (of both, with one clock)
    out_rate: int
    out_block: int
    two_clocks: bool
    slack: int | None = None  # frames; None: automatic
    hardware: int = 0  # frames that the devices report; 0 if their reports are unreliable (JACK)
    bus: str = "mix"  # initial feed of the stereo bus; it gives the bus's ports their names
    limiter: bool = False  # limit the output to full scale
    feedback_guard: bool = False  # reduce the output if microphone and loudspeakers feed back


class Engine:
    """Everything between an open device and the model's process. Call `start`, attach devices, `stop`."""

    def __init__(
        self,
        spec: ModelSpec,
        format: StreamFormat,
        controls: Controls,
        shared: MaskExchange,
        input_ring: NDArray[np.float32] | None = None,
    ) -> None:
        """Build an engine; `input_ring` belongs to an engine with a played file that this one shares."""
        self.format = format
        self.spec = spec
        self.controls = controls
        self.model_rate = model_rate_for(spec, format.rate)
        self._exchange = shared.exchange
        self._rings = rings.Rings(
            format.rate, format.channels, list(format.in_map), len(format.out_map), input_ring
        )
        self._pipeline = make_pipeline(
            spec, format.rate, format.channels, self.model_rate, _dry_feeds(format)
        )
        self._shares_input = input_ring is not None
        self._hop_signal = wake.Semaphore()
        self._max_frames = max_frames_per_step(format.rate, self.model_rate, spec.hop)
        self._hop_state = self._make_hop_state()
        state = self._rings.state
        state[rings.HOP_SIGNAL] = self._hop_signal.handle
        state[rings.BLOCK], state[rings.IN_BLOCK] = format.out_block, format.block
        state[rings.OUT_RATE] = format.out_rate
        state[rings.NEXT_HOP_AT] = 1
        # At another rate than the model's, hops vary by one frame.
        state[rings.HOP] = self.spec.hop if format.rate == self.model_rate else 0
        state[rings.MAX_HOP] = self._max_frames
        state[rings.SLACK] = CHOSEN if format.slack is None else format.slack
        if not format.two_clocks:
            slack, hop = state[rings.SLACK], state[rings.HOP]
            state[rings.OUT_WRITE] = state[rings.PREFILL] = prefill(
                hop, self._max_frames, slack, format.block
            )
        self._ready = int(state[rings.PREFILL])  # output frames ready before the first input
        self._thread: threading.Thread | None = None
        self._real_time = False  # at the start of the hop loop
        self.failure: Exception | None = None
        """Error that ended the hop loop; None while it runs normally."""

    # --- latency ---------------------------------------------------------------------------------

    @property
    def _slack(self) -> int:
        if self.format.slack is not None:
            return self.format.slack
        return 0 if self.format.two_clocks else int(chosen_slack(self._max_frames, self.format.block))

    def _compute_fill(self) -> float:
        """Return the output frames to keep ahead with two clocks, besides both blocks: hop and computing."""
        compute = MIN_COMPUTE_SHARE * self._max_frames + self._slack
        return (self._max_frames + compute) * self.format.out_rate / self.format.rate

    @property
    def latency(self) -> LatencyBudget:
        """Return the declared latency; tests compare it with the measured one."""
        format = self.format
        # The algorithmic latency includes the filling of a hop, which overlaps with the device's block.
        algorithm = stream_delay(self._pipeline) + self._max_frames
        if format.two_clocks:
            ratio = format.rate / format.out_rate
            blocks = format.block + round(format.out_block * ratio)
            fill = format.out_block + format.block / ratio + self._compute_fill()
            ahead = round((fill + clocks.stream_delay(self._hop_state.drift)) * ratio)
            engine = ahead - blocks - self._max_frames
            return LatencyBudget(
                rate=format.rate, algorithm=algorithm, engine=engine, device=blocks + format.hardware
            )
        device = stream_delay(self._pipeline) + self._ready - algorithm - self._slack
        return LatencyBudget(
            rate=format.rate, algorithm=algorithm, engine=self._slack, device=device + format.hardware
        )

    @property
    def feed_delay(self) -> int:
        """Return the lag of the feeds behind the input at the pipeline's output: the recorder's offset."""
        return stream_delay(self._pipeline)

    def burst_frames(self, windows: int, share: float) -> int | None:
        """Return how many frames early devices call, see `rtsep.audio.bursts`; None: not known yet."""
        format, state = self.format, self._rings.state
        sides = [(rings.OUT_BURSTS, format.out_block, format.out_rate)]
        if format.two_clocks:
            sides.append((rings.IN_BURSTS, format.block, format.rate))
        frames = 0
        for at, block, rate in sides:
            spread = read_spread(state, at, windows, share)
            if spread is None:
                return None
            if spread * rate > block:  # less is jitter that every engine tolerates
                frames += math.ceil(spread * format.rate)
        return frames

    def set_slack(self, frames: int) -> StreamFormat:
        """Use `frames` of slack from now on, at least the initial slack; return the format with it.

        Playback moves to another position, with a short fade. With two clocks, more slack comes after a gap,
        and less slack by steering the distance.
        """
        more = frames - self._slack
        if self.format.two_clocks:
            ratio = self.format.out_rate / self.format.rate
            release(self._rings.state, rings.ADDED, self.read(rings.ADDED) + round(more * ratio))
        else:
            release(self._rings.state, rings.SLACK, frames)
            self._ready += more
        self.format = replace(self.format, slack=frames)
        self._declare_trip()
        return self.format

    @property
    def slack(self) -> int:
        """Return the frames that are added so that the model can finish."""
        return self._slack

    def follow_blocks(self) -> StreamFormat:
        """Adopt the devices' current blocks if they have settled; return the format with them.

        The audio has adapted already. `format` and `latency` then refer to the new blocks.
        """
        format, out_block = self.format, self.read(rings.BLOCK)
        self._ready = self.read(rings.PREFILL) + self.read(rings.OUT_LAG)
        block = out_block if not format.two_clocks else self.read(rings.IN_BLOCK)
        if (block, out_block) != (format.block, format.out_block):
            self.format = replace(format, block=block, out_block=out_block)
            self._declare_trip()
        return self.format

    def _declare_trip(self) -> None:
        self._hop_state.guard.trip_s[0] = self.latency.total / self.format.rate

    # --- life ------------------------------------------------------------------------------------

    def _make_hop_state(self) -> HopState:
        format, max_frames = self.format, self._max_frames
        devices = len(format.out_map)
        recorded = 1 << math.ceil(math.log2(RECORD_SECONDS * format.rate))  # frames
        drift = clocks.make_drift(format.rate, format.out_rate, devices, max_frames)
        max_out_frames = math.ceil(max_frames * format.out_rate / format.rate * (1 + clocks.LIMIT)) + 2
        return HopState(
            block=np.zeros((format.channels, max_frames), np.float32),
            feeds=np.zeros((len(FEEDS), format.channels, max_frames), np.float32),
            held=np.zeros((self.spec.channels, self.spec.bins), np.float32),
            out_map=np.array(format.out_map, np.int64),
            mapped=np.zeros((devices, max_frames), np.float32),
            resampled=np.zeros((devices, max_out_frames), np.float32),
            record=mapped_zeros(recorded, len(FEEDS), format.channels),
            meters=np.zeros((len(FEEDS), 2), np.float32),
            late_log=np.zeros(rings.LATE_LOG, np.int64),
            histogram=np.zeros(rings.HISTOGRAM_BINS, np.int64),
            finish_ns=np.zeros(1, np.int64),
            bases_ns=np.zeros(CALLS_COMPARED, np.int64),
            drift=drift,
            limiter=make_limiter(format.limiter, format.out_map, format.channels, format.out_rate),
            guard=make_feedback_guard(format.feedback_guard, self._pipeline.stft.analysis, self.model_rate),
            two_clocks=format.two_clocks,
            compute_fill=self._compute_fill(),
            late_hops=np.zeros(1, np.int64),
            silent_frames=np.zeros(1, np.int64),
        )

    def compile(self) -> None:
        """Compile the hop loop, or load it from the cache; the first time takes seconds.

        The back end compiles the callbacks.
        """
        priority.prepare()
        state = self._rings.state
        state[rings.RUN] = 0
        run_hops(state, self._pipeline, self.controls.control_block, self._exchange, self._hop_state)
        wake_hops(state)
        state[rings.RUN] = 1

    def attach_source(self, source: FileSource) -> None:
        """Let `source` provide the input, at the pace of the output; call this before the engine is used.

        An engine that shares the input ring of another one is fed together with it from now on.
        """
        self._rings.state[rings.HAS_SOURCE] = 1
        if self._shares_input:
            source.feed_also(self._rings.state)
        else:
            source.start(self._rings.state, self._rings.input)

    def detach_source(self, source: FileSource) -> None:
        """Stop feeding this engine from `source`; another engine continues with it."""
        source.feed_no_more(self._rings.state)

    def start(self) -> None:
        """Start the hop loop, which waits for input. Raise `NoThreadError`."""
        self._declare_trip()

        def run() -> None:
            self._real_time = priority.raise_thread_priority(PRIORITY)
            try:
                run_hops(
                    self._rings.state,
                    self._pipeline,
                    self.controls.control_block,
                    self._exchange,
                    self._hop_state,
                )
            except Exception as error:
                self.failure = error

        thread = threading.Thread(target=run, name="hop-loop", daemon=True)
        threads.start(thread)
        self._thread = thread

    def end_hops(self) -> None:
        """End the hop loop; devices may still call, and get silence."""
        release(self._rings.state, rings.RUN, 0)
        wake_hops(self._rings.state)
        if self._thread:
            self._thread.join()

    def stop(self) -> None:
        """End the hop loop if it runs; stop the devices first."""
        self.end_hops()
        self._hop_signal.close()

    # --- reading ---------------------------------------------------------------------------------

    @property
    def real_time(self) -> bool:
        """Return whether the hop loop has real-time priority, or had it until it ended."""
        thread = self._thread
        if thread is None or thread.native_id is None or not thread.is_alive():
            return self._real_time
        return self._real_time and priority.is_real_time(thread.native_id)

    @property
    def state(self) -> NDArray[np.int64]:
        """Return the state that callbacks get the address of; only for `rtsep.audio`."""
        return self._rings.state

    @property
    def input_ring(self) -> NDArray[np.float32]:
        """Return the input ring [frames, channels]; the reader of a played file writes to it."""
        return self._rings.input

    @property
    def output_ring(self) -> NDArray[np.float32]:
        """Return the output ring [frames, output channels]; the hop loop writes the output to it."""
        return self._rings.output

    @property
    def record_tap(self) -> RecordTap:
        """Return the recorders' access to the feeds, which exists with or without a recorder."""
        return RecordTap(self._rings.state, self._hop_state.record, self.format.rate, self.feed_delay)

    @property
    def exchange(self) -> Exchange:
        """Return the state shared with the model, for other readers."""
        return self._exchange

    def progress(self) -> Progress:
        """Return the positions of input, hop loop and output."""
        return read_progress(self._rings.state)

    def telemetry(self) -> Telemetry:
        """Return the longest times so far. Read `hop_histogram` first: the longest hop is stored first."""
        return read_telemetry(self._rings.state)

    def forget_longest(self) -> None:
        """Restart the longest times; this takes some hops."""
        format = self.format
        hop_s = self.spec.hop / self.model_rate
        forget_longest(self._rings.state, 4 * max(format.out_block / format.out_rate, hop_s))

    def read(self, slot: int) -> int:
        """Return one slot of `rtsep.audio.rings`; only for `rtsep.audio` and its tests."""
        return int(acquire(self._rings.state, slot))

    def late_hops(self) -> list[int]:
        """Return the numbers (from 0) of recent hops with late masks, oldest first."""
        count = self.read(rings.LATE_MASKS)
        kept = min(count, rings.LATE_LOG)
        return [int(self._hop_state.late_log[i % rings.LATE_LOG]) for i in range(count - kept, count)]

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return the histogram of hop durations, in bins of HISTOGRAM_STEP_NS."""
        return self._hop_state.histogram.copy()

    def meters(self) -> dict[str, dict[str, float]]:
        """Return peak and RMS of every feed, linear."""
        meters = self._hop_state.meters
        return {
            name: {"peak": float(meters[f, 0]), "rms": math.sqrt(float(meters[f, 1]))}
            for f, name in enumerate(FEEDS)
        }

    @property
    def asleep(self) -> bool:
        """Return whether the model gets no columns now, because the input is silent."""
        return bool(self._hop_state.silent_frames[0] > SLEEP_AFTER_S * self.format.rate)

    def limiter_db(self) -> float:
        """Return the limiter's current gain in decibels: 0 or less."""
        return reduction_db(self._hop_state.limiter)

    def feedback(self) -> Feedback:
        """Return the state of the feedback guard and its gain."""
        return read_feedback(self._hop_state.guard)

    def drift_ppm(self) -> float | None:
        """Return the measured difference of two clocks in ppm (positive: the input is faster)."""
        return float(self._hop_state.drift.integral[0]) * 1e6 if self.format.two_clocks else None

    def counters(self) -> dict[str, Any]:
        """Return the totals of frames, hops and faults so far."""
        return {
            "hops": self.read(rings.HOPS),
            "late_masks": self.read(rings.LATE_MASKS),
            "underruns": self.read(rings.UNDERRUNS),
            "underrun_frames": self.read(rings.UNDERRUN_FRAMES),
            "overruns": self.read(rings.OVERRUNS),
            "device_xruns": self.read(rings.IN_OVERFLOWS) + self.read(rings.OUT_UNDERFLOWS),
            "source_starved_frames": self.read(rings.SOURCE_STARVED),
            "resyncs": max(0, self.read(rings.RESYNCS) - 1),  # the first one is the start
            "limited_frames": int(self._hop_state.limiter.limited[0]),
            "bad_samples": int(self._pipeline.bad_samples[0]),
        }


def _dry_feeds(format: StreamFormat) -> tuple[int, ...]:
    """Return the feeds that carry the dry signal: the first played stem, the mix and the bus."""
    played = {entry // format.channels for entry in format.out_map if entry >= 0}
    alone = INSTRUMENTAL in played or (BUS in played and format.bus == FEEDS[INSTRUMENTAL])
    return (INSTRUMENTAL if alone and VOCALS not in played else VOCALS, MIX, BUS)
