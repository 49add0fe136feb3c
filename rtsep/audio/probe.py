"""A substitute for an engine under audio callbacks: plays a given signal and keeps the captured one.

It uses the rings and functions of an engine without a hop loop, so it adds nothing to the path of a signal,
on any device.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.audio.engine import Engine
from rtsep.errors import DeviceError
from rtsep.realtime.atomics import acquire, release

_FOREVER = int(np.iinfo(np.int64).max)
_LOOK_EVERY_S = 0.02


class Probe:
    """Replaces an engine on a `rtsep.audio.engine_mixer.EngineMixer`."""

    def __init__(self, rate: int, in_map: tuple[int, ...], outputs: int) -> None:
        """Capture the device channels `in_map` (from 0) and play on `outputs` channels, at `rate` Hz."""
        self._rings = rings.Rings(rate, max(1, len(in_map)), list(in_map) or [0], max(1, outputs))
        self.rate = rate
        self.state[rings.NEXT_HOP_AT] = _FOREVER  # it waits for no hop

    @property
    def state(self) -> NDArray[np.int64]:
        """Return the state of `rtsep.audio.rings`."""
        return self._rings.state

    def read(self, slot: int) -> int:
        """Return one slot of `rtsep.audio.rings`."""
        return int(acquire(self.state, slot))

    @property
    def xruns(self) -> int:
        """Return how often the device has reported lost frames."""
        return self.read(rings.IN_OVERFLOWS) + self.read(rings.OUT_UNDERFLOWS)

    def play(self, signal: NDArray[np.float32], lead: int) -> int:
        """Play `signal` [frames, outputs] once, `lead` frames from now; return the frame of its first sample.

        Silence surrounds it. Signal and lead together must fit into a ring.
        """
        ring = self._rings.output
        if lead + len(signal) > len(ring):
            raise ValueError(f"{lead} + {len(signal)} frames do not fit into a ring of {len(ring)}")
        start = self.read(rings.OUT_READ) + lead
        ring[:] = 0  # nothing of it is played before OUT_WRITE allows it
        ring[(start + np.arange(len(signal))) & (len(ring) - 1)] = signal
        release(self.state, rings.OUT_WRITE, start + len(signal))
        return start

    def play_on(self, sound: NDArray[np.float32]) -> None:
        """Play `sound` [frames, outputs] of the ring's length from now on, repeatedly."""
        ring = self._rings.output
        ring[:] = np.resize(sound, ring.shape)
        release(self.state, rings.OUT_WRITE, _FOREVER)

    def capture(self) -> Follower:
        """Keep captured frames from now on."""
        return Follower(self.state, rings.IN_WRITE, self._rings.input, self.read(rings.IN_WRITE))


class Follower:
    """Keeps the frames written to a ring from `first` on, as long as `look` is called often enough."""

    def __init__(
        self, state: NDArray[np.int64], write_slot: int, ring: NDArray[np.float32], first: int
    ) -> None:
        self.first = first
        self._state, self._slot, self._ring = state, write_slot, ring
        self._next = first
        self._blocks: list[NDArray[np.float32]] = []
        self.torn = False  # `look` was once called too late

    def look(self) -> int:
        """Copy new frames; return their total since `first`."""
        written = int(acquire(self._state, self._slot))
        self.torn |= written - self._next > len(self._ring)
        rows = np.arange(self._next, max(written, self._next)) & (len(self._ring) - 1)
        self._blocks.append(self._ring[rows])
        self._next += len(rows)
        return self._next - self.first

    @property
    def sound(self) -> NDArray[np.float32]:
        """Return all kept frames, [frames, channels], from the frame `first` on."""
        return np.concatenate([*self._blocks, self._ring[:0]])


def played_by(engine: Engine, first: int | None = None) -> Follower:
    """Keep the output of `engine` from output frame `first` on (None: from now on)."""
    start = engine.read(rings.OUT_WRITE) if first is None else first
    return Follower(engine.state, rings.OUT_WRITE, engine.output_ring, start)


def follow(wanted: dict[Follower, int], alive: Callable[[], None], patience_s: float) -> None:
    """Call `look` of each follower until it has its `wanted` frames; `alive` raises if they will never come.

    Raise `DeviceError` after `patience_s`.
    """
    until = time.monotonic() + patience_s
    while True:
        waiting = [follower for follower, frames in wanted.items() if follower.look() < frames]
        if not waiting:
            return
        alive()
        if time.monotonic() > until:
            raise DeviceError("the device calls too rarely; try another one, or another --rate or --block")
        time.sleep(_LOOK_EVERY_S)
