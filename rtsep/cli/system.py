"""`rtsep system restore`: the sound server as it was before a session that was killed."""

from __future__ import annotations

import argparse

from rtsep.session.desktop import undo_left


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the commands under this command."""
    what = parser.add_subparsers(dest="what", metavar="restore", required=True)
    what.add_parser(
        "restore",
        help="give players back to their outputs and remove virtual devices; a session that plays keeps them",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    for line in undo_left() or ["nothing to restore"]:
        print(line)
    return 0
