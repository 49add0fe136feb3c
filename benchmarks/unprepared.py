"""`rtsep` without `launch.prepare`: the model process starts only after the model is found."""

from __future__ import annotations

from rtsep.cli import main as cli


def main() -> int:
    """Run the command line of this process; return its exit code."""
    return cli.main(prepare=False)
