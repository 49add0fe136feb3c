"""`rtsep plugin-host`: the engine process of the plugin, which starts it."""

from __future__ import annotations

import argparse

from rtsep.model.catalog import DEFAULT_MODEL


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--memory", required=True, metavar="NAME", help="shared memory, given as the number of an open file"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME", help="model by name or path")
    parser.add_argument(
        "--sha256", default="", metavar="HEX", help="checksum of the model in the saved project"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play until standard input closes."""
    from rtsep.model import launch

    launch.prepare()  # torch loads in that process while this one imports the rest
    from rtsep.plugin import host

    return host.run(arguments.memory, arguments.model, arguments.sha256)
