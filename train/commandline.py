"""A command line of several commands: modules with `add_arguments` and `run`, each loaded when asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence

from rtsep.errors import OutputError, RtsepError


def parser_of(package: str, command: str) -> argparse.ArgumentParser:
    """Return the parser of the options of one command of `package`."""
    module = importlib.import_module(f"{package}.{command}")
    parser = argparse.ArgumentParser(prog=f"python -m {package} {command}", description=module.__doc__)
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
        print(f"{package}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of the system: a disk that is full, a folder that is none
        print(f"{package}: {error}", file=sys.stderr)
        return OutputError.exit_code
    except KeyboardInterrupt:
        print(f"{package}: {when_stopped}", file=sys.stderr)
        return 130
    return 0
