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


class UserFolder(NamedTuple):
    """Folder of the user."""

    name: str
    path: Path
    min_mb: int
    loss: str  # consequence of a folder that cannot be written
    remedy: str


def shared_memory(
    folder: Path = Path("/dev/shm"), usage: Callable[[Path], Usage] = shutil.disk_usage
) -> list[Finding]:
    """Check the folder of shared memory, through which the model gets its columns."""
    name = "shared memory"
    if not folders.is_reachable_folder(folder):
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


def user_folders() -> list[UserFolder]:
    """Return the folders that rtsep writes for this user."""
    compiled = os.environ.get("NUMBA_CACHE_DIR")
    cache = Path(compiled) if compiled else folders.cache()
    return [
        UserFolder(
            name="cache folder",
            path=cache,
            min_mb=CACHE_MB,
            loss="every start compiles for half a minute",
            remedy="NUMBA_CACHE_DIR",
        ),
        UserFolder(
            name="config folder",
            path=folders.config(),
            min_mb=1,
            loss="presets and defaults are not saved",
            remedy="XDG_CONFIG_HOME",
        ),
        UserFolder(
            name="state folder",
            path=folders.state(),
            min_mb=1,
            loss="--resume cannot restore a session",
            remedy="XDG_STATE_HOME",
        ),
    ]


def writable(folder: UserFolder, usage: Callable[[Path], Usage] = shutil.disk_usage) -> list[Finding]:
    """Check one folder, or the nearest folder above it that exists."""
    there = next(each for each in (folder.path, *folder.path.parents) if folders.is_reachable(each))
    if folders.NOWHERE in (folder.path, *folder.path.parents):
        seen = f"this user has no home folder within reach: {folder.loss}"
        return [problem(folder.name, seen, f"set HOME to one, or {folder.remedy} to another folder")]
    if reason := write_error(there):
        seen = f"{there} cannot be written ({reason}): {folder.loss}"
        remedy = f"give yourself write permission, or choose another folder with {folder.remedy}"
        return [problem(folder.name, seen, remedy)]
    free = usage(there).free / 2**20
    if free < folder.min_mb:
        return [
            problem(
                folder.name,
                f"only {free:.0f} MB are free in {there}, but {folder.min_mb} may be needed: {folder.loss}",
                f"free some space, or choose another folder with {folder.remedy}",
            )
        ]
    return [ok(folder.name, str(folder.path))]


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
