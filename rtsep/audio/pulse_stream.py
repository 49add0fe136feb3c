"""Streams on a PulseAudio server: threads that run `rtsep.audio.pulse_loop` until they are closed."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from rtsep.audio import pulse_loop as loop
from rtsep.audio import pulse_server
from rtsep.audio.backend import Device
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.pulse_library import Connection, Side
from rtsep.realtime import threads
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.foreign_calls import close_or_leave
from rtsep.realtime.priority import raise_thread_priority

PRIORITY = 70
SILENCE_FRAMES = 1024

REASONS = {
    loop.SERVER_GONE: "the sound server has ended",
    loop.STREAM_GONE: "{} has disappeared, or the stream was closed from outside",
}


class PulseStream:
    """Stream for playback or capture: an `rtsep.audio.backend.AudioStream`."""

    def __init__(self, mixer: EngineMixer, side: Side, device: Device, block: int, margin: int) -> None:
        """Connect to `device`; raise `DeviceError` if that fails.

        `block` (frames per call) and `margin` (frames that the server keeps ready) apply to playback.
        """
        self._memory, self._side, self._device = mixer, side, device
        self._connection = Connection(side)
        self._state = np.zeros(loop.STATE_SIZE, np.int64)
        state = self._state
        state[loop.LOOP], state[loop.CONTEXT] = self._connection.loop, self._connection.context
        state[loop.STREAM] = self._connection.stream
        state[loop.MIXER], state[loop.CHANNELS] = mixer.state.ctypes.data, side.channels
        state[loop.RUN], state[loop.DEVICE] = 1, -1
        self._index = self._connection.index
        state[loop.BARRED], state[loop.ONLY] = side.barred, side.device_index if side.stays else -1
        self._first_device = -1
        self._changes: list[str] = []
        self.moves = 0
        """Number of moves to another device during playback."""
        self.moved_to: Device | None = None
        """Device of the last move; None: the stream is where it was opened."""
        block_memory = np.zeros((max(1, block), side.channels), np.float32)
        silence = np.zeros((SILENCE_FRAMES, side.channels), np.float32)

        def run() -> None:
            raise_thread_priority(PRIORITY)
            if side.playback:
                loop.run_playback(state, block_memory, silence, float(side.rate), margin)
            else:
                loop.run_capture(state, silence)

        self._thread = threading.Thread(target=run, name="pulse-audio", daemon=True)

    def start(self) -> None:
        """Start the calls."""
        self._connection.uncork()
        threads.start(self._thread)

    @property
    def lost(self) -> str | None:
        """Return why it has stopped; None while it plays, even on another device chosen by the user."""
        if reason := REASONS.get(int(acquire(self._state, loop.LOST))):
            return reason.format(self._device.name)
        now = int(acquire(self._state, loop.DEVICE))
        if self._first_device < 0 and now != self._side.barred:
            self._first_device = now
        elif now != self._first_device:
            return self._moved(now)
        return None

    def _moved(self, index: int) -> str | None:
        """Follow a move to the device `index`, or undo it; return the reason if neither is possible."""
        server, side = pulse_server.find_server(), self._side
        if server is None or int(acquire(self._state, loop.DEVICE)) == self._first_device:
            return None  # LOST follows in a moment; or it was already moved back
        ends = server.sinks if side.playback else server.sources
        if side.device not in {end.name for end in ends}:  # so the user did not choose the move
            return f"{self._device.name} has disappeared; the sound server has moved rtsep to another device"
        where = next((end for end in ends if end.index == index), None)
        if side.stays and (where is None or where.name == side.device):
            # PipeWire gives the number of a source only after the stream is linked to it.
            release(self._state, loop.ONLY, index if where else side.device_index)
            self._first_device = index
            return None
        title = where.title if where else "another device"
        if index == side.barred or side.stays:
            if pulse_server.move(side.playback, self._index, side.device):
                self._changes.append(
                    f"the sound server has moved rtsep to {title}, which would feed output back to input: "
                    f"silent there and moved back to {self._device.name}"
                )
            return None
        self._first_device = index
        self.moves += 1
        stream = "output" if side.playback else "input"
        self._changes.append(
            f"the {stream} was moved from {self._device.name} to {title}; it continues there"
        )
        if where:
            number = self._device.index + 2 * (where.index - side.device_index)  # see `pulse_backend`
            self._device = replace(self._device, index=number, name=where.title, system_name=where.name)
            self._side = side._replace(device=where.name, device_index=where.index)
            self.moved_to = self._device
        return None

    @property
    def new_rate(self) -> None:
        """Return None: the server resamples."""

    @property
    def waits_for_us(self) -> bool:
        """Return False: the server keeps time."""
        return False

    def go_on_at(self, rate: int) -> None:
        """Do nothing: the rate never changes."""

    def tend(self) -> list[str]:
        """Return new lines about moves to other devices."""
        changes, self._changes = self._changes, []
        return changes

    def report_latency(self, latency: int) -> None:
        """Do nothing: the server does not use the latency."""

    def close(self) -> bool:
        """End the calls and leave the server; return False if that hangs."""
        return close_or_leave(self, self._close)

    def _close(self) -> None:
        release(self._state, loop.RUN, 0)
        if self._thread.ident is not None:  # else it was never started
            self._thread.join()
        self._connection.close()


def compile_loops() -> None:
    """Compile the loops, or load them from the cache."""
    state, block = np.zeros(loop.STATE_SIZE, np.int64), np.zeros((1, 1), np.float32)
    loop.run_playback(state, block, block, 1.0, 1)  # RUN is 0, so they return at once
    loop.run_capture(state, block)
