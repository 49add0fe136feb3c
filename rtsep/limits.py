"""Accepted ranges of rates, blocks, channels and names."""

from __future__ import annotations

from rtsep.compute import COMPUTE

LOWEST_RATE, HIGHEST_RATE = 8000, 384000  # Hz
LOWEST_FILE_RATE, HIGHEST_FILE_RATE = 1000, 1536000  # Hz, for files, which are resampled
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 8192  # frames per call
MAX_SLACK = 65536  # frames
MAX_CHANNELS = 64
MAX_TRACKS = 99  # of one file
LOWEST_SPEED, HIGHEST_SPEED = 0.5, 1.5  # of a played file, as a factor
MAX_KEY = 6.0  # semitones by which a played file is moved up or down
MAX_CLIENT_NAME = 32  # characters
DEVICES = COMPUTE  # for `train`, whose option is `--device`


def client_name_error(name: str) -> str:
    """Return what is wrong with a name for a JACK client, whose ports are called NAME:PORT; else ""."""
    if 1 <= len(name) <= MAX_CLIENT_NAME and ":" not in name and name.isprintable():
        return ""
    return f"'{name}': must be 1 to {MAX_CLIENT_NAME} printable characters without a colon"


def speed_error(speed: float) -> str:
    """Return what is wrong with the speed of a played file, a factor; else ""."""
    if LOWEST_SPEED <= speed <= HIGHEST_SPEED:  # NaN fails this
        return ""
    return f"speed {speed:g}: out of range; {LOWEST_SPEED:g} to {HIGHEST_SPEED:g}, 1 is as recorded"


def key_error(key: float) -> str:
    """Return what is wrong with the key of a played file, in semitones above the recorded one; else ""."""
    if -MAX_KEY <= key <= MAX_KEY:
        return ""
    return f"key {key:g}: out of range; -{MAX_KEY:g} to {MAX_KEY:g} semitones, 0 is as recorded"
