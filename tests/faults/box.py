"""A sound card that exists in this process only: it gives a known noise and keeps all that it is given.

A `Box` is a back end of `rtsep.audio`, with a line in the table and a device in the list. Its calls come from
a compiled loop on the machine's clock, as those of a driver do. It can be unplugged in the middle of a
block, and stop calling.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.audio import devices, engine_mixer
from rtsep.audio.backend import AudioStream, Device, StreamRequest
from rtsep.audio.backends import BACKENDS
from rtsep.audio.devices import DeviceList
from rtsep.audio.engine_mixer import process_input, process_output
from rtsep.realtime import clock
from rtsep.realtime.atomics import acquire, load_acquire, store_release
from rtsep.realtime.priority import raise_thread_priority
from rtsep.realtime.stops import STOP_NS
from tests.e2e.exact import noise

RATE = 44100
INPUTS, OUTPUTS = 2, 4
API = "Faults"
PERIOD_S, MAX_S = 5, 1200
"""After which the noise begins again, and how long a stream is kept for, at most."""

RUN, BLOCK_FRAMES, PLAYED, PARTIAL = 0, 8, 16, 24  # slots of a stream, each on a cache line of its own
STATE_SIZE = 32


@njit(cache=True, nogil=True)
def run_box(
    mixer: np.ndarray, box_state: np.ndarray, sound: np.ndarray, given: np.ndarray, scratch: np.ndarray
) -> None:
    """Call `mixer` with `sound` [2 x period, inputs], and keep what it gives in `given` [most, outputs].

    Ends when RUN is cleared, or `given` is full. After a stop of the whole process it goes on where it stood.
    """
    at, frames, start = np.int64(0), box_state[BLOCK_FRAMES], clock.now_ns(scratch)
    while load_acquire(box_state, RUN) == 1 and at + frames <= given.shape[0]:
        late = clock.now_ns(scratch) - start - clock.frames_to_ns(at, RATE)
        if late > STOP_NS:
            start += late
        place = at % (sound.shape[0] // 2)
        process_input(mixer, np.int64(sound.ctypes.data) + 4 * place * sound.shape[1], frames, 0)
        if load_acquire(box_state, PARTIAL) != 0:  # it goes away between the two halves of a call
            return
        process_output(mixer, np.int64(given.ctypes.data) + 4 * at * given.shape[1], frames, 0)
        at += frames
        store_release(box_state, PLAYED, at)
        clock.sleep_ns(start + clock.frames_to_ns(at, RATE) - clock.now_ns(scratch), scratch)


class BoxStream(AudioStream):
    """An open stream; `given` and `played` are what it was given so far."""

    def __init__(self, box: Box, request: StreamRequest) -> None:
        self._box = box
        self.request = request
        self.given = np.empty((MAX_S * RATE, request.outputs), np.float32)
        self._box_state = np.zeros(STATE_SIZE, np.int64)
        self._box_state[RUN], self._box_state[BLOCK_FRAMES] = 1, request.block
        scratch = np.zeros(clock.SCRATCH, np.int64)

        def run() -> None:
            raise_thread_priority(70)
            run_box(request.mixer.state, self._box_state, box.sound, self.given, scratch)

        self._thread = threading.Thread(target=run, name="box", daemon=True)

    @property
    def played(self) -> int:
        """Frames that it was given."""
        return int(acquire(self._box_state, PLAYED))

    @property
    def lost(self) -> str | None:
        return "the box was unplugged" if not self._box.plugged else None

    def fall_silent(self, partly: bool = False) -> None:
        """Make no call any more; `partly`: the last one has only given its input."""
        self._box_state[PARTIAL if partly else RUN] = int(partly)
        self._thread.join()

    def start(self) -> None:
        self._thread.start()

    new_rate = None
    waits_for_us = False
    moves = 0
    moved_to = None

    def go_on_at(self, rate: int) -> None:
        raise AssertionError("the box has one rate")

    def tend(self) -> list[str]:
        return []

    def report_latency(self, latency: int) -> None:
        pass

    def close(self) -> bool:
        self._box_state[RUN] = 0
        if self._thread.ident is not None:
            self._thread.join()
        return True


BOX = Device(900, "box", API, INPUTS, OUTPUTS, RATE)


@dataclass
class Box:
    """The back end, and the one device that it has."""

    device: Device = BOX
    plugged: bool = True
    streams: list[BoxStream] = field(default_factory=list)

    def __post_init__(self) -> None:
        period = noise(PERIOD_S * RATE, INPUTS)
        self.period = len(period)
        self.sound = np.concatenate([period, period])  # a block across the end lies in one piece

    def put_in(self, monkeypatch) -> None:
        """Have sessions find this device, and no other."""
        monkeypatch.setitem(BACKENDS, API, self)
        monkeypatch.setattr(devices, "look", self._look)

    def _look(self) -> DeviceList:
        there = self.devices()
        index = there[0].index if there else -1
        return DeviceList(tuple(there), None, {"input": index, "output": index})

    def expected(self, first: int, frames: int) -> NDArray[np.float32]:
        """Return the noise from frame `first` of a stream on, [frames, inputs]; silence before the first."""
        places = np.arange(first, first + frames)
        return np.where(places[:, None] >= 0, self.sound[places % self.period], np.float32(0))

    @property
    def stream(self) -> BoxStream:
        """The one that was opened last."""
        return self.streams[-1]

    # --- the back end ------------------------------------------------------------------------------------

    def devices(self) -> list[Device]:
        return [self.device] if self.plugged else []

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        assert rate == RATE

    def compile(self) -> None:
        """Compile the loop, or load it from the cache."""
        mixer, box_state = np.zeros(engine_mixer.STATE_SIZE, np.int64), np.zeros(STATE_SIZE, np.int64)
        given = np.zeros((0, OUTPUTS), np.float32)
        run_box(mixer, box_state, self.sound, given, np.zeros(clock.SCRATCH, np.int64))

    def open(self, request: StreamRequest) -> BoxStream:
        self.streams.append(BoxStream(self, request))
        return self.streams[-1]
