"""A command line of several commands. Each is a module with `add_arguments` and `run`, imported on use."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rtsep.errors import OutputError, RtsepError
from rtsep.files.names import one_line, print_any_name, user_path

CHECKPOINT = "checkpoint.pt"
"""Name of the file that holds the weights of a run."""


class Command(NamedTuple):
    """One command: the module that runs it, and one line for the overview."""

    module: str
    summary: str


class ParagraphFormatter(argparse.HelpFormatter):
    """A help formatter that keeps the paragraphs of a description apart."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            super(ParagraphFormatter, self)._fill_text(part, width, indent) for part in text.split("\n\n")
        )


def parser_of(program: str, name: str, commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser for the options of the command `name` of `python -m program`."""
    module = importlib.import_module(commands[name].module)
    parser = argparse.ArgumentParser(
        prog=f"python -m {program} {name}", description=module.__doc__, formatter_class=ParagraphFormatter
    )
    parser.register("type", Path, user_path)  # ~ in every path
    module.add_arguments(parser)
    return parser


def run_command(
    program: str,
    commands: Mapping[str, Command],
    arguments: Sequence[str],
    description: str,
    when_stopped: str = "stopped",
) -> int:
    """Run the command that `arguments` begin with; return the exit code.

    An error prints one line, "PROGRAM: MESSAGE", on standard error. Ctrl-C prints `when_stopped` and
    returns 130.
    """
    print_any_name()
    width = max(map(len, commands))
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog="\n".join(f"  {name:{width}} {what}" for name, (_, what) in commands.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=commands, metavar="COMMAND")
    name = parser.parse_args(arguments[:1]).command
    try:
        options = parser_of(program, name, commands).parse_args(arguments[1:])
        importlib.import_module(commands[name].module).run(options)
    except RtsepError as error:
        print(f"{program}: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of the system: a full disk, a file in place of a folder
        print(f"{program}: {one_line(str(error))}", file=sys.stderr)
        return OutputError.exit_code
    except KeyboardInterrupt:
        print(f"{program}: {when_stopped}", file=sys.stderr)
        return 130
    return 0


def last_part(path: str) -> str:
    """Return the last part of a path; for the checkpoint of a run that is the folder of the run."""
    parts = [part for part in re.split(r"[/\\]", path) if part not in ("", ".", "..", "~")]
    if parts[-1:] == [CHECKPOINT]:
        parts = parts[:-1]
    return parts[-1] if parts else "."


def without_paths(command: str, drop: Sequence[str] = ()) -> str:
    """Return the command with only the last part of each path, and without the options `drop`.

    A relative path that begins with ".." keeps two parts, to tell `musdb18-7/test` from another `test`.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    kept: list[str] = []
    option = ""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        option, of = (name, name if equals else "") if name else ("", option)
        if (name or of) in drop:
            continue
        if name and not equals:
            kept.append(word)
            continue
        if of in ("--run", "--cache", "--init") or re.match(r"[/~]|[A-Za-z]:[/\\]", value):
            value = last_part(value)
        elif value.startswith(".."):
            value = "/".join([part for part in value.split("/") if part != ".."][-2:])
        kept.append(name + equals + value)
    return shlex.join(kept)
