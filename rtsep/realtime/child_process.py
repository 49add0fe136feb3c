"""Python processes of our own: how they are started from whatever folder the user plays in."""

from __future__ import annotations

import sys
from pathlib import Path

_HOME = str(Path(__file__).resolve().parents[2])  # where the folder `rtsep` lies


def command_of(module: str) -> list[str]:
    """Command that runs `main` of a module of ours; arguments follow, the exit code is what it returns.

    With `python -m` a `json.py` or `queue.py` of the user's would take the place of the real one: it looks
    into the present folder first. -P does not look there at all; `rtsep` is found by its place.
    """
    program = f"import sys; sys.path.append({_HOME!r}); from {module} import main; sys.exit(main())"
    return [sys.executable, "-P", "-c", program]
