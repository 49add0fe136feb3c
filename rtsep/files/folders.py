"""Audio files in folders and in lists of files."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from rtsep.errors import InputFileError
from rtsep.files.names import user_path

AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".wave",
        ".rf64",
        ".w64",
        ".aif",
        ".aiff",
        ".aifc",
        ".caf",
        ".au",
        ".flac",
        ".alac",
        ".ape",
        ".wv",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".mp2",
        ".m4a",
        ".m4b",
        ".aac",
        ".wma",
        ".mka",
        ".mp4",
        ".mkv",
        ".webm",
        ".mov",
    ]
)
"""Suffixes of audio files in a folder; a file given by name is read whatever its suffix."""


def walk(
    folder: Path, onerror: Callable[[OSError], object] | None = None, without: Path | None = None
) -> list[tuple[Path, list[str]]]:
    """Return `folder` and all folders below it with the names of their files, in order, without hidden ones.

    Links to folders are followed, but each folder occurs once: a song linked into its own data set would be
    used for both training and validation. `without` and everything below it are left out. `onerror` receives
    errors of unreadable folders.
    """
    found: list[tuple[Path, list[str]]] = []
    seen: set[Path] = {_real(without)} if without else set()
    places = deque([folder])
    root = _real(folder)
    while places:
        here = places.popleft()
        if (real := _real(here)) in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(here) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if onerror:
                onerror(error)
            continue
        found.append((here, [entry.name for entry in inside if not _is_folder(entry)]))
        for entry in inside:
            if _is_folder(entry) and not entry.name.startswith("."):
                if not entry.is_symlink():
                    places.appendleft(here / entry.name)
                elif not root.is_relative_to(_real(here / entry.name)):
                    places.append(here / entry.name)  # a folder's own name is better than a link's
    return sorted(found, key=lambda entry: entry[0].parts)


def _real(path: Path) -> Path:
    """Return a path without links; a link to itself stays (`Path.resolve` raises errors for one)."""
    return Path(os.path.realpath(path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a barred folder
        return False


def audio_files(
    folder: Path, below: bool, without: Path, barred: list[tuple[Path, str]] | None = None
) -> list[Path]:
    """Return the audio files in `folder`, in order; with `below`, also those in folders below.

    Links to folders are followed. Pipes, hidden files and everything in the folder `without` are left out.
    `barred` receives each folder below that cannot be read, with a line about it. Raise `InputFileError` if
    `folder` itself cannot be read, contains none, or is `without`; without `barred`, also for a folder below.
    """

    def refuse(error: OSError) -> None:
        line = (
            f"{error.filename}: cannot be read ({error.strerror}); get the right to read it, or leave it out"
        )
        if barred is None or Path(error.filename) == folder:
            raise InputFileError(line) from None
        barred.append((Path(error.filename), line))

    if below:
        if _real(folder) == _real(without):
            raise InputFileError(
                f"{folder}: the stems go there, too, and -r would include them; choose another -o"
            )
        places = walk(folder, refuse, without)
    else:
        try:
            places = [(folder, sorted(path.name for path in folder.iterdir()))]
        except OSError as error:
            refuse(error)
    found = [
        place / name
        for place, names in places
        for name in names
        if not name.startswith(".")
        and Path(name).suffix.lower() in AUDIO_SUFFIXES
        and not _is_no_file(place / name)
    ]
    if not found and not barred:
        hint = "" if below else "; -r includes the folders below"
        raise InputFileError(f"{folder}: a folder without audio files{hint}")
    return found


def _is_no_file(path: Path) -> bool:
    """Return whether a path leads to a folder, a pipe or a device; an unreachable path is refused later."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def listed_files(path: Path) -> Iterator[Path]:
    """Yield the files listed in `path` ("-": standard input), one per line or separated by NUL.

    Raise `InputFileError` if it cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot read this list ({error.strerror})") from None
    content = _without_mark(content)
    for name in content.split(b"\0") if b"\0" in content else content.splitlines():
        if name.strip():
            yield user_path(os.fsdecode(name))


def _without_mark(content: bytes) -> bytes:
    """Return a list in UTF-8 without the byte order mark of some editors; UTF-16 is converted."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace").encode("utf-8")
    return content.removeprefix(codecs.BOM_UTF8)
