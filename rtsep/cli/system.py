"""`rtsep system restore`: undo the changes that a killed session left on the sound server."""

from __future__ import annotations

import argparse

from rtsep.session.desktop import undo_left


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the commands under this command."""
    what = parser.add_subparsers(dest="what", metavar="restore", required=True)
    what.add_parser(
        "restore",
        help="move players back to their outputs and remove virtual devices; running sessions keep theirs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Restore, and print each change."""
    for line in undo_left() or ["nothing to restore"]:
        print(line)
    return 0
