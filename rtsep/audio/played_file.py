"""A file as it is played: read on, back within what was read last, to any place, and round a loop.

Nothing here waits for a decoder that has to begin anew: such a place is opened on a thread (`Opening`) while
what plays goes on. Memory is bounded: a few seconds behind the place, and a loop of LOOP_BYTES at most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader

LOOP_BYTES = 16 << 20
"""A loop of so many bytes at most is kept in memory once it was played; a longer one is read again."""

_OPENING_FRAMES = 1 << 15


class Piece(NamedTuple):
    """Some of a file."""

    frame: int  # of the file, the first one
    sound: NDArray[np.float32]  # [frames, channels of the file]
    sought: bool = False  # it does not run on from the one before, and is meant to

    def until(self, frames: int) -> Piece:
        """Return the first `frames` frames."""
        return self._replace(sound=self.sound[:frames])

    def since(self, frames: int) -> Piece:
        """Return what is left without the first `frames` frames, one of them at least."""
        return Piece(self.frame + frames, self.sound[frames:])


class Loop(NamedTuple):
    """What is played again and again, in frames of the file."""

    start: int
    end: int | None  # behind the last one; None: the end of the file


class Opening:
    """Opens a file at a place, on a thread of its own: one that only goes on is decoded up to there."""

    def __init__(self, reader: AudioReader, frame: int, ready: Callable[[], None]) -> None:
        """Open the file of `reader` once more; `ready` is called on the thread when `frame` is reached."""
        self.frame = frame
        self._ready, self._leaving = ready, threading.Event()
        self._reader: AudioReader | None = None
        self._failure: InputFileError | None = None
        again: Callable[[], AudioReader] | None = None
        try:
            again = reader.again()  # which may be closed before the thread runs
        except InputFileError as error:
            self._failure = error
        self._thread = threading.Thread(target=self._run, args=(again,), name="file-seeker", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether `result` returns at once."""
        return not self._thread.is_alive()

    def result(self) -> AudioReader:
        """Wait for it, and return a reader at the place; raises `InputFileError`."""
        self._thread.join()
        if self._failure:
            raise self._failure
        assert self._reader
        return self._reader

    def cancel(self) -> None:
        """Give it up."""
        self._leaving.set()
        self._thread.join()
        if self._reader:
            self._reader.close()

    def _run(self, again: Callable[[], AudioReader] | None) -> None:
        try:
            if again is not None:
                self._reader = again()
                for frame in range(0, self.frame, _OPENING_FRAMES):
                    if self._leaving.is_set():
                        return
                    self._reader.seek(frame)
                self._reader.seek(self.frame)
        except InputFileError as error:
            self._failure = error
        self._ready()


class PlayedFile:
    """The sound of `reader`, in the order in which it is played. Of one thread."""

    def __init__(self, reader: AudioReader, kept_frames: int) -> None:
        """Begin at the first frame; `kept_frames` behind the place are remembered."""
        self._reader = reader
        self._reader_at = 0  # frame of the file that it gives next
        self._kept_frames = kept_frames
        self.rate, self.channels, self.length = reader.rate, reader.channels, reader.length
        self.position = 0  # frame of the file that `read` gives next; at the end of a loop: that
        self.taken = 0  # frames that `read` has given, as they were played
        self.failure: InputFileError | None = None  # why it ended before its time
        self._past: deque[Piece] = deque()  # newest last
        self._past_frames = 0
        self._again: deque[Piece] = deque()  # to be given once more
        self._sought = False
        self._loop: Loop | None = None
        self._gathered: list[Piece] = []  # of the loop, from its start on
        self._memory = Piece(0, self._nothing)
        self._next_start: Opening | None = None  # of a loop, where the reader cannot go back

    @property
    def loop(self) -> Loop | None:
        """What is played again and again."""
        return self._loop

    def set_loop(self, loop: Loop | None) -> None:
        """Play `loop` again and again from its next end on; None: play to the end of the file."""
        self._loop, self._gathered = loop, []
        if self._next_start:
            self._next_start.cancel()
            self._next_start = None
        self._open_start()

    def reaches(self, frame: int) -> bool:
        """Return whether `go_to` needs no reader that was opened at `frame`."""
        return self._reader.seeks or self._remembers(frame)

    def open_at(self, frame: int, ready: Callable[[], None]) -> Opening:
        """Begin to open the file at `frame`; `ready` is called on another thread when that is done."""
        return Opening(self._reader, frame, ready)

    def go_to(self, frame: int, reader: AudioReader | None = None) -> None:
        """Let `read` go on with `frame`, by `reader`, which is there; None where the file `reaches` it."""
        self._again.clear()
        self.position, self._sought = frame, True
        if reader:
            self._read_by(reader, frame)

    def read(self, frames: int) -> Piece:
        """Return the next piece, of at most `frames` frames, which run on in the file; none are the end."""
        piece = self._next(frames)
        self.position += len(piece.sound)
        self._past.append(piece)
        self._past_frames += len(piece.sound)
        self.taken += len(piece.sound)
        while self._past_frames - len(self._past[0].sound) >= self._kept_frames:
            self._past_frames -= len(self._past.popleft().sound)
        return piece

    def return_to(self, taken: int) -> None:
        """Let `read` go on as when `taken` was so, under the loop of now; as far back as is remembered."""
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

    def close(self) -> None:
        """Close the file."""
        if self._next_start:
            self._next_start.cancel()
        self._reader.close()

    # --- forwards ----------------------------------------------------------------------------------------

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
        """Return what comes next of what was read before, None where that has to be read."""
        if self._again and not (self._again[0].sought or self._again[0].frame == self.position):
            loop = self._loop
            if loop and loop.end is None and self._again[0].frame == loop.start:
                self.position = loop.start  # the end of the file was found before
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
        """Return the sound at the position, [<= frames, channels]."""
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
        self._reader_at += len(sound)
        self._gather(Piece(self.position, sound))
        return sound

    def _remembers(self, frame: int) -> bool:
        return self._memory.frame <= frame < self._memory.frame + len(self._memory.sound)

    def _move(self) -> None:
        """Bring the reader to the position; one that cannot go back is slow. Raises `InputFileError`."""
        self.failure = None
        if self._reader.seeks:
            self._reader.seek(self.position)
            self._reader_at = self.position
        else:
            self._read_by(self.open_at(self.position, _nobody).result(), self.position)

    def _read_by(self, reader: AudioReader, frame: int) -> None:
        self._reader.close()
        self._reader, self._reader_at, self.failure = reader, frame, None

    # --- loops -------------------------------------------------------------------------------------------

    def _begin_again(self, loop: Loop) -> None:
        """Go to the start of the loop, whose end has come."""
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
                self._read_by(opening.result(), loop.start)
            except InputFileError as error:
                self.failure, self._reader_at = error, loop.start

    def _gather(self, piece: Piece) -> None:
        """Keep what was read of the loop, if all of it from its start on was and it is not too long."""
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
        """Have a reader open the start of the loop, in good time, where the present one cannot go back."""
        loop = self._loop
        if loop and not self._next_start and not self.reaches(loop.start):
            self._next_start = self.open_at(loop.start, _nobody)


def _nobody() -> None:
    """Nobody waits to be told."""
