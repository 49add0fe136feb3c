"""The demo song, repeated, as a file of the length that a benchmark needs."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import soundfile

from rtsep.bench.disk import folder_on_disk
from rtsep.errors import OutputError
from rtsep.files.audiofile import AudioReader
from rtsep.files.demo import demo_song

SUBTYPE, SAMPLE_BYTES = "PCM_16", 2


@contextlib.contextmanager
def long_song(seconds: float, fewer: str) -> Iterator[Path]:
    """Yield a file with `seconds` of the repeated demo song; raise `OutputError` if there is no space.

    `fewer` is an instruction for the user to reduce the length. Results may be written beside it.
    """
    with AudioReader(demo_song()) as reader:
        rate, song = reader.rate, reader.read(1 << 30)
    left = max(1, math.ceil(seconds * rate))
    size = left * song.shape[1] * SAMPLE_BYTES
    with folder_on_disk() as folder:
        path = Path(folder) / "song.wav"
        try:
            if (free := shutil.disk_usage(folder).free) < size:  # before it fills the disk of all programs
                raise OSError(f"{free / 1e6:.0f} MB are free")
            with soundfile.SoundFile(path, "w", rate, song.shape[1], SUBTYPE, format="RF64") as file:
                while left > 0:
                    file.write(song[:left])
                    left -= len(song[:left])
        except (OSError, soundfile.LibsndfileError) as error:
            raise OutputError(
                f"{folder}: no space for {size / 1e6:.0f} MB of song ({error}); {fewer}"
            ) from None
        yield path
