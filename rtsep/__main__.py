"""The command `rtsep`, also as `python -m rtsep`.

This module imports only the standard library and modules that always load. An import error in the command
line or below it therefore becomes one line on standard error, and Ctrl-C during an import ends the program
like any other interrupt.
"""

from __future__ import annotations

from rtsep import standard_streams, unexpected
from rtsep.errors import INTERRUPTED


def main() -> int:
    """Run the command line with the arguments of this process; return the exit code."""
    standard_streams.complete()
    try:
        return unexpected.guarded(_command_line)
    except KeyboardInterrupt:
        standard_streams.notify("interrupted")
        return INTERRUPTED


def _command_line() -> int:
    from rtsep.cli.main import main

    return main()


if __name__ == "__main__":
    raise SystemExit(main())
