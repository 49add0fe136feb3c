"""Audio files in folders and in lists of files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rtsep.errors import InputFileError

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
"""What is taken for audio in a folder; a file that is named is read whatever its suffix."""


def audio_files(folder: Path, below: bool, without: Path) -> list[Path]:
    """Return the audio files in `folder`, in order; with `below`, those in the folders below, too.

    Hidden ones and all in the folder `without` are left out. Raises `InputFileError` where a folder cannot
    be read, or holds none.
    """
    left_out = without.absolute()

    def refuse(error: OSError) -> None:
        raise InputFileError(f"{error.filename}: cannot be read ({error.strerror})") from None

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=False):
        here = Path(place)
        seen = [name for name in sorted(folders) if not name.startswith(".")]
        folders[:] = [name for name in seen if (here / name).absolute() != left_out]
        found += [
            here / name
            for name in sorted(names)
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
        ]
        if not below:
            break
    if not found:
        hint = "" if below else "; -r looks into the folders below"
        raise InputFileError(f"{folder}: a folder without audio files{hint}")
    return found


def listed_files(path: Path) -> Iterator[Path]:
    """Yield the files that are listed in `path` ("-": on standard input), one a line or between NULs.

    Raises `InputFileError` where it cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot read this list ({error.strerror})") from None
    for name in content.split(b"\0") if b"\0" in content else content.splitlines():
        if name.strip():
            yield Path(os.fsdecode(name)).expanduser()
