"""Reading of a played file: onwards, back within recent frames, at any position, and in a loop.

Nothing here waits for a decoder to start again: a thread opens the new position (`Opening`) while playback
continues. Memory is bounded: a few seconds behind the position, and a loop of at most LOOP_BYTES.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputFileError, NoThreadError, in_a_line
from rtsep.files.audiofile import AudioReader
from rtsep.realtime import threads

READ_PATIENCE_S = 5.0
"""Time limit in seconds for a thread that reads, as at its end: a disk may have to spin up."""

LOOP_BYTES = 16 << 20
"""Maximum size of a loop kept in memory after it was played; a longer one is read again."""

_OPENING_FRAMES = 1 << 15


def ends(thread: threading.Thread | None, interrupt: Callable[[], None]) -> bool:
    """Wait for the end of a thread that reads; return False if the disk keeps it.

    `interrupt` ends a decoder that hangs.
    """
    if thread is None or not thread.ident:
        return True
    thread.join(READ_PATIENCE_S)
    if thread.is_alive():
        interrupt()
        thread.join(READ_PATIENCE_S)
    return not thread.is_alive()


class Piece(NamedTuple):
    """Part of a file."""

    frame: int  # first frame in the file
    sound: NDArray[np.float32]  # [frames, channels of the file]
    sought: bool = False  # intended jump: it does not follow the previous piece

    def until(self, frames: int) -> Piece:
        """Return the first `frames` frames."""
        return self._replace(sound=self.sound[:frames])

    def since(self, frames: int) -> Piece:
        """Return the rest without the first `frames` frames, at least one frame."""
        return Piece(self.frame + frames, self.sound[frames:])


class Loop(NamedTuple):
    """Loop over part of the file, in frames of the file."""

    start: int
    end: int | None  # after the last frame; None: the end of the file


class Opening:
    """Thread that opens a file at a position; a format without seeking is decoded up to there."""

    def __init__(self, reader: AudioReader, frame: int, ready: Callable[[], None]) -> None:
        """Open the file of `reader` again; the thread calls `ready` when it reaches `frame`, or cannot."""
        self.frame, self._path = frame, reader.path
        self._shape = reader.rate, reader.channels
        self._ready, self._leaving = ready, threading.Event()
        self._reader: AudioReader | None = None
        self._failure: InputFileError | None = None
        again: Callable[[], AudioReader] | None = None
        try:
            again = reader.again()  # `reader` may be closed before the thread runs
        except InputFileError as error:
            self._failure = error
        self._thread = threading.Thread(target=self._run, args=(again,), name="file-seeker", daemon=True)
        try:
            threads.start(self._thread)
        except NoThreadError as error:
            self._failure = InputFileError(f"{self._path}: {error}")

    @property
    def done(self) -> bool:
        """Return whether `result` is available at once."""
        return not self._thread.is_alive()

    def result(self) -> AudioReader:
        """Wait, and return a reader at the position, or at the end before it; raise `InputFileError`."""
        if self._thread.ident:  # it was started
            self._thread.join()
        if self._failure:
            raise self._failure
        assert self._reader
        return self._reader

    def cancel(self) -> None:
        """Cancel the opening; a thread that the disk keeps closes the file itself."""
        self._leaving.set()
        if ends(self._thread, self.interrupt) and self._reader:
            self._reader.close()

    def interrupt(self) -> None:
        """End the way to the position, from another thread."""
        self._leaving.set()
        if self._reader:
            self._reader.interrupt()

    def _run(self, again: Callable[[], AudioReader] | None) -> None:
        try:
            if again is not None:
                self._reader = again()
                if (self._reader.rate, self._reader.channels) != self._shape:
                    raise InputFileError(f"{self._path}: another file has taken its place; open it again")
                self._go_to_frame(self._reader)
        except InputFileError as error:
            self._failure = error
        except Exception as error:  # any other end of this thread would end playback
            self._failure = InputFileError(f"{self._path}: {in_a_line(error)}")
        finally:
            if self._leaving.is_set() and not self._failure:
                self._failure = InputFileError(f"{self._path}: its opening was ended")
            if self._failure and self._reader:
                self._reader.close()
            self._ready()

    def _go_to_frame(self, reader: AudioReader) -> None:
        for frame in range(0, self.frame, _OPENING_FRAMES):
            if self._leaving.is_set() or not reader.seek(frame):
                return
        reader.seek(self.frame)


class PlayedFile:
    """Audio of `reader` in the order of playback. For one thread only."""

    def __init__(self, reader: AudioReader, kept_frames: int) -> None:
        """Begin at the first frame; keep `kept_frames` behind the position."""
        self._reader = reader
        self._reader_at = 0  # next frame from the reader, in frames of the file
        self._kept_frames = kept_frames
        self.rate, self.channels, self.length = reader.rate, reader.channels, reader.length
        self.position = 0  # next frame that `read` returns; at the end of a loop: that end
        self.taken = 0  # frames returned by `read` so far
        self.failure: InputFileError | None = None  # error that ended the file early
        self._past: deque[Piece] = deque()  # newest last
        self._past_frames = 0
        self._again: deque[Piece] = deque()  # to be returned again
        self._sought = False
        self._loop: Loop | None = None
        self._gathered: list[Piece] = []  # the loop from its start on
        self._memory = Piece(0, self._nothing)
        self._next_start: Opening | None = None  # start of a loop, if the reader cannot seek back
        self._awaited: Opening | None = None  # that the reading thread waits for

    @property
    def loop(self) -> Loop | None:
        """Return the current loop."""
        return self._loop

    def set_loop(self, loop: Loop | None) -> None:
        """Play `loop` repeatedly after its next end; None: play to the end of the file."""
        self._loop, self._gathered = loop, []
        if self._next_start:
            self._next_start.cancel()
            self._next_start = None
        self._open_start()

    def reaches(self, frame: int) -> bool:
        """Return whether `go_to` works without a reader opened at `frame`."""
        return self._reader.seeks or self._remembers(frame)

    def open_at(self, frame: int, ready: Callable[[], None]) -> Opening:
        """Start to open the file at `frame`; another thread calls `ready` when that is done."""
        return Opening(self._reader, frame, ready)

    def go_to(self, frame: int, reader: AudioReader | None = None) -> None:
        """Continue `read` at `frame`, with `reader` at that position; None if the file `reaches` it."""
        self._again.clear()
        self.position, self._sought = frame, True
        if reader:
            self._read_by(reader, frame)

    def read(self, frames: int) -> Piece:
        """Return the next piece of at most `frames` consecutive frames; an empty one is the end."""
        piece = self._next(frames)
        self.position += len(piece.sound)
        self._past.append(piece)
        self._past_frames += len(piece.sound)
        self.taken += len(piece.sound)
        while self._past_frames - len(self._past[0].sound) >= self._kept_frames:
            self._past_frames -= len(self._past.popleft().sound)
        return piece

    def return_to(self, taken: int) -> None:
        """Return to the position at which `taken` was so, under the current loop, if its frames are kept."""
        known = [piece for piece in (*self._past, *self._again) if len(piece.sound)]
        first = self.taken - self._past_frames
        left = max(0, taken - first)
        self._past.clear()
        self._again.clear()
        for piece in known:
            here = min(left, len(piece.sound))
            left -= here
            if here:
                self._past.append(piece.until(here))
            if here < len(piece.sound):
                self._again.append(piece.since(here) if here else piece)
        self._past_frames = sum(len(piece.sound) for piece in self._past)
        self.taken = first + self._past_frames
        if self._again:
            self.position, self._sought = self._again[0].frame, False

    def before(self, frames: int) -> NDArray[np.float32]:
        """Return what was read last, [<= frames, channels]: the sound that runs on into what `read` gives."""
        parts: list[NDArray[np.float32]] = []
        if not (self._sought or (self._again and self._again[0].sought)):
            for piece in reversed(self._past):
                parts.insert(0, piece.sound)
                if piece.sought or sum(map(len, parts)) >= frames:
                    break
        return np.concatenate((self._nothing, *parts))[-frames:]

    def fail(self, error: Exception) -> None:
        """End the file here because of an unforeseen error: the session ends with a line, not silence."""
        self.failure = InputFileError(f"{self._reader.path}: {in_a_line(error)}")

    def interrupt(self) -> None:
        """End a decoder that hangs or is on its way to a position, from another thread."""
        self._reader.interrupt()
        if opening := self._awaited:
            opening.interrupt()

    def _await(self, opening: Opening) -> AudioReader:
        self._awaited = opening
        try:
            return opening.result()
        finally:
            self._awaited = None

    def hung(self) -> InputFileError:
        """Return the error for a file that cannot be read any more."""
        return InputFileError(
            f"{self._reader.path}: the disk, or ffmpeg, does not answer; play a copy on another disk"
        )

    def close(self) -> None:
        """Close the file."""
        if self._next_start:
            self._next_start.cancel()
        self._reader.close()

    # --- reading forward -----------------------------------------------------------------------------

    def _next(self, frames: int) -> Piece:
        loop = self._loop
        if loop and loop.end is not None:
            if self.position >= loop.end and not (self._again and self._again[0].sought):
                self._begin_again(loop)
            if self.position < loop.end:
                frames = min(frames, loop.end - self.position)
        if (piece := self._known(frames)) is not None:
            return piece
        sound = self._read(frames)
        if loop and not len(sound) and not self.failure and self.position > loop.start:
            self._begin_again(loop)  # the end of the file
            if (piece := self._known(frames)) is not None:
                return piece
            sound = self._read(frames)
        sought, self._sought = self._sought, False
        return Piece(self.position, sound, sought)

    def _known(self, frames: int) -> Piece | None:
        """Return the next frames if they were read before, None if they must be read."""
        if self._again and not (self._again[0].sought or self._again[0].frame == self.position):
            loop = self._loop
            if loop and loop.end is None and self._again[0].frame == loop.start:
                self.position = loop.start  # the end of the file was found earlier
            else:
                self._again.clear()  # it was read for another loop
        if not self._again:
            return None
        piece = self._again.popleft()
        self.position = piece.frame
        if len(piece.sound) > frames:
            self._again.appendleft(piece.since(frames))
            return piece.until(frames)
        return piece

    @property
    def _nothing(self) -> NDArray[np.float32]:
        return np.zeros((0, self.channels), np.float32)

    def _read(self, frames: int) -> NDArray[np.float32]:
        """Return the audio at the position, [<= frames, channels]."""
        if self._remembers(self.position):
            start = self.position - self._memory.frame
            return self._memory.sound[start : start + frames]
        try:
            if self._reader_at != self.position:
                self._move()
            elif self.failure:
                return self._nothing
            sound = self._reader.read(frames)
        except InputFileError as error:
            self.failure = error
            return self._nothing
        except Exception as error:
            self.fail(error)
            return self._nothing
        self._reader_at += len(sound)
        self._gather(Piece(self.position, sound))
        return sound

    def _remembers(self, frame: int) -> bool:
        return self._memory.frame <= frame < self._memory.frame + len(self._memory.sound)

    def _move(self) -> None:
        """Move the reader to the position; slow if it cannot seek back. Raise `InputFileError`."""
        self.failure = None
        if self._reader.seeks:
            self._reader.seek(self.position)
            self._reader_at = self.position
        else:
            self._read_by(self._await(self.open_at(self.position, _nobody)), self.position)

    def _read_by(self, reader: AudioReader, frame: int) -> None:
        self._reader.close()
        self._reader, self._reader_at, self.failure = reader, frame, None

    # --- loops -------------------------------------------------------------------------------------------

    def _begin_again(self, loop: Loop) -> None:
        """Go to the start of the loop after its end."""
        if self._gathered:
            sound = np.concatenate([piece.sound for piece in self._gathered])
            self._memory, self._gathered = Piece(loop.start, sound), []
        self.position = loop.start
        if self._again and self._again[0].frame == loop.start:
            return
        self._again.clear()
        if self._next_start and not self._remembers(loop.start):
            opening, self._next_start = self._next_start, None
            try:
                self._read_by(self._await(opening), loop.start)
            except InputFileError as error:
                self.failure, self._reader_at = error, loop.start

    def _gather(self, piece: Piece) -> None:
        """Keep the frames of the loop if they are complete from its start on and not too long."""
        loop, gathered = self._loop, self._gathered
        if loop and piece.frame == loop.start:
            gathered.clear()
        elif not gathered or piece.frame != gathered[-1].frame + len(gathered[-1].sound):
            gathered.clear()
            return
        if loop:
            gathered.append(piece)
            if sum(part.sound.nbytes for part in gathered) > LOOP_BYTES:
                gathered.clear()
                self._open_start()

    def _open_start(self) -> None:
        """Open the start of the loop early if the current reader cannot seek back."""
        loop = self._loop
        if loop and not self._next_start and not self.reaches(loop.start):
            self._next_start = self.open_at(loop.start, _nobody)


def _nobody() -> None:
    """Do nothing, because no thread waits for the result."""
