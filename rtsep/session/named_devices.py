"""Devices for the two sides of a session: by name, by default, or kept while the other side is switched."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rtsep import folders
from rtsep.audio.devices import Device, DeviceList
from rtsep.audio.pulse_virtual import PLAYERS, SINK
from rtsep.errors import DeviceError, InputFileError
from rtsep.files.names import input_path
from rtsep.session.held import Held

IN_TAKES = "--in takes mic, demo, a device or a file"


class Kept(NamedTuple):
    """Current devices of the sides that a switch leaves as they are; None: not kept, or no device."""

    input: Device | None = None
    output: Device | None = None
    known: frozenset[str] = frozenset()  # names of all devices when these were found

    def find(self, there: DeviceList, kind: str) -> Device | None:
        """Return the kept "input" or "output" as it is `there`; None if nothing is kept, or it is gone."""
        device = self.input if kind == "input" else self.output
        return there.find_again(device, kind, self.known) if device else None


NOTHING_KEPT = Kept()


def find_input(text: str, there: DeviceList) -> Device:
    """Return the device that `text` names as input, "mic": the default microphone.

    Raise `DeviceError`, and `InputFileError` for a folder without a device of its name.
    """
    text = str(text)  # the input may also be a path
    if text != "mic":
        if not there.matches(text, "input"):
            refuse_folder(text)
        return there.find(text, "input")
    device = there.default("input")
    if device is None and there.pulse:
        raise DeviceError(
            f"{there.pulse.name} has no microphone; connect one, name another input with --in "
            "('rtsep devices' lists them), or try --in demo"
        )
    if device is None:
        raise DeviceError("there is no input device; connect one, or try --in demo")
    return device


def find_output(text: str | None, there: DeviceList) -> Device | None:
    """Return the device that `text` names as output, None: the default one, if any. Raise `DeviceError`."""
    return default_output(there) if text is None else there.find(text, "output")


def default_output(there: DeviceList) -> Device | None:
    """Return the default output, if any; while all playback is captured, the user's own default output."""
    device = there.default("output")
    captures = there.pulse is not None and there.pulse.default_sink == SINK
    if not captures or (device and not device.is_pulse):
        return device
    undo = Held(PLAYERS).left  # of this session, or of another one
    real = undo.get("default") if isinstance(undo, dict) else None
    sinks = (found for found in there.devices if found.is_pulse and found.outputs)
    return next((sink for sink in sinks if sink.system_name == real), device)


def refuse_folder(text: str) -> None:
    """Raise `InputFileError` if the input `text` is a folder."""
    if folders.is_reachable_folder(input_path(text)):
        raise InputFileError(f"{text}: a folder; {IN_TAKES}")


def may_be_device(text: str) -> bool:
    """Return whether the folder `text` can have the name of a device; a path, such as `a/b`, cannot."""
    return text not in (".", "..") and Path(text).name == text
