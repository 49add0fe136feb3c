"""Where compiled code is kept between runs.

numba's own cache looks at the file of a cached function only, not at the functions it calls in other
files: after a `git pull` it would go on running yesterday's FFT inside today's STFT. A folder for each state
of the sources rules that out, and works where the package itself cannot be written to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import platformdirs

KEPT = 4
"""How many folders are kept: a second checkout, another version, and so on."""


def fingerprint() -> str:
    """Return a digest of all that compiled code is made from: sources, and what chooses among them."""
    digest = hashlib.sha256(os.environ.get("RTSEP_WAKE", "").encode())
    package = Path(__file__).parent
    sources = {source: source.read_bytes() for source in sorted(package.rglob("*.py"))}
    # Constants of neighbours are frozen into compiled code, whether or not their files name numba.
    compiled = {source.parent for source, text in sources.items() if b"numba" in text}
    for source, text in sources.items():
        if source.parent in compiled:
            digest.update(str(source).encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def use_cache(folder: Path | None = None) -> None:
    """Keep compiled code under `folder` (the user's cache) from now on; call before numba is imported.

    `NUMBA_CACHE_DIR` in the environment is respected. Child processes follow.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    folder = folder or platformdirs.user_cache_path("rtsep") / "compiled"
    mine = folder / fingerprint()
    try:
        mine.mkdir(parents=True, exist_ok=True)
        mine.touch()
        for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return  # numba finds a place of its own
    os.environ["NUMBA_CACHE_DIR"] = str(mine)
