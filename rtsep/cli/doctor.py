"""`rtsep doctor`: common problems of live audio on this machine, with remedies."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from functools import partial

from rich.table import Table
from rich.text import Text

from rtsep.doctor import confined, machine, plugins, sound, storage
from rtsep.doctor.finding import Finding, problem
from rtsep.errors import in_a_line
from rtsep.terminal import plain_console

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--json", action="store_true", help="one JSON line")


def examine() -> list[Finding]:
    """Run every probe."""
    there = sound.servers()
    probes: list[tuple[str, Callable[[], list[Finding]]]] = []
    if sys.platform == "linux":
        probes = [
            ("real-time priority", machine.realtime), ("locked memory", machine.locked_memory),
            ("governor", machine.governor), ("cores", machine.cores),
            ("shared memory", storage.shared_memory),
            ("sound cards", sound.exclusive), ("libraries of the server", lambda: sound.bridges(there)),
        ]  # fmt: skip
    probes += [
        ("ffmpeg", storage.programs),
        *((place.name, partial(storage.writable, place)) for place in storage.user_folders()),
        ("rights of a model", confined.rights),
        ("plugin", plugins.plugin),
        ("runtime folder", sound.runtime_folder),
        ("sound devices", lambda: sound.default_devices(sound.look, there)),
        ("MIDI", sound.midi),
    ]
    return [finding for name, probe in probes for finding in _probed(name, probe)]


def _probed(name: str, probe: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a probe; its own failure is one, too."""
    try:
        return probe()
    except Exception as error:
        return [problem(name, f"the check failed ({in_a_line(error)})", "report this line as a bug of rtsep")]


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return 1 if the user should change something, else 0."""
    found = examine()
    problems = [each for each in found if each.state == "problem"]
    if arguments.json:
        print(json.dumps({"ok": not problems, "checks": [dataclasses.asdict(each) for each in found]}))
    else:
        _show(found, len(problems))
    return 1 if problems else 0


def _show(found: list[Finding], problems: int) -> None:
    console = plain_console()
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for each in found:
        table.add_row(Text(each.state, STYLES[each.state]), each.name, Text(each.seen))
        if each.remedy:
            table.add_row("", "", Text(f"-> {each.remedy}", "bold"))
    console.print(table)
    console.print(f"problems to fix: {problems}" if problems else "no problems found", highlight=False)
