"""The virtual device: a clock that calls the callback's functions and drops their output.

It lets the program run without a sound device, at the pace of one.
"""

from __future__ import annotations

import threading

import numpy as np
from numba import njit

from rtsep.audio import engine_mixer
from rtsep.audio.backend import AudioStream, Device, StreamRequest
from rtsep.audio.engine_mixer import plays_a_file, process_input, process_output
from rtsep.realtime import clock, threads
from rtsep.realtime.atomics import load_acquire
from rtsep.realtime.priority import raise_thread_priority
from rtsep.realtime.stops import STOP_NS

PRIORITY = 70

VIRTUAL_DEVICE = Device(index=-2, name="virtual device", api="virtual", inputs=0, outputs=0, rate=44100)
"""Device of this back end. It is not listed: a session uses it if no output is named or found."""


@njit(cache=True, nogil=True)
def run_clock(
    mixer: np.ndarray, running: np.ndarray, frames: int, rate: float, sink: np.ndarray, scratch: np.ndarray
) -> None:
    """Call `mixer` for `frames` frames every `frames / rate` seconds until `running[0]` is cleared.

    `sink` is float32 [frames, output channels], `scratch` int64 [clock.SCRATCH]. After a late call, due calls
    follow at once, as with a device. After a stop of the whole process they do not: stream time stood still.
    """
    start = clock.now_ns(scratch)
    calls = 0
    while load_acquire(running, 0) == 1:
        late = clock.now_ns(scratch) - start - int(calls * frames * 1e9 / rate)
        if late > STOP_NS:  # stopped with its process: missed calls are not caught up
            start += late
        if plays_a_file(mixer):
            process_input(mixer, 0, frames, 0)
        process_output(mixer, sink.ctypes.data, frames, 0)
        calls += 1
        clock.sleep_ns(start + int(calls * frames * 1e9 / rate) - clock.now_ns(scratch), scratch)


class VirtualBackend:
    """Back end of the device that always exists."""

    def devices(self) -> list[Device]:
        """Return no devices: this one is not chosen from a list."""
        return []

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Accept every format."""

    def compile(self) -> None:
        """Compile `run_clock`, or load it from the cache."""
        mixer, stopped = np.zeros(engine_mixer.STATE_SIZE, np.int64), np.zeros(1, np.int64)
        run_clock(mixer, stopped, 1, 1.0, np.zeros((1, 1), np.float32), np.zeros(clock.SCRATCH, np.int64))

    def open(self, request: StreamRequest) -> AudioStream:
        """Return a clock at the output's rate and block."""
        return VirtualDevice(request.mixer.state, request.outputs, request.block, request.rate)


class VirtualDevice:
    """Output (and pace of a played file) without hardware. `rate` may differ a little from nominal."""

    name = VIRTUAL_DEVICE.name

    def __init__(self, mixer: np.ndarray, channels: int, frames: int, rate: float) -> None:
        self._running = np.ones(1, np.int64)
        sink, scratch = np.zeros((frames, channels), np.float32), np.zeros(clock.SCRATCH, np.int64)

        def run() -> None:
            raise_thread_priority(PRIORITY)
            run_clock(mixer, self._running, frames, float(rate), sink, scratch)

        self._thread = threading.Thread(target=run, name="virtual-device", daemon=True)

    @property
    def lost(self) -> str | None:
        """Return None: it is never lost."""
        return None

    def start(self) -> None:
        """Start the clock."""
        threads.start(self._thread)

    @property
    def new_rate(self) -> None:
        """Return None: its rate never changes."""

    @property
    def moves(self) -> int:
        """Return 0: this device is not moved."""
        return 0

    @property
    def moved_to(self) -> None:
        """Return None: this device is not moved."""

    @property
    def waits_for_us(self) -> bool:
        """Return False: it keeps time."""
        return False

    def go_on_at(self, rate: int) -> None:
        """Do nothing: the rate never changes."""

    def tend(self) -> list[str]:
        """Do nothing: all work happens in the callbacks."""
        return []

    def report_latency(self, latency: int) -> None:
        """Do nothing: no system uses the latency."""

    def close(self) -> bool:
        """Stop the clock and wait for it."""
        self._running[0] = 0
        if self._thread.ident is not None:  # else it was never started
            self._thread.join()
        return True
