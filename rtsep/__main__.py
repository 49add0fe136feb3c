"""The command `rtsep`, also as `python -m rtsep`.

Imports nothing but what is always there: whatever is broken in the command line, or missing below it, is one
line on standard error, and a Ctrl-C while it is imported is an interrupt like any other.
"""

from __future__ import annotations

from rtsep import standard_streams, unexpected
from rtsep.errors import INTERRUPTED


def main() -> int:
    """Run the command line with the words of this process; return the exit code."""
    standard_streams.complete()
    try:
        return unexpected.guarded(_command_line)
    except KeyboardInterrupt:
        standard_streams.say("interrupted")
        return INTERRUPTED


def _command_line() -> int:
    from rtsep.cli.main import main

    return main()


if __name__ == "__main__":
    raise SystemExit(main())
