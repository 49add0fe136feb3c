"""The libjack of this program: jackd's where its server runs, else PipeWire's, found without `pw-jack`.

PipeWire brings a libjack of its own. Distributions either install it as the system's libjack or keep it in a
folder where only `pw-jack` makes programs find it. One program uses one of them for its whole life.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rtsep.realtime.foreign_calls import one_at_a_time

_PRIVATE = ("/usr/lib/*", "/usr/lib64", "/usr/lib", "/usr/local/lib/*", "/usr/local/lib64", "/usr/local/lib")
"""Folders that hold PipeWire's private one."""

_NO_START_SERVER = 0x01  # JackNoStartServer
_SERVER_ERROR = 0x20  # JackServerError: a server runs, but has not let us in
_DAEMON_PATIENCE_S = 1.0

HOW_TO_GET = "Debian, Ubuntu: apt-get install pipewire-jack; Fedora: pipewire-jack-audio-connection-kit"


class Library(NamedTuple):
    """A libjack."""

    name: str  # as the dynamic linker takes it
    pipewire: bool  # whether it is PipeWire's


_chosen: Library | None = None
_choosing = threading.Lock()


def choose() -> Library | None:
    """Return the libjack to use; None where there is none. Asks the servers, until one was `load`ed."""
    if _chosen:
        return _chosen
    system = _opened(ctypes.util.find_library("jack"))
    if system and system.pipewire:  # the distribution's choice, or pw-jack's
        return system
    private = pipewire_library() if pipewire_runs() else None
    if private is None or (system and _server_answers(system.name)):
        return system
    return _opened(private) or system


def answers() -> bool:
    """Return whether it is worth joining a server: as long as none has answered, another one may come."""
    if _chosen:
        return True
    library = choose()
    if library is None:
        return False
    return pipewire_runs() if library.pipewire else _server_answers(library.name)


def missing() -> str:
    """Return a line for the user if PipeWire runs, but its libjack is not installed; else ""."""
    if _chosen or not pipewire_runs() or pipewire_library():
        return ""
    system = _opened(ctypes.util.find_library("jack"))
    if system and system.pipewire:
        return ""
    return f"PipeWire runs, but its JACK library is missing, which leads straight to it ({HOW_TO_GET})"


def load() -> Any:
    """Return the module `jack`, on the libjack that was chosen; raises `OSError` where there is none."""
    global _chosen
    with _choosing:
        if _chosen is None:
            chosen = choose()
            if chosen is None:
                raise OSError("there is no libjack on this machine")
            _import_with(chosen.name)
            _chosen = chosen
    import jack

    return jack


def _import_with(library: str) -> None:
    """Import `jack`, which asks ctypes for the library's name, with this one."""
    find = ctypes.util.find_library

    def find_library(name: str) -> str | None:
        return library if name == "jack" else find(name)

    ctypes.util.find_library = find_library
    try:
        import jack  # noqa: F401
    finally:
        ctypes.util.find_library = find


def pipewire_runs() -> bool:
    """Return whether a PipeWire daemon of this user answers, and JACK clients may join it."""
    if not sys.platform.startswith("linux") or "PIPEWIRE_NOJACK" in os.environ:
        return False
    remote = os.environ.get("PIPEWIRE_REMOTE") or "pipewire-0"
    folder = os.environ.get("PIPEWIRE_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent"
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(_DAEMON_PATIENCE_S)
        try:
            daemon.connect(str(Path(folder, remote)))  # an absolute remote stands for itself
        except (OSError, ValueError):
            return False
    return True


def pipewire_library() -> str | None:
    """Return the path of PipeWire's private libjack, None where it is not installed."""
    return next((str(path) for path in _private_libraries() if _opened(str(path))), None)


def _private_libraries() -> Iterator[Path]:
    for pattern in _PRIVATE:
        yield from sorted(Path("/").glob(f"{pattern[1:]}/pipewire-0.3/jack/libjack.so.0"))


def _opened(name: str | None) -> Library | None:
    """Return a libjack by its name; None where it cannot be loaded, as that of another architecture."""
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        version = library.jack_get_version_string
    except (OSError, AttributeError):
        return None
    version.restype = ctypes.c_char_p
    return Library(name, b"PipeWire" in (version() or b""))


_Said = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_say_nothing = _Said(lambda _: None)


def _server_answers(name: str) -> bool:
    """Return whether a JACK server runs that the libjack `name` reaches."""
    library = ctypes.CDLL(name)
    library.jack_set_error_function(_say_nothing)
    library.jack_set_info_function(_say_nothing)
    library.jack_client_open.restype = ctypes.c_void_p
    status = ctypes.c_int()
    with one_at_a_time():
        client = library.jack_client_open(b"rtsep-query", _NO_START_SERVER, ctypes.byref(status))
        if client:
            library.jack_client_close(ctypes.c_void_p(client))
    return bool(client) or bool(status.value & _SERVER_ERROR)
