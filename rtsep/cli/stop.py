"""`rtsep stop`: end a running session in order."""

from __future__ import annotations

import argparse

from rtsep.cli.get import add_session
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Done, End


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_session(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the request to end."""
    with Link(arguments.session) as link:
        link.ask(End(id=link.new_id()), Done)
        print(f"'{link.name}' ends")
    return 0
