"""Selection of libjack: jackd's if its server runs, else PipeWire's, which is found without `pw-jack`.

PipeWire has its own libjack. Distributions either install it as the system's libjack, or keep it in a folder
that programs find only through `pw-jack`. A program uses one libjack for its whole life.
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
"""Folders of PipeWire's private libjack."""

_NO_START_SERVER = 0x01  # JackNoStartServer
_SERVER_ERROR = 0x20  # JackServerError: a server runs, but has refused the connection
_DAEMON_PATIENCE_S = 1.0

HOW_TO_GET = "Debian, Ubuntu: apt-get install pipewire-jack; Fedora: pipewire-jack-audio-connection-kit"


class Library(NamedTuple):
    """Loaded libjack."""

    name: str  # name for the dynamic linker
    pipewire: bool  # True: PipeWire's libjack


_chosen: Library | None = None
_choosing = threading.Lock()


def choose() -> Library | None:
    """Return the libjack to use; None if there is none. Query the servers until one was `load`ed."""
    if _chosen:
        return _chosen
    system = _opened(ctypes.util.find_library("jack"))
    if system and system.pipewire:  # chosen by the distribution, or by pw-jack
        return system
    private = pipewire_library() if pipewire_runs() else None
    if private is None or (system and _server_answers(system.name)):
        return system
    return _opened(private) or system


def answers() -> bool:
    """Return whether joining a server is worth a try; until one has answered, another may appear."""
    if _chosen:
        return True
    library = choose()
    if library is None:
        return False
    return pipewire_runs() if library.pipewire else _server_answers(library.name)


def missing() -> str:
    """Return a line for the user if PipeWire runs without its libjack; else ""."""
    if _chosen or not pipewire_runs() or pipewire_library():
        return ""
    system = _opened(ctypes.util.find_library("jack"))
    if system and system.pipewire:
        return ""
    return f"PipeWire is running without its JACK library, which gives direct access ({HOW_TO_GET})"


def load() -> Any:
    """Return the module `jack`, on the chosen libjack; raise `OSError` if there is none."""
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
    """Import `jack` with this library; the module looks up its name through ctypes."""
    find = ctypes.util.find_library

    def find_library(name: str) -> str | None:
        return library if name == "jack" else find(name)

    ctypes.util.find_library = find_library
    try:
        import jack  # noqa: F401
    finally:
        ctypes.util.find_library = find


def pipewire_runs() -> bool:
    """Return whether a PipeWire daemon of this user answers and accepts JACK clients."""
    if not sys.platform.startswith("linux") or "PIPEWIRE_NOJACK" in os.environ:
        return False
    remote = os.environ.get("PIPEWIRE_REMOTE") or "pipewire-0"
    folder = os.environ.get("PIPEWIRE_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent"
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(_DAEMON_PATIENCE_S)
        try:
            daemon.connect(str(Path(folder, remote)))  # an absolute remote is used as it is
        except (OSError, ValueError):
            return False
    return True


def pipewire_library() -> str | None:
    """Return the path of PipeWire's private libjack, None if it is not installed."""
    return next((str(path) for path in _private_libraries() if _opened(str(path))), None)


def _private_libraries() -> Iterator[Path]:
    for pattern in _PRIVATE:
        yield from sorted(Path("/").glob(f"{pattern[1:]}/pipewire-0.3/jack/libjack.so.0"))


def _opened(name: str | None) -> Library | None:
    """Load a libjack by its name; return None if that fails, as for another architecture."""
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        version = library.jack_get_version_string
    except (OSError, AttributeError):
        return None
    version.restype = ctypes.c_char_p
    return Library(name, b"PipeWire" in (version() or b""))


_MessageHandler = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_ignore_message = _MessageHandler(lambda _: None)


def _server_answers(name: str) -> bool:
    """Return whether a JACK server is running that the libjack `name` reaches."""
    library = ctypes.CDLL(name)
    library.jack_set_error_function(_ignore_message)
    library.jack_set_info_function(_ignore_message)
    library.jack_client_open.restype = ctypes.c_void_p
    status = ctypes.c_int()
    with one_at_a_time():
        client = library.jack_client_open(b"rtsep-query", _NO_START_SERVER, ctypes.byref(status))
        if client:
            library.jack_client_close(ctypes.c_void_p(client))
    return bool(client) or bool(status.value & _SERVER_ERROR)
