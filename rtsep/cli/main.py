"""The command line: `rtsep COMMAND`, each with a module of this room."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from rtsep import standard_streams, unexpected
from rtsep.compiled import use_cache
from rtsep.errors import INTERRUPTED, OutputError, RtsepError, UsageError
from rtsep.files.names import one_line, print_any_name, user_path
from rtsep.realtime.foreign_calls import hangs
from rtsep.standard_streams import say


class Parser(argparse.ArgumentParser):
    """argparse, with one clear line instead of a page of usage, -inf and -6dB as numbers, ~ in every path."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register("type", Path, user_path)
        # Else -inf and -6dB were options.
        self._negative_number_matcher = re.compile(r"^-(\d+|\d*\.\d+|inf)( ?dB)?$", re.IGNORECASE)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is, and leave with the exit code of wrong usage."""
        self.exit(UsageError.exit_code, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


COMMANDS = {
    "live": "separate live: a microphone, a DAW bus, a file, the demo song",
    "app": "open a page in the browser, and choose there what to play",
    "attach": "show and turn a session that plays elsewhere, such as the service",
    "get": "print what a session that plays is doing, or some of its values",
    "set": "turn controls of a session that plays, or switch its model or devices",
    "stop": "end a session that plays",
    "service": "let 'live' play in the background from login on (systemd)",
    "file": "separate audio files, as live would play them",
    "devices": "list audio devices, MIDI ports, and what 'mic' and 'out' are now",
    "midi": "print what controllers send, teach a knob what it turns, show the map",
    "models": "list models; show one; 'models check FILE' replays its golden frames",
    "system": "undo what a session that was killed has left on the sound server",
    "config": "list and set the defaults of 'live'; say which layer gave a value",
    "presets": "list, save, show and delete named settings of the controls",
    "plugin": "install the LV2 plugin for audio workstations, remove it, check it",
    "plugin-host": "the engine of the plugin, which starts it",
    "doctor": "check this machine for what commonly ruins live audio, and say what to do",
    "completion": "print the completion of bash, zsh or fish",
    "bench": "measure whether this machine can do it",
}

_COMPILING = ("live", "app", "file", "bench", "plugin", "plugin-host")
"""Commands that compile, and say so where the compiled code cannot be kept as usual."""


def _load(command: str) -> ModuleType:
    """Import one command only: a list of models need not wait for PortAudio, nor live for torch."""
    return importlib.import_module("rtsep.cli." + command.replace("-", "_"))


EVERY = "*"
"""In place of a command: all of them."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the command line; of the commands, only `command` gets its options (`EVERY`: all do)."""
    parser = Parser(
        prog="rtsep",
        description="Live vocal separation: any input in, voice and instruments out, now.",
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

    `argv` are the words after the program's name (None: those of this process). With `prepare=False`, no
    model process is started before its model is known: `benchmarks.unprepared` measures the difference.
    """
    standard_streams.complete()
    print_any_name()
    if argv is not None:
        return _run(argv, prepare)
    unexpected.watch()
    code = unexpected.guarded(lambda: _run_to_the_end(prepare))
    if hangs() or threading.active_count() > 1:
        # A thread that still compiles, or hangs in a library of a sound system, may keep the process from
        # ending: libraries wait for such threads when they are unloaded.
        os._exit(code)
    return code


def _run_to_the_end(prepare: bool) -> int:
    try:
        code = _run(None, prepare)
    except SystemExit as left:  # of the parser
        code = left.code if isinstance(left.code, int) else 0
    except Exception:
        _finish(0)  # what was printed before comes before the line about it
        raise
    return _finish(code)


def _finish(code: int) -> int:
    """Write what is still to be written; return the exit code, which is `code` where that works."""
    try:
        standard_streams.finish()
    except OSError as error:
        return code or _refused(error)
    return code


def _refused(error: OSError) -> int:
    """Return the exit code where standard output cannot be written, and tell why."""
    standard_streams.drop("stdout")
    if isinstance(error, BrokenPipeError):  # the reader of our output has left: so do we
        return 1
    say(f"standard output cannot be written: {error.strerror}")
    return OutputError.exit_code


def _run(argv: Sequence[str] | None, prepare: bool) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if word in COMMANDS), None)
    note = use_cache()
    if note and command in _COMPILING:
        say(one_line(note))
    if prepare and command in ("live", "app") and not {"-h", "--help"} & set(words):
        from rtsep.model import launch

        launch.prepare()  # torch loads there while everything else does here
    try:
        arguments = build_parser(command).parse_args(words)
        arguments.command_line = words[words.index(arguments.command) + 1 :]
        return int(arguments.run(arguments))
    except RtsepError as error:
        say(one_line(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except OSError as error:
        if not standard_streams.is_of_output(error):
            raise
        return _refused(error)


if __name__ == "__main__":
    sys.exit(main())
