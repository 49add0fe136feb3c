"""The last devices: input and output of the last session, for `--resume` and for the value `last`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomlkit

from rtsep import folders
from rtsep.errors import OutputError, RtsepError
from rtsep.session.options import LiveOptions
from rtsep.surfaces.toml import TomlFile, known, read_text, write_whole

LAST = "last"
"""Value of `--in` and `--out-device` for the device of the last session."""

CHANNELS = {"in": "in_channels", "out_device": "out_channels"}
"""Option for the channels of each device option."""

FIELDS = {"in": "input", "out_device": "out_device"}
"""Field of `LiveOptions` for each device option."""

WHAT = "last devices"


def devices_file(session: str = folders.DEFAULT_SESSION) -> Path:
    """Return the path of the file of the last devices of the session of this name."""
    return folders.state_of(session, "devices")


def load_last_devices(path: Path | None = None) -> dict[str, Any]:
    """Return devices and channels by option, in TOML types; empty if no session has stored any.

    Raise `UsageError` if the file is damaged.
    """
    path = path or devices_file()
    try:
        file = TomlFile(read_text(path, WHAT), path)
    except FileNotFoundError:
        return {}
    names = [*CHANNELS, *CHANNELS.values()]
    for name in file.tables:
        if name not in names:
            raise file.error(f"'{name}' is not a device{known(names)}", name)
    return file.tables


def named_devices(options: LiveOptions, input_name: str, output_name: str, files: bool) -> dict[str, Any]:
    """Return the devices that a session was given, by option, without default devices.

    `input_name` and `output_name` are the names of its devices; they replace numbers, which can change.
    `files`: the input is a file, not a device.
    """
    found: dict[str, Any] = {}
    if not files and options.input != "mic":
        found["in"] = input_name if options.input.isdigit() else options.input
    if not files and options.in_channels:
        found["in_channels"] = list(options.in_channels)
    if options.out_device is not None:
        found["out_device"] = output_name if options.out_device.isdigit() else options.out_device
    if options.out_channels:
        found["out_channels"] = list(options.out_channels)
    return found


class DevicesKeeper:
    """Stores the devices of a session whenever they have changed since the last call."""

    def __init__(
        self,
        read: Callable[[], tuple[LiveOptions, str, str, bool]],
        notify: Callable[[str], None],
        path: Path | None = None,
        unused: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`read` returns the arguments of `named_devices`; `notify` receives a line if the file is bad.

        `unused` contains stored devices, with their channels, that could not be opened. Each stays stored
        until the user chooses another device in its place.
        """
        self._read, self._notify, self._path = read, notify, path or devices_file()
        self._unused = dict(unused)
        self._begun = read()[0]
        self._written: tuple[LiveOptions, str, str, bool] | None = None
        self._refused = False

    def __call__(self) -> None:
        """Store the devices if they have changed. A played file does not replace the stored input."""
        now = self._read()
        if now == self._written or self._refused:
            return
        try:
            found = self._with_unused(named_devices(*now), now[0])
            if now[3]:
                before = load_last_devices(self._path)
                found |= {name: before[name] for name in ("in", "in_channels") if name in before}
            write_whole(self._path, tomlkit.dumps(found), WHAT)
            self._written = now
        except OutputError:  # already reported for the last state, in the same folder
            self._refused = True
        except RtsepError as error:
            self._refused = True
            self._notify(f"{error}; --resume cannot restore these devices")

    def _with_unused(self, found: Mapping[str, Any], options: LiveOptions) -> dict[str, Any]:
        """Return `found` with the unused devices in the places where `options` has not changed since."""
        kept = dict(found)
        for device, channels in CHANNELS.items():
            if device not in self._unused:
                continue
            field = FIELDS[device]
            if getattr(options, field) != getattr(self._begun, field):  # the user's choice, for good
                self._unused = {k: v for k, v in self._unused.items() if k not in (device, channels)}
                continue
            for name in (device, channels):
                kept.pop(name, None)
                if name in self._unused:
                    value = self._unused[name]
                    kept[name] = list(value) if isinstance(value, tuple) else value
        return kept
