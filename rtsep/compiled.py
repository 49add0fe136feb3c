"""The folder of compiled code, kept between runs.

numba's own cache checks only the file of a cached function, not the functions that it calls in other files:
after a `git pull` it would still run the old FFT inside the new STFT. One folder for each state of the
sources prevents this, and works where the package's own folder is read-only. `rtsep.sealed` describes the
files in it.
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
"""Number of folders kept: room for a second checkout, another version, and so on."""

VARIABLE = "NUMBA_CACHE_DIR"
"""Environment variable that overrides the folder."""

_CONFSTR_NAMES = getattr(os, "confstr_names", {})  # Windows has none


def fingerprint() -> str:
    """Return a digest of everything that compiled code depends on: sources, versions and the machine."""
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in _CONFSTR_NAMES else ""
    digest = hashlib.sha256(f"{os.environ.get('RTSEP_WAKE', '')}\0{libc}".encode())
    package = Path(__file__).parent
    sources = {source: source.read_bytes() for source in sorted(package.rglob("*.py"))}
    # Compiled code contains constants of neighbouring files, even of files that do not mention numba.
    compiled = {source.parent for source, text in sources.items() if b"numba" in text}
    for source, text in sources.items():
        if source.parent in compiled:
            digest.update(str(source).encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def use_cache(folder: Path | None = None) -> str:
    """Keep compiled code under `folder` (default: the user's cache); call this before numba is imported.

    The environment variable `NUMBA_CACHE_DIR` takes precedence. Child processes inherit the folder. If the
    folder cannot be written, the temporary folder is used, and the return value is a line for the user; else
    it is "". If the program imported numba earlier, numba keeps its folder.
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
        return (
            f"{refusal}: each start compiles for half a minute; set {VARIABLE} to a folder that you can write"
        )
    return (
        f"{refusal}: compiled code is kept in the temporary folder {other}; set {VARIABLE} to choose "
        "another one"
    )


def compiled_folder() -> Path:
    """Return the folder chosen by `use_cache`."""
    return Path(os.environ.get(VARIABLE) or folders.cache() / "compiled")


def _take_one_of(folder: Path) -> str:
    """Use the folder of the current sources below `folder`; return the reason if that fails, else ""."""
    refusal = _take(folder / fingerprint())
    with contextlib.suppress(OSError):
        for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    return refusal


def _take(folder: Path) -> str:
    """Keep compiled code in `folder`; return the reason if that fails, else ""."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()  # the newest folders are kept
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder} cannot be written ({folders.reason(folder, error)})"
    os.environ[VARIABLE] = str(folder)
    return ""
