"""The interface of readers: songs to decode, the sources of their stems, and their split."""

from __future__ import annotations

import abc
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep import folders
from rtsep.files.folders import walk

Samples = NDArray[np.float32]

SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".m4a",
        ".aac",
        ".aif",
        ".aiff",
        ".w64",
        ".caf",
        ".wma",
    ]
)
"""Suffixes of audio files, for the recognition of layouts."""


class Source(Protocol):
    """A source of samples: a file, one stream or channel of it, or members of an archive."""

    @property
    def path(self) -> Path:
        """The file on disk, for messages."""

    def read(self) -> tuple[Samples, int]:
        """Return samples [n, 1 or 2] at the rate of the cache, and the stored rate in Hz.

        Raises `InputFileError` if it cannot be decoded.
        """


@dataclass(frozen=True)
class Plan:
    """One song to decode. The sources of a stem are summed."""

    name: str
    source: str  # data set
    split: str  # "train" or "valid"
    kind: str  # as of `train.data.cache.Song`
    licence: str
    files: Mapping[str, tuple[Source, ...]]
    group: str = ""  # singer, artist or package, which a split may not divide
    band_hz: float | None = None  # None: derived from the sample rate of the file


@dataclass
class Found:
    """The songs that a reader found in a folder."""

    plans: list[Plan] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # one line each: the name and the reason
    test: list[str] = field(default_factory=list)  # names of songs that are for scoring only,
    test_tracks: list[Path] = field(default_factory=list)  # and those that lie on disk as tracks to score


@dataclass(frozen=True)
class Choice:
    """Rules for the split of songs that the data does not assign."""

    validation_share: float = 0.1
    validation_clips: int = 20  # of MUSDB18, at least
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Screened files of packages of instrumentals: package to paths below its folder."""


class Reader(abc.ABC):
    """One layout of data on disk."""

    form: ClassVar[str]
    """Name of the layout on the command line."""
    layout: ClassVar[str]
    """Description of the layout, for messages."""

    @abc.abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Return whether `folder` has this layout; no file is decoded."""

    @abc.abstractmethod
    def find(self, folder: Path, choice: Choice) -> Found:
        """Return the songs to decode with their splits; `InputFileError` if `folder` has another layout."""


def audio_files(folder: Path) -> list[Path]:
    """Return all audio files below `folder` in order, without hidden ones."""
    return [path / name for path, names in walk(folder) for name in names if is_audio(name)]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in `folder` in order, without hidden ones; none if it does not exist."""
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in inside if folders.is_reachable_folder(path))


def is_audio(name: str) -> bool:
    """Return whether the name of a file is that of an audio file."""
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def words(name: str) -> set[str]:
    """Return the words of a file or folder name, in small letters."""
    return set("".join(c if c.isalnum() else " " for c in name.lower()).split())


@functools.cache
def licence_in(folder: Path) -> str:
    """Return the licence by the file LICENCE or LICENSE in `folder`, or the statement that there is none.

    The result has the short names of the licences in its first lines, else its first line.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.stem.lower() in ("licence", "license") and path.is_file():
            lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
            head = [line for line in lines if line][:_LICENCE_LINES]
            return " and ".join(known_licences("\n".join(head))) or (head or ["unknown"])[0][:80]
    return "unknown (no licence file beside the audio)"


_LICENCE_LINES = 10  # the licence is named near the beginning of a text
_CC_SHORT = re.compile(r"\bCC[ -]BY((?:-(?:NC|ND|SA))*)\b(?:[ -]v?(\d\.\d))?", re.I)
# \w*+ keeps what it has: a \w* that gives back a second "NoDeriv" doubles the time with each of them.
_CC_LONG = re.compile(
    r"\bAttribution((?:[ -]*(?:Non-?Commercial|No-?Deriv\w*+|Share-?Alike))*)[ ,]+(\d\.\d)", re.I
)
_CC_WORDS = (("noncommercial", "-NC"), ("noderiv", "-ND"), ("sharealike", "-SA"))
_GPL = re.compile(
    r"\bGPL(?:[ -]*v?(\d)(?:\.\d)?)?|\bGNU General Public Licen[cs]e(?:,?\s+version (\d))?", re.I
)
_PUBLIC = re.compile(r"(?<!not in the )(?<!not )\bpublic[ -]domain", re.I)


def known_licences(text: str) -> list[str]:
    """Return the short names of the licences in a text; none for "all rights reserved"."""
    if re.search(r"all rights reserved", text, re.I):
        return []
    found = []
    if re.search(r"\bCC[ -]?0\b|Creative Commons Zero", text, re.I):
        found.append("CC0 1.0")
    elif _PUBLIC.search(text):
        found.append("public domain")
    for terms, version in _CC_SHORT.findall(text):
        found.append(f"CC BY{terms.upper()} {version}".strip())
    for words, version in _CC_LONG.findall(text):
        flat = re.sub(r"[ -]", "", words).lower()
        found.append(f"CC BY{''.join(short for word, short in _CC_WORDS if word in flat)} {version}")
    if gpl := _GPL.search(text):
        version = gpl[1] or gpl[2]
        found.append(f"GPL {version}.0" if version else "GPL")
    return list(dict.fromkeys(found))
