"""`rtsep`, where nothing begins before it is needed: a start without `rtsep.model.launch.prepare`."""

from __future__ import annotations

from rtsep.cli import main as cli
from rtsep.model import launch


def main() -> int:
    """Run the command line."""
    launch.prepare = lambda: None
    return cli.main()
