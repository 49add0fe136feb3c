"""MUSDB18 as `.stem.mp4` files, decoded by stempeg, and as the folders of MUSDB18-HQ.

The test folder is for scoring: it is listed, never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsep.errors import InputFileError
from train.data.readers.base import Choice, Found, Plan, Reader, Samples, subfolders
from train.data.readers.decode import AudioFile, to_cache_rate
from train.data.readers.splits import musdb_validation, title

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
        train, test = _stem_files(folder / "train"), _stem_files(folder / "test")
        if folder.resolve().name.lower() == "test":
            test |= _stem_files(folder)
        elif not (train or test):
            train = _stem_files(folder)
        validation = musdb_validation(list(train), choice.validation_clips)
        plans = []
        for name, path in train.items():
            files = {stem: (StemStream(path, stem_id),) for stem, stem_id in STEM_IDS.items()}
            split = "valid" if name in validation else "train"
            plans.append(Plan(name, "musdb18", split, "stems", LICENCE, files, title(name)))
        return Found(plans, test=list(test), test_tracks=list(test.values()))


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
        songs = subfolders(folder / "train")
        validation = musdb_validation([song.name for song in songs], choice.validation_clips)
        plans = []
        for song in songs:
            files = {stem: (AudioFile(song / f"{stem}.wav"),) for stem in STEM_IDS}
            split = "valid" if song.name in validation else "train"
            plans.append(Plan(song.name, "musdb18-hq", split, "stems", LICENCE, files, title(song.name)))
        test = subfolders(folder / "test")
        return Found(plans, test=[song.name for song in test], test_tracks=test)


def _stem_files(place: Path) -> dict[str, Path]:
    # `musdb.DB` is not used, because it opens every file and stops at the first broken one.
    return {path.name.removesuffix(STEM_FILE): path for path in sorted(place.glob(f"*{STEM_FILE}"))}
