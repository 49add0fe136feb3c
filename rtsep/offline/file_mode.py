"""`rtsep file`: a file through the same compiled functions as live, block by block, memory flat."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import Controls
from rtsep.errors import InputFileError, OutputError
from rtsep.files.audiofile import AudioReader, StemWriter, make_folder
from rtsep.files.encode import WAV, check_channels, encode
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

    @property
    def realtime_factor(self) -> float:
        """Computing time over playing time: under 1 is faster than real time."""
        return self.wall_seconds / self.seconds


def separate_file(
    path: Path,
    folder: Path,
    model: ModelRunner,
    controls: Controls,
    subtype: str = "PCM_24",
    block: int = DEFAULT_BLOCK,
    progress: Callable[[int, int | None], None] | None = None,
    stems: Sequence[str] = STEMS,
    form: str = WAV,
) -> FileResult:
    """Write `stems` of `path` to `folder`: `vocals.wav`, `instrumental.wav`, aligned with it and as long.

    `form`, one of `FORMATS`, may be another one than WAV; then tags come along, and the samples may not.

    `block` is how many frames are read at a time; the result does not depend on it. `progress` gets
    frames done and frames in all (None: not known). An interrupted run leaves earlier results alone.
    """
    started = time.perf_counter()
    with AudioReader(path) as reader:
        check_channels(form, path, reader.channels)
        separator = Separator(model, reader.rate, reader.channels, controls)
        if form != WAV:
            make_folder(folder)
        beside = folder if form == WAV else folder / UNFINISHED
        writer = StemWriter(beside, tuple(stems), reader.rate, reader.channels, subtype)
        try:
            taken, skip = 0, separator.latency
            for samples, of_file in _blocks(reader, block, separator.latency):
                taken += of_file
                sound = separator.process(np.ascontiguousarray(samples.T))
                dropped = min(skip, sound.shape[2])
                skip -= dropped
                writer.write({name: sound[STEMS.index(name), :, dropped:].T for name in stems})
                if progress:
                    progress(taken, reader.frames)
            if taken == 0:
                raise InputFileError(f"{path}: holds no audio (0 frames)")
            paths = writer.close()
            if form != WAV:
                paths = _encode(paths, folder, path, form, subtype)
        except BaseException:
            writer.discard()
            raise
        finally:
            if form != WAV:
                shutil.rmtree(beside, ignore_errors=True)
        return FileResult(
            path,
            paths,
            reader.rate,
            reader.channels,
            taken / reader.rate,
            time.perf_counter() - started,
            separator.latency,
            writer.clipped_samples,
        )


def _encode(wavs: dict[str, Path], folder: Path, song: Path, form: str, subtype: str) -> dict[str, Path]:
    """Encode all stems, then give them their names in `folder`; return these. Raises `OutputError`."""
    encoded = {name: wav.with_suffix(f".{form}") for name, wav in wavs.items()}
    for name, wav in wavs.items():
        encode(wav, encoded[name], song, subtype)
    try:
        return {name: file.replace(folder / file.name) for name, file in encoded.items()}
    except OSError as error:
        raise OutputError(f"{folder}: writing failed ({error.strerror})") from None


def _blocks(reader: AudioReader, block: int, latency: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield the blocks [frames, channels] of a file, then `latency` frames of silence that push its end out.

    With each block comes how many of its frames are the file's.
    """
    while len(samples := reader.read(block)) > 0:
        yield samples, len(samples)
    for start in range(0, latency, block):
        yield np.zeros((min(block, latency - start), reader.channels), np.float32), 0
