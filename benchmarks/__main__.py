"""Command line of the benchmarks: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import sys

from rtsep.compiled import use_cache
from train.commandline import Command, run_command

COMMANDS = {
    "peers": Command("benchmarks.peers", "latency, cost and quality of rtsep's models and other separators"),
    "gains": Command("benchmarks.gains", "gains of the optimisations, each measured with and without"),
    "protection": Command("benchmarks.protection", "cost of the limiter and the feedback guard in a hop"),
    "page": Command("benchmarks.page", "RESULTS.md and its figures, from the results"),
    "all": Command("benchmarks.all", "all benchmarks one after the other, then the page"),
}
"""All commands by name."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    use_cache()
    arguments = sys.argv[1:] if argv is None else argv
    return run_command(
        "benchmarks",
        COMMANDS,
        arguments,
        description="Measure rtsep, compare it with other separators, write a page of the results.",
    )


if __name__ == "__main__":
    sys.exit(main())
