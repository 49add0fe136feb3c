"""Accepted ranges of rates, blocks, channels and names."""

from __future__ import annotations

from rtsep.compute import COMPUTE

LOWEST_RATE, HIGHEST_RATE = 8000, 384000  # Hz
LOWEST_FILE_RATE, HIGHEST_FILE_RATE = 1000, 1536000  # Hz, for files, which are resampled
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 8192  # frames per call
MOST_SLACK = 65536  # frames
MOST_CHANNELS = 64
MAX_TRACKS = 99  # of one file
LONGEST_CLIENT_NAME = 32  # characters
DEVICES = COMPUTE  # for `train`, whose option is `--device`


def client_name_error(name: str) -> str:
    """Return what is wrong with a name for a JACK client, whose ports are called NAME:PORT; else ""."""
    if 1 <= len(name) <= LONGEST_CLIENT_NAME and ":" not in name and name.isprintable():
        return ""
    return f"'{name}': must be 1 to {LONGEST_CLIENT_NAME} printable characters without a colon"
