"""Where compiled code is kept between runs, and what becomes of it when a file there is damaged.

numba's own cache looks at the file of a cached function only, not at the functions it calls in other
files: after a `git pull` it would go on running yesterday's FFT inside today's STFT. A folder for each state
of the sources rules that out, and works where the package itself cannot be written to.

Nor does numba look whether a file is whole: one that a power cut has left half written ends the program, or a
thread of it. Each file of ours ends with a checksum; what does not match is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import importlib.util
import io
import os
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from rtsep import folders

KEPT = 4
"""How many folders are kept: a second checkout, another version, and so on."""

VARIABLE = "NUMBA_CACHE_DIR"
"""The environment variable that names another folder."""

_CONFSTR_NAMES = getattr(os, "confstr_names", {})  # Windows has none
_CACHING = "numba.core.caching"
_USERS = ("numba.core.dispatcher", "numba.core.ccallback")  # modules that take `FunctionCache` from there
_SEAL = struct.Struct("<8sQI")  # mark, length and checksum of what is before it
_MARK = b"rtsep nb"


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
    imported numba before, its folder stays; damaged files are compiled again there as well.
    """
    folders.settle_temporary()
    _guard()
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


# --- numba's cache ------------------------------------------------------------------------------------


def _guard() -> None:
    """Have numba's cache check our files, as soon as it is imported: many commands do without."""
    if _CACHING in sys.modules:
        _guard_module(sys.modules[_CACHING])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Guards numba's module as soon as it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's spec as it would be found without us, with the guard behind its execution."""
        if fullname != _CACHING:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_guard(module: ModuleType) -> None:
                execute(module)
                _guard_module(module)

            spec.loader.exec_module = execute_and_guard  # type: ignore[method-assign]
        return spec


def _guard_module(caching: Any) -> None:
    """Let functions of ours have checked files; without a folder for them, let them be compiled each time."""
    if hasattr(caching, "rtsep_guards"):
        return
    caching.rtsep_guards = True
    plain, sealed = caching.FunctionCache, _sealed(caching.IndexDataCacheFile)

    def function_cache(function: Any) -> Any:
        try:
            cache = plain(function)
        except (RuntimeError, OSError):  # no folder can be written; a frozen program has no file
            return caching.NullCache()
        if function.__module__.partition(".")[0] == __name__.partition(".")[0]:
            cache._cache_file.__class__ = sealed
            with contextlib.suppress(OSError):
                # In a frozen program numba takes the program's own, which its child processes do not have.
                source = Path(function.__code__.co_filename).stat()
                cache._cache_file._source_stamp = source.st_mtime, source.st_size
        return cache

    for module in (caching, *(sys.modules[name] for name in _USERS if name in sys.modules)):
        module.FunctionCache = function_cache


def _sealed(plain: Any) -> Any:
    """Return a class of numba's cache files whose content is checked, in the place of `plain`."""

    class Sealed(plain):  # type: ignore[misc]
        """Files that end with a checksum; one that is damaged is as good as none."""

        def save(self, key: Any, data: Any) -> None:
            with contextlib.suppress(OSError):  # no room: it is compiled again the next time
                super().save(key, data)

        def _load_index(self) -> Any:
            return super()._load_index() if _is_whole(Path(self._index_path)) else {}

        def _load_data(self, name: str) -> Any:
            path = Path(self._data_path(name))
            if not _is_whole(path):
                raise FileNotFoundError(path)
            return super()._load_data(name)

        @contextlib.contextmanager
        def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
            with super()._open_for_write(filepath) as file:
                content = io.BytesIO()
                yield content
                file.write(content.getvalue() + seal(content.getvalue()))

    return Sealed


def seal(content: bytes) -> bytes:
    """Return what follows `content` in a file of the cache; whoever reads the pickle does not look there."""
    return _SEAL.pack(_MARK, len(content), zlib.crc32(content))


def _is_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content[-_SEAL.size :] == seal(content[: -_SEAL.size])
