"""Names of which each belongs to one process of this machine at a time, such as those of JACK servers.

Several runs of the tests can so go on side by side. A claim ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

LOOK_EVERY_S = 0.05


def try_claim(name: str) -> IO[str] | None:
    """Return an open file that holds `name` until it is closed, or None while somebody else has it."""
    path = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}.lock"
    claim = path.open("a")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        claim.close()
        return None
    return claim


@contextlib.contextmanager
def claimed(names: Sequence[str], patience_s: float) -> Iterator[str]:
    """Wait until one of `names` is free, hold it and give it. Raises `TimeoutError` after `patience_s`."""
    until = time.monotonic() + patience_s
    while True:
        for name in names:
            if (claim := try_claim(name)) is not None:
                with claim:
                    yield name
                return
        if time.monotonic() > until:
            raise TimeoutError(f"in use for {patience_s:.0f} s: {', '.join(names)}")
        time.sleep(LOOK_EVERY_S)
