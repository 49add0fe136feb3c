"""`rtsep plugin-host`: the engine process of the plugin, which starts it."""

from __future__ import annotations

import argparse

from rtsep.model.catalog import DEFAULT_MODEL


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--memory", required=True, metavar="NAME", help="shared memory: the number of an open file"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME", help="model by name or path")
    parser.add_argument("--sha256", default="", metavar="HEX", help="of the model as the project was saved")


def run(arguments: argparse.Namespace) -> int:
    """Play until standard input ends."""
    from rtsep.model import launch

    launch.prepare()  # torch loads there while everything else does here
    from rtsep.plugin import host

    return host.run(arguments.memory, arguments.model, arguments.sha256)
