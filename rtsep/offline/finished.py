"""Records of finished stems: a small file beside them with their input and settings.

It also reserves a folder for each input: the folder of another input is not used. Several processes, on
several machines, may share a folder of results.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rtsep.errors import OutputError
from rtsep.files.names import settled

LEDGER = ".rtsep.json"
MAX_OF_ONE_NAME = 10_000
MAX_NAME_BYTES = 255


class Stems(NamedTuple):
    """Finished stems by name, and the unreadable part of their input."""

    stems: dict[str, Path]
    damage: str


class Finished:
    """The folder of one input's stems."""

    def __init__(self, place: Path, source: Path, is_taken: Callable[[Path], bool] = lambda _: False) -> None:
        """Use `place`, or if another input has it, the next of `place (2)`, `place (3)`...

        `is_taken` returns whether a folder without a record is somebody's own; then it is not used. Raise
        `OutputError` if no folder can be created.
        """
        self.source = settled(source)
        # An earlier version recorded a path with the ".." and the links that the user typed.
        earlier = source.absolute() if source.name == self.source.name else self.source
        self._names = {str(self.source), str(earlier)}
        self._is_taken = is_taken
        self.is_new = False
        self._made: list[Path] = []  # folders made here, innermost first
        self._version = self._stamp()  # before it is read: a later change is another version
        for number in range(1, MAX_OF_ONE_NAME):
            self.folder = place if number == 1 else place.with_name(_numbered(place.name, number))
            if self._take():
                return
        raise OutputError(f"{place}: {MAX_OF_ONE_NAME} inputs of this name; use several folders")

    def _take(self) -> bool:
        """Create the folder and record its input; return whether it is free for this input."""
        path = self.folder / LEDGER
        self._made = []
        try:
            self._made = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            recorded = self._read().get("input")
            if recorded is not None:
                return recorded in self._names
            if self._is_taken(self.folder):
                return False
            try:
                self._create(path)
                self.is_new = True
                return True
            except FileExistsError:
                return self._read().get("input") in {*self._names, None}
        except OSError as error:
            self._remove_made()
            raise OutputError(
                f"{self.folder}: cannot write there ({error.strerror}); choose another folder"
            ) from None
        except BaseException:
            self._remove_made()
            raise

    def _remove_made(self) -> None:
        """Remove the folders that were made here, up to the first that is not empty."""
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def _create(self, path: Path) -> None:
        """Write the record atomically; raise `FileExistsError`: only one of several processes succeeds."""
        text = json.dumps({"input": str(self.source), "done": []})
        temporary = path.with_name(f"{LEDGER}.{socket.gethostname()}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                file = path.open("x", encoding="utf-8")
                try:
                    with file:
                        file.write(text)
                except BaseException:
                    path.unlink(missing_ok=True)
                    raise
        finally:
            temporary.unlink(missing_ok=True)  # the disk may be full

    def stems(self, settings: Mapping[str, Any]) -> Stems | None:
        """Return the stems made with these settings from the unchanged input, None if missing.

        The content of a pipe never counts as unchanged.
        """
        if self._version is None:
            return None
        for each in self._read().get("done", ()):
            if each.get("settings") != settings or each.get("of") != self._version:
                continue
            stems = {name: self.folder / file for name, file in each["stems"].items()}
            if all(path.exists() for path in stems.values()):
                return Stems(stems, str(each.get("damage", "")))
        return None

    def note(self, settings: Mapping[str, Any], stems: Mapping[str, Path], damage: str = "") -> None:
        """Record that these stems are finished. Raise `OutputError`."""
        files = {name: path.name for name, path in stems.items()}
        entry = {"settings": dict(settings), "of": self._version, "stems": files, "damage": damage}
        self._write([*self._without(files.values()), entry])

    def forget(self, files: Collection[str]) -> None:
        """Remove the records of files with these names, before they are replaced. Raise `OutputError`."""
        kept = self._without(files)
        if kept != self._read().get("done", []):
            self._write(kept)

    def _without(self, files: Collection[str]) -> list[dict[str, Any]]:
        """Return the records of all other files."""
        return [each for each in self._read().get("done", ())
                if not set(each["stems"].values()) & set(files)]  # fmt: skip

    def _write(self, done: list[dict[str, Any]]) -> None:
        temporary = self.folder / f"{LEDGER}.{socket.gethostname()}.{os.getpid()}"
        try:
            temporary.write_text(json.dumps({"input": str(self.source), "done": done}), encoding="utf-8")
            temporary.replace(self.folder / LEDGER)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise OutputError(f"{self.folder}: writing failed ({error.strerror})") from None

    def give_back(self) -> None:
        """Remove the record, and the folders made here, if nothing was finished."""
        if self.is_new and not self._read().get("done"):
            with contextlib.suppress(OSError):
                (self.folder / LEDGER).unlink()
            self._remove_made()

    def _stamp(self) -> list[int] | None:
        """Return values that identify a version of the input."""
        try:
            found = self.source.stat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return [found.st_size, found.st_mtime_ns]

    def _read(self) -> dict[str, Any]:
        """Return the record; empty if the file is incomplete."""
        path = self.folder / LEDGER
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        done = found.get("done")
        kept = [each for each in done if _is_entry(each)] if isinstance(done, list) else []
        return {**found, "done": kept}


def _is_entry(value: object) -> bool:
    """Return whether a value is a record of finished stems; the file may be damaged."""
    stems = value.get("stems") if isinstance(value, dict) else None
    return isinstance(stems, dict) and all(isinstance(name, str) for name in stems.values())


def _numbered(name: str, number: int) -> str:
    """Return `NAME (2)`; a name that would be too long for a file system loses its last characters."""
    behind = f" ({number})"
    while len(os.fsencode(name + behind)) > MAX_NAME_BYTES:
        name = name[:-1]
    return name + behind
