"""Command line of the benchmarks: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import sys

from rtsep.compiled import use_cache
from rtsep.errors import RtsepError

COMMANDS = {
    "peers": "other separators beside rtsep's models: latency, cost, quality",
    "gains": "what makes a hop fast: each before and after",
    "page": "RESULTS.md and its figures, from what was measured",
    "all": "every benchmark, one after the other, then the page",
}
"""Each is a module of this package with `add_arguments` and `run`, loaded only when it is asked for."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser of one command's options."""
    module = importlib.import_module(f"benchmarks.{command}")
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {command}", description=module.__doc__)
    module.add_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    use_cache()
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure, compare, and tell it on a page.",
        epilog="\n".join(f"  {name:6} {what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = parser.parse_args(arguments[:1]).command
    try:
        importlib.import_module(f"benchmarks.{name}").run(parser_of(name).parse_args(arguments[1:]))
    except RtsepError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
