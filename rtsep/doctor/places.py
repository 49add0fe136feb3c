"""Folders that a session needs: shared memory, compiled code, settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from rtsep import folders
from rtsep.doctor.finding import Finding, note, ok, problem

SHARED_MB = 32
"""Space for two models during a swap, several times over."""

CACHE_MB = 200
"""Space for the compiled code of four versions."""


class Usage(Protocol):
    """Result of `shutil.disk_usage`, in bytes."""

    @property
    def free(self) -> int:
        """Return the free space."""


class Place(NamedTuple):
    """Folder of the user."""

    name: str
    path: Path
    least_mb: int
    loss: str  # consequence of a folder that cannot be written
    remedy: str


def shared_memory(
    folder: Path = Path("/dev/shm"), usage: Callable[[Path], Usage] = shutil.disk_usage
) -> list[Finding]:
    """Check the folder of shared memory, through which the model gets its columns."""
    name = "shared memory"
    if not folder.is_dir():
        return [
            problem(
                name, f"{folder} does not exist", f"run 'mount -t tmpfs -o mode=1777 shm {folder}' as root"
            )
        ]
    if reason := write_error(folder):
        return [problem(name, f"{folder} cannot be written ({reason})", f"run 'chmod 1777 {folder}' as root")]
    free = usage(folder).free / 2**20
    if free < SHARED_MB:
        return [
            problem(
                name,
                f"only {free:.0f} MB of {folder} are free, but {SHARED_MB} are needed",
                f"remove files there, or run 'mount -o remount,size=256M {folder}' as root "
                "(a container: --shm-size=256m)",
            )
        ]
    return [ok(name, f"{free:.0f} MB free in {folder}")]


def user_places() -> list[Place]:
    """Return the folders that rtsep writes for this user."""
    compiled = os.environ.get("NUMBA_CACHE_DIR")
    cache = Path(compiled) if compiled else folders.cache()
    return [
        Place("cache folder", cache, CACHE_MB, "every start compiles for half a minute", "NUMBA_CACHE_DIR"),
        Place("config folder", folders.config(), 1, "presets and defaults are not saved",
              "XDG_CONFIG_HOME"),
        Place("state folder", folders.state(), 1, "--resume cannot restore a session",
              "XDG_STATE_HOME"),
    ]  # fmt: skip


def writable(place: Place, usage: Callable[[Path], Usage] = shutil.disk_usage) -> list[Finding]:
    """Check one folder, or the place where it will be created."""
    there = next(folder for folder in (place.path, *place.path.parents) if folder.exists())
    if folders.NOWHERE in (place.path, *place.path.parents):
        seen = f"this user has no home folder within reach: {place.loss}"
        return [problem(place.name, seen, f"set HOME to one, or {place.remedy} to another folder")]
    if reason := write_error(there):
        seen = f"{there} cannot be written ({reason}): {place.loss}"
        remedy = f"give yourself write permission, or choose another folder with {place.remedy}"
        return [problem(place.name, seen, remedy)]
    free = usage(there).free / 2**20
    if free < place.least_mb:
        return [
            problem(
                place.name,
                f"only {free:.0f} MB are free in {there}, but {place.least_mb} may be needed: {place.loss}",
                f"free some space, or choose another folder with {place.remedy}",
            )
        ]
    return [ok(place.name, str(place.path))]


def programs(which: Callable[[str], str | None] = shutil.which) -> list[Finding]:
    """Check for programs that only some inputs need."""
    if which("ffmpeg") and which("ffprobe"):
        return [ok("ffmpeg", "there")]
    return [note("ffmpeg", "not installed: m4a, films and damaged files cannot be read", "install ffmpeg")]


def write_error(folder: Path) -> str:
    """Return why no file can be created in `folder`, "" if it can; the test file is removed."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".rtsep-", dir=folder) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""
