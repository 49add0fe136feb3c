"""The folder for large files of benchmarks."""

from __future__ import annotations

import contextlib
import tempfile

from rtsep import folders


def folder_on_disk() -> tempfile.TemporaryDirectory[str]:
    """Create a folder in the user's cache, because temporary files may be in memory."""
    home = folders.cache()
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="bench-", dir=home, ignore_cleanup_errors=True)
    return tempfile.TemporaryDirectory(prefix="rtsep-bench-", ignore_cleanup_errors=True)
