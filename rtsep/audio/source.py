"""A file as the input of an engine: read ahead into the input ring, paced by the output callback.

A seek, a pause, a new loop, speed and key are splices: new audio replaces the frames read ahead, from a frame
of the ring that no callback has reached. The audio path needs no code for them.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.audio.conversion import Conversion, Target
from rtsep.audio.fed_engines import FedEngines
from rtsep.audio.played_file import Loop, Opening, PlayedFile, ends
from rtsep.audio.splices import (
    SEGMENTS_SECONDS,
    FilePosition,
    Segment,
    fade_out,
    fade_over,
    segment_at,
    with_segment,
    write,
)
from rtsep.audio.stretch import AS_RECORDED, Stretch, require_stretcher
from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader
from rtsep.limits import HIGHEST_SPEED
from rtsep.realtime import threads
from rtsep.realtime.atomics import acquire

_BLOCK_SECONDS = 0.1
_KEPT_SECONDS = (rings.LONGEST_SECONDS + 4.0) * HIGHEST_SPEED + 1.0
"""Seconds of the file kept for going back: the longest ring, 4 s for the latency of a model, and the
stretcher's read-ahead together."""

_AHEAD_SECONDS, _CALLS_AHEAD, _TRIES = 0.04, 2, 5
"""Distance of a splice ahead of the callback, in seconds and in calls; each new attempt doubles it."""

_AHEAD_STRETCHED_SECONDS = 0.12
"""Distance of a splice ahead of the callback in seconds if its audio has to be stretched first."""

_HEAD_SECONDS = 0.5
"""Amount written at once at a splice, in seconds, because this thread may be delayed afterwards."""

FADE_SECONDS = 0.01
"""Duration of the fade-out at a seek or a pause, in seconds."""

STRETCH_FADE_SECONDS = 0.03
"""Duration of the fade from one speed or key to another, in seconds."""


class FileSource:
    """Feeds a file to one engine after another, across device and model swaps."""

    def __init__(
        self, reader: AudioReader, rate: int, channels: list[int], stretch: Stretch = AS_RECORDED
    ) -> None:
        """Play `channels` (from 0) of `reader` at `rate` Hz, resampled if the file has another rate.

        Raise `UsageError` for a `stretch` out of range, or without the library that it needs.
        """
        self._file = PlayedFile(reader, round(_KEPT_SECONDS * reader.rate))
        self._engines = FedEngines()
        self._wake = threading.Event()
        self._leaving = self._hangs = False
        self._thread: threading.Thread | None = None
        self._stretch = self._wanted_stretch = AS_RECORDED  # state in the ring; requested state
        self.set_stretch(stretch.speed, stretch.key)
        self._stretch = self._wanted_stretch
        first = Segment(start=0.0, frame=0, taken=0, speed=self._stretch.speed)
        self._segments: tuple[Segment, ...] = (first,)  # oldest first, replaced as a whole
        self._paused = self._pause = False  # state in the ring; requested state
        self._loop: Loop | None = None  # requested
        self._seek: int | None = None  # requested frame of the file
        self._sought: tuple[float, int] = (0.0, 0)  # the last seek: frame of the ring, and of the file
        self._opening: Opening | None = None
        self._refusal = ""  # line about a refused seek
        self._at_work = False  # busy with a request
        self.play_as(rate, channels)

    # --- requests; on any thread -------------------------------------------------------------------

    def place(self, audible: float) -> FilePosition:
        """Return the position for frame `audible` of the engine's input; pause and loop as last requested."""
        rate, length, loop = self._file.rate, self._file.length, self._loop
        return FilePosition(
            position=self._frame_at(audible) / rate,
            length=None if length is None else length / rate,
            paused=self._pause,
            loop=None if loop is None else (loop.start / rate, None if loop.end is None else loop.end / rate),
            speed=self._wanted_stretch.speed,
            key=self._wanted_stretch.key,
        )

    def target(self, audible: float) -> float:
        """Return the start position of a step in s: the last seek's target until that is audible."""
        seek, (start, frame) = self._seek, self._sought
        to: float | None = frame if audible < start and seek is None else seek
        return (self._frame_at(audible) if to is None else to) / self._file.rate

    def seek(self, seconds: float) -> None:
        """Play on from `seconds` of the file, exact to the sample; a paused file stays paused."""
        self._seek = max(0, round(seconds * self._file.rate))
        self._wake.set()

    def pause(self, pause: bool) -> None:
        """Pause with silence, or continue."""
        self._pause = pause
        self._wake.set()

    def set_loop(self, loop: tuple[float, float | None] | None) -> None:
        """Repeat from start to end in s without a gap; None: play on to the end of the file.

        An end of None is the file's. A position behind the end moves to the start at once.
        """
        rate = self._file.rate
        if loop is not None:
            start, end = loop
            self._loop = Loop(round(start * rate), None if end is None else round(end * rate))
        else:
            self._loop = None
        self._wake.set()

    def set_stretch(self, speed: float | None = None, key: float | None = None) -> None:
        """Play at `speed`, a factor, and `key` semitones above what is recorded; None: as before.

        The place goes on without a jump. Raises `UsageError` for what is out of range, or where the library
        is missing.
        """
        before = self._wanted_stretch
        wanted = before.but(speed, key)
        if wanted != AS_RECORDED:
            require_stretcher()
        self._wanted_stretch = wanted
        self._wake.set()

    @property
    def failure(self) -> InputFileError | None:
        """Return the error that ended the file early."""
        return self._file.failure

    def take_refusal(self) -> str:
        """Return a line about a seek or loop that was refused later; once, else ""."""
        line, self._refusal = self._refusal, ""
        return line

    @property
    def unsettled(self) -> bool:
        """Return whether a request is not in the ring yet."""
        wanted = self._seek is not None or self._pause != self._paused or self._loop != self._file.loop
        wanted = wanted or self._wanted_stretch != self._stretch
        return wanted or self._at_work  # in this order, because work begins before the request is cleared

    # --- engines ------------------------------------------------------------------------------------------

    def play_as(self, rate: int, channels: list[int]) -> None:
        """Set rate and channels for the next engine. Call only right after `go_back`."""
        self._rate, self._channels = rate, channels
        self._begin_reading()

    def start(self, state: NDArray[np.int64], ring: NDArray[np.float32]) -> None:
        """Fill `ring` of a new engine, then keep it filled. Raise `NoThreadError` or `InputFileError`."""
        if self._hangs:
            raise self._file.hung()
        self._leaving = False
        self._engines.begin(state)
        self._fill(ring)
        thread = threading.Thread(target=self._run, args=(ring,), name="file-source", daemon=True)
        threads.start(thread)
        self._thread = thread

    def feed_also(self, state: NDArray[np.int64]) -> None:
        """Also feed a second engine, which shares the first one's ring, from now on.

        Raise `InputFileError` if the disk does not answer.
        """
        self._engines.feed_also(state, self._file.hung)

    def feed_no_more(self, state: NDArray[np.int64]) -> None:
        """Stop feeding one of two engines; the other one continues."""
        self._engines.feed_no_more(state)

    def stop(self) -> None:
        """Stop filling; end a decoder that hangs. After a disk that hangs, `start` is refused."""
        self._leaving = True
        self._wake.set()
        if not (self._hangs and self._thread and self._thread.is_alive()):
            self._hangs = not ends(self._thread, self._file.interrupt)

    def go_back(self, frame: int) -> None:
        """Let the next engine begin with `frame` of this engine's input, without losing frames read ahead.

        Goes back by at most the length of a ring; call `stop` first. Until the next engine starts, the
        position is this frame.
        """
        self._engines.end()
        self._file.return_to(self._taken_at(frame, self._segments))
        self._segments = (
            Segment(start=0.0, frame=self._file.position, taken=self._file.taken, speed=self._pace),
        )
        self._sought = (0.0, self._file.position)
        self._begin_reading()

    def close(self) -> None:
        """Stop, and close the file, unless the disk keeps the thread that reads it."""
        self.stop()
        if not self._hangs:
            if self._opening:
                self._opening.cancel()
            self._file.close()

    # --- the thread ---------------------------------------------------------------------------------------

    def _run(self, ring: NDArray[np.float32]) -> None:
        while not self._leaving:
            self._wake.wait(_BLOCK_SECONDS)
            self._wake.clear()
            if self._leaving:
                return
            try:
                self._fill(ring)
            except Exception as error:
                if self._hangs or not self._engines.states:
                    return
                self._file.fail(error)
                self._seek, self._loop, self._at_work = None, self._file.loop, False
                self._pause, self._wanted_stretch = self._paused, self._stretch
                self._engines.release(rings.SOURCE_END, acquire(self._engines.first, rings.SOURCE_WRITE))
                return

    def _fill(self, ring: NDArray[np.float32]) -> None:
        with self._engines.lock:
            if self._engines.states:
                self._at_work = True
                self._carry_out(ring)
                self._at_work = False
                self._write_on(ring)

    def _write_on(self, ring: NDArray[np.float32]) -> None:
        state = self._engines.first
        written = acquire(state, rings.SOURCE_WRITE)
        # A quarter stays free: the hop loop reads behind the callback, and may be late.
        limit = acquire(state, rings.IN_WRITE) + len(ring) * 3 // 4
        while written < limit and not self._leaving:
            block = self._next_block(min(limit - written, int(self._rate * _BLOCK_SECONDS)))
            if self._hangs:  # nobody has waited for it
                return
            if len(block) == 0:
                self._engines.release(rings.SOURCE_END, written)
                return
            write(ring, written, block)
            written += len(block)
            self._engines.release(rings.SOURCE_WRITE, written)

    def _head(self) -> NDArray[np.float32]:
        """Return the next frames [frames, channels], enough for `_write_on` to continue; empty at the end."""
        blocks: list[NDArray[np.float32]] = [np.zeros((0, len(self._channels)), np.float32)]
        wanted = int(self._rate * _HEAD_SECONDS)
        while wanted > 0 and len(block := self._next_block(wanted)):
            blocks.append(block)
            wanted -= len(block)
        return np.concatenate(blocks)

    def _next_block(self, max_frames: int) -> NDArray[np.float32]:
        if self._paused:
            return np.zeros((max_frames, len(self._channels)), np.float32)
        return self._conversion.next_block(max_frames)

    def _take(self, frames: int) -> NDArray[np.float32]:
        """Return the next frames of the file, [<= frames, its channels]; empty at the end."""
        taken, expected = self._file.taken, self._file.position
        piece = self._file.read(frames)
        if piece.frame != expected and len(piece.sound):  # the loop begins again
            last = self._segments[-1]
            start = last.start + (taken - last.taken) * self._rate / (self._file.rate * last.speed)
            reach = start - SEGMENTS_SECONDS * self._rate
            self._segments = with_segment(
                self._segments, Segment(start=start, frame=piece.frame, taken=taken, speed=last.speed), reach
            )
        return piece.sound

    def _begin_reading(self) -> None:
        """Start to stretch and to resample without any earlier output."""
        target = Target(self._rate, self._channels, self._stretch)
        self._conversion = Conversion(self._file.rate, target, self._take, self._file.before)

    @property
    def _pace(self) -> float:
        """Seconds of the file in one second of the ring; 0: paused."""
        return 0.0 if self._paused else self._stretch.speed

    # --- the position in the file ----------------------------------------------------------------------

    def _frame_at(self, audible: float) -> float:
        """Return the frame of the file at frame `audible` of the ring's count; without engine: the next."""
        if not self._engines.states:
            audible = 0.0  # a count of the engine before
        at = segment_at(self._segments, audible).frame_at(audible, self._file.rate / self._rate)
        return at if self._file.length is None else min(at, self._file.length)

    def _taken_at(self, frame: int, segments: tuple[Segment, ...]) -> int:
        """Return the number of frames taken from the file before frame `frame` of the ring's count."""
        return segment_at(segments, frame).taken_at(frame, self._file.rate / self._rate)

    # --- splices ------------------------------------------------------------------------------------------

    def _carry_out(self, ring: NDArray[np.float32]) -> None:
        """Carry out the requests that are possible now."""
        seek, loop, pause, stretch = self._seek, self._loop, self._pause, self._wanted_stretch
        changes = loop != self._file.loop
        to = seek
        if loop and loop.end is not None:
            at = self._frame_at(self._engines.arrived()) if seek is None and changes else seek
            if at is not None and at >= loop.end:
                to = loop.start
        reader = None
        if to is not None and not self._file.reaches(to):
            reader = self._opened(to)
            if reader is None:  # playback continues meanwhile
                if pause != self._paused or stretch != self._stretch:
                    self._splice(ring, self._file.loop, pause, stretch, None, None)
                return
        if to is not None or changes or pause != self._paused or stretch != self._stretch:
            self._splice(ring, loop, pause, stretch, to, reader)
        if seek is not None and self._seek == seek:  # else another seek was requested meanwhile
            self._seek = None

    def _opened(self, frame: int) -> AudioReader | None:
        """Return a reader opened at `frame`; None: not yet."""
        if self._opening and self._opening.frame != frame:
            self._opening.cancel()
            self._opening = None
        if self._opening is None:
            self._opening = self._file.open_at(frame, self._wake.set)
        if not self._opening.done:
            return None
        opening, self._opening = self._opening, None
        try:
            return opening.result()
        except InputFileError as error:  # it was readable before: playback continues
            self._refusal = f"seek to {frame / self._file.rate:.3f} s refused: {error}; playback continues"
            self._seek, self._loop = None, self._file.loop
            return None

    def _splice(
        self,
        ring: NDArray[np.float32],
        loop: Loop | None,
        pause: bool,
        stretch: Stretch,
        to: int | None,
        reader: AudioReader | None,
    ) -> None:
        """Write the requested audio to the ring, from a frame that no callback has reached.

        `to` is the target of a seek, `reader` was opened there. A callback that arrives during the write may
        have taken old frames; the write is then repeated further on, so that the audio after a splice is
        always exact.
        """
        state, file, before = self._engines.first, self._file, self._segments
        stood, rate = self._paused, self._rate
        fade, written = round(FADE_SECONDS * rate), acquire(state, rings.SOURCE_WRITE)
        fade_in = fade if stretch == self._stretch else round(STRETCH_FADE_SECONDS * rate)
        calls = _CALLS_AHEAD * max(acquire(state, rings.OUT_FRAMES), acquire(state, rings.BLOCK))
        ahead_s = _AHEAD_SECONDS if stretch == AS_RECORDED else _AHEAD_STRETCHED_SECONDS
        ahead = max(round(ahead_s * rate), calls) + fade
        begun: int | None = None
        for attempt in range(_TRIES):
            start = self._engines.arrived() + min(ahead << attempt, len(ring) // 2)
            file.return_to(self._taken_at(start, before) if to is None or begun is None else begun)
            if loop != file.loop:
                file.set_loop(loop)
            if to is not None and begun is None:
                file.go_to(to, reader)
            begun, self._paused, self._stretch = file.taken, pause, stretch
            self._segments = with_segment(
                before, Segment(start=float(start), frame=file.position, taken=begun, speed=self._pace)
            )
            self._begin_reading()
            head = self._head()
            self._engines.release(rings.SOURCE_END, rings.NO_END)
            if start > written:  # it had ended, or was late
                silence = np.zeros((min(start - written, len(ring) // 2), ring.shape[1]), np.float32)
                write(ring, start - len(silence), silence)
            elif not stood and attempt == 0 and (pause or to is not None):
                fade_out(ring, start, fade)
            elif not stood and not pause and to is None:
                fade_over(ring, start, head[:fade_in])  # the same audio, resampled or stretched again
            write(ring, start, head)
            self._engines.release(rings.SOURCE_WRITE, start + len(head))
            if len(head) == 0:
                self._engines.release(rings.SOURCE_END, start)
            if to is not None:
                self._sought = (float(start), to)
            if self._engines.arrived() <= start - fade:
                return
