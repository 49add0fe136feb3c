"""The interface of readers: songs to decode, the sources of their stems, and their split."""

from __future__ import annotations

import abc
import codecs
import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep import folders
from rtsep.files.folders import walk
from rtsep.model.licences import is_free
from train.data.licences import plain

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
        """Return whether the files in `folder` have this layout; no file is decoded."""

    def is_named(self, folder: Path) -> bool:
        """Return whether audio in `folder` has this layout by the name of `folder` alone.

        It is asked if no reader recognises the files: "Music" is a name for any songs.
        """
        return False

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

    The result has the short names of the licences in its first lines, else its first line, or the line that
    restricts the use. It has no control characters. If its text is unclear, it is not that of a free licence.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.stem.lower() in ("licence", "license") and path.is_file():
            with path.open("rb") as file:
                lines = [plain(line) for line in _decoded(file.read(_LICENCE_BYTES)).splitlines()]
            head = [line for line in lines if line][:_LICENCE_LINES]
            return " and ".join(known_licences("\n".join(head))) or _own_words(head or ["unknown"])
    return "unknown (no licence file beside the audio)"


def licence_near(folder: Path, song: Path) -> str:
    """Return the licence in the folder of a song, or in the nearest one around it, up to `folder`."""
    places = [song, *(place for place in song.parents if place.is_relative_to(folder))]
    stated = (licence_in(place) for place in places)
    return next((licence for licence in stated if not licence.startswith("unknown")), licence_in(song))


def _decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8 or, with its mark at the beginning, in UTF-16."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")


def _own_words(head: list[str]) -> str:
    """Return the line that restricts the use, else the first one, cut to `_SHOWN` characters."""
    for line in head:
        if restriction := _RESTRICTED.search(_flat(line)):
            start = min(max(0, restriction.end() - _SHOWN), len(line))
            said = line[start : start + _SHOWN]
            return f"unclear: {said}" if is_free(said) else said
    said = head[0][:_SHOWN]
    return f"unclear: {said}" if is_free(said) and _in_doubt(_flat(" ".join(head)), []) else said


_SHOWN = 80  # characters of a licence in its own words
_LICENCE_BYTES = 1 << 16
_LICENCE_LINES = 10  # the licence is named near the beginning of a text
# Authors write these names with any dash, spaces or other marks. \w*+ keeps what it has: a \w* that gives
# back a second "NoDeriv" doubles the time with each of them.
_TERM = r"NC|ND|SA|Non[ -]?Commercial|No[ -]?Deriv\w*+|Share[ -]?Alike"
_TERMS = rf"((?:[ ,/+&-]*(?:{_TERM}))*)"
_CC_SHORT = re.compile(rf"\b(?:CC|Creative Commons)[ -]?BY{_TERMS}(?![a-z])(?:[ -]*v?(\d\.\d))?", re.I)
_CC_LONG = re.compile(rf"\bAttribution{_TERMS}[ ,]+(\d\.\d)", re.I)
_CC_WORDS = (("NC", r"NC|noncommercial"), ("ND", r"ND|noderiv"), ("SA", r"SA|sharealike"))
_GPL = re.compile(
    r"\bGPL(?:[ -]*v?(\d)(?:\.\d)?)?|\bGNU General Public Licen[cs]e(?:,?\s+version (\d))?", re.I
)
_MIT = re.compile(
    r"\bMIT[ -]Licen[cs]ed?\b|\bLicen[cs]e[ds]?(?:-Identifier)?:?(?: under)?(?: the)? MIT\b|^MIT\.?$", re.I
)
_PUBLIC = re.compile(r"(?<!not in the )(?<!not )\bpublic[ -]domain", re.I)
_RESTRICTED = re.compile(
    r"\bNC\b|\b(?:non?|nicht|n\xe3o)[ -]?[ck]om+er[cz]|\bND\b|\bno[ -]?deriv"
    r"|\b(?:not|no|never|except|prohibit\w*|forbid\w*)\b[^.]{0,30}\bcommercial"
    r"|\b(?:personal|private|academic|research|educational|evaluation)\b[^.]{0,20}\b(?:use|purpose)",
    re.I,
)
_NO_DERIVATIVES = re.compile(r"\bND\b|\bno[ -]?deriv", re.I)
_SHARE_ALIKE = re.compile(r"\bshare[ -]?alike", re.I)
_UNKNOWN_TERM = re.compile(rf"\bCC[ -]?BY-(?!(?:{_TERM})(?![a-z]))[a-z]", re.I)  # of "CC BY-NX"
_DENIED = re.compile(
    r"\b(?:not|never|no longer|unlike|except)(?: [^ .]+){0,3} \(?"
    r"(?:CC|CC0|Creative Commons|public[ -]domain|GPL|MIT|Attribution)\b",
    re.I,
)


def known_licences(text: str) -> list[str]:
    """Return the short names of the licences in a text.

    There are none for "all rights reserved", and none if the text has restrictions that no name states.
    """
    text = _flat(text)
    if re.search(r"all rights reserved", text, re.I):
        return []
    found = []
    if re.search(r"\bCC[ -]?0\b|Creative Commons Zero", text, re.I):
        found.append("CC0 1.0")
    elif _PUBLIC.search(text):
        found.append("public domain")
    for terms, version in (*_CC_SHORT.findall(text), *_CC_LONG.findall(text)):
        bare = re.sub(r"[^a-z]", "", terms.lower())
        short = "".join(f"-{term}" for term, word in _CC_WORDS if re.search(word, bare, re.I))
        found.append(f"CC BY{short} {version}".strip())
    if gpl := _GPL.search(text):
        version = gpl[1] or gpl[2]
        found.append(f"GPL {version}.0" if version else "GPL")
    if _MIT.search(text):
        found.append("MIT")
    return [] if _in_doubt(text, found) else list(dict.fromkeys(found))


def _in_doubt(text: str, found: list[str]) -> bool:
    """Return whether a text, as by `_flat`, restricts the use in a way that no name in `found` states."""
    names = " ".join(found)
    if "-NC" not in names and _RESTRICTED.search(_NO_DERIVATIVES.sub("", text) if "-ND" in names else text):
        return True
    if ("-ND" not in names and _NO_DERIVATIVES.search(text)) or _UNKNOWN_TERM.search(text):
        return True
    return bool(_DENIED.search(text) or ("-SA" not in names and _SHARE_ALIKE.search(text)))


def _flat(text: str) -> str:
    """Return `text` in one line with plain dashes and spaces, without characters of no width."""
    kinds = ((c, unicodedata.category(c)) for c in text.replace("_", " ").replace("\u2212", "-"))
    return " ".join("".join("-" if kind == "Pd" else c for c, kind in kinds if kind != "Cf").split())
