"""`rtsep bench`: measurements of this machine under the conditions of live audio."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from typing import Any

from rtsep.cli.main import Parser
from rtsep.terminal import plain_console

BENCHES = {
    "hop": "time of one hop (analysis, model, synthesis) on one core or a GPU",
    "roundtrip": "measured latency of the sound, compared with the declared latency",
    "stress": "losses while this machine is busy with other work",
    "file": "speed and memory of 'rtsep file', by length of the file",
    "start": "time from the start to the first sound, stage by stage",
}
"""Modules of `rtsep.bench` with `fill_parser` and `run`, each loaded only when it is needed."""


class _BenchParser(Parser):
    """Parser that adds the options of its benchmark late: some need torch, which takes a second to load."""

    bench = ""
    filled = False

    def fill(self) -> None:
        """Add the options of the benchmark once."""
        if not self.filled:
            self.filled = True
            importlib.import_module(f"rtsep.bench.{self.bench}").fill_parser(self)
            self.add_argument("--json", action="store_true", help="JSON instead of a table")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Add the options, then parse."""
        self.fill()
        return super().parse_known_args(args, namespace)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add one command for each benchmark."""
    benches = parser.add_subparsers(
        dest="bench", metavar="BENCHMARK", required=True, parser_class=_BenchParser
    )
    for name, purpose in BENCHES.items():
        benches.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:]).bench = name


def run(arguments: argparse.Namespace) -> int:
    """Run one benchmark and print its figures."""
    result = importlib.import_module(f"rtsep.bench.{arguments.bench}").run(arguments)
    if arguments.json:
        print(json.dumps(result.to_json()))
    else:
        result.show(plain_console())
    return 0
