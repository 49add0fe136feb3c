"""rtsep: live vocal separation.

    import rtsep

    separator = rtsep.Separator("live", rate=44100, channels=2)
    vocals, instrumental = separator.separate(song)         # whole arrays, [channels, frames]

    with rtsep.Session("mic", out="vocals") as session:     # live
        session.controls.threshold = 0.4
        session.wait()

The public names are loaded at their first use: `import rtsep` alone imports neither torch nor numba.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from rtsep import sealed

if TYPE_CHECKING:
    from rtsep.controls import Controls
    from rtsep.errors import RtsepError
    from rtsep.offline.separator import Separator, Stems
    from rtsep.session.api import Session
    from rtsep.surfaces.remote.server import serve
    from rtsep.surfaces.remote.session import attach

    __version__: str

__all__ = ["Controls", "RtsepError", "Separator", "Session", "Stems", "__version__", "attach", "serve"]

_HOMES = {
    "Controls": "rtsep.controls",
    "RtsepError": "rtsep.errors",
    "Separator": "rtsep.offline.separator",
    "Session": "rtsep.session.api",
    "Stems": "rtsep.offline.separator",
    "attach": "rtsep.surfaces.remote.session",
    "serve": "rtsep.surfaces.remote.server",
}

sealed.guard()


def __getattr__(name: str) -> object:
    """Import a public name at its first use; raise `AttributeError` for any other name."""
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("rtsep")
    elif name in _HOMES:
        from rtsep.compiled import use_cache

        if note := use_cache():
            logging.getLogger("rtsep").info(note)
        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'rtsep' has no attribute '{name}'")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
