"""`rtsep bench`: whether this machine can do it, measured as live audio asks for it."""

from __future__ import annotations

import argparse
import importlib
import json

from rich.console import Console

BENCHES = {
    "hop": "analysis, model and synthesis of one hop, on one core or a GPU",
    "roundtrip": "how late the sound really is, against the latency that is declared",
    "stress": "what is missed while this machine is busy with other things",
}
"""Each is a module of `rtsep.bench` with `fill_parser` and `run`, loaded only when it is asked for."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add a command for every benchmark."""
    benches = parser.add_subparsers(
        dest="bench", metavar="BENCHMARK", required=True, parser_class=type(parser)
    )
    for name, purpose in BENCHES.items():
        of_bench = benches.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:])
        importlib.import_module(f"rtsep.bench.{name}").fill_parser(of_bench)
        of_bench.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Run one benchmark and tell its figures."""
    result = importlib.import_module(f"rtsep.bench.{arguments.bench}").run(arguments)
    if arguments.json:
        print(json.dumps(result.to_json()))
    else:
        result.show(Console())
    return 0
