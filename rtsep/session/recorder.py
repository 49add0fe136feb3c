"""Takes the feeds from the hop loop's ring to files, on a thread of its own that may be slow.

The hop loop fills its ring whether or not anybody records, and never waits. A take is a thread that reads
the ring from some frame on; what it does not fetch in time is silence in its files, which keep the time.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.record_tap import RecordTap
from rtsep.dsp.router import DRY, INSTRUMENTAL, VOCALS
from rtsep.errors import OutputError, UsageError
from rtsep.files.audiofile import StemWriter, make_folder

STEMS: dict[str, int] = {"vocals": VOCALS, "instrumental": INSTRUMENTAL, "mix": DRY}
"""File names and the feeds they hold; `mix` is the input, aligned with the stems."""

LOW_ROOM_S = 600.0
"""A disk that has room for less than so much recording is told of, once a take."""

_LOOK_EVERY_S = 0.1  # what a killed process loses
_SYNC_EVERY_S = 2.0  # what a power cut loses
_BLOCK = 1 << 15  # frames written at once, at most: memory stays flat however far behind


class Tape(NamedTuple):
    """What one engine's hop loop leaves for recorders."""

    tap: RecordTap
    most_frames: int | None  # of input, from the engine's start; None: no limit


@dataclass(frozen=True)
class RecordingState:
    """How a recording goes."""

    folder: Path
    seconds: float  # in the files
    lost_frames: int  # silence, where the disk was too slow
    clipped_samples: int
    failure: str | None  # why it has stopped by itself

    def as_json(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return {**asdict(self), "folder": str(self.folder)}


class Recorder:
    """One take: its files begin with the hop that is next when it is made."""

    def __init__(
        self, folder: Path, tape: Tape, subtype: str, say: Callable[[str], None], first: int | None = None
    ) -> None:
        """Record `tape` to a take in `folder`; `say` gets lines for the user, on the recorder's thread.

        With `first`, the files begin with that frame of the input, which lies a moment back. Raises
        `OutputError` where there can be no files.
        """
        self._tap, self._most_frames, self._say = tape.tap, tape.most_frames, say
        tap, lag = tape.tap, tape.tap.feed_delay
        # The feeds begin with the pipeline's own silence: `lag` frames before the first of the input.
        begin = tap.written() if first is None else first + lag
        self._read = max(lag, begin)
        self._until = 0  # frames of the ring's count, once it is to stop
        # What the hop loop may overwrite while it is read is not read.
        self._reach = tap.length - tap.length // 8
        _, channels = tap.feed_shape
        self.writer = StemWriter(next_take(folder), tuple(STEMS), tap.rate, channels, subtype, replace=False)
        self.lost_frames = 0
        self.failure: OutputError | None = None
        self._told_of_room = False
        self._look_at_room()
        self._kept: dict[str, Path] | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def state(self) -> RecordingState:
        """How it goes."""
        writer = self.writer
        return RecordingState(
            writer.folder,
            writer.frames / self._tap.rate,
            self.lost_frames,
            writer.clipped_samples,
            str(self.failure) if self.failure else None,
        )

    @property
    def end(self) -> int:
        """The frame of the input behind the last one of a take that has stopped."""
        return self._until - self._tap.feed_delay

    def finish(self) -> None:
        """End the take with what the hop loop has left until now; returns before all of it is written."""
        self._until = self._tap.written()
        self._leaving.set()

    def files(self) -> dict[str, Path] | None:
        """Wait for the disk; return the files of a take that is finished, None where nothing came."""
        self._thread.join()
        return self._kept

    def stop(self) -> dict[str, Path] | None:
        """End the take and return its files: `finish`, then `files`."""
        self.finish()
        return self.files()

    @property
    def at_work(self) -> bool:
        """Whether its files are not complete yet."""
        return self._thread.is_alive()

    # --- the recorder's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record()
        except OutputError as error:
            self.failure = error
        finally:
            self._finish()
            self._tap = self._tap.without_ring()  # the take is kept for its files; its engine need not be

    def _record(self) -> None:
        synced = time.monotonic()
        while not self._leaving.wait(_LOOK_EVERY_S):
            self._drain(self._tap.written())
            if time.monotonic() - synced >= _SYNC_EVERY_S:
                self.writer.sync()
                self._look_at_room()
                synced = time.monotonic()
        self._drain(self._until)

    def _drain(self, until: int) -> None:
        """Write what lies in the ring before frame `until`."""
        tap = self._tap
        while self._read < until:
            if (behind := tap.written() - self._read) > self._reach:
                self._write_silence(min(behind - tap.length // 2, until - self._read))
                continue
            block = tap.copy(self._read, min(until - self._read, _BLOCK))
            if tap.written() - self._read <= self._reach:  # else overwritten meanwhile
                self._write(block)

    def _write_silence(self, frames: int) -> None:
        if self.lost_frames == 0:
            self._say("the disk is too slow for the recording: there is silence where it could not follow")
        silence = np.zeros((min(frames, _BLOCK), *self._tap.feed_shape), np.float32)
        for start in range(0, frames, _BLOCK):
            written = self._write(silence[: frames - start])
            self.lost_frames += written

    def _write(self, block: NDArray[np.float32]) -> int:
        """Write the part of a block [frames, feeds, channels] that is still input; return its length."""
        # Of a played file, and behind a limit, the silence that follows is not kept.
        end = self._tap.source_end()
        if self._most_frames is not None:
            end = min(end, self._most_frames)
        kept = block[: max(0, end + self._tap.feed_delay - self._read)]
        self._read += len(block)
        if len(kept) > 0:
            self.writer.write({stem: kept[:, feed] for stem, feed in STEMS.items()})
        return len(kept)

    def _look_at_room(self) -> None:
        if self._told_of_room:
            return
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self.writer.folder).free
            left_s = free / (self.writer.frame_bytes * self._tap.rate)
            if left_s < LOW_ROOM_S:
                self._told_of_room = True
                room = f"{left_s / 60:.0f} more minutes" if left_s >= 120.0 else f"{left_s:.0f} more seconds"
                self._say(f"{self.writer.folder}: the disk has room for {room} of recording")

    def _finish(self) -> None:
        writer, folder = self.writer, self.writer.folder
        if writer.frames == 0:
            writer.discard()
        else:
            try:
                writer.close()
            except OutputError as error:
                self.failure = self.failure or error
            self._kept = {stem: path for stem, path in writer.paths.items() if path.exists()} or None
        if self.failure:
            seconds = writer.frames / self._tap.rate
            kept = f"{seconds:.1f} s are kept in {folder}" if self._kept else "nothing of it is kept"
            self._say(f"recording stopped: {self.failure}; {kept}; the sound goes on")
        if self.lost_frames:
            self._say(f"the disk was too slow: {self.lost_frames} frames of {folder} are silence")
        if writer.clipped_samples:
            self._say(
                f"{writer.clipped_samples} recorded samples were beyond full scale and clipped; "
                "--subtype FLOAT keeps them"
            )


def told(take: Mapping[str, Path]) -> str:
    """Return the line that tells the files of a take."""
    return "recorded " + ", ".join(str(path) for path in take.values())


class Takes:
    """The recordings of a session, while engines come and go.

    One thread starts and stops them; `state` and `finished` may be read on any thread.
    """

    def __init__(self, subtype: str, say: Callable[[str], None]) -> None:
        """Record nothing yet; `subtype` is the files' sample format, `say` gets lines for the user."""
        self._subtype, self._say = subtype, say
        self._tape: Tape | None = None  # of the engine that runs
        self._folder: Path | None = None  # where to record to, as soon as one runs
        self._recorder: Recorder | None = None
        self._finished: list[Recorder] = []  # takes that have ended; the last ones may wait for the disk

    @property
    def state(self) -> RecordingState | None:
        """How the recording goes, or why it has stopped by itself; None: there is none."""
        recorder, folder = self._recorder, self._folder
        if recorder:
            return recorder.state
        return RecordingState(folder, 0.0, 0, 0, None) if folder else None

    @property
    def finished(self) -> list[dict[str, Path]]:
        """The files of the finished takes, by stem."""
        complete = [recorder for recorder in tuple(self._finished) if not recorder.at_work]
        return [files for recorder in complete if (files := recorder.files())]

    def start(self, folder: Path) -> None:
        """Begin a take in `folder`, with the next hop, or with the first frame that will be played.

        Raises `UsageError` where one goes on, `OutputError` where there can be none.
        """
        state = self.state
        if state and not state.failure:
            raise UsageError(f"already recording to {state.folder}; stop that first")
        self._finish()
        make_folder(folder)
        if self._tape:
            self._recorder = Recorder(folder, self._tape, self._subtype, self._say)
        self._folder = folder

    def finish(self) -> Recorder | None:
        """End the take; return its recorder, which may wait for the disk yet, None where there is none."""
        self._folder = None
        return self._finish()

    def stop(self) -> dict[str, Path] | None:
        """End the take; return its files, None where there is nothing. Waits for the disk."""
        recorder = self.finish()
        return recorder.files() if recorder else None

    def attach(self, tape: Tape) -> None:
        """Take from `tape` from now on: an engine is about to start. Raises `OutputError`."""
        self._attach(tape)

    def detach(self) -> None:
        """End the take with its engine; the next engine goes on with another, unless this one failed.

        Waits for the disk.
        """
        self._detach()

    def go_on(self, tape: Tape) -> None:
        """Take from another engine, which is about to start in the place of one that has ended.

        A further take goes on. Does not wait for the disk. Raises `OutputError`.
        """
        recorder = self._finish()
        if recorder and recorder.failure:
            self._folder = None
        self._attach(tape)

    def change(self, tape: Tape) -> None:
        """Take from another engine that hears the same: a further take begins with the frame where this ends.

        Waits for the disk. Raises `OutputError`.
        """
        ended = self._detach()
        self._attach(tape, ended.end if ended else None)

    def close(self) -> None:
        """End all takes, and wait for the disk."""
        self._detach()
        for recorder in self._finished:
            recorder.files()

    def _attach(self, tape: Tape, first: int | None = None) -> None:
        self._tape = tape
        if self._folder:
            folder, self._folder = self._folder, None
            self._recorder = Recorder(folder, tape, self._subtype, self._say, first)
            self._folder = folder

    def _detach(self) -> Recorder | None:
        self._tape, recorder = None, self._finish()
        if recorder:
            recorder.files()
            if recorder.failure:
                self._folder = None
        return recorder

    def _finish(self) -> Recorder | None:
        recorder = self._recorder
        if recorder:
            recorder.finish()
            self._finished.append(recorder)
            self._recorder = None
        return recorder


def next_take(folder: Path) -> Path:
    """Return `folder`, or `folder/take-2`, ... where it holds a take already: none is overwritten."""
    take, number = folder, 1
    while any((take / f"{stem}{end}").exists() for stem in STEMS for end in (".wav", ".part.wav")):
        number += 1
        take = folder / f"take-{number}"
    return take
