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
MAX_POSITION_S = 1e6  # in a played file: some 11 days; positions in frames stay exact
MAX_SESSION_S = 1e9  # some 30 years; positions in frames stay exact
SHORTEST_LOOP_S = 0.1
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
    return f"speed {_shown(speed)}: out of range; {LOWEST_SPEED:g} to {HIGHEST_SPEED:g}, 1 is as recorded"


def key_error(key: float) -> str:
    """Return what is wrong with the key of a played file, in semitones above the recorded one; else ""."""
    if -MAX_KEY <= key <= MAX_KEY:
        return ""
    return f"key {_shown(key)}: out of range; -{MAX_KEY:g} to {MAX_KEY:g} semitones, 0 is as recorded"


def duration_error(seconds: float) -> str:
    """Return what is wrong with the length of a session in seconds; else ""."""
    if 0 < seconds <= MAX_SESSION_S:  # NaN fails this
        return ""
    return f"{_shown(seconds)}: must be more than 0 and at most {MAX_SESSION_S:.0f}"


def seconds_error(action: str, seconds: float) -> str:
    """Return what is wrong with a number of seconds of a played file, such as NaN; else ""."""
    if abs(seconds) <= MAX_POSITION_S:  # NaN fails this
        return ""
    return f"{action} {_shown(seconds)} s: a number of seconds, at most {MAX_POSITION_S:.0f}"


def seek_error(seconds: float, length: float | None) -> str:
    """Return what is wrong with a position in a played file of `length` s (None: unknown); else ""."""
    if 0 <= seconds <= last_position(length):
        return ""
    known = f"0 to {MAX_POSITION_S:.0f} s" if length is None else f"the file has 0 to {length:.3f} s"
    return f"seek to {_shown(seconds)} s: {known}"


def loop_error(start: float, end: float | None, length: float | None) -> str:
    """Return what is wrong with a loop in a played file of `length` s (None: unknown); else ""."""
    limit = last_position(length)
    last = limit if end is None else end
    if 0 <= start <= limit and start + SHORTEST_LOOP_S <= last <= limit:
        return ""
    known = f"from 0 to {limit:.0f} s" if length is None else f"within the {length:.3f} s of the file"
    loop = f"loop {_shown(start)} to {_shown(last)} s"
    return f"{loop}: a loop must have at least {SHORTEST_LOOP_S:g} s, {known}"


def last_position(length: float | None) -> float:
    """Return the last accepted position in s of a played file of `length` s (None: unknown)."""
    return MAX_POSITION_S if length is None else min(length, MAX_POSITION_S)


def _shown(seconds: float) -> str:
    """Return a number for a message; a whole number of Python may be larger than any float."""
    try:
        return f"{seconds:g}"
    except OverflowError:
        return "inf" if seconds > 0 else "-inf"
