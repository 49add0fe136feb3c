"""The mixer of engines: audio callbacks serve one engine, or two during a cross-fade to the second.

A stream keeps the address of a mixer for its whole life, while engines are replaced behind it. An incoming
engine gets the same input as the active one from the next call on. It becomes audible only on request, over a
cross-fade, so that no switch clicks. An engine with another rate cannot be mixed with this one; another mixer
then replaces this one on the same streams. The rules of `rtsep.audio.callback` apply here too.

Block: the device's, any length. Stream delay 0.

| word | written by | read by |
| --- | --- | --- |
| CURRENT | front, before anything runs; then the output callback, after a fade | all |
| INCOMING, FADE | front | callbacks |
| IN_SYNCED | the input callback | output callback, front |
| OUT_SYNCED, FADED | the output callback | front |
| FADE_OUT | front: requests a fade to silence | output callback |
| LEVEL | front, before anything runs; then the output callback | front |
| SUCCESSOR | front | the input callback |
| IN_SUCCESSOR | the input callback | callbacks |
| LENGTH, SCRATCH, MAX_FRAMES | front, before anything runs | output callback |

"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
from numba import carray, njit
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.audio.callback import give_output, take_input, take_source
from rtsep.realtime.atomics import (
    CACHE_LINE,
    acquire,
    address_of,
    as_pointer,
    load_acquire,
    release,
    store_release,
)

CURRENT = 0  # address of the state of the active engine
INCOMING = 1  # address of the incoming engine's state; 0: none
FADE = 2  # 1: fade to the incoming engine
LENGTH = 3  # frames of a fade
SCRATCH = 4  # address of float32 [MAX_FRAMES, output channels]
FADE_OUT = 5  # 1: fade everything out
MAX_FRAMES = 6  # maximum frames of a call in which the next engine can be mixed
SUCCESSOR = 7  # address of the mixer that replaces this one; 0: none
IN_SYNCED = CACHE_LINE  # address of the incoming engine, once its input side runs
# address of the successor, once it gets the input: from then on it provides the output
IN_SUCCESSOR = IN_SYNCED + 1
OUT_SYNCED = 2 * CACHE_LINE  # the same for the output side
FADED = OUT_SYNCED + 1  # played frames of the fade
LEVEL = OUT_SYNCED + 2  # overall level: LENGTH is unity, 0 and below silence; it moves by one per frame
STATE_SIZE = 3 * CACHE_LINE

LARGEST_BLOCK = 8192
"""Maximum frames of a call in which two engines can be mixed: devices may change the size of their calls."""

FADE_S = 0.05
"""Duration of a fade in seconds."""

CALL_OVER_S = 0.2
"""Maximum duration of an audio callback in seconds, with a large margin."""


@njit(inline="always")
def mixer_at(address: int) -> np.ndarray:
    """Return the state of a mixer, int64 [STATE_SIZE], at their address."""
    return carray(as_pointer(address), (STATE_SIZE,), np.int64)


@njit(cache=True, nogil=True)
def serving_mixer(mixer: np.ndarray) -> np.ndarray:
    """Return the mixer in use: `mixer`, to which the streams have the address, or its successor."""
    successor = load_acquire(mixer, IN_SUCCESSOR)
    return mixer if successor == 0 else mixer_at(successor)


@njit(cache=True, nogil=True)
def current_engine(mixer: np.ndarray) -> np.ndarray:
    """Return the state of the active engine."""
    return rings.state_at(load_acquire(serving_mixer(mixer), CURRENT))


@njit(cache=True, nogil=True)
def plays_a_file(mixer: np.ndarray) -> bool:
    """Return whether the input is a file, which is read at the output's pace."""
    return current_engine(mixer)[rings.HAS_SOURCE] != 0


@njit(cache=True, nogil=True)
def process_input(mixer: np.ndarray, device_block: int, frames: int, lost: int) -> None:
    """Read `frames` frames of input from the address `device_block`, or from the played file if it is 0.

    `lost` is not 0 if the device has lost input before this call.
    """
    store_release(mixer, IN_SUCCESSOR, load_acquire(mixer, SUCCESSOR))
    _give_input(serving_mixer(mixer), device_block, frames, lost)


@njit(cache=True, nogil=True)
def _give_input(mixer: np.ndarray, device_block: int, frames: int, lost: int) -> None:
    second = load_acquire(mixer, INCOMING)  # read before CURRENT: a fade may end meanwhile
    first = load_acquire(mixer, CURRENT)
    current = rings.state_at(first)
    if second != 0 and second != first:
        coming = rings.state_at(second)
        if mixer[IN_SYNCED] != second:
            # Both count the frames of one stream. The hop loop starts only after both sides have joined.
            captured = current[rings.IN_WRITE]
            coming[rings.IN_WRITE] = coming[rings.IN_READ] = coming[rings.RECORD_WRITE] = captured
            store_release(mixer, IN_SYNCED, second)
        _take(coming, device_block, frames, 0)
    _take(current, device_block, frames, lost)


@njit(cache=True, nogil=True)
def _take(engine: np.ndarray, device_block: int, frames: int, lost: int) -> None:
    if device_block != 0:
        take_input(engine, device_block, frames, lost)
    else:
        take_source(engine, frames)


@njit(cache=True, nogil=True)
def process_output(mixer: np.ndarray, device_block: int, frames: int, ran_dry: int) -> None:
    """Write `frames` frames of output to the address `device_block`.

    `ran_dry` is not 0 if the device had nothing to play before this call.
    """
    _fill_output(serving_mixer(mixer), device_block, frames, ran_dry)


@njit(cache=True, nogil=True)
def _fill_output(mixer: np.ndarray, device_block: int, frames: int, ran_dry: int) -> None:
    missed = current_engine(mixer)[rings.UNDERRUN_FRAMES]
    _mix(mixer, device_block, frames, ran_dry)
    length, level, fading_out = mixer[LENGTH], mixer[LEVEL], load_acquire(mixer, FADE_OUT) == 1
    if level == length and not fading_out:
        return
    engine = current_engine(mixer)
    # Two clocks: there is no output until the two sides are aligned. The wait begins then.
    waits = level < 0 and engine[rings.UNDERRUN_FRAMES] != missed
    played = rings.frames_at(device_block, frames, engine[rings.OUT_CHANNELS])
    for i in range(frames):
        if fading_out:
            level = max(0, level - 1)
        elif not waits:
            level = min(length, level + 1)
        gain = np.float32(max(0, level) / length)
        for c in range(played.shape[1]):
            played[i, c] *= gain
    store_release(mixer, LEVEL, level)


@njit(cache=True, nogil=True)
def _mix(mixer: np.ndarray, device_block: int, frames: int, ran_dry: int) -> None:
    second = load_acquire(mixer, INCOMING)
    first = load_acquire(mixer, CURRENT)
    current = rings.state_at(first)
    give_output(current, device_block, frames, ran_dry)
    if second == 0 or second == first:
        return
    # Its input comes first: its prefill is counted from its first input frame.
    if load_acquire(mixer, IN_SYNCED) != second or frames > mixer[MAX_FRAMES]:
        return
    coming = rings.state_at(second)
    if mixer[OUT_SYNCED] != second:
        start = current[rings.OUT_READ] - frames  # start of this call
        coming[rings.OUT_READ] = start
        coming[rings.OUT_WRITE] += start  # its prefill lies behind that
        store_release(mixer, OUT_SYNCED, second)
    give_output(coming, mixer[SCRATCH], frames, 0)
    if load_acquire(mixer, FADE) == 0:
        return
    channels, length, faded = current[rings.OUT_CHANNELS], mixer[LENGTH], mixer[FADED]
    mixed = rings.frames_at(device_block, frames, channels)
    incoming = rings.frames_at(mixer[SCRATCH], frames, channels)
    for i in range(frames):
        gain = np.float32(min(1.0, (faded + i + 1) / length))
        for c in range(channels):
            mixed[i, c] += gain * (incoming[i, c] - mixed[i, c])
    store_release(mixer, FADED, faded + frames)
    if faded + frames >= length:
        store_release(mixer, CURRENT, second)


class Served(Protocol):
    """Engine as the mixer sees it; everything that the state point to lives as long as the engine."""

    @property
    def state(self) -> NDArray[np.int64]:
        """Return the state of `rtsep.audio.rings`."""


class EngineMixer:
    """Python side of a mixer. It and its engines must outlive the streams that call it."""

    def __init__(
        self, engine: Served, rate: int, block: int, out_channels: int, silent: int | None = None
    ) -> None:
        """Serve `engine` from its first frame on, or with a fade-in after its first `silent` frames.

        `rate` and `block` are those of the output.
        """
        self.state = np.zeros(STATE_SIZE, np.int64)
        block = max(block, LARGEST_BLOCK)
        self._scratch = np.zeros((block, max(1, out_channels)), np.float32)
        self._served: tuple[Served, ...] = (engine,)
        self._successors: tuple[EngineMixer, ...] = ()
        self._replaced_at: float | None = None  # time of the first look that found the successor in use
        self.state[CURRENT] = address_of(engine.state, 0)
        self.state[LENGTH] = max(1, round(FADE_S * rate))
        self.state[LEVEL] = self.state[LENGTH] if silent is None else -max(1, silent)
        self.state[SCRATCH], self.state[MAX_FRAMES] = self._scratch.ctypes.data, block

    def add_incoming(self, engine: Served) -> None:
        """Feed another engine with the same input; its hop loop may start once it is `synced`."""
        self._served = (*self._served, engine)
        for word in (FADE, IN_SYNCED, OUT_SYNCED, FADED):
            self.state[word] = 0
        release(self.state, INCOMING, address_of(engine.state, 0))

    @property
    def synced(self) -> bool:
        """Return whether the incoming engine has the input and output of the active one."""
        coming = self.state[INCOMING]
        return all(acquire(self.state, slot) == coming for slot in (IN_SYNCED, OUT_SYNCED))

    def fade_in(self) -> None:
        """Fade to the incoming engine, over FADE_S."""
        release(self.state, FADE, 1)

    @property
    def faded_in(self) -> bool:
        """Return whether the incoming engine is now the active one."""
        return int(acquire(self.state, CURRENT)) == int(self.state[INCOMING])

    def drop_other(self) -> None:
        """Serve only the active engine; when this returns, no call uses the other one."""
        release(self.state, INCOMING, 0)
        time.sleep(CALL_OVER_S)
        self._served = tuple(engine for engine in self._served if self.serves(engine))

    def serves(self, engine: Served) -> bool:
        """Return whether `engine` is the active one."""
        return int(acquire(self.state, CURRENT)) == address_of(engine.state, 0)

    def hand_over(self, successor: EngineMixer) -> None:
        """Let another mixer replace this one, or its last successor."""
        self._successors = (*self._successors[-1:], successor)  # a call may still use the last one
        self._replaced_at = None
        release(self.state, SUCCESSOR, successor.state.ctypes.data)

    def drop_replaced(self) -> bool:
        """Release replaced engines and mixers; return False while a call may still use one."""
        now = time.monotonic()
        if int(acquire(self.state, IN_SUCCESSOR)) != int(self.state[SUCCESSOR]):
            return False
        if self._replaced_at is None:
            self._replaced_at = now
        if now < self._replaced_at + CALL_OVER_S:
            return False
        self._served, self._successors = (), self._successors[-1:]
        return True

    def fade_out(self) -> None:
        """Fade everything out, for good: another mixer takes over."""
        release(self.state, FADE_OUT, 1)

    @property
    def faded_out(self) -> bool:
        """Return whether the output is silent after `fade_out`."""
        return int(acquire(self.state, LEVEL)) == 0
