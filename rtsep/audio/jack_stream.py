"""A stream on a JACK server, or in PipeWire's graph, with its own client. Importing it needs libjack.

PortAudio is not used here: its JACK driver asserts at its end that the server releases it, so a server that
dies aborts the program; it cannot name ports, and it does not report a shutdown of the server. The callbacks
are in `rtsep.audio.jack_calls`.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from typing import Any

import numpy as np

from rtsep.audio import jack_calls as calls
from rtsep.audio import jack_ports
from rtsep.audio.backend import ClientOptions
from rtsep.audio.engine_mixer import LARGEST_BLOCK, EngineMixer
from rtsep.audio.jack_plugs import CARD, Peers, Plugs
from rtsep.errors import DeviceError, RtsepError
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.foreign_calls import close_or_leave, finish_within, within

START_PATIENCE_S = 5.0
"""Time limit for the server to accept a client or its ports, in seconds; a slower one is taken to hang."""

STEADY_S = 0.1
"""PipeWire gets latencies after its period has been constant for this time, in seconds."""

REPORT_EVERY_S = 0.1


class JackStream:
    """Client of rtsep on the server: an `rtsep.audio.backend.AudioStream`."""

    def __init__(
        self,
        mixer: EngineMixer,
        inputs: int,
        outputs: list[str],
        latency: int,
        client: ClientOptions,
        rate: int,
        peers: Peers = CARD,
    ) -> None:
        """Join the server with ports `in_0`, `in_1` ... and `outputs`; report `latency` frames to it.

        The engine behind `mixer` runs at `rate` Hz. Ports in `client.cables` are connected only as listed
        there, all others to `peers`. Raise `DeviceError` if that fails.
        """
        self._memory = mixer  # must outlive the stream
        self._pipewire = jack_ports.is_pipewire()
        self._options, self._peers = client, peers
        self._plugs: Plugs | None = None  # None until it plays
        self._state = np.zeros(calls.STATE_SIZE, np.int64)
        self._reported = [0, 0]  # by mode: the count in STALE that was last reported
        self._report_at = 0.0  # monotonic time
        self._client: Any = None
        self._period = 0  # frames at the start
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._bounded(
            lambda: self._join(client.name, inputs, outputs),
            "the JACK server refuses rtsep's ports; restart the server",
        )
        max_block = max(LARGEST_BLOCK, self._period)
        self._blocks = [np.zeros((max_block, max(1, n)), np.float32) for n in (inputs, len(outputs))]
        state = self._state
        state[calls.MIXER] = mixer.state.ctypes.data
        state[calls.CLIENT] = jack_ports.address(self._client)
        state[calls.MAX_BLOCK], state[calls.LATENCY], state[calls.RATE] = max_block, latency, rate
        state[calls.IN_BLOCK], state[calls.OUT_BLOCK] = (block.ctypes.data for block in self._blocks)
        state[calls.INPUTS], state[calls.OUTPUTS] = inputs, len(outputs)
        for k, port in enumerate(self._inputs + self._outputs):
            state[calls.PORTS + k] = jack_ports.address(port)

    def _join(self, name: str, inputs: int, outputs: list[str]) -> None:
        try:
            self._client = jack_ports.open_client(name)
        except Exception:
            raise DeviceError("the JACK server does not answer; check that it is still running") from None
        jack_ports.keep(self._client)
        self._period = int(self._client.blocksize)
        self._inputs = [self._client.inports.register(f"in_{k}") for k in range(inputs)]
        self._outputs = [self._client.outports.register(name) for name in outputs]

    def _bounded(self, action: Any, refusal: str) -> None:
        """Call `action`, which uses the server.

        On failure, close the stream and raise `DeviceError` or `NoThreadError`.
        """
        failed: list[Exception] = []

        def act() -> None:
            try:
                action()
            except Exception as error:
                failed.append(error)

        hung = DeviceError("the JACK server does not answer any more; restart it")
        try:
            finish_within(START_PATIENCE_S, act, hung)
        except RtsepError as error:
            failed = [error]
        if not failed:
            return
        self.close()
        if isinstance(failed[0], RtsepError):
            raise failed[0]
        raise DeviceError(f"{refusal} ({failed[0]})") from None

    @property
    def lost(self) -> str | None:
        """Return the server's reason if it has stopped the stream; None while it plays."""
        if acquire(self._state, calls.LOST) == 0:
            return None
        return "PipeWire has ended" if self._pipewire else "the JACK server has shut down"

    @property
    def new_rate(self) -> int | None:
        """Return the server's rate in Hz if it differs from the engine's; the output then fades out."""
        return int(acquire(self._state, calls.NEW_RATE)) or None

    @property
    def moves(self) -> int:
        """Return 0: streams of this kind are not moved."""
        return 0

    @property
    def moved_to(self) -> None:
        """Return None: streams of this kind are not moved."""

    @property
    def waits_for_us(self) -> bool:
        """Return whether the server is in freewheel mode."""
        return acquire(self._state, calls.FREEWHEEL) != 0

    def start(self) -> None:
        """Start the calls and connect. Raise `DeviceError` if that fails."""
        us = ctypes.c_void_p(jack_ports.address(self._client))
        lib = calls.libjack
        latency = calls.latency_later if self._pipewire else calls.latency_now
        for function, callback in (
            (lib.jack_set_process_callback, calls.process),
            (lib.jack_set_xrun_callback, calls.xrun),
            (lib.jack_set_latency_callback, latency),
            (lib.jack_set_freewheel_callback, calls.freewheel),
            (lib.jack_on_shutdown, calls.shut_down),
        ):
            function(us, ctypes.c_void_p(callback.address), ctypes.c_void_p(self._state.ctypes.data))
        self._bounded(self._activate, "the JACK server refuses to activate rtsep; restart the server")

    def _activate(self) -> None:
        self._client.activate()
        options = self._options
        self._plugs = Plugs(
            self._client, self._inputs, self._outputs, options.connect, options.cables, self._peers
        )
        with contextlib.suppress(Exception):  # ports can disappear at any time
            self._plugs.connect()
        release(self._state, calls.PLAYS, 1)

    def tend(self) -> list[str]:
        """Do due work: report latencies to the server, connect ports again. Return lines for the user."""
        now = time.monotonic()
        if self._pipewire and now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            steady = int(self._state[calls.STEADY])
            if steady >= STEADY_S * int(self._state[calls.RATE]):
                self._set_stale_latencies()
        return self._plugs.tend(now) if self._plugs and self.lost is None else []

    def _set_stale_latencies(self) -> None:
        for mode in (calls.CAPTURE, calls.PLAYBACK):
            asked = int(acquire(self._state, calls.STALE + mode))
            if asked != self._reported[mode]:
                self._reported[mode] = asked
                calls.set_latency(self._state, mode)

    def report_latency(self, latency: int) -> None:
        """Report rtsep's latency in frames to the server, and so to a DAW that compensates it."""
        self._state[calls.LATENCY] = latency
        if self._pipewire:
            self._reported = [-1, -1]  # in the next `tend`
            return
        client = ctypes.c_void_p(jack_ports.address(self._client))
        within(START_PATIENCE_S, lambda: calls.libjack.jack_recompute_total_latencies(client))

    def go_on_at(self, rate: int) -> None:
        """Play on at the server's new rate; from the next call on, the mixer has an engine for it."""
        release(self._state, calls.RATE, rate)
        release(self._state, calls.NEW_RATE, 0)

    def close(self) -> bool:
        """Leave the server; return False if it does not respond and the client was abandoned."""
        return close_or_leave(self, self._leave)

    def _leave(self) -> None:
        if self._plugs:
            self._plugs.note_cables(gone=self.lost is not None)
        if self._client is not None and self.lost is not None:
            jack_ports.abandon(self._client, self._state)
        elif self._client is not None:
            self._client.close()
