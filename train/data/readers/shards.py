"""Shards of a cache: the numbered archives that `compact` writes.

`pieces.json` lists the archives with their checksums, and the members with each stem of each song. All
checksums are verified before anything is decoded. ffmpeg is not needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from rtsep.errors import InputFileError
from train.data.cache import RATE
from train.data.readers.base import Choice, Found, Plan, Reader, Samples

INDEX = "pieces.json"
VERSION = 1
_NEEDED = {
    "stems": {"vocals"},
    "pair": {"vocals", "accompaniment"},
    "voice": {"vocals"},
    "music": {"music"},
}
"""Stems that a song of each kind has at least."""


@dataclass(frozen=True)
class PackedStem:
    """A stem in the members of one or several archives, in sections."""

    folder: Path
    parts: tuple[tuple[str, str], ...]  # archive, member
    frames: int  # at the cache's rate

    @property
    def path(self) -> Path:
        """The archive with its first section."""
        return self.folder / self.parts[0][0]

    def read(self) -> tuple[Samples, int]:
        """As `Source.read`."""
        sections, rate = [], RATE
        for archive, member in self.parts:
            try:
                with zipfile.ZipFile(self.folder / archive) as file:
                    packed = io.BytesIO(file.read(member))
                section, rate = soundfile.read(packed, dtype="float32", always_2d=True)
            except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:  # or encrypted
                raise InputFileError(f"{self.folder / archive}: {member}: damaged ({error})") from None
            sections.append(section)
        named = f"{self.path}: {self.parts[0][1]}"
        if len({section.shape[1] for section in sections}) > 1:
            raise InputFileError(f"{named}: damaged (sections with different channels)")
        whole = np.concatenate(sections)
        if rate != RATE:
            whole = np.asarray(soxr.resample(whole, rate, RATE), np.float32)
        if abs(len(whole) - self.frames) > RATE:  # coding and resampling change far less
            seconds = f"{len(whole) / RATE:.1f} s in place of {self.frames / RATE:.1f}"
            raise InputFileError(f"{named}: damaged ({seconds})")
        out = np.zeros((self.frames, whole.shape[1]), np.float32)
        out[: len(whole)] = whole[: self.frames]
        return out, RATE


class Shards(Reader):
    """The songs of a packed cache, with its splits, sets and licences."""

    form = "pieces"
    layout = f"{INDEX} and its piece-*.zip, as 'compact' writes them"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        return (folder / INDEX).is_file()

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`; the `InputFileError` names all missing and damaged shards."""
        try:
            index: dict[str, Any] = json.loads((folder / INDEX).read_text())
            if index["version"] != VERSION:
                raise InputFileError(
                    f"{folder / INDEX}: of version {index['version']}; run 'compact' of this version"
                )
            verify(folder, index["pieces"])
            return Found([_plan(folder, song) for song in index["songs"]])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputFileError(
                f"{folder / INDEX}: not an index of pieces ({error}); copy it again"
            ) from None


def _plan(folder: Path, song: dict[str, Any]) -> Plan:
    """Return the plan of an entry of the index; raise an error of Python if it is damaged."""
    files = {}
    for stem, where in song["stems"].items():
        parts = tuple((str(archive), str(member)) for archive, member in where["parts"])
        if not parts or where["frames"] < 0:
            raise ValueError(f"{stem} without audio")
        files[stem] = (PackedStem(folder, parts, int(where["frames"])),)
    if not files.keys() >= _NEEDED[song["kind"]]:
        raise ValueError(f"{song['kind']} without {', '.join(sorted(_NEEDED[song['kind']] - files.keys()))}")
    facts = {name: value for name, value in song.items() if name not in ("stems", "band_hz")}
    if not all(isinstance(value, str) for value in facts.values()):
        raise TypeError("a name or licence is no text")
    return Plan(**facts, files=files, band_hz=float(song["band_hz"]))


def verify(folder: Path, pieces: list[dict[str, Any]]) -> None:
    """Compare each shard with its checksum; `InputFileError` names all that differ."""
    wrong = []
    for piece in tqdm(pieces, unit="piece", desc="verify"):
        path = folder / piece["name"]
        try:
            with path.open("rb") as file:
                fits = hashlib.file_digest(file, "sha256").hexdigest() == piece["sha256"]
        except OSError as error:
            wrong.append(f"{piece['name']} ({error.strerror})")
            continue
        if not fits:
            wrong.append(f"{piece['name']} (checksum differs)")
    if wrong:
        of = f"{len(wrong)} of {len(pieces)} pieces"
        raise InputFileError(f"{folder}: {of} missing or damaged: {', '.join(wrong)}; copy them again")
