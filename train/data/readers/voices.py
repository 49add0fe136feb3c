"""Solo voices: one folder for each singer, or files SINGER_what.wav. A singer is in one split only."""

from __future__ import annotations

from pathlib import Path

from rtsep.errors import InputFileError
from train.data.readers.base import Choice, Found, Plan, Reader, audio_files, licence_in, words
from train.data.readers.decode import AudioFile
from train.data.readers.splits import assign, given_split

_WORDS = {"voice", "voices", "vocals", "singing", "singers", "speech", "speakers", "solo", "acapella"}


class Voices(Reader):
    """All audio files below a folder; each is a solo voice, sung or spoken."""

    form = "voices"
    layout = "a folder with 'voices', 'singing' or 'speech' in its name: SINGER/*.wav or SINGER_*.wav"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`: never, because any audio files could be voices."""
        return False

    def is_named(self, folder: Path) -> bool:
        """As `Reader.is_named`."""
        return bool(words(folder.resolve().name) & _WORDS) and bool(audio_files(folder))

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`."""
        files = audio_files(folder)
        if not files:
            raise InputFileError(f"{folder}: no audio files in it ({self.layout})")
        inside = [path.relative_to(folder) for path in files]
        singers = [singer_of(path) for path in inside]
        splits = assign(singers, [given_split(path) for path in inside], choice)
        found = Found()
        for path, where, singer, split in zip(files, inside, singers, splits, strict=True):
            name = where.with_suffix("").as_posix()
            if split == "test":
                found.test.append(name)
                continue
            files_of = {"vocals": (AudioFile(path),)}
            source, licence = folder.resolve().name, licence_in(folder)
            found.plans.append(Plan(name, source, split, "voice", licence, files_of, singer))
        return found


def singer_of(inside: Path) -> str:
    """Return the singer of a path: its first folder that is no split, else the file name up to "_"."""
    folders = [part for part in inside.parts[:-1] if not given_split(Path(part) / "x")]
    return folders[0] if folders else inside.stem.split("_")[0]
