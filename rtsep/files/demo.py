"""The song that ships with rtsep, for a first run without a microphone. Its credits are stored beside it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def demo_song() -> Path:
    """Return the path of the demo song."""
    return Path(str(resources.files("rtsep"))) / "assets" / "demo.opus"
