"""MUSDB18 as `.stem.mp4` files, decoded by stempeg, and as the folders of MUSDB18-HQ.

The test folder is for scoring: it is listed, never read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsep.errors import InputFileError
from train.data.readers.base import Choice, Found, Plan, Reader, Samples, Source, licence_near, subfolders
from train.data.readers.decode import AudioFile, to_cache_rate
from train.data.readers.splits import assign_songs, given_split, is_musdb, musdb_validation, title

STEM_IDS = {"vocals": 4, "drums": 1, "bass": 2, "other": 3}
"""Streams of a `.stem.mp4`, in the order of all caches; stream 0 is the mixture."""

LICENCE = "academic purposes only (MUSDB18; some songs CC BY-NC-SA)"
STEM_FILE = ".stem.mp4"


@dataclass(frozen=True)
class StemStream:
    """One stem of a `.stem.mp4`."""

    path: Path
    stem_id: int  # as in `STEM_IDS`

    def read(self) -> tuple[Samples, int]:
        """As `Source.read`."""
        try:
            import ffmpeg
            import stempeg
        except ImportError:
            raise InputFileError(f"{self.path}: needs a parser of stem files; pip install musdb") from None

        if not self.path.exists():
            raise InputFileError(f"{self.path}: no such file")
        try:
            info = stempeg.Info(str(self.path))
            if info.nb_audio_streams <= self.stem_id:
                raise InputFileError(f"{self.path}: {info.nb_audio_streams} streams, MUSDB18's files have 5")
            stream = info.audio_stream_idx()[self.stem_id]
            rate = info.sample_rate(self.stem_id)
            samples, _ = stempeg.read_stems(
                str(self.path), stem_id=stream, info=info, sample_rate=rate, dtype=np.float32
            )
        except FileNotFoundError:
            raise InputFileError(f"{self.path}: needs ffmpeg and ffprobe; install ffmpeg") from None
        # The parser raises bare warnings for files without audio, and ValueError for half a frame.
        except (ffmpeg.Error, Warning, RuntimeError, ValueError, KeyError) as error:
            detail = getattr(error, "stderr", None) or str(error).encode()
            lines = detail.decode(errors="replace").strip().splitlines() or ["no audio in it"]
            raise InputFileError(f"{self.path}: damaged ({lines[-1]})") from None
        return to_cache_rate(samples.reshape(len(samples), -1), rate, self.path), rate


class Musdb18(Reader):
    """`train/Artist - Song.stem.mp4`; the files may also lie in the folder itself."""

    form = "musdb18"
    layout = "train/TRACK.stem.mp4"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        if (folder / "train").is_dir():
            return bool(_stem_files(folder / "train"))
        return bool(_stem_files(folder / "test") or _stem_files(folder))

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`."""
        tracks = {path: name for place in _parts(folder) for name, path in _stem_files(place).items()}
        if folder.resolve().name.lower() == "test" or not tracks:
            tracks |= {path: name for name, path in _stem_files(folder).items()}

        def files(path: Path) -> dict[str, tuple[Source, ...]]:
            return {stem: (StemStream(path, stem_id),) for stem, stem_id in STEM_IDS.items()}

        return _found(folder, self.form, tracks, files, choice)


class Musdb18Hq(Reader):
    """`train/TRACK/{mixture,vocals,drums,bass,other}.wav`."""

    form = "musdb18-hq"
    layout = "train/TRACK/{mixture,vocals,drums,bass,other}.wav"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        return any(
            (path.parent / "vocals.wav").exists() or (path.parent / "drums.wav").exists()
            for path in folder.glob("train/*/mixture.wav")
        )

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`. A missing stem fails when it is decoded."""
        songs = {song: song.name for place in _parts(folder) for song in subfolders(place)}

        def files(song: Path) -> dict[str, tuple[Source, ...]]:
            return {stem: (AudioFile(song / f"{stem}.wav"),) for stem in STEM_IDS}

        return _found(folder, self.form, songs, files, choice)


def _parts(folder: Path) -> list[Path]:
    """Return the folders in `folder` that are named for a split."""
    return [place for place in subfolders(folder) if given_split(Path(place.name) / "x")]


def _found(
    folder: Path,
    form: str,
    tracks: dict[Path, str],
    files: Callable[[Path], dict[str, tuple[Source, ...]]],
    choice: Choice,
) -> Found:
    """Return the songs at `tracks` (path to name), by the rules of MUSDB18 if one of them is of that set.

    Other songs in this layout have the licence beside them and the split of any folder of stems.
    """
    names = list(tracks.values())
    is_test = folder.resolve().name.lower() == "test"
    given = ["test" if is_test else given_split(path.relative_to(folder) / "x") for path in tracks]
    is_own = not is_musdb(names)
    splits = assign_songs(names, given, choice) if is_own else _musdb_splits(names, given, choice)
    found = Found()
    for (path, name), (split, group) in zip(tracks.items(), splits, strict=True):
        if split == "test":
            found.test.append(name)
            found.test_tracks.append(path)
            continue
        near = path if path.is_dir() else path.parent
        source, licence = (folder.resolve().name, licence_near(folder, near)) if is_own else (form, LICENCE)
        found.plans.append(Plan(name, source, split, "stems", licence, files(path), group))
    return found


def _musdb_splits(names: list[str], given: list[str], choice: Choice) -> list[tuple[str, str]]:
    """Return split and group of each song of MUSDB18; folders named for validation count as well."""
    open_ = [name for name, split in zip(names, given, strict=True) if split not in ("valid", "test")]
    validation = musdb_validation(open_, choice.validation_clips - given.count("valid"))
    by_list = ("valid" if name in validation else "train" for name in names)
    return [
        (split if split in ("valid", "test") else listed, title(name))
        for name, split, listed in zip(names, given, by_list, strict=True)
    ]


def _stem_files(place: Path) -> dict[str, Path]:
    # `musdb.DB` is not used, because it opens every file and stops at the first broken one.
    return {path.name.removesuffix(STEM_FILE): path for path in sorted(place.glob(f"*{STEM_FILE}"))}
