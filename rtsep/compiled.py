"""Where compiled code is kept between runs.

numba's own cache looks at the file of a cached function only, not at the functions it calls in other
files: after a `git pull` it would go on running yesterday's FFT inside today's STFT. A folder for each state
of the sources rules that out, and works where the package itself cannot be written to. What a file there is
made of: `sealed`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from rtsep import folders

KEPT = 4
"""How many folders are kept: a second checkout, another version, and so on."""

VARIABLE = "NUMBA_CACHE_DIR"
"""The environment variable that names another folder."""

_CONFSTR_NAMES = getattr(os, "confstr_names", {})  # Windows has none


def fingerprint() -> str:
    """Return a digest of all that compiled code is made from: sources, and what chooses among them."""
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in _CONFSTR_NAMES else ""
    digest = hashlib.sha256(f"{os.environ.get('RTSEP_WAKE', '')}\0{libc}".encode())
    package = Path(__file__).parent
    sources = {source: source.read_bytes() for source in sorted(package.rglob("*.py"))}
    # Constants of neighbours are frozen into compiled code, whether or not their files name numba.
    compiled = {source.parent for source, text in sources.items() if b"numba" in text}
    for source, text in sources.items():
        if source.parent in compiled:
            digest.update(str(source).encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def use_cache(folder: Path | None = None) -> str:
    """Keep compiled code under `folder` (the user's cache) from now on; call before numba is imported.

    `NUMBA_CACHE_DIR` in the environment is respected. Child processes follow. Where a folder cannot be
    written, the temporary folder serves. Returns a line for the user that says so, else "". If a program has
    imported numba before, its folder stays.
    """
    folders.settle_temporary()
    if "numba" in sys.modules:
        return ""
    if given := os.environ.get(VARIABLE):
        refusal = _take(Path(given))
        wanted = Path(given)
    else:
        wanted = folder or folders.cache() / "compiled"
        refusal = _take_one_of(wanted)
    if not refusal:
        return ""
    other = folders.own_temporary("compiled")
    if other is None or _take_one_of(other):
        os.environ.pop(VARIABLE, None)
        return f"{refusal}: each start compiles for half a minute; set {VARIABLE} to a folder of yours"
    return (
        f"{refusal}: compiled code is kept in {other} as long as that lasts; {VARIABLE} names another folder"
    )


def compiled_folder() -> Path:
    """Return the folder that `use_cache` has chosen."""
    return Path(os.environ.get(VARIABLE) or folders.cache() / "compiled")


def _take_one_of(folder: Path) -> str:
    """Keep compiled code in the folder of today's sources below `folder`; return why not, "" if it is so."""
    refusal = _take(folder / fingerprint())
    with contextlib.suppress(OSError):
        for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    return refusal


def _take(folder: Path) -> str:
    """Keep compiled code in `folder`; return why that cannot be, "" if it is so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()  # the newest ones are kept
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder} cannot be written ({folders.reason(folder, error)})"
    os.environ[VARIABLE] = str(folder)
    return ""
