"""Recording: writes the feeds from the hop loop's ring to files, on its own thread, which may be slow.

The hop loop always fills its ring and never waits. A take is a thread that reads the ring from some frame on.
Frames that it does not read in time become silence in its files, so that times stay right.
"""

from __future__ import annotations

import contextlib
import os
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
from rtsep.errors import NoThreadError, OutputError, UsageError
from rtsep.files.audiofile import StemWriter, make_folder
from rtsep.files.stem_writer import refused
from rtsep.realtime import threads

STEMS: dict[str, int] = {"vocals": VOCALS, "instrumental": INSTRUMENTAL, "mix": DRY}
"""File names and their feeds; `mix` is the input, aligned with the stems."""

LOW_ROOM_S = 600.0
"""Warning threshold: space on the disk in seconds of recording; reported once per take."""

_LOOK_EVERY_S = 0.1  # loss of a killed process
_SYNC_EVERY_S = 2.0  # loss of a power cut
_BLOCK = 1 << 15  # most frames written at once: this bounds the memory, however late the writer is


class RecordSource(NamedTuple):
    """Source of recordings: the ring of one engine's hop loop."""

    tap: RecordTap
    max_frames: int | None  # limit of input frames from the engine's start; None: no limit


@dataclass(frozen=True)
class RecordingState:
    """State of a recording."""

    folder: Path
    seconds: float  # in the files
    lost_frames: int  # replaced by silence, because the disk was too slow
    clipped_samples: int
    failure: str | None  # reason why it stopped by itself

    def as_json(self) -> dict[str, Any]:
        """Return the state in JSON types."""
        return {**asdict(self), "folder": str(self.folder.absolute())}


class Recorder:
    """One take: its files begin with the next hop after its creation."""

    def __init__(
        self,
        folder: Path,
        source: RecordSource,
        subtype: str,
        notify: Callable[[str], None],
        first: int | None = None,
    ) -> None:
        """Record `source` as a take in `folder`; `notify` receives the user's lines, on its own thread.

        With `first`, the files begin with that recent frame of the input. Raise `OutputError` if the files
        cannot be created.
        """
        self._tap, self._max_frames, self._notify = source.tap, source.max_frames, notify
        tap, lag = source.tap, source.tap.feed_delay
        # The feeds begin with the pipeline's latency: `lag` frames of silence before the first of the input.
        begin = tap.written() if first is None else first + lag
        self._read = max(lag, begin)
        self._until = 0  # where to stop, in frames of the ring's count
        # Frames that the hop loop may overwrite during the read are skipped.
        self._reach = tap.length - tap.length // 8
        _, channels = tap.feed_shape
        self.writer = StemWriter(next_take(folder), tuple(STEMS), tap.rate, channels, subtype, replace=False)
        self.lost_frames = 0
        self.failure: OutputError | None = None
        self._notified_of_room = False
        self._look_at_room()
        self._kept: dict[str, Path] | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        try:
            threads.start(self._thread)
        except NoThreadError as error:
            self.writer.discard()
            raise OutputError(f"{self.writer.folder}: {error}") from None

    @property
    def state(self) -> RecordingState:
        """Return the state."""
        writer = self.writer
        return RecordingState(
            folder=writer.folder,
            seconds=writer.frames / self._tap.rate,
            lost_frames=self.lost_frames,
            clipped_samples=writer.clipped_samples,
            failure=str(self.failure) if self.failure else None,
        )

    @property
    def end(self) -> int:
        """Return the input frame that follows the last one of a stopped take."""
        return self._until - self._tap.feed_delay

    def finish(self) -> None:
        """End the take at the current frame; return before everything is written."""
        self._until = self._tap.written()
        self._leaving.set()

    def files(self) -> dict[str, Path] | None:
        """Wait for the disk; return the files of a finished take, None if nothing was recorded."""
        self._thread.join()
        return self._kept

    def stop(self) -> dict[str, Path] | None:
        """End the take and return its files: `finish`, then `files`."""
        self.finish()
        return self.files()

    @property
    def at_work(self) -> bool:
        """Return whether its files are incomplete."""
        return self._thread.is_alive()

    # --- the recorder's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record()
        except OutputError as error:
            self.failure = _without_frames(error)
        finally:
            self._finish()
            self._tap = self._tap.without_ring()  # keep the take for its files, but release its engine

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
        """Write the frames of the ring before frame `until`."""
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
            self._notify(
                "the disk is too slow for the recording: some of it is silence; record to a faster disk"
            )
        silence = np.zeros((min(frames, _BLOCK), *self._tap.feed_shape), np.float32)
        for start in range(0, frames, _BLOCK):
            written = self._write(silence[: frames - start])
            self.lost_frames += written

    def _write(self, block: NDArray[np.float32]) -> int:
        """Write the part of a block [frames, feeds, channels] that is input; return its length in frames."""
        # The silence after the end of a file, or after a limit, is not recorded.
        end = self._tap.source_end()
        if self._max_frames is not None:
            end = min(end, self._max_frames)
        kept = block[: max(0, end + self._tap.feed_delay - self._read)]
        self._read += len(block)
        if len(kept) > 0:
            self.writer.write({stem: kept[:, feed] for stem, feed in STEMS.items()})
        return len(kept)

    def _look_at_room(self) -> None:
        if self._notified_of_room:
            return
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self.writer.folder).free
            left_s = free / (self.writer.frame_bytes * self._tap.rate)
            if left_s < LOW_ROOM_S:
                self._notified_of_room = True
                room = f"{left_s / 60:.0f} more minutes" if left_s >= 120.0 else f"{left_s:.0f} more seconds"
                self._notify(
                    f"{self.writer.folder}: the disk has space for only {room} of recording; free some space"
                )

    def _finish(self) -> None:
        writer, folder = self.writer, self.writer.folder
        if writer.frames == 0:
            writer.discard()
        else:
            try:
                writer.close()
            except OutputError as error:
                self.failure = self.failure or _without_frames(error)
            self._kept = {stem: path for stem, path in writer.paths.items() if path.exists()} or None
        if self.failure:
            seconds = writer.frames / self._tap.rate
            kept = f"{seconds:.1f} s are saved in {folder}" if self._kept else "nothing is saved"
            self._notify(f"recording stopped: {self.failure}; {kept}; the audio continues")
        if self.lost_frames:
            self._notify(f"the disk was too slow: {self.lost_frames} frames of {folder} are silence")
        if writer.clipped_samples:
            self._notify(
                f"{writer.clipped_samples} recorded samples were beyond full scale and clipped; "
                "--subtype FLOAT avoids clipping"
            )


def _without_frames(error: OutputError) -> OutputError:
    """Return a copy without the traceback, whose frames refer to the ring of the engine: 20 MB."""
    return OutputError(str(error))


def recorded_line(take: Mapping[str, Path]) -> str:
    """Return the line that lists the files of a take."""
    return "recorded " + ", ".join(str(path) for path in take.values())


class Recordings:
    """Recordings of a session, across its engines.

    One thread starts and stops them; `state` and `finished` may be read on any thread.
    """

    def __init__(self, subtype: str, notify: Callable[[str], None]) -> None:
        """Record nothing yet; `subtype` is the files' sample format, `notify` receives lines for the user."""
        self._subtype, self._notify = subtype, notify
        self._source: RecordSource | None = None  # from the running engine
        self._folder: Path | None = None  # folder for the recording, once an engine runs
        self._recorder: Recorder | None = None
        self._finished: list[Recorder] = []  # ended takes; the last ones may still be written

    @property
    def state(self) -> RecordingState | None:
        """Return the state of the recording, or the reason why it stopped by itself; None: there is none."""
        recorder, folder = self._recorder, self._folder
        if recorder:
            return recorder.state
        return (
            RecordingState(folder=folder, seconds=0.0, lost_frames=0, clipped_samples=0, failure=None)
            if folder
            else None
        )

    @property
    def finished(self) -> list[dict[str, Path]]:
        """Return the files of the finished takes, by stem."""
        complete = [recorder for recorder in tuple(self._finished) if not recorder.at_work]
        return [files for recorder in complete if (files := recorder.files())]

    def start(self, folder: Path) -> None:
        """Start a take in `folder` with the next hop, or with the first frame of the playback.

        Raise `UsageError` if a take is already running, `OutputError` if it cannot be written; then the
        state stays as it was.
        """
        state = self.state
        if state and not state.failure:
            raise UsageError(f"a recording to {state.folder} is already running; stop it first")
        make_folder(folder)
        source = self._source
        recorder = Recorder(folder, source, self._subtype, self._notify) if source else None
        self._finish()  # a failed take; not before the new one is certain: without it, its folder would stay
        self._recorder, self._folder = recorder, folder

    def finish(self) -> Recorder | None:
        """End the take; return its recorder, which may still be writing, None if there is no take."""
        self._folder = None
        return self._finish()

    def stop(self) -> dict[str, Path] | None:
        """End the take; return its files, None if there is nothing. Wait for the disk."""
        recorder = self.finish()
        return recorder.files() if recorder else None

    def attach(self, source: RecordSource) -> None:
        """Record from `source` from now on: an engine is about to start. Raise `OutputError`."""
        self._attach(source)

    def detach(self) -> None:
        """End the take with its engine; the next engine continues with another, unless this one failed.

        Wait for the disk.
        """
        self._detach()

    def go_on(self, source: RecordSource) -> None:
        """Record from another engine that is about to replace an ended one, in a new take.

        Do not wait for the disk. Raise `OutputError`.
        """
        recorder = self._finish()
        if recorder and recorder.failure:
            self._folder = None
        self._attach(source)

    def change(self, source: RecordSource) -> None:
        """Record from another engine with the same input: a new take begins exactly where this one ends.

        Wait for the disk. Raise `OutputError`.
        """
        ended = self._detach()
        self._attach(source, ended.end if ended else None)

    def close(self) -> None:
        """End all takes and wait for the disk."""
        self._detach()
        for recorder in self._finished:
            recorder.files()

    def _attach(self, source: RecordSource, first: int | None = None) -> None:
        self._source = source
        if self._folder:
            try:  # the folder stays meanwhile: `state` never shows a gap between two takes
                self._recorder = Recorder(self._folder, source, self._subtype, self._notify, first)
            except BaseException:
                self._folder = None
                raise

    def _detach(self) -> Recorder | None:
        self._source, recorder = None, self._finish()
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
    """Return `folder`, or `folder/take-2` and so on if it has a take: none is overwritten.

    What is no folder, or another user's, counts as taken. Raise `OutputError` if `folder` cannot be read.
    """
    try:
        taken = _has_take(folder)
    except OSError as error:
        raise refused(folder, error) from None
    take, number = folder, 1
    while taken:
        number += 1
        take = folder / f"take-{number}"
        taken = os.path.lexists(take) and not _is_free(take)
    return take


def _is_free(take: Path) -> bool:
    try:
        return take.is_dir() and not _has_take(take)
    except OSError:
        return False


def _has_take(folder: Path) -> bool:
    """Return whether files of a take are in `folder`; raise `OSError` if that cannot be known."""
    for stem in STEMS:
        for end in (".wav", ".part.wav"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.lstat(folder / f"{stem}{end}")
                return True
    return False
