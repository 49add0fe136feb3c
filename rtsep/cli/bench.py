"""`rtsep bench`: whether this machine can do it, measured as live audio asks for it."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from typing import Any

from rtsep.cli.main import Parser
from rtsep.terminal import plain_console

BENCHES = {
    "hop": "analysis, model and synthesis of one hop, on one core or a GPU",
    "roundtrip": "how late the sound really is, against the latency that is declared",
    "stress": "what is missed while this machine is busy with other things",
    "file": "how fast 'rtsep file' is and how much memory it takes, by length",
    "start": "how long a start takes to its first sound, and where that time goes",
}
"""Each is a module of `rtsep.bench` with `fill_parser` and `run`, loaded only when it is asked for."""


class _BenchParser(Parser):
    """Gets the options of its benchmark when it is used: torch, which some bring, takes a second to load."""

    bench = ""
    filled = False

    def fill(self) -> None:
        """Add the options of the benchmark, once."""
        if not self.filled:
            self.filled = True
            importlib.import_module(f"rtsep.bench.{self.bench}").fill_parser(self)
            self.add_argument("--json", action="store_true", help="JSON instead of a table")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, as every parser does."""
        self.fill()
        return super().parse_known_args(args, namespace)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add a command for every benchmark."""
    benches = parser.add_subparsers(
        dest="bench", metavar="BENCHMARK", required=True, parser_class=_BenchParser
    )
    for name, purpose in BENCHES.items():
        benches.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:]).bench = name


def run(arguments: argparse.Namespace) -> int:
    """Run one benchmark and tell its figures."""
    result = importlib.import_module(f"rtsep.bench.{arguments.bench}").run(arguments)
    if arguments.json:
        print(json.dumps(result.to_json()))
    else:
        result.show(plain_console())
    return 0
