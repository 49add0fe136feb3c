"""`rtsep file`: a file through the same compiled functions as live, block by block, memory flat."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import Controls
from rtsep.errors import InputFileError, OutputError
from rtsep.files.audiofile import AudioReader, StemWriter, make_folder
from rtsep.files.encode import WAV, check_channels, encode
from rtsep.files.stem_writer import written_by
from rtsep.files.wavfile import BITS
from rtsep.model.runner import ModelRunner
from rtsep.offline.separator import Separator

STEMS = ("vocals", "instrumental")
DEFAULT_BLOCK = 8192
UNFINISHED = ".rtsep-unfinished"
"""The folder of stems that are still to be encoded."""


@dataclass(frozen=True)
class FileResult:
    """What one separated file came to."""

    input: Path
    stems: dict[str, Path]
    rate: int
    channels: int
    seconds: float  # of audio
    wall_seconds: float
    latency_samples: int  # of the algorithm: what live playing would add; the files are aligned
    clipped_samples: int
    damage: str = ""  # what could not be read of the input, one line; the stems hold the rest
    notes: tuple[str, ...] = ()  # lines about the input: which of its tracks was read, for example

    @property
    def realtime_factor(self) -> float:
        """Computing time over playing time: under 1 is faster than real time."""
        return self.wall_seconds / self.seconds


def separate_file(
    source: Path | AudioReader,
    folder: Path,
    model: ModelRunner,
    controls: Controls,
    subtype: str = "PCM_24",
    block: int = DEFAULT_BLOCK,
    progress: Callable[[int, int | None], None] | None = None,
    stems: Sequence[str] = STEMS,
    format: str = WAV,
) -> FileResult:
    """Write `stems` of `source` to `folder`: `vocals.wav`, `instrumental.wav`, aligned with it and as long.

    `format`, one of `FORMATS`, may be another one than WAV; then tags come along, and the samples may not.

    `source` is a file or an open reader, which is closed. `block` is how many frames are read at a time; the
    result does not depend on it. `progress` gets frames done and frames in all (None: not known). An
    interrupted run leaves earlier results alone. Of a damaged file, stems are made of all that can be read,
    and `FileResult.damage` says what is missing.
    """
    started = time.perf_counter()
    with source if isinstance(source, AudioReader) else AudioReader(source) as reader:
        check_channels(format, reader.path, reader.channels)
        separator = Separator(model, reader.rate, reader.channels, controls)
        blocks = _Blocks(reader, block, separator.latency)
        make_folder(folder)
        beside = folder if format == WAV else folder / UNFINISHED
        _check_room(folder, reader, len(stems) * reader.channels * BITS[subtype] // 8)
        writer = StemWriter(beside, tuple(stems), reader.rate, reader.channels, subtype)
        try:
            skip = separator.latency
            for samples in blocks:
                sound = separator.process(np.ascontiguousarray(samples.T))
                dropped = min(skip, sound.shape[2])
                skip -= dropped
                writer.write({name: sound[STEMS.index(name), :, dropped:].T for name in stems})
                if progress:
                    progress(blocks.taken, reader.frames)
            paths = writer.close()
            if format != WAV:
                paths = _encode(paths, folder, reader.path, format, subtype)
        except BaseException:
            writer.discard()
            raise
        finally:
            if format != WAV:
                shutil.rmtree(beside, ignore_errors=True)
        return FileResult(
            reader.path,
            paths,
            reader.rate,
            reader.channels,
            blocks.taken / reader.rate,
            time.perf_counter() - started,
            separator.latency,
            writer.clipped_samples,
            blocks.damage,
            tuple(reader.notes),
        )


def _encode(wavs: dict[str, Path], folder: Path, song: Path, format: str, subtype: str) -> dict[str, Path]:
    """Encode all stems, then give them their names in `folder`; return these. Raises `OutputError`."""
    encoded = {name: wav.with_suffix(f".{format}") for name, wav in wavs.items()}
    for name, wav in wavs.items():
        encode(wav, encoded[name], song, subtype)
    try:
        return {name: file.replace(folder / file.name) for name, file in encoded.items()}
    except OSError as error:
        raise OutputError(f"{folder}: writing failed ({error.strerror})") from None


def _check_room(folder: Path, reader: AudioReader, bytes_a_frame: int) -> None:
    """Raise `OutputError` where stems as long as the file have no room in `folder`."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    needed = (reader.frames or 0) * bytes_a_frame
    if needed > free:
        raise OutputError(
            f"{folder}: stems of {reader.path.name} take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
            "free; make room, or choose another folder"
        )


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others of this machine, whatever it is called; None where unknown."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None  # some file systems number nothing


def check_outputs(
    folder: Path, inputs: Collection[tuple[int, int]], stems: Sequence[str] = STEMS, format: str = WAV
) -> None:
    """Refuse to write stems to `folder` where they would replace one of `inputs`, by their `identity`.

    Links are followed. Raises `OutputError`.
    """
    for place in [*written_by(folder, tuple(stems)), *(folder / f"{stem}.{format}" for stem in stems)]:
        if identity(place) in inputs:
            raise OutputError(f"{place}: is an input, which is not replaced; choose another folder")


class _Blocks:
    """The blocks [frames, channels] of a file, then `latency` frames of silence that push its end out."""

    def __init__(self, reader: AudioReader, block: int, latency: int) -> None:
        self._reader, self._block, self._latency = reader, block, latency
        self.taken = 0  # frames of the file
        self.damage = ""  # what could not be read

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Raise `InputFileError` where nothing at all can be read."""
        try:
            while len(samples := self._reader.read(self._block)) > 0:
                self.taken += len(samples)
                yield samples
        except InputFileError as error:
            if self.taken == 0:
                raise
            self.damage = str(error)
        if self.taken == 0:
            raise InputFileError(f"{self._reader.path}: holds no audio (0 frames)")
        for start in range(0, self._latency, self._block):
            yield np.zeros((min(self._block, self._latency - start), self._reader.channels), np.float32)
