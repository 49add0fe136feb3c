"""Strict readers of option values; each error is one line with the accepted values."""

from __future__ import annotations

import argparse
from collections.abc import Container
from pathlib import Path

from rtsep.controls import BY_NAME, TABLE, Controls
from rtsep.errors import UsageError
from rtsep.limits import LARGEST_BLOCK, MAX_CHANNELS, MAX_TRACKS, SMALLEST_BLOCK, duration_error
from rtsep.surfaces.midi.map import load_map, user_file
from rtsep.surfaces.midi.names import VIRTUAL
from rtsep.surfaces.midi.surface import MidiOptions


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


def integer(text: str) -> int:
    """Read an integer; its range is checked together with the other options."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def number(text: str) -> float:
    """Read a number; its range is checked together with the other options."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def block_size(text: str) -> int:
    """Read a block size in frames."""
    return whole_number(text, "a block in frames", SMALLEST_BLOCK, LARGEST_BLOCK)


def audio_track(text: str) -> int:
    """Read the number of an audio track."""
    return whole_number(text, "an audio track", 1, MAX_TRACKS)


def seconds(text: str) -> float:
    """Read a duration in seconds."""
    value = number(text)
    if error := duration_error(value):
        raise argparse.ArgumentTypeError(f"{error} seconds")
    return value


def channel_list(text: str) -> tuple[int, ...]:
    """Read `1,2` or `3-6`; the numbers are checked together with the other options."""
    channels: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise argparse.ArgumentTypeError(f"'{text}' is not a list of channels; write it like 1,2 or 3-6")
        low, high = int(first), int(last) if dash else int(first)
        if high < low:
            raise argparse.ArgumentTypeError(f"'{part.strip()}' is in descending order; write {high}-{low}")
        channels += range(low, min(high, low + MAX_CHANNELS) + 1)  # a longer list is refused later
    return tuple(channels)


def add_switch(group: argparse._ArgumentGroup, flag: str, default: bool, purpose: str) -> None:
    """Add `--NAME` and `--no-NAME`, so that the command line can override `rtsep.toml` either way."""
    action = group.add_argument(flag, action=argparse.BooleanOptionalAction, help=purpose)
    action.default = default  # set later: some versions of Python would add it to the help


def add_controls(parser: argparse.ArgumentParser, without: Container[str] = ()) -> None:
    """Add an option for every control of the table except those in `without`."""
    group = parser.add_argument_group(
        "controls", "MIDI and keys change the same controls while the session plays"
    )
    for control in TABLE:
        if control.name in without:
            continue
        flag = "--" + control.name.replace("_", "-")
        if control.unit == "switch":
            group.add_argument(
                flag,
                dest=control.name,
                action="store_const",
                const="on",
                help=f"{control.effect}; {control.meaning}",
            )
            # The command line can turn off a switch that a preset or the last state turned on.
            group.add_argument(
                flag.replace("--", "--no-"),
                dest=control.name,
                action="store_const",
                const="off",
                help=argparse.SUPPRESS,
            )
        else:
            metavar = "|".join(control.choices) or control.unit.upper() or "X"
            group.add_argument(
                flag,
                dest=control.name,
                metavar=metavar,
                help=f"{control.effect}; {control.meaning} ({control.accepted})",
            )


def of_option(name: str, error: UsageError) -> UsageError:
    """Return an error about the control `name` in the words of the command line: `--vocals-gain ...`."""
    return UsageError("--" + name.replace("_", "-") + str(error).removeprefix(name))


def read_controls(arguments: argparse.Namespace, controls: Controls | None = None) -> Controls:
    """Return `controls` (default: new ones) with the values of the command line.

    Controls without an option keep their values. Raise `UsageError` with the option for a bad value.
    """
    controls = controls if controls is not None else Controls()
    for name in BY_NAME:
        text = getattr(arguments, name, None)
        if text is not None:
            try:
                controls.set_text(name, text, by="command line")
            except UsageError as error:
                raise of_option(name, error) from None
    return controls


def add_midi(group: argparse._ArgumentGroup | argparse.ArgumentParser, purpose: str) -> None:
    """Add the options for controllers and their map."""
    group.add_argument(
        "--midi",
        action="append",
        type=midi_port,
        metavar=f"PORT|{VIRTUAL}",
        help=f"{purpose}; {VIRTUAL}: create the port 'rtsep'; may be repeated",
    )
    group.add_argument("--map", type=Path, metavar="FILE", help=f"map of its knobs ({user_file()})")


def midi_port(text: str) -> str:
    """Read the name of a MIDI port."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "the name of a MIDI port is empty; give a name or a part of one ('rtsep devices' lists them)"
        )
    return text.strip()


def read_midi(arguments: argparse.Namespace) -> MidiOptions | None:
    """Return the controllers and their map, None for no MIDI; raise `UsageError` for a bad combination."""
    if not arguments.midi:
        if arguments.map:
            raise UsageError(f"--map {arguments.map}: a controller is missing; name one with --midi")
        return None
    return MidiOptions(tuple(arguments.midi), load_map(arguments.map), arguments.map or user_file())
