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
            except (OSError, KeyError, zipfile.BadZipFile, soundfile.LibsndfileError) as error:
                raise InputFileError(f"{self.folder / archive}: {member}: damaged ({error})") from None
            sections.append(section)
        whole = np.concatenate(sections)
        if rate != RATE:
            whole = np.asarray(soxr.resample(whole, rate, RATE), np.float32)
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
            version, pieces, songs = index["version"], index["pieces"], index["songs"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(
                f"{folder / INDEX}: not an index of pieces ({error}); copy it again"
            ) from None
        if version != VERSION:
            raise InputFileError(f"{folder / INDEX}: of version {version}; run 'compact' of this version")
        verify(folder, pieces)
        try:
            return Found([_plan(folder, song) for song in songs])
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(
                f"{folder / INDEX}: not an index of pieces ({error}); copy it again"
            ) from None


def _plan(folder: Path, song: dict[str, Any]) -> Plan:
    files = {}
    for stem, where in song["stems"].items():
        parts = tuple((archive, member) for archive, member in where["parts"])
        files[stem] = (PackedStem(folder, parts, where["frames"]),)
    facts = {name: value for name, value in song.items() if name != "stems"}
    return Plan(**facts, files=files)


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
