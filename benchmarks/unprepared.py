"""`rtsep` whose model process starts when its model is known, not before: without `launch.prepare`."""

from __future__ import annotations

from rtsep.cli import main as cli


def main() -> int:
    """Run the command line of this process; return its exit code."""
    return cli.main(prepare=False)
