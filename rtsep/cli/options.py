"""Option values, read strictly: each reader says in one line what it accepts."""

from __future__ import annotations

import argparse
import math

from rtsep.controls import BY_NAME, TABLE, UNITY_BINARY_THRESHOLD, Controls
from rtsep.errors import UsageError

LOWEST_RATE, HIGHEST_RATE = 8000, 384000
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 8192
MOST_CHANNELS = 64


def whole_number(text: str, name: str, low: int, high: int) -> int:
    """Read an integer from low to high."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a whole number; {name} is {low} to {high}"
        ) from None
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value} is out of range; {name} is {low} to {high}")
    return value


def sample_rate(text: str) -> int:
    """Read a sample rate in Hz."""
    return whole_number(text, "a sample rate in Hz", LOWEST_RATE, HIGHEST_RATE)


def block_size(text: str) -> int:
    """Read a block size in frames."""
    return whole_number(text, "a block in frames", SMALLEST_BLOCK, LARGEST_BLOCK)


def slack(text: str) -> int:
    """Read a slack in frames."""
    return whole_number(text, "slack in frames", 0, 65536)


def seconds(text: str) -> float:
    """Read a duration."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0 seconds")
    return value


def channel_list(text: str) -> tuple[int, ...]:
    """Read `1,2` or `3-6`: channels counted from 1."""
    channels: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise argparse.ArgumentTypeError(f"'{text}' is no list of channels; write it like 1,2 or 3-6")
        low, high = int(first), int(last) if dash else int(first)
        if not 1 <= low <= high <= MOST_CHANNELS:
            raise argparse.ArgumentTypeError(f"'{text}': channels count from 1 to {MOST_CHANNELS}")
        channels += range(low, high + 1)
    if len(set(channels)) != len(channels):
        raise argparse.ArgumentTypeError(f"'{text}' names a channel twice")
    return tuple(channels)


def client_name(text: str) -> str:
    """Read a JACK client name."""
    if not 1 <= len(text) <= 32 or ":" in text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"'{text}': 1 to 32 characters without a colon")
    return text


def add_controls(parser: argparse.ArgumentParser) -> None:
    """Add an option for every control of the table."""
    group = parser.add_argument_group("controls", "the same that MIDI and keys turn while it plays")
    for control in TABLE:
        flag = "--" + control.name.replace("_", "-")
        if control.unit == "switch":
            group.add_argument(
                flag, dest=control.name, action="store_const", const="on", help=control.meaning
            )
        else:
            metavar = "|".join(control.choices) or control.unit.upper() or "X"
            group.add_argument(
                flag, dest=control.name, metavar=metavar, help=f"{control.meaning} ({control.accepted})"
            )


def read_controls(arguments: argparse.Namespace) -> Controls:
    """Return the controls as the command line sets them; raises `UsageError` that names the option."""
    controls = Controls()
    for name in BY_NAME:
        text = getattr(arguments, name)
        if text is not None:
            try:
                controls.set_text(name, text)
            except UsageError as error:
                raise UsageError(f"--{str(error).replace('_', '-', 1)}") from None
    if arguments.mask == "binary" and arguments.threshold is None:
        controls.threshold = UNITY_BINARY_THRESHOLD
    return controls
