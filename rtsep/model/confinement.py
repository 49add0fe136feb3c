"""The rights that the model process gives up for good before it loads an untrusted program.

| layer | what it takes away |
| --- | --- |
| `privileges` | gain of privileges by programs that it starts (`no_new_privs`) |
| `limits` | memory beyond `MEMORY`, written files, other processes and threads, core dumps |
| `files` | every file except libraries; TCP, signals to others (Landlock) |
| `calls` | network, programs, processes, threads, writing, everything that a model does not need (seccomp) |

`rtsep doctor` shows the layers of this system. A model on a GPU gives up only `privileges`: its driver opens
devices and starts threads at any time.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import sysconfig
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from rtsep.model import landlock, seccomp

if sys.platform != "win32":
    import resource

PRIVILEGES, LIMITS, FILES, CALLS = LAYERS = ("privileges", "limits", "files", "calls")
NOT_ON_A_GPU = (LIMITS, FILES, CALLS)

MEMORY = 1 << 30
"""Bytes that a model may use beyond its libraries: weights, state and workspace."""

PROCESSOR_S = 30.0
"""Processor time in seconds for loading and the golden frames, where about 1 s is usual, and for a step."""

_LIBRARIES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
    "/nix/store", "/gnu/store", f"{sys.prefix}/lib", f"{sys.base_prefix}/lib",
)  # fmt: skip
_PROCESSORS = ("/proc/cpuinfo", "/sys/devices/system/cpu")  # read by libraries to find the usable processors
_PACKAGES = ("torch", "numpy", "numba", "llvmlite", "rtsep")
_COUNTED_CLOCK = -8  # CPUCLOCK_PROF of this process, in the words of the kernel

_SET_NO_NEW_PRIVS = 38


def available() -> dict[str, bool]:
    """Return the layers of this system."""
    linux = sys.platform == "linux"
    return {
        PRIVILEGES: linux,
        LIMITS: linux,
        FILES: landlock.version() > 0,
        CALLS: seccomp.available(),
    }


def confine(answers: Sequence[int], layers: Collection[str] = LAYERS) -> list[str]:
    """Give up all rights of these layers; return the layers that this system lacks.

    `answers` are the open files that may still be written. Call it on the only thread of the process, after
    all imports and compilations.
    """
    there = available()
    for layer in LAYERS:
        if layer not in layers or not there[layer]:
            continue
        if layer == PRIVILEGES:
            ctypes.CDLL(None).prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        elif layer == LIMITS:
            _limit()
        elif layer == FILES:
            landlock.restrict(_readable())
        else:
            seccomp.restrict(answers)
    return [layer for layer in layers if not there[layer]]


def limit_processor_time(seconds: float) -> None:
    """End this process (SIGXCPU) after this much more processor time from now on."""
    if sys.platform == "win32":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    until = int(_processor_time() + seconds) + 1
    resource.setrlimit(
        resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard)
    )


def _processor_time() -> float:
    """Return the processor time of this process in seconds, by the clock of its limit.

    Linux counts whole ticks against the limit. Over hours, their sum differs from the precise time of
    `getrusage` by more than a limit: work that begins with the tick seems longer, other work shorter.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    precise = used.ru_utime + used.ru_stime
    return max(precise, time.clock_gettime(_COUNTED_CLOCK)) if sys.platform == "linux" else precise


def _limit() -> None:
    lower = {
        resource.RLIMIT_DATA: _data_size() + MEMORY,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in lower.items():
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or value < hard:
            resource.setrlimit(kind, (value, value))


def _data_size() -> int:
    """Return the bytes that count against the data limit: private, writable memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status contains no size of data")


def _readable() -> list[Path]:
    """Return the folders of libraries, including Python's, and the system's information on this process."""
    paths = [Path(path) for path in (*_LIBRARIES, *_PROCESSORS)]
    paths += [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            paths.append(Path(spec.origin).parent)
    return [*dict.fromkeys(paths), Path(f"/proc/{os.getpid()}")]
