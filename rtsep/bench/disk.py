"""Where benchmarks write what is large."""

from __future__ import annotations

import contextlib
import tempfile

from rtsep import folders


def folder_on_disk() -> tempfile.TemporaryDirectory[str]:
    """Make a folder in the user's cache: temporary files may lie in memory."""
    home = folders.cache()
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="bench-", dir=home, ignore_cleanup_errors=True)
    return tempfile.TemporaryDirectory(prefix="rtsep-bench-", ignore_cleanup_errors=True)
