"""The command line: `rtsep live | file | devices | models`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from rtsep.cli import devices, file, live, models
from rtsep.errors import RtsepError, UsageError

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """argparse, with one clear line instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is, and leave with the exit code of wrong usage."""
        self.exit(UsageError.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    parser = Parser(
        prog="rtsep",
        description="Live vocal separation: any input in, voice and instruments out, now.",
        epilog="Start with: rtsep live --in demo --out vocals",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in (live, file, devices, models):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except RtsepError as error:
        print(f"rtsep: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("rtsep: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left: so do we
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
