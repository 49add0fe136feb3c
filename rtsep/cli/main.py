"""The command line: `rtsep COMMAND`, one module of this package for each command."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from rtsep import folders, standard_streams, unexpected
from rtsep.compiled import use_cache
from rtsep.errors import INTERRUPTED, OutputError, RtsepError, UsageError
from rtsep.files.names import one_line, print_any_name, user_path
from rtsep.realtime.foreign_calls import hangs
from rtsep.realtime.heap import use_one_pool
from rtsep.standard_streams import notify


def argument_type(read: Callable[[str], Path]) -> Callable[[str], Path]:
    """Return `read` for the command line: argparse names the argument in front of each `UsageError`."""

    def convert(text: str) -> Path:
        try:
            return read(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors; -inf and -6dB are numbers, and ~ works in every path."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register("type", Path, argument_type(user_path))
        # Without this, argparse takes -inf and -6dB for options.
        self._negative_number_matcher = re.compile(r"^-(\d+|\d*\.\d+|inf)( ?dB)?$", re.IGNORECASE)

    def error(self, message: str) -> NoReturn:
        """Print the error and a pointer to the help, and exit with the code for wrong usage."""
        self.exit(UsageError.exit_code, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


COMMANDS = {
    "live": "separate live: a microphone, a DAW bus, a file or the demo song",
    "app": "open the page in the browser and choose there what to play",
    "attach": "show and control a running session, such as the service",
    "get": "print the state of a running session, or some of its values",
    "set": "set controls of a running session, or switch its model or devices",
    "stop": "end a running session",
    "service": "run 'live' in the background from login on (systemd)",
    "file": "separate audio files, with the same result as live",
    "devices": "list audio devices and MIDI ports, and the devices behind 'mic' and 'out'",
    "midi": "print controllers' messages, assign knobs to controls, show the map",
    "models": "list models, show one, or check a file: 'models check FILE'",
    "system": "restore the sound server after a session was killed",
    "config": "list and set the defaults of 'live', and show where a value comes from",
    "presets": "list, save, show and delete presets (named settings of the controls)",
    "plugin": "install, remove or check the LV2 plugin for audio workstations",
    "plugin-host": "engine process of the plugin (the plugin starts it)",
    "doctor": "find common problems of live audio on this machine, with remedies",
    "completion": "print the completion script for bash, zsh or fish",
    "bench": "measure whether this machine is fast enough",
}

_COMPILING = ("live", "app", "file", "bench", "plugin", "plugin-host")
"""Commands that compile code, and print a message if it cannot be kept in the usual place."""


_PLAYING = ("live", "app", "plugin-host")
"""Commands whose process plays for hours or days."""


def _load(command: str) -> ModuleType:
    """Import only one command: a list of models must not wait for PortAudio, nor live for torch."""
    return importlib.import_module("rtsep.cli." + command.replace("-", "_"))


EVERY = "*"
"""Argument of `build_parser` that stands for all commands."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only `command` gets its options (`EVERY`: all commands do)."""
    parser = Parser(
        prog="rtsep",
        description="Live vocal separation: splits any input into voice and instruments as it plays.",
        epilog="Start with: rtsep live --in demo --out vocals",
    )
    parser.add_argument("--version", action="version", version=f"rtsep {version('rtsep')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, purpose in COMMANDS.items():
        of_command = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:])
        if command in (name, EVERY):
            module = _load(name)
            module.fill_parser(of_command)
            of_command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None, *, prepare: bool = True) -> int:
    """Run the command line; return the exit code.

    `argv` are the arguments without the program name (None: those of this process). With `prepare=False`, no
    model process is started before its model is known: `benchmarks.unprepared` measures the difference.
    """
    standard_streams.complete()
    print_any_name()
    if argv is not None:
        return _run(argv, prepare)
    unexpected.watch()
    code = unexpected.guarded(lambda: _run_to_the_end(prepare))
    if hangs() or threading.active_count() > 1:
        # A thread that still compiles, or hangs in a sound system's library, can keep the process from
        # ending: libraries wait for such threads when they are unloaded.
        os._exit(code)
    return code


def _run_to_the_end(prepare: bool) -> int:
    try:
        code = _run(None, prepare)
    except SystemExit as left:  # raised by the parser
        code = left.code if isinstance(left.code, int) else 0
    except Exception:
        _finish(0)  # earlier output comes before the error line
        raise
    return _finish(code)


def _finish(code: int) -> int:
    """Flush the output; return `code`, or another exit code if that fails."""
    try:
        standard_streams.finish()
    except OSError as error:
        return code or _refused(error)
    return code


def _refused(error: OSError) -> int:
    """Report that standard output cannot be written; return the exit code."""
    standard_streams.drop("stdout")
    if isinstance(error, BrokenPipeError):  # the reader of the output has closed it: end as well
        return 1
    notify(f"standard output cannot be written: {error.strerror}")
    return OutputError.exit_code


def _run(argv: Sequence[str] | None, prepare: bool) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if word in COMMANDS), None)
    note = use_cache()
    if note and command in _COMPILING:
        notify(one_line(note))
    if prepare and command in _PLAYING:
        use_one_pool()
    if prepare and command in ("live", "app") and not {"-h", "--help"} & set(words):
        from rtsep.model import launch

        launch.prepare()  # torch loads in that process while this one imports the rest
    try:
        arguments = build_parser(command).parse_args(words)
        arguments.command_line = words[words.index(arguments.command) + 1 :]
        return int(arguments.run(arguments))
    except RtsepError as error:
        notify(one_line(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        notify("interrupted")
        return INTERRUPTED
    except OSError as error:
        if standard_streams.is_of_output(error):
            return _refused(error)
        if folders.has_current() or error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        notify("the current folder was removed; change to another one")
        return UsageError.exit_code


if __name__ == "__main__":
    sys.exit(main())
