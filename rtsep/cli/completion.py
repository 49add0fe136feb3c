"""`rtsep completion`: shell completion of commands, options and files, made from the parser."""

from __future__ import annotations

import argparse

import shtab

from rtsep.cli.main import EVERY, build_parser
from rtsep.cli.set import OTHERS
from rtsep.controls import BY_NAME

SHELLS = ("bash", "zsh", "fish")

_FILES = {"DIR": shtab.DIRECTORY, "FILE": shtab.FILE, "PATH": shtab.FILE, "INPUT": shtab.FILE}
"""Completion by the placeholder of a value."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "shell", choices=SHELLS, metavar="|".join(SHELLS), help="shell to print the script for"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the completion script."""
    print(shtab.complete(whole_parser(), arguments.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """Return the parser with the options of all commands, also for the man page (`make man`)."""
    parser = build_parser(EVERY)
    _prepare(parser)
    return parser


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Add late options and mark the options that take files."""
    if fill := getattr(parser, "fill", None):  # a benchmark's parser
        fill()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _prepare(command)
            continue
        if action.metavar == "CONTROL":
            action.choices = [*BY_NAME, *OTHERS]
        words = str(action.metavar or "").replace("|", " ").split()
        completes = next((_FILES[word] for word in words if word in _FILES), None)
        if completes and not action.choices:
            action.complete = completes  # type: ignore[attr-defined]
