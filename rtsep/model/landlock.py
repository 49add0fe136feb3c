"""Landlock: a process irrevocably limits its own access to files (Linux 5.13 on).

The kernel's own description: https://docs.kernel.org/userspace-api/landlock.html. Newer kernels also restrict
connections, signals and abstract sockets; the version of this kernel is queried first.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, the same on every processor
_ASK_VERSION = 1
_PATH_BENEATH = 1

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_OF_VERSION = {1: 13, 2: 14, 3: 15, 5: 16}
"""Number of file rights by version of the interface, valid from that version on."""

_NET_FROM, _TCP = 4, 0b11  # bind, connect
_SCOPE_FROM, _SCOPES = 6, 0b11  # abstract Unix sockets, signals


def version() -> int:
    """Return the version of this kernel's interface; 0: missing or turned off."""
    if sys.platform != "linux":
        return 0
    found = _libc().syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return max(0, found)


def restrict(readable: Iterable[Path]) -> None:
    """Limit the calling thread to reading files in `readable` and to files already open.

    Threads and processes that it starts later inherit the limit. Needs `no_new_privs`. Raise `OSError`.
    """
    known = version()
    if known == 0:
        raise OSError("this kernel has no Landlock")
    files = (1 << max(bits for since, bits in _OF_VERSION.items() if since <= known)) - 1
    attributes = struct.pack("<Q", files)
    if known >= _NET_FROM:
        attributes += struct.pack("<Q", _TCP)
    if known >= _SCOPE_FROM:
        attributes += struct.pack("<Q", _SCOPES)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # missing on this system
        return
    try:
        rights = _READ_FILE | (_READ_DIR if path.is_dir() else 0)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes) -> int:
    result = _libc().syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
