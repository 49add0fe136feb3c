"""Command line of the benchmarks: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import sys

from rtsep.compiled import use_cache
from train.commandline import Command, run_command

COMMANDS = {
    "peers": Command("benchmarks.peers", "other separators beside rtsep's models: latency, cost, quality"),
    "gains": Command("benchmarks.gains", "what makes a hop fast: each before and after"),
    "protection": Command("benchmarks.protection", "what limiter and feedback guard add to a hop"),
    "page": Command("benchmarks.page", "RESULTS.md and its figures, from what was measured"),
    "all": Command("benchmarks.all", "every benchmark, one after the other, then the page"),
}
"""All commands by name."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    use_cache()
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(
        "benchmarks", COMMANDS, arguments, description="Measure, compare, and tell it on a page."
    )


if __name__ == "__main__":
    sys.exit(main())
