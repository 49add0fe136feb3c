"""The options of a live session; their values are checked only here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtsep.compute import COMPUTE
from rtsep.dsp.router import BUS, INSTRUMENTAL, VOCALS
from rtsep.errors import UsageError, suggest
from rtsep.files.audiofile import SUBTYPES
from rtsep.files.names import user_path
from rtsep.limits import (
    HIGHEST_RATE,
    LARGEST_BLOCK,
    LOWEST_RATE,
    MAX_CHANNELS,
    MAX_SLACK,
    MAX_TRACKS,
    SMALLEST_BLOCK,
    client_name_error,
    duration_error,
    key_error,
    speed_error,
)

SYSTEM, APP = "system", "app:"
"""Input for all playback of this computer, and prefix of an input for one program."""

VIRTUAL = "virtual"
"""Name of the output device that needs no hardware."""

ALSA_INTO_SERVER = ("default", "pulse", "pipewire")
"""ALSA's names for the default device of a sound server."""

ROUTES: dict[str, tuple[int, ...]] = {
    "vocals": (BUS,),
    "instrumental": (BUS,),
    "mix": (BUS,),
    "both": (VOCALS, INSTRUMENTAL),
}
"""Feeds for each value of `out`, in the order of the output channels."""

BALANCES = {"vocals": 1.0, "instrumental": 0.0, "mix": 0.5}
"""Initial value of the control `balance` for each value of `out` that plays the stereo bus."""


class OptionError(UsageError):
    """An option of a live session has an invalid value."""

    def __init__(self, name: str, rest: str) -> None:
        """Build the message from `name`, a field of `LiveOptions`, directly followed by `rest`."""
        super().__init__(name + rest)
        self.name, self.rest = name, rest


@dataclass(frozen=True)
class LiveOptions:
    """Options of `rtsep live` and `rtsep.Session`; channel numbers count from 1, as printed on devices.

    An invalid value raises `OptionError` when the object is created.
    """

    input: str = "mic"
    out: str | None = None  # a key of ROUTES; None: both if the device has the channels
    out_device: str | None = None
    as_microphone: bool = False  # the output is a virtual microphone, in place of `out_device`
    in_channels: tuple[int, ...] | None = None
    out_channels: tuple[int, ...] | None = None
    rate: int | None = None  # Hz
    block: int | None = None  # frames per call
    slack: int | None = None  # frames
    client_name: str = "rtsep"
    connect: bool = True
    reconnect: bool = True
    limiter: bool = True
    feedback_guard: bool = True
    record: Path | None = None
    subtype: str = "PCM_24"
    seconds: float | None = None
    compute: str = "cpu"  # where the model runs
    track: int | None = None  # audio track of a file with several, from 1; None: the default track
    speed: float = 1.0  # of a played file, a factor
    key: float = 0.0  # of a played file, semitones above the recorded key

    def __post_init__(self) -> None:
        if self.record is not None:
            object.__setattr__(self, "record", user_path(self.record))
        if not isinstance(self.out_device, str | None):
            raise OptionError("out_device", f" {self.out_device!r}: give the name of a device, in quotes")
        if self.out is not None:
            _one_of("out", self.out, tuple(ROUTES))
        _one_of("subtype", self.subtype, SUBTYPES)
        _one_of("compute", self.compute, COMPUTE)
        _between("rate", self.rate, LOWEST_RATE, HIGHEST_RATE, "Hz")
        _between("block", self.block, SMALLEST_BLOCK, LARGEST_BLOCK, "frames")
        _between("slack", self.slack, 0, MAX_SLACK, "frames")
        _between("track", self.track, 1, MAX_TRACKS, "")
        for name, error in (("speed", speed_error(self.speed)), ("key", key_error(self.key))):
            if error:
                raise OptionError(name, error.removeprefix(name))
        _distinct("in_channels", self.in_channels)
        _distinct("out_channels", self.out_channels)
        if self.app is not None and not self.app.strip():
            raise OptionError(
                "input", f" {self.input}: give the name of a program after '{APP}', such as {APP}firefox"
            )
        if self.seconds is not None and (error := duration_error(self.seconds)):
            raise OptionError("seconds", f" {error}")
        if error := client_name_error(self.client_name):
            raise OptionError("client_name", f" {error}")

    @property
    def takes_players(self) -> bool:
        """Return whether the input is the playback of other programs."""
        return self.input == SYSTEM or self.app is not None

    @property
    def names_output(self) -> bool:
        """Return whether the user chose a sound server's output other than its default one."""
        return self.out_device is not None and self.out_device not in ALSA_INTO_SERVER

    @property
    def app(self) -> str | None:
        """Return the name of the single program that is the input; None for any other input."""
        text = str(self.input)  # the input may also be a path
        return text.removeprefix(APP) if text.startswith(APP) else None


@contextlib.contextmanager
def named_as_options() -> Iterator[None]:
    """Let errors of `LiveOptions` name the command-line option instead of the field."""
    try:
        yield
    except OptionError as error:
        flag = {"input": "in"}.get(error.name, error.name).replace("_", "-")
        raise UsageError(f"--{flag}{error.rest}") from None


def _one_of(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        near = suggest(str(value), accepted)
        raise OptionError(name, f" {value!r}: must be one of {', '.join(accepted)}{near}")


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _between(name: str, value: int | None, low: int, high: int, unit: str) -> None:
    if value is not None and not _is_whole(value, low, high):
        raise OptionError(name, f" {value!r}: must be a whole number from {low} to {high} {unit}".rstrip())


def _distinct(name: str, channels: tuple[int, ...] | None) -> None:
    if channels is None:
        return
    for channel in channels:
        if not _is_whole(channel, 1, MAX_CHANNELS):
            accepted = f"must be a whole number from 1 to {MAX_CHANNELS}"
            raise OptionError(name, f": channel {channel!r}: {accepted}")
    if not channels:
        raise OptionError(name, " (): give at least one channel, each only once")
    twice = sorted({channel for channel in channels if channels.count(channel) > 1})
    if twice:
        raise OptionError(name, f" {channels}: channel {twice[0]} is given twice; give each channel once")
