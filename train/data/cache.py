"""The cache: decoded audio in one memory-mapped file, in place of thousands of encoded files.

`audio.i16` holds every stem, interleaved 16-bit frames at 44.1 kHz, one after another;
`index.json` lists the place of each song and stem. Reading a random excerpt costs a page fault, no decoder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rtsep import folders
from rtsep.errors import InputFileError, OutputError

RATE = 44100  # Hz of everything in the cache
OTHER_RATE = 48000  # at which models play as well
AUDIO, INDEX = "audio.i16", "index.json"
INDEX_VERSION = 1


def default_cache() -> Path:
    """Return the default folder of the cache: in the platform's cache folder, never in the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else folders.cache().parent) / "rtsep-train"


@dataclass(frozen=True)
class Stem:
    """The place of a decoded stem in `audio.i16`."""

    start: int  # int16 values from the beginning of the file
    frames: int
    channels: int  # 1 or 2


@dataclass(frozen=True)
class Song:
    """One recording and its stems; several stems share a time axis."""

    name: str
    source: str  # data set, as in tracks.tsv
    split: str  # "train" or "valid"
    kind: str  # "stems" (vocals + several), "pair" (vocals + accompaniment), "voice", "music"
    licence: str
    band_hz: float  # the encoded file has no energy above this
    stems: dict[str, Stem]
    group: str = ""  # singer, artist or package, which no split divides; empty in old caches

    @property
    def frames(self) -> int:
        """Length of all stems, in frames."""
        return min(stem.frames for stem in self.stems.values())


class AudioCache:
    """Read access to a prepared cache. It is cheap to open, and several processes can share it."""

    def __init__(self, folder: Path) -> None:
        try:
            raw = json.loads((folder / INDEX).read_text())
            self._audio = np.memmap(folder / AUDIO, np.int16, "r")
        except (OSError, ValueError) as error:
            todo = "run 'python -m train prepare'"
            raise InputFileError(f"{folder}: no training cache ({error}); {todo}") from None
        other = f"{folder}: a cache of another version; run 'python -m train prepare' again"
        if not isinstance(raw, dict) or raw.get("version") != INDEX_VERSION:
            raise InputFileError(other)
        if raw.get("values", self._audio.size) != self._audio.size:  # missing in old caches
            raise InputFileError(
                f"{folder}: {INDEX} is not of this {AUDIO}, or that is cut off; "
                "run 'python -m train prepare' again"
            )
        try:
            self.songs = [song_from_json(entry) for entry in raw["songs"]]
        except (KeyError, TypeError, AttributeError):
            raise InputFileError(other) from None

    def select(self, split: str, *kinds: str) -> list[Song]:
        """Return the songs of a split with these kinds, or all kinds if none is given."""
        return [s for s in self.songs if s.split == split and (not kinds or s.kind in kinds)]

    def read(self, song: Song, stem: str, start: int = 0, frames: int | None = None) -> NDArray[np.float32]:
        """Return [2, frames] in -1..1 from `start` on, which may be negative.

        Mono is doubled. Frames before the start and after the end are silence.
        """
        wanted = song.stems[stem].frames - start if frames is None else frames
        values = self.stored(song, stem)[max(0, start) : max(0, start + wanted)]
        before = max(0, -start)
        out = np.zeros((2, wanted), np.float32)
        out[:, before : before + len(values)] = values.T.astype(np.float32) / 32768.0
        return out

    def stored(self, song: Song, stem: str) -> NDArray[np.int16]:
        """Return a stem as it is on disk, [frames, 1 or 2], as a memory map."""
        where = song.stems[stem]
        values = self._audio[where.start : where.start + where.frames * where.channels]
        return values.reshape(where.frames, where.channels)


def song_to_json(song: Song) -> dict[str, object]:
    """Return the entry of a song in `index.json`."""
    return dataclasses.asdict(song)


def song_from_json(entry: dict[str, Any]) -> Song:
    """Inverse of `song_to_json`."""
    return Song(**{**entry, "stems": {name: Stem(**where) for name, where in entry["stems"].items()}})


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it is replaced when the block ends, and stays unchanged if it fails.

    Raises `OutputError` if the disk is full or the folder is not writable.
    """
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name on an empty file
        partial.replace(path)
    except OSError as error:
        _remove(partial)
        raise unwritable(path, error) from None
    except BaseException:
        _remove(partial)
        raise


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error for the user, with the remedy, if the file `path` cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free / 1e9
        todo = "make room there or name a folder on another disk"
        return OutputError(f"{path}: the disk is full ({free:.1f} GB free now); {todo}")
    return OutputError(f"{path}: cannot be written ({error.strerror or error})")


def _remove(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)
