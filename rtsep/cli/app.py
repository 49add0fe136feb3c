"""`rtsep app`: the page in the browser, with nothing chosen yet."""

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
        help="where the page is served (local); lan: for phones in the local network, too",
    )
    parser.add_argument("--session", metavar="NAME", help=f"what 'rtsep attach' calls it ({DEFAULT})")


def run(arguments: argparse.Namespace) -> int:
    """Play nothing until the page has chosen what; then as `rtsep live`."""
    words = ["--in", "demo", "--out", "mix", "--out-device", VIRTUAL, "--headless", "--page", arguments.where]
    if arguments.session:
        words += ["--session", arguments.session]
    of_live = live.live_parser().parse_args(words)
    of_live.command_line = words
    of_live.fresh = True
    return live.run(of_live)
