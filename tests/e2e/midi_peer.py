"""A controller on a JACK server: sends MIDI at frames of a studio's take, and keeps what it is sent.

Compiled, as the studio is: events leave in the very cycle that is asked for, however busy Python is.
"""

from __future__ import annotations

from collections.abc import Sequence

import jack
import numpy as np
from numba import carray, cfunc, types

from rtsep.realtime.atomics import as_pointer
from tests.e2e.jackserver import JackServer
from tests.e2e.studio import START, Studio, _frame_time, _get_buffer

_clear = types.ExternalFunction("jack_midi_clear_buffer", types.void(types.int64))
_write = types.ExternalFunction(
    "jack_midi_event_write", types.int32(types.int64, types.uint32, types.int64, types.size_t)
)
_count = types.ExternalFunction("jack_midi_get_event_count", types.uint32(types.int64))
_get = types.ExternalFunction("jack_midi_event_get", types.int32(types.int64, types.int64, types.uint32))

CLIENT, OUT, IN, STARTED, EVENTS, COUNT, NEXT, HEARD, HEARD_COUNT, SENT, SCRATCH = range(11)
_SLOTS = SCRATCH + 3  # the scratch takes a jack_midi_event_t: time, size, address
KEPT = 65536


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def _process(frames, user):  # type: ignore[no-untyped-def]
    state = carray(user, (_SLOTS,), np.int64)
    heard = carray(as_pointer(state[HEARD]), (KEPT, 4), np.int64)
    buffer = _get_buffer(state[IN], frames)
    now = np.int64(_frame_time(state[CLIENT]))
    for k in range(np.int64(_count(buffer))):
        _get(state.ctypes.data + 8 * SCRATCH, buffer, np.uint32(k))
        data = carray(as_pointer(state[SCRATCH + 2]), (3,), np.uint8)
        row = heard[state[HEARD_COUNT] % KEPT]
        row[0] = now
        for i in range(min(3, state[SCRATCH + 1])):
            row[1 + i] = data[i]
        state[HEARD_COUNT] += 1
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
        state[SENT] += (event[2] & 0xFF) < 0xF0
    return np.int32(0)


class MidiPeer:
    """Client `name` with the MIDI ports `out` and `in`."""

    def __init__(self, server: JackServer, studio: Studio, name: str = "pad") -> None:
        self.client = server.client(name)
        self.out = self.client.midi_outports.register("out")
        self.into = self.client.midi_inports.register("in")
        self._heard = np.zeros((KEPT, 4), np.int64)
        self._events = np.zeros((0, 3), np.int64)
        self._state = np.zeros(_SLOTS, np.int64)
        state, cast = self._state, jack._ffi.cast
        state[CLIENT] = int(cast("intptr_t", self.client._ptr))
        state[OUT], state[IN] = (int(cast("intptr_t", port._ptr)) for port in (self.out, self.into))
        self._now = np.array([-1], np.int64)  # for what is sent outside of a take
        self._take = studio._player.state.ctypes.data + 8 * START
        state[STARTED] = self._take
        state[HEARD] = self._heard.ctypes.data
        process = cast("JackProcessCallback", _process.address)
        user = cast("void *", state.ctypes.data)
        assert jack._lib.jack_set_process_callback(self.client._ptr, process, user) == 0
        self.client.activate()

    def plan(self, events: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Send these from now on: (frame of the take, message), in order, once a take."""
        table = np.zeros((len(events), 3), np.int64)
        for row, (frame, message) in zip(table, events, strict=True):
            row[:] = frame, len(message), int.from_bytes(bytes(message), "little")
        self._state[COUNT] = 0
        self._kept, self._events = self._events, table  # the callback may be in the old ones yet
        self._state[EVENTS] = table.ctypes.data
        self._state[COUNT] = len(table)

    def send(self, *messages: Sequence[int]) -> None:
        """Send at once, outside of a take."""
        self.plan([(0, message) for message in messages])
        self._now[0] = 0
        self._state[NEXT] = 0
        self._state[STARTED] = self._now.ctypes.data

    def follow_takes(self) -> None:
        """Send by the frames of the studio's takes (again)."""
        self._state[COUNT] = 0
        self._state[STARTED] = self._take

    @property
    def sent(self) -> int:
        """How many messages have left, system messages (clock, sysex) not counted."""
        return int(self._state[SENT])

    @property
    def heard(self) -> list[tuple[int, ...]]:
        """All three-byte messages that came, oldest first."""
        return [tuple(map(int, row[1:])) for row in self._heard[: int(self._state[HEARD_COUNT])]]

    def close(self) -> None:
        """Leave the server."""
        self.client.deactivate()
        self.client.close()
