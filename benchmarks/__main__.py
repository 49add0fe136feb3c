"""Command line of the benchmarks: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import sys

from rtsep.compiled import use_cache
from train.commandline import run_command

COMMANDS = {
    "peers": "other separators beside rtsep's models: latency, cost, quality",
    "gains": "what makes a hop fast: each before and after",
    "protection": "what limiter and feedback guard add to a hop",
    "page": "RESULTS.md and its figures, from what was measured",
    "all": "every benchmark, one after the other, then the page",
}
"""Each is a module of this package with `add_arguments` and `run`, loaded only when it is asked for."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    use_cache()
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(
        "benchmarks", COMMANDS, arguments, description="Measure, compare, and tell it on a page."
    )


if __name__ == "__main__":
    sys.exit(main())
