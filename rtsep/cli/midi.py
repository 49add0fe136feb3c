"""`rtsep midi`: print the messages of controllers and their effect, and assign knobs to controls."""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from pathlib import Path

from rich.table import Table

from rtsep import folders
from rtsep.cli.options import add_midi, seconds
from rtsep.controls import BY_NAME, Controls
from rtsep.errors import DeviceError, UsageError, suggest
from rtsep.files.names import one_line
from rtsep.surfaces.midi.learn import Received, learn, moves
from rtsep.surfaces.midi.map import MidiMap, load_map, user_file
from rtsep.surfaces.midi.messages import CC14, MAX_7, Event
from rtsep.surfaces.midi.names import ALL
from rtsep.surfaces.midi.ports import input_ports, missing
from rtsep.surfaces.midi.surface import MidiOptions, MidiSurface
from rtsep.terminal import plain_console

WAIT_S = 60.0
"""Time that `learn` waits for a move, in seconds."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the commands under this command."""
    what = parser.add_subparsers(dest="what", metavar="monitor|learn|show", required=True)
    monitor = what.add_parser(
        "monitor", help="print controllers' messages and the controls that they would move"
    )
    learn = what.add_parser("learn", help="wait until a knob or pad moves, and assign it to CONTROL")
    show = what.add_parser("show", help="print the map and the ports")
    learn.add_argument("control", metavar="CONTROL", help=f"one of {', '.join(BY_NAME)}")
    for command in (monitor, learn):
        add_midi(command, "use only this controller, given by its name or a part of it")
        command.add_argument("--seconds", type=seconds, metavar="S", help="end after S seconds")
    show.add_argument("--map", type=Path, metavar="FILE", help=f"map file ({user_file()})")


def run(arguments: argparse.Namespace) -> int:
    """Monitor, learn or show, by the arguments."""
    if arguments.what == "show":
        return _show(load_map(arguments.map))
    if reason := missing():
        raise DeviceError(reason)
    ports = tuple(arguments.midi or (ALL,))
    if arguments.what == "learn":
        return _learn(arguments.control, ports, arguments.map or user_file(), arguments.seconds or WAIT_S)
    return _monitor(load_map(arguments.map), ports, arguments.seconds)


def _notify(line: str) -> None:
    print(f"rtsep: {line}", file=sys.stderr, flush=True)


def _show(midi_map: MidiMap) -> int:
    console = plain_console()
    table = Table(title=f"MIDI map: {midi_map.path or f'the default ({user_file()} does not exist)'}")
    for title in ("control", "knob or pad", "how", ""):
        table.add_column(title)
    for entry in midi_map.entries:
        origin = "" if entry.in_file or not midi_map.path else "default"
        table.add_row(entry.control.name, entry.source, entry.manner, origin)
    console.print(table)
    console.print(f"feedback to controllers: {'on' if midi_map.feedback else 'off'}")
    ports = input_ports()
    for port in ports:
        console.print(f"port: {one_line(port.name)} ({port.api})", markup=False, highlight=False)
    if not ports:
        console.print(missing() or "no MIDI controller found", markup=False, soft_wrap=True)
    return 0


def _monitor(midi_map: MidiMap, ports: tuple[str, ...], limit: float | None) -> int:
    output_closed, refused = threading.Event(), list[OSError]()

    def show(port: str, event: Event, effects: list[str]) -> None:
        if event.kind == CC14 and event.max_value == MAX_7:
            return  # a coarse value without a fine one was already printed as a plain controller
        arrow = f"  -> {', '.join(effects)}" if effects else ""
        try:
            print(f"{one_line(port)}  {event}{arrow}", flush=True)
        except OSError as error:  # this code runs on the thread of the ports
            refused.append(error)
            output_closed.set()

    surface = MidiSurface(Controls(), MidiOptions(ports, midi_map), _notify, on_event=show)
    try:
        surface.start()
        _notify("waiting for messages (Ctrl-C ends)")
        until = time.monotonic() + (limit or float("inf"))
        while (left := until - time.monotonic()) > 0 and not output_closed.wait(min(0.2, left)):
            pass
    finally:
        surface.close()
    if refused:
        raise refused[0]
    return 0


def _learn(name: str, ports: tuple[str, ...], path: Path, patience: float) -> int:
    name = name.replace("-", "_")  # the options of `live` are written with dashes
    if name not in BY_NAME:
        raise UsageError(
            f"'{name}' is not a control{suggest(name, BY_NAME)}; the controls are {', '.join(BY_NAME)}"
        )
    control = BY_NAME[name]
    if folders.is_reachable(path):
        load_map(path)  # refuse a bad map before the wait; a missing map starts as the default one
    received: queue.Queue[Received] = queue.Queue()
    surface = MidiSurface(
        Controls(),
        MidiOptions(ports, MidiMap((), feedback=False)),
        _notify,
        on_event=lambda port, event, _: received.put(Received(port, event)),
    )
    try:
        surface.start()
        _notify(f"turn the knob for {name} both ways, or press and release its pad (Ctrl-C ends)")
        found = moves(received, control, patience, _notify)
    finally:
        surface.close()
    learned = learn(found, control, path, patience)
    print(f"{learned.words}; written to {path}")
    if learned.others:
        _notify(f"{learned.clash}; take it out of {path} if it should not")
    if learned.ambiguous:
        _notify(learned.doubt)
    return 0
