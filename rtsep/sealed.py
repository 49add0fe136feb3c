"""Cache files of compiled code that end with a checksum.

numba does not check its cache files: one that a power cut left incomplete ends the program or one of its
threads. A file that does not match its checksum is compiled again. Every process that imports rtsep reads and
writes files in this form, whatever started it: plain files written by one process would make all others
compile again.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import io
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_CACHING = "numba.core.caching"
_USERS = ("numba.core.dispatcher", "numba.core.ccallback")  # modules that import `FunctionCache` from there
_SEAL = struct.Struct("<8sQI")  # mark, length and checksum of the content
_MARK = b"rtsep nb"


def guard() -> None:
    """Make numba's cache check our files once numba is imported; many commands never import it."""
    if _CACHING in sys.modules:
        _guard_module(sys.modules[_CACHING])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Import hook that installs the guard when numba's module is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's original spec, changed so that the guard follows its execution."""
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
    """Give rtsep's functions checked cache files; if no folder can be written, compile at each start."""
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
                # In a frozen program, numba would use the program's own cache, which child processes lack.
                source = Path(function.__code__.co_filename).stat()
                cache._cache_file._source_stamp = source.st_mtime, source.st_size
        return cache

    for module in (caching, *(sys.modules[name] for name in _USERS if name in sys.modules)):
        module.FunctionCache = function_cache


def _sealed(plain: Any) -> Any:
    """Return a subclass of numba's cache class `plain` that checks its files."""

    class Sealed(plain):  # type: ignore[misc]
        """Cache files that end with a checksum; a damaged file counts as missing."""

        def save(self, key: Any, data: Any) -> None:
            with contextlib.suppress(OSError):  # disk full: the next run compiles again
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
    """Return `content` with the seal appended; unpickling ignores the bytes after the pickle."""
    return _SEAL.pack(_MARK, len(content), zlib.crc32(content))


def _is_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content[-_SEAL.size :] == seal(content[: -_SEAL.size])
