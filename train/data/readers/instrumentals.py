"""Music without voice: one folder for each package (by `fetch`) or album, or any other folder of music.

The split is by package: its pieces share instruments, mix and often melodies.
"""

from __future__ import annotations

from pathlib import Path

from rtsep.errors import InputFileError
from train.data.readers.base import Choice, Found, Plan, Reader, audio_files, licence_in, subfolders, words
from train.data.readers.decode import AudioFile
from train.data.readers.splits import assign

MUSIC_SECONDS = 90.0
"""Length of the excerpt from the middle of each piece. Many pieces are worth more than long ones."""

GROWLING = frozenset(["fretsonfire-songs-muldjord"])
"""Packages with growled vocals that are listed as instrumental; they are left out."""

DEBIAN = "per Debian package"
_WORDS = {"instrumental", "instrumentals", "music", "backing", "backings", "accompaniment"}


class Instrumentals(Reader):
    """All audio files below a folder, or only the screened ones if there is a list. None has a voice."""

    form = "instrumentals"
    layout = (
        "PACKAGE/copyright beside PACKAGE's audio, or a folder with 'instrumentals' or 'music' in its name"
    )

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        return any(_is_debian(package) for package in subfolders(folder))

    def is_named(self, folder: Path) -> bool:
        """As `Reader.is_named`."""
        return bool(words(folder.resolve().name) & _WORDS) and bool(audio_files(folder))

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`. Listed files that are missing fail when they are decoded."""
        pieces: list[tuple[str, Path, str, str]] = []  # package, path, name, licence
        found = Found()
        for package in subfolders(folder):
            if package.name in GROWLING:
                found.skipped.append(f"{package}: contains growled vocals, so it is not instrumental")
                continue
            licence = DEBIAN if _is_debian(package) else licence_in(package)
            listed = choice.listed.get(package.name)
            files = audio_files(package) if listed is None else [package / name for name in listed]
            for path in files:
                name = path.relative_to(folder).with_suffix("").as_posix()
                pieces.append((package.name, path, name, licence))
        loose = [path for path in audio_files(folder) if path.parent == folder]
        pieces += [(path.stem, path, path.stem, licence_in(folder)) for path in loose]
        if not pieces:
            raise InputFileError(f"{folder}: no audio files in it ({self.layout})")
        splits = assign([group for group, *_ in pieces], [""] * len(pieces), choice)
        for (group, path, name, licence), split in zip(pieces, splits, strict=True):
            files_of = {"music": (AudioFile(path, middle_s=MUSIC_SECONDS),)}
            source = folder.resolve().name if path.parent == folder else group
            found.plans.append(Plan(name, source, split, "music", licence, files_of, group))
        return found


def _is_debian(package: Path) -> bool:
    inside = package / "usr" / "share" / "doc"
    return (package / "copyright").is_file() or any(True for _ in inside.glob("*/copyright"))
