"""Loads on a machine during playback: by threads of this process, and by other processes.

    with Torture(("python", "disk")): ...

As a program, `torture cpu` and `torture disk FOLDER` run until their standard input closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from rtsep.bench.disk import folder_on_disk
from rtsep.errors import OutputError, RtsepError, UsageError, suggest
from rtsep.realtime import threads
from rtsep.realtime.child_process import command_of

LOADS = {
    "python": "a thread of the same process spins in Python",
    "heap": "a thread of the same process allocates objects in circles, for the garbage collector",
    "cpu": "as many other processes as there are cores sort numbers in Python",
    "disk": "another process writes, syncs and reads a file",
}

HEAP_OBJECTS = 300_000
DISK_MIB = 256
_CHUNK = 1 << 20
_PATIENCE_S = 5.0


def read_loads(text: str) -> tuple[str, ...]:
    """Read `python,disk`; raise `UsageError` for an unknown load."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in LOADS:
            raise UsageError(f"--load {name}: must be one or more of {','.join(LOADS)}{suggest(name, LOADS)}")
    if not names:
        raise UsageError(f"--load '{text}': must be one or more of {','.join(LOADS)}")
    return tuple(dict.fromkeys(names))


class Torture:
    """Loads that run inside the `with` block. Memory, files and processes are released after it."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """`names` are keys of LOADS; an empty tuple means no load."""
        self._names = names
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Torture:
        try:
            for name in self._names:
                self._start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait(_PATIENCE_S)
            assert child.stdin
            child.stdin.close()
        if self._folder:
            self._folder.cleanup()

    def check(self) -> None:
        """Raise an error if a load has ended by itself, because the measurement is then invalid.

        `OutputError` for the disk, `RtsepError` for a process that was killed.
        """
        if self._writer and self._writer.poll() is not None and self._folder:
            raise OutputError(
                f"{self._folder.name}: the disk has no space for {DISK_MIB} MiB; "
                "free some, or leave 'disk' out of --load"
            )
        dead = ["cpu" for child in self._children if child.poll() is not None]  # the disk's process is alive
        dead += [thread.name for thread in self._threads if not thread.is_alive()]
        if dead:
            raise RtsepError(f"a load has ended by itself ({', '.join(dead)}); try again")

    def _start(self, name: str) -> None:
        if name == "cpu":
            self._children += [self._child("cpu") for _ in range(os.cpu_count() or 1)]
        elif name == "disk":
            self._folder = folder_on_disk()
            self._writer = self._child("disk", self._folder.name)
            self._children.append(self._writer)
        else:
            work = {"python": spin, "heap": allocate}[name]
            thread = threading.Thread(target=work, args=(self._over.is_set,), name=name, daemon=True)
            threads.start(thread)
            self._threads.append(thread)

    def _child(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [*command_of(__name__), *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def spin(over: Callable[[], bool]) -> None:
    """Hold the GIL as long as the interpreter lets a thread."""
    number = 0
    while not over():
        for _ in range(10_000):
            number = (number * 31 + 7) % 1_000_003


def allocate(over: Callable[[], bool]) -> None:
    """Fill a heap with objects that refer to themselves, repeatedly."""
    heap: list[dict[str, object]] = []
    while not over():
        node: dict[str, object] = {"values": list(range(20)), "text": "x" * 50}
        node["itself"] = node
        heap.append(node)
        if len(heap) >= HEAP_OBJECTS // 3:  # a node is three objects
            del heap[: HEAP_OBJECTS // 6]


def sort(over: Callable[[], bool]) -> None:
    """Keep a core and its caches busy."""
    numbers = [(number * 48271) % 2147483647 for number in range(200_000)]
    while not over():
        sorted(numbers)


def write_and_read(folder: Path, over: Callable[[], bool]) -> None:
    """Keep a disk busy, and the memory of its cache."""
    path, chunk = folder / "load", os.urandom(_CHUNK)
    while not over():
        with path.open("wb") as file:
            for number in range(DISK_MIB):
                file.write(chunk)
                if number % 16 == 0:
                    os.fsync(file.fileno())
        with path.open("rb") as file:
            while file.read(_CHUNK) and not over():
                pass


def main() -> int:
    """Run a load until standard input closes."""
    name, *rest = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process
    leaving = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        leaving.set()

    threads.start(threading.Thread(target=watch, daemon=True))
    if name == "cpu":
        sort(leaving.is_set)
        return 0
    try:
        write_and_read(Path(rest[0]), leaving.is_set)
    except OSError:  # disk full; `check` reports it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
