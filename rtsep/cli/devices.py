"""`rtsep devices`: the devices to play from and to."""

from __future__ import annotations

import argparse
import json

from rich.table import Table

from rtsep.audio import devices
from rtsep.errors import DeviceError
from rtsep.files.names import one_line
from rtsep.session.named_devices import default_output
from rtsep.surfaces.midi.ports import input_ports, missing
from rtsep.terminal import plain_console


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--json", action="store_true", help="one JSON line")


def run(arguments: argparse.Namespace) -> int:
    """Print the devices."""
    note = ""
    found: list[devices.Device] = []
    defaults: dict[str, devices.Device | None] = {"mic": None, "out": None}
    try:
        there = devices.look()
        found = list(there.devices)
        defaults = {"mic": there.default("input"), "out": default_output(there)}
    except DeviceError as error:
        note = str(error)
    ports = input_ports()
    if arguments.json:
        print(
            json.dumps(
                {
                    "devices": [vars(device) for device in found],
                    **{name: device.index if device else None for name, device in defaults.items()},
                    "midi": [vars(port) for port in ports],
                    "note": note,
                }
            )
        )
        return 0
    console = plain_console()
    if found:
        table = Table(title="audio devices")
        for title in ("", "device", "system", "in", "out", "Hz", ""):
            table.add_column(title, justify="right" if title in ("in", "out", "Hz") else "left")
        for device in found:
            roles = " ".join(name for name, chosen in defaults.items() if chosen == device)
            table.add_row(
                str(device.index), one_line(device.name), device.api, str(device.inputs), str(device.outputs),
                str(device.rate), roles,
            )  # fmt: skip
        console.print(table)
    else:
        console.print(note or "no audio device found; 'rtsep live --in demo' plays on the virtual device")
    if ports:
        table = Table(title="MIDI inputs")
        table.add_column("port")
        table.add_column("system")
        for port in ports:
            table.add_row(one_line(port.name), port.api)
        console.print(table)
    else:
        console.print(missing() or "no MIDI input found", markup=False, soft_wrap=True)
    return 0
