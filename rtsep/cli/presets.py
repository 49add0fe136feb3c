"""`rtsep presets`: list, save, show and delete presets, the named settings of the controls."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from rich.table import Table

from rtsep.cli.get import add_session
from rtsep.cli.options import add_controls, read_controls, whole_number
from rtsep.controls import BY_NAME
from rtsep.errors import UsageError
from rtsep.surfaces.last_state import load_last_state, state_file
from rtsep.surfaces.presets import HIGHEST_PROGRAM, Preset, Presets, audible, programs
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Get, State
from rtsep.surfaces.remote.place import DEFAULT, check_name, playing
from rtsep.surfaces.toml import control_text
from rtsep.terminal import plain_console


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the commands under this command."""
    parser.add_argument("--json", action="store_true", help="list: one JSON line")
    what = parser.add_subparsers(dest="what", metavar="save|show|delete")
    save = what.add_parser(
        "save",
        help="save the given controls; without any, save all controls of the running or else the last "
        "session",
    )
    show = what.add_parser("show", help="print a preset")
    delete = what.add_parser("delete", help="remove a preset")
    for command in (save, show, delete):
        command.add_argument("name", metavar="NAME")
    save.add_argument(
        "--program",
        type=_program,
        metavar="N",
        help=f"MIDI program number that recalls the preset, 0 to {HIGHEST_PROGRAM} "
        "(if no preset has a number, program N recalls the Nth of the list, from 0)",
    )
    save.add_argument("--replace", action="store_true", help="replace an existing preset of this name")
    add_session(save)
    add_controls(save)


def run(arguments: argparse.Namespace) -> int:
    """List, save, show or delete, by the arguments."""
    presets = Presets()
    if arguments.what == "save":
        return _save(presets, arguments)
    if arguments.what == "show":
        preset = presets.load(arguments.name)
        print(f"# {presets.path(preset.name)}\n{preset.text()}", end="")
        return 0
    if arguments.what == "delete":
        presets.delete(arguments.name)
        print(f"deleted '{arguments.name}'")
        return 0
    return _list(presets, arguments.json)


def _program(text: str) -> int:
    return whole_number(text, "a program change", 0, HIGHEST_PROGRAM)


def _save(presets: Presets, arguments: argparse.Namespace) -> int:
    controls = read_controls(arguments)
    moved = {name: value for name, value in controls.snapshot().items() if controls.moved_by(name)}
    if not moved:
        session = check_name(arguments.session) if arguments.session else None
        moved = _of_running(session) or _of_last(session or DEFAULT)
    program = arguments.program
    if program is None and arguments.replace:
        program = presets.program_of(arguments.name)
    path = presets.save(Preset(arguments.name, moved, program), arguments.replace)
    print(f"saved '{arguments.name}' to {path}: {_line(moved)}")
    return 0


def _of_running(session: str | None) -> dict[str, float]:
    """Return the controls of a running session, of the only one without a name; {} if none can be reached."""
    names = playing()
    if not names or (session and session not in names):
        return {}
    with Link(session) as link:
        found = link.ask(Get(id=link.new_id()), State).controls
    return audible({name: each.value for name, each in found.items()}, found["balance"].by)


def _of_last(session: str) -> dict[str, float]:
    """Return the stored controls of the session of this name. Raise `UsageError`."""
    try:
        return dict(load_last_state(state_file(session)).values)
    except FileNotFoundError:
        which = "no session" if session == DEFAULT else f"no session '{session}'"
        raise UsageError(
            f"{which} has played here yet; give the controls to save, such as --threshold 0.4"
        ) from None


def _list(presets: Presets, as_json: bool) -> int:
    found, broken = presets.load_all()
    if as_json:
        rows = [{"name": p.name, "program": p.program, "controls": dict(p.values)} for p in found]
        print(json.dumps({"folder": str(presets.folder), "presets": rows, "broken": broken}))
        return 0
    console = plain_console()
    if found:
        table = Table(title="presets")
        table.add_column("program", justify="right")
        table.add_column("name")
        table.add_column("controls")
        for preset, program in zip(found, programs(found), strict=True):
            table.add_row("" if program is None else str(program), preset.name, _line(preset.values))
        console.print(table)
    else:
        console.print("no presets yet; 'rtsep presets save NAME --threshold 0.4' makes one", markup=False)
    console.print(f"in {presets.folder}", markup=False, highlight=False, soft_wrap=True)
    for line in broken:
        console.print(f"broken: {line}", markup=False, soft_wrap=True)
    return 0


def _line(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {control_text(value, BY_NAME[name])}" for name, value in values.items())
