"""`rtsep app`: the page in the browser, where the user chooses what to play."""

from __future__ import annotations

import argparse

from rtsep.cli import live
from rtsep.session.options import VIRTUAL
from rtsep.surfaces.remote.place import DEFAULT


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "where",
        nargs="?",
        default="local",
        metavar="local|lan[:PORT]",
        help="network that can open the page (local: this computer); lan: also phones in the local network",
    )
    parser.add_argument(
        "--session", metavar="NAME", help=f"name of the session for 'rtsep attach' ({DEFAULT})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Wait for the choices on the page; then play like `rtsep live`."""
    words = ["--in", "demo", "--out", "mix", "--out-device", VIRTUAL, "--headless", "--page", arguments.where]
    if arguments.session:
        words += ["--session", arguments.session]
    of_live = live.live_parser().parse_args(words)
    of_live.command_line = words
    of_live.fresh = True
    return live.run(of_live)
