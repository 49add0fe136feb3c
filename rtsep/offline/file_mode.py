"""`rtsep file`: a file through the same compiled functions as live, block by block, in constant memory."""

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
from rtsep.files.encode import WAV, check_sound, encode
from rtsep.files.ffmpeg import DecoderEndedError
from rtsep.files.stem_writer import refused, written_by
from rtsep.files.wavfile import BITS
from rtsep.model.runner import ModelRunner
from rtsep.offline.separator import Separator

STEMS = ("vocals", "instrumental")
DEFAULT_BLOCK = 8192
UNFINISHED = ".rtsep-unfinished"
"""Folder of stems that are not encoded yet."""


@dataclass(frozen=True)
class FileResult:
    """Result of one separated file."""

    input: Path
    stems: dict[str, Path]
    rate: int
    channels: int
    seconds: float  # of audio
    wall_seconds: float
    latency_samples: int  # the algorithm's latency in live use; the files are aligned
    clipped_samples: int
    damage: str = ""  # unreadable part of the input, one line; the stems have the rest
    notes: tuple[str, ...] = ()  # lines about the input, such as the selected track

    @property
    def realtime_factor(self) -> float:
        """Return computing time / playing time: below 1 is faster than real time."""
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
    replacing: Callable[[], None] = lambda: None,
) -> FileResult:
    """Write `stems` of `source` to `folder`: `vocals.wav`, `instrumental.wav`, aligned and of equal length.

    `format` is one of `FORMATS`; formats other than WAV keep the tags, and may change the samples.

    `source` is a file or an open reader, which is closed. `block` is the number of frames read at a time; the
    result does not depend on it. `progress` receives the frames done and the total (None: unknown).
    `replacing` is called before the first earlier result is replaced; a run that is interrupted before does
    not change any. For a damaged file, the stems contain everything readable, and `FileResult.damage`
    describes what is missing.
    """
    started = time.perf_counter()
    with source if isinstance(source, AudioReader) else AudioReader(source) as reader:
        check_sound(format, reader.path, reader.channels, reader.rate)
        separator = Separator(model, reader.rate, reader.channels, controls)
        blocks = _Blocks(reader, block, separator.latency)
        make_folder(folder)
        target_folder = folder if format == WAV else folder / UNFINISHED
        _check_room(folder, reader, len(stems) * reader.channels * BITS[subtype] // 8)
        writer = StemWriter(target_folder, tuple(stems), reader.rate, reader.channels, subtype)
        try:
            skip = separator.latency
            for samples in blocks:
                sound = separator.process(np.ascontiguousarray(samples.T))
                dropped = min(skip, sound.shape[2])
                skip -= dropped
                writer.write({name: sound[STEMS.index(name), :, dropped:].T for name in stems})
                if progress:
                    progress(blocks.taken, reader.frames)
            if format == WAV:
                replacing()
                paths, tags_note = writer.close(), ""
            else:
                encoded, tags_note = _encode(writer.close(), reader.path, format, subtype)
                replacing()
                paths = _moved(encoded, folder)
        except BaseException:
            writer.discard()
            raise
        finally:
            if format != WAV:
                shutil.rmtree(target_folder, ignore_errors=True)
        return FileResult(
            input=reader.path,
            stems=paths,
            rate=reader.rate,
            channels=reader.channels,
            seconds=blocks.taken / reader.rate,
            wall_seconds=time.perf_counter() - started,
            latency_samples=separator.latency,
            clipped_samples=writer.clipped_samples,
            damage=blocks.damage,
            notes=(*reader.notes, tags_note) if tags_note else tuple(reader.notes),
        )


def _encode(wavs: dict[str, Path], song: Path, format: str, subtype: str) -> tuple[dict[str, Path], str]:
    """Encode all stems beside `wavs`; return their files, and a line about tags. Raise `OutputError`."""
    encoded = {name: wav.with_suffix(f".{format}") for name, wav in wavs.items()}
    note = ""
    for name, wav in wavs.items():
        note = encode(wav, encoded[name], song, subtype)
    return encoded, note


def _moved(encoded: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Move files to their names in `folder`; return these. Raise `OutputError`."""
    try:
        return {name: file.replace(folder / file.name) for name, file in encoded.items()}
    except OSError as error:
        raise refused(folder, error) from None


def _check_room(folder: Path, reader: AudioReader, bytes_a_frame: int) -> None:
    """Raise `OutputError` if `folder` lacks space for stems as long as the file."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    needed = (reader.frames or 0) * bytes_a_frame
    if needed > free:
        raise OutputError(
            f"{folder}: stems of {reader.path.name} need {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB "
            "are free; free some space, or choose another folder"
        )


def identity(path: Path) -> tuple[int, int] | None:
    """Return a unique identity of a file on this machine, whatever its name; None if unknown."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None  # some file systems have no numbers


def check_outputs(
    folder: Path, inputs: Collection[tuple[int, int]], stems: Sequence[str] = STEMS, format: str = WAV
) -> None:
    """Raise `OutputError` if stems in `folder` would replace one of `inputs`, given by `identity`.

    Links are followed.
    """
    for place in [*written_by(folder, tuple(stems)), *(folder / f"{stem}.{format}" for stem in stems)]:
        if identity(place) in inputs:
            raise OutputError(f"{place}: an input file, which rtsep does not replace; choose another folder")


class _Blocks:
    """Blocks [frames, channels] of a file, then `latency` frames of silence that flush its end."""

    def __init__(self, reader: AudioReader, block: int, latency: int) -> None:
        self._reader, self._block, self._latency = reader, block, latency
        self.taken = 0  # frames of the file
        self.damage = ""  # unreadable part

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Raise `InputFileError` if nothing can be read, or if the decoder was ended."""
        try:
            while len(samples := self._reader.read(self._block)) > 0:
                self.taken += len(samples)
                yield samples
        except InputFileError as error:
            if self.taken == 0 or isinstance(error, DecoderEndedError):
                raise
            self.damage = str(error)
        if self.taken == 0:
            raise InputFileError(f"{self._reader.path}: contains no audio (0 frames)")
        for start in range(0, self._latency, self._block):
            yield np.zeros((min(self._block, self._latency - start), self._reader.channels), np.float32)
