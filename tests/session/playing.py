"""Helpers of tests of whole sessions."""

import functools
import threading

import soundfile

from tests import waiting

RATE = 44100


def read(path):
    """Return the sound of a file, float32 [frames, channels]."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def hop_loops() -> int:
    """Return how many threads of sessions and their engines run here."""
    return sum(thread.name in ("hop-loop", "rtsep-session") for thread in threading.enumerate())


until = functools.partial(waiting.until, patience_s=60.0)
"""Waits until what it is given is true."""
