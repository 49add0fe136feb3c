"""A controller on a JACK server: sends MIDI at given frames of a take, and keeps all received messages.

Compiled, like player and recorder: events leave in the requested cycle, however busy Python is. A `Witness`
counts what the server brings to another client's port.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jack
import numpy as np
from numba import carray, cfunc, njit, types
from numpy.typing import NDArray

from rtsep.realtime.atomics import as_pointer
from tests.e2e.jackserver import JackServer
from tests.e2e.player_recorder import START, PlayerRecorder, _frame_time, _get_buffer, wait

_clear = types.ExternalFunction("jack_midi_clear_buffer", types.void(types.int64))
_write = types.ExternalFunction(
    "jack_midi_event_write", types.int32(types.int64, types.uint32, types.int64, types.size_t)
)
_count = types.ExternalFunction("jack_midi_get_event_count", types.uint32(types.int64))
_get = types.ExternalFunction("jack_midi_event_get", types.int32(types.int64, types.int64, types.uint32))

CLIENT, OUT, IN, STARTED, EVENTS, COUNT, NEXT, SENT = range(8)
RECEIVED, RECEIVED_COUNT, EMPTY_SYSEXES, CALLS, EXPECTED, GAPS, SCRATCH = range(SENT + 1, SENT + 8)
_SLOTS = SCRATCH + 3  # the scratch takes a jack_midi_event_t: time, size, address
KEPT = 65536
SYSTEM = 0xF0  # the first byte of system messages (clock, sysex) is this or more


@njit(inline="always")
def _count_call(state, now, frames):  # type: ignore[no-untyped-def]
    if state[CALLS] > 0 and now != state[EXPECTED]:
        state[GAPS] += 1
    state[EXPECTED] = (now + np.int64(frames)) & 0xFFFFFFFF
    state[CALLS] += 1


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def _process(frames, user):  # type: ignore[no-untyped-def]
    state = carray(user, (_SLOTS,), np.int64)
    received = carray(as_pointer(state[RECEIVED]), (KEPT, 4), np.int64)
    buffer = _get_buffer(state[IN], frames)
    now = np.int64(_frame_time(state[CLIENT]))
    _count_call(state, now, frames)
    for k in range(np.int64(_count(buffer))):
        _get(state.ctypes.data + 8 * SCRATCH, buffer, np.uint32(k))
        data = carray(as_pointer(state[SCRATCH + 2]), (3,), np.uint8)
        row = received[state[RECEIVED_COUNT] % KEPT]
        row[0] = now
        for i in range(min(3, state[SCRATCH + 1])):
            row[1 + i] = data[i]
        state[RECEIVED_COUNT] += 1
    buffer = _get_buffer(state[OUT], frames)
    _clear(buffer)
    start = carray(as_pointer(state[STARTED]), (1,), np.int64)[0]
    if start < 0:
        state[NEXT] = 0
        return np.int32(0)
    events = carray(as_pointer(state[EVENTS]), (state[COUNT], 3), np.int64)
    while state[NEXT] < state[COUNT]:
        event = events[state[NEXT]]
        at = max(0, start + event[0] - now)
        if at >= np.int64(frames):
            break
        # The bytes of a message lie in the lowest bytes of the third column.
        if _write(buffer, np.uint32(at), event.ctypes.data + 16, np.uint64(event[1])) != 0:
            break  # the buffer of this cycle is full
        state[NEXT] += 1
        state[SENT] += (event[2] & 0xFF) < SYSTEM
    return np.int32(0)


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def _count_messages(frames, user):  # type: ignore[no-untyped-def]
    state = carray(user, (_SLOTS,), np.int64)
    _count_call(state, np.int64(_frame_time(state[CLIENT])), frames)
    buffer = _get_buffer(state[IN], frames)
    for k in range(np.int64(_count(buffer))):
        _get(state.ctypes.data + 8 * SCRATCH, buffer, np.uint32(k))
        data = carray(as_pointer(state[SCRATCH + 2]), (2,), np.uint8)
        if data[0] < SYSTEM:
            state[RECEIVED_COUNT] += 1
        elif state[SCRATCH + 1] == 2 and data[0] == 0xF0 and data[1] == 0xF7:
            state[EMPTY_SYSEXES] += 1
    return np.int32(0)


class MidiPeer:
    """Client `name` with the MIDI ports `out` and `in`."""

    def __init__(self, server: JackServer, player_recorder: PlayerRecorder, name: str = "pad") -> None:
        self.client = server.client(name)
        self.out = self.client.midi_outports.register("out")
        self.into = self.client.midi_inports.register("in")
        self._received = np.zeros((KEPT, 4), np.int64)
        self._events = np.zeros((0, 3), np.int64)
        self._state = np.zeros(_SLOTS, np.int64)
        state = self._state
        state[CLIENT] = address(self.client)
        state[OUT], state[IN] = address(self.out), address(self.into)
        self._now = np.array([0], np.int64)  # for what is sent outside of a take
        self._take = player_recorder._player.state.ctypes.data + 8 * START
        state[STARTED] = self._take
        state[RECEIVED] = self._received.ctypes.data
        start(self.client, _process, state)
        player_recorder.add_peer(lambda: int(state[GAPS]))

    def plan(self, events: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Send these from now on: (frame of the take, message), in order, once a take."""
        self._replace(events, self._take)

    def send(self, *messages: Sequence[int]) -> None:
        """Send at once, outside of a take; return when all have left.

        Connections made before the call exist by then: the server adds them as it begins a cycle.
        """
        self._replace([(0, message) for message in messages], self._now.ctypes.data)
        wait(lambda: self._state[NEXT] >= len(messages))

    def follow_takes(self) -> None:
        """Send by the frames of the takes (again)."""
        self.plan([])

    def _replace(self, events: Sequence[tuple[int, Sequence[int]]], started: int) -> None:
        table = np.zeros((len(events), 3), np.int64)
        for row, (frame, message) in zip(table, events, strict=True):
            row[:] = frame, len(message), int.from_bytes(bytes(message), "little")
        self._state[COUNT] = 0
        self.pass_cycles()  # the callback has left the old table
        self._events = table
        self._state[EVENTS], self._state[STARTED], self._state[NEXT] = table.ctypes.data, started, 0
        self._state[COUNT] = len(table)  # last: it begins to send

    def pass_cycles(self, count: int = 2) -> None:
        """Wait until the server has begun `count` more cycles and so ended all but the last."""
        pass_cycles(self._state, count)

    @property
    def sent(self) -> int:
        """Number of sent messages, system messages (clock, sysex) not counted."""
        return int(self._state[SENT])

    @property
    def received(self) -> list[tuple[int, ...]]:
        """All three-byte messages that came, oldest first."""
        return [tuple(map(int, row[1:])) for row in self._received[: int(self._state[RECEIVED_COUNT])]]

    def close(self) -> None:
        """Leave the server."""
        self.client.deactivate()
        self.client.close()


class Witness:
    """Client `witness`, whose input gets all that the server brings to `port` of another client.

    The server merges the messages of all ports that are connected to an input, and drops those for which the
    period's buffer has no place. What `port` gets, this input gets.
    """

    def __init__(self, server: JackServer, player_recorder: PlayerRecorder, port: str) -> None:
        self.client = server.client("witness")
        into = self.client.midi_inports.register("in")
        self._state = np.zeros(_SLOTS, np.int64)
        self._state[CLIENT], self._state[IN] = address(self.client), address(into)
        start(self.client, _count_messages, self._state)
        player_recorder.connect(*((source, into.name) for source in player_recorder.connections(port)))
        pass_cycles(self._state, 2)

    @property
    def messages(self) -> int:
        """Number of received messages, system messages not counted."""
        return int(self._state[RECEIVED_COUNT])

    @property
    def empty_sysexes(self) -> int:
        """Number of received sysexes without content."""
        return int(self._state[EMPTY_SYSEXES])

    def close(self) -> None:
        """Leave the server."""
        self.client.deactivate()
        self.client.close()


def address(handle: Any) -> int:
    """Return the address of a JACK client or port."""
    return int(jack._ffi.cast("intptr_t", handle._ptr))


def start(client: jack.Client, process: Any, state: NDArray[np.int64]) -> None:
    """Have the server call the compiled `process` with `state`."""
    callback = jack._ffi.cast("JackProcessCallback", process.address)
    user = jack._ffi.cast("void *", state.ctypes.data)
    assert jack._lib.jack_set_process_callback(client._ptr, callback, user) == 0
    client.activate()


def pass_cycles(state: NDArray[np.int64], count: int) -> None:
    """Wait until the client of `state` has been called `count` more times."""
    due = state[CALLS] + count
    wait(lambda: state[CALLS] >= due)
