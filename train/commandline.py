"""A command line of several commands: modules with `add_arguments` and `run`, each loaded when asked for."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtsep.errors import OutputError, RtsepError
from rtsep.files.names import one_line, print_any_name, user_path

CHECKPOINT = "checkpoint.pt"
"""The file of a run that holds its weights."""


def parser_of(package: str, command: str) -> argparse.ArgumentParser:
    """Return the parser of the options of one command of `package`."""
    module = importlib.import_module(f"{package}.{command}")
    parser = argparse.ArgumentParser(prog=f"python -m {package} {command}", description=module.__doc__)
    parser.register("type", Path, user_path)  # ~ in every path
    module.add_arguments(parser)
    return parser


def run_command(
    package: str,
    commands: Mapping[str, str],
    arguments: Sequence[str],
    description: str,
    when_stopped: str = "stopped",
) -> int:
    """Run the one of `commands` (name to what it does) that `arguments` begin with; returns the exit code."""
    print_any_name()
    width = max(map(len, commands))
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=description,
        epilog="\n".join(f"  {name:{width}} {what}" for name, what in commands.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=commands, metavar="COMMAND")
    name = parser.parse_args(arguments[:1]).command
    try:
        importlib.import_module(f"{package}.{name}").run(parser_of(package, name).parse_args(arguments[1:]))
    except RtsepError as error:
        print(f"{package}: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of the system: a disk that is full, a folder that is none
        print(f"{package}: {one_line(str(error))}", file=sys.stderr)
        return OutputError.exit_code
    except KeyboardInterrupt:
        print(f"{package}: {when_stopped}", file=sys.stderr)
        return 130
    return 0


def last_part(path: str) -> str:
    """Return the last part of a path, the folder of a run for its checkpoint."""
    parts = [part for part in re.split(r"[/\\]", path) if part not in ("", ".", "..", "~")]
    if parts[-1:] == [CHECKPOINT]:
        parts = parts[:-1]
    return parts[-1] if parts else "."


def without_paths(command: str, drop: Sequence[str] = ()) -> str:
    """The command without where things lie: last parts of paths; options `drop` with their value left out.

    A relative path from outside keeps two parts, which tells `musdb18-7/test` from another `test`.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    said: list[str] = []
    option = ""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        option, of = (name, name if equals else "") if name else ("", option)
        if (name or of) in drop:
            continue
        if name and not equals:
            said.append(word)
            continue
        if of in ("--run", "--cache", "--init") or re.match(r"[/~]|[A-Za-z]:[/\\]", value):
            value = last_part(value)
        elif value.startswith(".."):
            value = "/".join([part for part in value.split("/") if part != ".."][-2:])
        said.append(name + equals + value)
    return shlex.join(said)
