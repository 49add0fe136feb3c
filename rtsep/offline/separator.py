"""A model and a pipeline in one process: blocks or whole arrays in, stems out, without audio devices."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.compute import COMPUTE, chosen_compute
from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS, INSTRUMENTAL, VOCALS
from rtsep.errors import UsageError
from rtsep.limits import HIGHEST_FILE_RATE, LOWEST_FILE_RATE
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.model.remote import load
from rtsep.model.runner import ModelRunner
from rtsep.pipeline import (
    begin_hop,
    finish_hop,
    frames_needed,
    make_pipeline,
    max_frames_per_step,
    model_rate_for,
    stream_delay,
)

_BLOCK = 8192
"""Frames of a whole array processed at a time: this affects the memory, not the result."""


class Stems(NamedTuple):
    """Stems of one piece of audio, each of its length and shape."""

    vocals: NDArray[np.float32]
    instrumental: NDArray[np.float32]


class Separator:
    """Streaming separation of blocks of any size, or of whole arrays.

            separator = Separator("live", rate=44100, channels=2)
            vocals, instrumental = separator.separate(song)     # [2, frames] each, aligned with the song
            stems = separator.process(block)                    # [2, 2, frames], `latency` frames late

    Output and input have equal lengths; a stream's first `latency` output frames are silence. The result does
    not depend on the division of the input into blocks. `controls` may change at any time. A separator is not
    thread-safe: give each thread its own.
    """

    def __init__(
        self,
        model: ModelRunner | str | Path = DEFAULT_MODEL,
        rate: int = 44100,
        channels: int = 2,
        controls: Controls | None = None,
        *,
        compute: str | None = None,
        device: str | None = None,
    ) -> None:
        """Load a model by name or path to `compute` ("cpu", "cuda"), or use a loaded one.

        A model loaded here runs in its own process, which ends with the separator. `device` is the old name
        of `compute`, still accepted.

        `rate` in Hz and `channels` are those of the audio, whatever the model's are. Raise `ModelError`, and
        `UsageError` for invalid values.
        """
        self.rate = _whole(rate, "rate", "in Hz, such as 44100")
        if not LOWEST_FILE_RATE <= self.rate <= HIGHEST_FILE_RATE:
            raise UsageError(f"rate {self.rate}: {LOWEST_FILE_RATE} to {HIGHEST_FILE_RATE} Hz are possible")
        self.channels = _whole(channels, "channels", "such as 2")
        self.controls = controls if controls is not None else Controls()
        if isinstance(model, str | Path):
            model = self._load(model, chosen_compute(compute, device))
        self._model = model
        self.model_rate = model_rate_for(model.spec, self.rate)
        self._stream = self._begin(self.channels)

    @staticmethod
    def _load(name: str | Path, compute: str) -> ModelRunner:
        if compute not in COMPUTE:
            raise UsageError(f"compute '{compute}': must be one of {', '.join(COMPUTE)}")
        return load(read_package(find_model(str(name))), compute)

    @property
    def latency(self) -> int:
        """Return the lag of streamed stems behind the input in frames, including the filling of a hop."""
        return self._stream.latency

    def process(self, block: ArrayLike) -> NDArray[np.float32]:
        """Process the next `block` [channels, frames] of a stream; return stems [2, channels, frames].

        Stem 0 is the vocals, 1 the instrumental. Samples are floats with full scale 1; NaN and infinities
        become silence. Raise `UsageError` for a bad shape or type.
        """
        samples = _as_samples(block)
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise UsageError(self._misfit("block", samples.shape))
        return self._stream.process(samples)

    def separate(self, audio: ArrayLike) -> Stems:
        """Separate a whole piece, [channels, frames] or mono [frames]; both stems are aligned with it.

        The state is reset before and after: a stream in progress is lost. The result is the same as that of
        `rtsep file`, to the last bit. Raise `UsageError` for a bad shape or type.
        """
        samples = _as_samples(audio)
        mono = samples.ndim == 1
        if not mono and (samples.ndim != 2 or samples.shape[0] != self.channels):
            raise UsageError(self._misfit("audio", samples.shape))
        whole = samples[np.newaxis] if mono else samples
        stream = self._begin(whole.shape[0])
        stems = np.empty((2, *whole.shape), np.float32)
        skip, done = stream.latency, 0
        for part in _blocks(whole, stream.latency):
            ready = stream.process(part)
            dropped = min(skip, ready.shape[2])
            skip -= dropped
            stems[:, :, done : done + ready.shape[2] - dropped] = ready[:, :, dropped:]
            done += ready.shape[2] - dropped
        self.reset()
        vocals, instrumental = stems[:, 0] if mono else stems
        return Stems(vocals, instrumental)

    def reset(self) -> None:
        """Reset the state: the next block is the first of a stream. Controls keep their values."""
        self._stream = self._begin(self.channels)

    def _begin(self, channels: int) -> _Stream:
        self._model.reset()
        return _Stream(self._model, self.rate, channels, self.model_rate, self.controls)

    def _misfit(self, what: str, shape: tuple[int, ...]) -> str:
        mono = "" if what == "block" else ", or mono (frames,)"
        text = f"{what} of shape {shape}: expected ({self.channels}, frames){mono}"
        if len(shape) == 1:
            return f"{text}; a mono block is {what}[numpy.newaxis], for a Separator of channels=1"
        if len(shape) == 2 and shape[1] == self.channels:
            return f"{text}; transpose it: {what}.T (soundfile reads [frames, channels])"
        if len(shape) == 2 and shape[0] < shape[1]:
            return f"{text}; make the Separator with channels={shape[0]}"
        return text


class _Stream:
    """One stream of `channels` channels through the model."""

    def __init__(
        self, model: ModelRunner, rate: int, channels: int, model_rate: int, controls: Controls
    ) -> None:
        self._model, self._controls = model, controls
        self._pipeline = make_pipeline(model.spec, rate, channels, model_rate)
        max_frames = max_frames_per_step(rate, model_rate, model.spec.hop)
        self.latency = stream_delay(self._pipeline) + max_frames
        self._feeds = np.zeros((len(FEEDS), channels, max_frames), np.float32)
        self._pending = np.zeros((channels, 0), np.float32)
        # A hop is filled before it is played: its output is returned as more input comes.
        self._ready = np.zeros((len(FEEDS), channels, max_frames), np.float32)

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Process `block` [channels, frames]; return stems [2, channels, frames]."""
        self._pending = np.concatenate([self._pending, block], axis=1)
        parts = [self._ready]
        position = 0
        while True:
            frames = frames_needed(self._pipeline)
            if position + frames > self._pending.shape[1]:
                break
            parts.append(self._hop(np.ascontiguousarray(self._pending[:, position : position + frames])))
            position += frames
        self._pending = self._pending[:, position:]
        ready = np.concatenate(parts, axis=2)
        self._ready = ready[:, :, block.shape[1] :]
        return ready[[VOCALS, INSTRUMENTAL], :, : block.shape[1]]

    def _hop(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        begin_hop(self._pipeline, block, self._model.column)
        self._model.step()
        feeds = self._feeds[:, :, : block.shape[1]]
        finish_hop(self._pipeline, self._model.mask, self._controls.control_block, True, feeds)
        return feeds.copy()


def _blocks(audio: NDArray[np.float32], latency: int) -> list[NDArray[np.float32]]:
    """Split `audio` [channels, frames], plus `latency` frames of silence to flush its end, into blocks."""
    silence = np.zeros((audio.shape[0], latency), np.float32)
    return [
        part[:, start : start + _BLOCK]
        for part in (audio, silence)
        for start in range(0, part.shape[1], _BLOCK)
    ]


def _whole(value: int, name: str, example: str) -> int:
    # also refuses NaN
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or value % 1 != 0:
        raise UsageError(f"{name} {value!r}: must be a whole number {example}")
    if value < 1:
        raise UsageError(f"{name} {value}: must be 1 or more")
    return int(value)


def _as_samples(audio: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(audio)
    if not np.issubdtype(array.dtype, np.floating):
        remedy = "use floats with full scale 1"
        if np.issubdtype(array.dtype, np.signedinteger):
            remedy += f"; divide by {-np.iinfo(array.dtype).min}, or read them as dtype='float32'"
        raise UsageError(f"samples of type {array.dtype}: {remedy}")
    return np.asarray(array, np.float32)
