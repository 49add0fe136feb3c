"""Output of the commands: sound files, and folders that one command at a time writes to."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile
from numpy.typing import NDArray

from rtsep.errors import OutputError
from rtsep.realtime import locks
from train.data.cache import RATE, whole_file


def write_audio(path: Path, samples: NDArray[Any], **how: Any) -> None:
    """Write `samples` [n, channels] at RATE in the format that the suffix of `path` names, all or nothing.

    `how` are options of `soundfile.write`. Raises `OutputError` if the disk is full or the folder not
    writable.
    """
    packed = io.BytesIO()  # libsndfile reports a full disk as a fault of the sound
    soundfile.write(packed, samples, RATE, format=path.suffix[1:].upper(), **how)
    with whole_file(path) as file:
        file.write(packed.getbuffer())


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep other commands out of `folder` for a `with` block; `OutputError` if one of them writes there.

    The lock is on the folder itself and ends with the process. On Windows, and on file systems without locks
    for folders, it keeps nobody out.
    """
    lock, is_free = -1, True
    with contextlib.suppress(OSError):
        lock = os.open(folder, os.O_RDONLY)
        locks.keep(lock)
        is_free = locks.take(lock)
    try:
        if not is_free:
            raise OutputError(
                f"{folder}: another command writes there; wait until it ends, or give another folder"
            )
        yield
    finally:
        locks.release(lock)
