"""Possible leftovers of a fault: processes, threads, files in memory, handles. Linux only."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rtsep.realtime import shared_file


class Leftovers(NamedTuple):
    """Numbers of this process's resources, by kind."""

    processes: int
    threads: Counter[str]
    shared_files: int  # for models, in memory or in the temporary folder
    handles: Counter[str]  # by kind: files by their path, sockets, pipes

    def more_than(self, before: Leftovers) -> str:
        """Return in words what there is more of than `before`; "" where nothing is."""
        more = {
            "processes": self.processes - before.processes,
            "threads": self.threads - before.threads,
            "shared files": self.shared_files - before.shared_files,
            "handles": self.handles - before.handles,
        }
        return ", ".join(f"{kind}: {count}" for kind, count in more.items() if count and count != Counter())


def look() -> Leftovers:
    """Return what this process holds now."""
    own = f"{shared_file.PREFIX}{os.getpid()}-*{shared_file.SUFFIX}"
    places = {shared_file.IN_MEMORY, Path(tempfile.gettempdir())}
    return Leftovers(
        processes=len(descendants(os.getpid())),
        threads=_threads(),
        shared_files=sum(1 for folder in places for _ in folder.glob(own)),
        handles=_handles(),
    )


def descendants(process: int) -> set[int]:
    """Return the processes that `process` and its children have begun, dead ones that nobody awaits too."""
    begun: set[int] = set()
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            begun |= {int(word) for word in path.read_text().split()}
        except OSError:
            continue  # a thread that has ended meanwhile
    return begun.union(*(descendants(child) for child in begun))


def _threads() -> Counter[str]:
    names: Counter[str] = Counter()
    for path in Path("/proc/self/task").glob("*/comm"):
        try:
            names[path.read_text().strip()] += 1
        except OSError:
            continue
    return names


def _handles() -> Counter[str]:
    kinds: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:
            continue  # the one that this loop reads by
        if target.endswith(shared_file.SUFFIX):
            target = "shared file"
        kinds[target.partition(":")[0] if ":[" in target else target] += 1
    return kinds
