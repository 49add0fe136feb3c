"""Speed and key of a played file: a time-stretcher in front of the engine, for the thread that reads it.

The library Bungee (MPL-2.0) does the work, through its C interface. Each grain is requested by its position
in the file; therefore output frame n lies at n times the speed, and no error accumulates. The library is not
part of rtsep: the package bungee-python contains it for Linux; otherwise a libbungee of the system is used.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import math
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_double, c_float, c_int, c_ssize_t, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError
from rtsep.limits import key_error, speed_error

MISSING = (
    "speed and key need the library Bungee: pip install bungee-python (it has wheels for Linux on x86-64, "
    "Python 3.11 to 3.13), or put libbungee where the system finds libraries"
)

LEAD_SECONDS = 0.25
"""Maximum audio before the first frame that a stretcher uses: a grain reaches back by half its length."""


class _Request(ctypes.Structure):
    _fields_ = (("position", c_double), ("speed", c_double), ("pitch", c_double), ("reset", c_bool))


class _Chunk(ctypes.Structure):
    _fields_ = (("begin", c_int), ("end", c_int))


class _Output(ctypes.Structure):
    _fields_ = (
        ("data", POINTER(c_float)),
        ("frames", c_int),
        ("stride", c_ssize_t),
        ("requests", POINTER(_Request) * 2),
    )


class _Rates(ctypes.Structure):
    _fields_ = (("input", c_int), ("output", c_int))


class _Functions(ctypes.Structure):
    """The table of functions that the library returns, in the order of its header."""

    _fields_ = (
        ("edition", CFUNCTYPE(c_char_p)),
        ("version", CFUNCTYPE(c_char_p)),
        ("create", CFUNCTYPE(c_void_p, _Rates, c_int, c_int)),
        ("destroy", CFUNCTYPE(None, c_void_p)),
        ("instrument", CFUNCTYPE(None, c_void_p, c_int)),
        ("max_input", CFUNCTYPE(c_int, c_void_p)),
        ("preroll", CFUNCTYPE(None, c_void_p, POINTER(_Request))),
        ("next", CFUNCTYPE(None, c_void_p, POINTER(_Request))),
        ("specify", CFUNCTYPE(_Chunk, c_void_p, POINTER(_Request), c_double)),
        ("analyse", CFUNCTYPE(None, c_void_p, c_void_p, c_ssize_t, c_int, c_int)),
        ("synthesise", CFUNCTYPE(None, c_void_p, POINTER(_Output))),
        ("flushed", CFUNCTYPE(c_bool, c_void_p)),
    )


class Stretch(NamedTuple):
    """Speed and key of a played file."""

    speed: float = 1.0  # a factor; more than 1: faster than recorded
    key: float = 0.0  # semitones above the recorded key

    def but(self, speed: float | None, key: float | None) -> Stretch:
        """Return a copy with another `speed`, `key` or both; None: unchanged. Raise `UsageError`."""
        speed, key = self.speed if speed is None else speed, self.key if key is None else key
        if error := speed_error(speed) or key_error(key):
            raise UsageError(error)
        return Stretch(float(speed), float(key))


AS_RECORDED = Stretch()


def require_stretcher() -> None:
    """Raise `UsageError` with the remedy if the library is missing."""
    _functions()


@functools.cache
def _functions() -> Any:
    """Return the library's functions. Raise `UsageError` if it is missing."""
    package = importlib.util.find_spec(
        "bungee_python"
    )  # its extension is for one Python, its library for all
    places = (
        [Path(folder) / "libbungee.so" for folder in package.submodule_search_locations or ()]
        if package
        else []
    )
    found = [str(path) for path in places if path.is_file()]
    for name in (*found, ctypes.util.find_library("bungee")):
        if name is None:
            continue
        try:
            entry = ctypes.CDLL(name).getFunctionsBungeeBasic
        except (OSError, AttributeError):  # of another system, or of another version
            continue
        entry.restype = POINTER(_Functions)
        return entry().contents
    raise UsageError(MISSING)


class Stretcher:
    """Plays audio at another speed, in another key or both; for one thread."""

    def __init__(self, rate: int, speed: float, key: float, before: NDArray[np.float32]) -> None:
        """Begin after `before` [frames, channels], the audio before the first frame; it may be short.

        `rate` is in Hz, `speed` a factor (more than 1: faster), `key` in semitones. Raise `UsageError` if the
        library is missing.
        """
        self._library: Any = _functions()
        self.channels = before.shape[1]
        self._speed = speed
        self._held = before  # input that grains may still need
        self._held_at = -len(before)  # its first frame, counted from the first one that is played
        self._given = 0  # frames of output
        self._request = _Request(0.0, speed, 2.0 ** (key / 12.0), True)
        self._pending: _Chunk | None = None  # what the next grain needs, relative to _base
        self._base = 0
        self._state = self._library.create(_Rates(rate, rate), self.channels, 0)
        self._library.preroll(self._state, self._request)

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            self._library.destroy(state)

    def stretch(self, block: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """Process `block` [frames, channels]; return the frames that are ready, [frames, channels].

        Output lags its input by a part of a grain; with `last`, the rest is returned. The output of n frames
        of input then has n / speed frames, rounded.
        """
        self._held = np.concatenate((self._held, block)) if len(block) else self._held
        end = self._held_at + len(self._held)
        wanted = round(end / self._speed) - self._given if last else None
        parts = [np.zeros((0, self.channels), np.float32)]
        while wanted is None or wanted > 0:
            grain = self._pending = self._pending or self._specify()
            if not last and self._base + grain.end > end:
                break
            part = self._grain(grain)[:wanted]
            self._pending = None
            self._library.next(self._state, self._request)
            self._given += len(part)
            wanted = None if wanted is None else wanted - len(part)
            parts.append(part)
        return np.concatenate(parts)

    def _specify(self) -> _Chunk:
        """Return the input range for the next grain; earlier input is no longer needed."""
        self._base = math.floor(self._request.position)  # the library counts in 32 bits from there
        grain: _Chunk = self._library.specify(self._state, self._request, float(self._base))
        done = self._base + grain.begin - self._held_at
        if done > len(self._held) // 2:
            self._held, self._held_at = self._held[done:], self._held_at + min(done, len(self._held))
        return grain

    def _grain(self, grain: _Chunk) -> NDArray[np.float32]:
        """Return the audio that `grain` completes, [frames, channels]; missing input is silence."""
        first, frames = self._base + grain.begin - self._held_at, grain.end - grain.begin
        chunk = np.zeros((self.channels, frames), np.float32)
        start, stop = min(max(first, 0), len(self._held)), min(max(first + frames, 0), len(self._held))
        chunk[:, start - first : stop - first] = self._held[start:stop].T
        self._library.analyse(self._state, chunk.ctypes.data, frames, 0, 0)
        output = _Output()
        self._library.synthesise(self._state, output)
        begin, end = output.requests
        if not begin or math.isnan(begin.contents.position):
            return np.zeros((0, self.channels), np.float32)
        count = output.frames
        flat = np.ctypeslib.as_array(output.data, ((self.channels - 1) * output.stride + count,))
        rows = [flat[channel * output.stride :][:count] for channel in range(self.channels)]
        sound = np.stack(rows, axis=1)
        if begin.contents.position < 0:  # before the first frame
            span = end.contents.position - begin.contents.position
            sound = sound[min(count, round(-begin.contents.position / span * count)) :]
        return sound
