"""Additions to numba, made while it is imported: checksums in its cache, and its settings in one line.

A setting that numba refuses, in the environment or in a file of the current folder, is an error with the
remedy. One that it ignores is a warning of one line; numba itself would print a traceback.

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
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from rtsep.errors import CompileError, in_a_line

_CACHING = "numba.core.caching"
_SETTINGS_FILE = ".numba_config.yaml"  # in the current folder
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
    """Import hook that wraps the execution of some of numba's modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's original spec, with another execution."""
        if fullname not in _ADDITIONS:
            return None
        sys.meta_path.remove(self)  # else it would find itself
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_with_additions(module: ModuleType) -> None:
                _ADDITIONS[fullname](lambda: execute(module))
                if fullname == _CACHING:
                    _guard_module(module)

            spec.loader.exec_module = execute_with_additions  # type: ignore[method-assign]
        return spec


def _with_a_remedy(execute: Callable[[], None]) -> None:
    """Import numba; raise `CompileError` if that fails where the user has set something."""
    try:
        execute()
    except ImportError:  # a damaged installation
        raise
    except Exception as error:
        remedies = [
            f"unset {name}"
            for name in sorted(os.environ)
            if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR"
        ]
        if Path(_SETTINGS_FILE).exists():
            remedies.append(f"remove {Path(_SETTINGS_FILE).absolute()}")
        if not remedies:
            raise
        raise CompileError(
            f"numba, the compiler, refuses its settings ({in_a_line(error)}); {' or '.join(remedies)}"
        ) from error


def _with_short_warnings(execute: Callable[[], None]) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        execute()
    for warning in found:
        line = str(warning.message).partition("\n")[0]
        warnings.warn_explicit(line, warning.category, warning.filename, warning.lineno)


_ADDITIONS: dict[str, Callable[[Callable[[], None]], None]] = {
    "numba": _with_a_remedy,
    "numba.core.config": _with_short_warnings,
    _CACHING: lambda execute: execute(),
}


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
