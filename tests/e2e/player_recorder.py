"""A player and a recorder around rtsep on one JACK server, with one frame clock.

These are two clients, because one client would close a loop in JACK's graph, and JACK delays one connection
of a loop by a period. Player -> rtsep -> recorder is a line without such a delay. Both store the server's
frame number, so the delay is exact.

Both process callbacks are compiled and need no GIL: a busy test process costs no frame.

libjack supports one server a process: close these clients before the process joins another server.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jack
import llvmlite.binding
import numpy as np
from numba import carray, cfunc, types
from numpy.typing import NDArray

from tests.e2e.jackserver import JackServer
from tests.waiting import until

llvmlite.binding.load_library_permanently("libjack.so.0")
_get_buffer = types.ExternalFunction("jack_port_get_buffer", types.int64(types.int64, types.uint32))
_frame_time = types.ExternalFunction("jack_last_frame_time", types.uint32(types.int64))
_memcpy = types.ExternalFunction("memcpy", types.int64(types.int64, types.int64, types.int64))
_memset = types.ExternalFunction("memset", types.int64(types.int64, types.int32, types.int64))

CYCLE_PATIENCE_S = 10.0
"""Maximum time of some cycles of a running server."""

# Slots of a client's state.
CLIENT = 0  # address of the jack_client_t
START = 1  # frame number of sample 0; negative: idle
FRAMES = 2  # samples to play or to record
BUFFER = 3  # address of float32 [ports, FRAMES]
RECORDS = 4  # whether this is the recorder
EXPECTED = 5  # frame number the next call should have
GAPS = 6  # calls that came with another one: the server skipped
DONE = 7  # samples played or recorded
CALLS = 8
PORTS = 9  # how many, then their addresses
_SLOTS = PORTS + 1 + 16


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def _process(frames, user):  # type: ignore[no-untyped-def]
    state = carray(user, (_SLOTS,), np.int64)
    count = np.int64(frames)
    now = np.int64(_frame_time(state[CLIENT]))
    if state[EXPECTED] >= 0 and now != state[EXPECTED]:
        state[GAPS] += 1
    state[EXPECTED] = (now + count) & 0xFFFFFFFF
    state[CALLS] += 1
    start, total = state[START], state[FRAMES]
    # The part of this call [first, first + there) that falls into the signal [0, total).
    position = now - start
    first = max(0, -position)
    there = max(0, min(count, total - position) - first) if start >= 0 else 0
    for port in range(state[PORTS]):
        buffer = _get_buffer(state[PORTS + 1 + port], frames)
        inside = state[BUFFER] + 4 * (port * total + position + first)
        if state[RECORDS] != 0:
            if there > 0:
                _memcpy(inside, buffer + 4 * first, 4 * there)
        else:
            _memset(buffer, np.int32(0), 4 * count)
            if there > 0:
                _memcpy(buffer + 4 * first, inside, 4 * there)
    state[DONE] += there
    return np.int32(0)


def wait(there: Callable[[], bool]) -> None:
    """Wait until `there()`, which a server that runs brings about within some cycles."""
    until(there, "the JACK server stands still", CYCLE_PATIENCE_S, every_s=0.001)


@dataclass
class Take:
    """Recorded `sound` [frames, recorder ports], from the first played frame on."""

    sound: NDArray[np.float32]
    xruns: int  # reported by the server, and frame numbers skipped at player, recorder and peers

    @property
    def clean(self) -> bool:
        """True if no frame was lost."""
        return self.xruns == 0


@dataclass
class MachineClient:
    """A client whose process callback is `_process`: plays or records through `ports`."""

    client: jack.Client
    ports: list[Any]
    state: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_SLOTS, np.int64))

    def activate(self, records: bool) -> None:
        """Let the calls come."""
        ffi, lib = jack._ffi, jack._lib
        self.state[CLIENT] = int(ffi.cast("intptr_t", self.client._ptr))
        self.state[[START, EXPECTED]] = -1
        self.state[RECORDS] = int(records)
        self.state[PORTS] = len(self.ports)
        for k, port in enumerate(self.ports):
            self.state[PORTS + 1 + k] = int(ffi.cast("intptr_t", port._ptr))
        callback = ffi.cast("JackProcessCallback", _process.address)
        assert (
            lib.jack_set_process_callback(
                self.client._ptr, callback, ffi.cast("void *", self.state.ctypes.data)
            )
            == 0
        )
        self.client.activate()


class PlayerRecorder:
    """`outputs` ports that play and `inputs` ports that record, beside rtsep on `server`."""

    def __init__(self, server: JackServer, outputs: int = 2, inputs: int = 4) -> None:
        self.server = server
        self._xruns = self._notices = 0
        self._open = True
        self._peers: list[Callable[[], int]] = []
        player, recorder = server.client("player"), server.client("recorder")
        self._player = MachineClient(
            player, [player.outports.register(f"out_{k + 1}") for k in range(outputs)]
        )
        self._recorder = MachineClient(
            recorder, [recorder.inports.register(f"in_{k + 1}") for k in range(inputs)]
        )

        @player.set_xrun_callback  # type: ignore[untyped-decorator,unused-ignore]
        def xrun(_: float) -> None:
            self._xruns += 1

        @player.set_port_registration_callback  # type: ignore[untyped-decorator,unused-ignore]
        def notice(_: jack.Port, come: bool) -> None:
            self._notices += come

        self._player.activate(False)
        self._recorder.activate(True)

    # --- patching ----------------------------------------------------------------------------------

    def ports(self, client: str) -> list[str]:
        """Return the full names of the audio ports of `client`, in order of registration."""
        return [name for name in self.all_ports() if name.startswith(f"{client}:")]

    def all_ports(self) -> list[str]:
        """Return the full names of all audio ports of the server."""
        return [port.name for port in self._player.client.get_ports(is_audio=True)]

    def connections(self, port: str) -> list[str]:
        """Return what `port` is connected to."""
        client = self._player.client
        return [other.name for other in client.get_all_connections(client.get_port_by_name(port))]

    def latency(self, port: str, mode: int) -> tuple[int, int]:
        """Return least and most frames from the sound card to `port` (mode 0) or the other way (mode 1)."""
        handle = jack._ffi.cast("intptr_t", self._player.client.get_port_by_name(port)._ptr)
        span = (ctypes.c_uint32 * 2)()
        libjack = ctypes.CDLL("libjack.so.0")
        libjack.jack_port_get_latency_range(ctypes.c_void_p(int(handle)), mode, ctypes.byref(span))
        return span[0], span[1]

    def isolate(self, client: str) -> None:
        """Undo every connection of `client`."""
        patch = self._player.client
        for name in self.ports(client):
            port = patch.get_port_by_name(name)
            for other in self.connections(name):
                patch.disconnect(*((other, name) if port.is_input else (name, other)))

    def patch(self, into: list[str], out_of: list[str]) -> None:
        """Connect the player to the ports `into` and the ports `out_of` to the recorder, one each."""
        for own, other in zip(self._player.ports, into, strict=False):
            self._player.client.connect(own, other)
        for own, other in zip(self._recorder.ports, out_of, strict=False):
            self._recorder.client.connect(other, own)

    def connect(self, *cables: tuple[str, str]) -> None:
        """Connect ports of others, each cable from an output to an input, once their clients are active."""
        for source, target in cables:
            until(functools.partial(self._connected, source, target), f"{source} -> {target}: no connection")

    def _connected(self, source: str, target: str) -> bool:
        try:
            self._player.client.connect(source, target)
        except jack.JackErrorCode:
            return False
        return True

    # --- a take --------------------------------------------------------------------------------------

    def take(
        self, played: NDArray[np.float32], tail: int, enough: Callable[[], bool] = lambda: False
    ) -> Take:
        """Play `played` [frames, outputs]; record from its first frame on, and `tail` frames longer.

        Ends before that where there is `enough`.
        """
        player, recorder = self._player.state, self._recorder.state
        signal = np.ascontiguousarray(played.T)
        sound = np.zeros((len(self._recorder.ports), len(played) + tail), np.float32)
        player[START] = recorder[START] = -1
        for state, memory in ((player, signal), (recorder, sound)):
            state[FRAMES], state[BUFFER], state[DONE] = memory.shape[1], memory.ctypes.data, 0
        before = self._misses()
        lead = round(0.1 * self.server.rate) + 4 * self.server.period
        start = (self._player.client.last_frame_time + lead) & 0xFFFFFFFF
        player[START] = recorder[START] = start
        given_up = time.monotonic() + 4 * sound.shape[1] / self.server.rate + 10
        try:
            while recorder[DONE] < sound.shape[1] and time.monotonic() < given_up and not enough():
                time.sleep(0.02)
                if self._misses() > before:  # no take any more; frames may be missing for ever
                    break
            self._collect_xruns()
            done = int(recorder[DONE])
            misses = self._misses() - before + int(done < sound.shape[1] and not enough())
        finally:
            player[START] = recorder[START] = -1
        self.pass_cycles()  # the callbacks have left the memory
        return Take(np.ascontiguousarray(sound[:, :done].T), misses)

    @property
    def recorded(self) -> int:
        """Number of recorded frames of the present take."""
        return int(self._recorder.state[DONE])

    def pass_frames(self, count: int) -> None:
        """Wait until `count` more frames of the present take have been recorded, or until it is over."""
        due = self.recorded + count
        while self.recorded < due and self._recorder.state[START] >= 0:
            time.sleep(0.005)

    def pass_cycles(self, count: int = 2) -> None:
        """Wait until the server has begun `count` more cycles and so ended all but the last."""
        states = self._player.state, self._recorder.state
        due = [state[CALLS] + count for state in states]
        wait(lambda: all(state[CALLS] >= calls for state, calls in zip(states, due, strict=True)))

    def add_peer(self, gaps: Callable[[], int]) -> None:
        """Count the `gaps` of another client as losses of a take."""
        self._peers.append(gaps)

    def _collect_xruns(self) -> None:
        """Wait until the notices of all xruns so far have arrived.

        The audio thread puts an xrun into a socket of the server, whose loop reads one request of each client
        in turn and notifies the clients. A port that we register after the xrun is read in the same turn at
        the earliest, a second one in the next. Its notice follows that of the xrun on the same socket.
        """
        for _ in range(2):
            told = self._notices
            port = self._player.client.inports.register("notice")
            wait(lambda told=told: self._notices > told)  # type: ignore[misc]
            port.unregister()

    def _misses(self) -> int:
        gaps = int(self._player.state[GAPS] + self._recorder.state[GAPS])
        return self._xruns + gaps + sum(peer() for peer in self._peers)

    def close(self) -> None:
        """Leave the server; a dead one is left behind."""
        if not self._open:
            return
        self._open = False
        closer = threading.Thread(target=self._close, daemon=True)
        closer.start()
        closer.join(5)

    def _close(self) -> None:
        for part in (self._player, self._recorder):
            try:
                part.client.deactivate()
                part.client.close()
            except jack.JackError:
                pass
