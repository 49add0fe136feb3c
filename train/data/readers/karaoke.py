"""Karaoke in two channels, as in MIR-1K: accompaniment on the left, voice on the right.

Files are called SINGER_SONG_PART. All files of a singer are in one split.
"""

from __future__ import annotations

import re
from pathlib import Path

from rtsep.errors import InputFileError
from rtsep.files.sndfile import brief_look
from train.data.readers.base import Choice, Found, Plan, Reader, audio_files, licence_in
from train.data.readers.decode import AudioFile
from train.data.readers.splits import assign, given_split

LEFT, RIGHT = 0, 1
_NAME = re.compile(r"[^_]+_\d+_\d+")
_LOOKED_AT = 8  # files, to recognise the form
_FOLDER = "Wavfile"  # MIR-1K's; its UndividedWavfile holds the same songs once more


class Karaoke(Reader):
    """Two-channel files with the voice on the right."""

    form = "karaoke"
    layout = "SINGER_SONG_PART.wav, left the accompaniment and right the voice"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        files = audio_files(_place(folder))[:_LOOKED_AT]
        return bool(files) and all(_NAME.fullmatch(path.stem) and _channels(path) == 2 for path in files)

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`."""
        place = _place(folder)
        files = audio_files(place)
        if not files:
            raise InputFileError(f"{folder}: no audio files in it ({self.layout})")
        singers = [path.stem.split("_")[0] for path in files]
        given = [given_split(path.relative_to(place)) for path in files]
        found = Found()
        for path, singer, split in zip(files, singers, assign(singers, given, choice), strict=True):
            if split == "test":
                found.test.append(path.stem)
                continue
            stems = {"vocals": (AudioFile(path, RIGHT),), "accompaniment": (AudioFile(path, LEFT),)}
            source, licence = folder.resolve().name, licence_in(folder)
            found.plans.append(Plan(path.stem, source, split, "pair", licence, stems, singer))
        return found


def _place(folder: Path) -> Path:
    return folder / _FOLDER if (folder / _FOLDER).is_dir() else folder


def _channels(path: Path) -> int:
    about = brief_look(path)
    return about[1] if about else 0
