"""Presets: named values of controls, one small TOML file each, recalled by name or MIDI program change.

    program = 5                 # the program change that recalls it (0 to 127)
    threshold = 0.4
    mask = "binary"
    vocals_gain = -6
    instrumental_mute = true

A preset contains all controls or some; recalling it does not change the others. The files are in the user's
config folder as `presets/NAME.toml`.
"""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtsep import folders
from rtsep.controls import BY_NAME, Controls
from rtsep.errors import OutputError, RtsepError, UsageError, suggest
from rtsep.surfaces.toml import TomlFile, control_text, known, read_text, write_whole

SUFFIX = ".toml"
HIGHEST_PROGRAM = 127
MAX_NAME = 64
BY = "preset"
"""Source of a change by a preset."""

_NAME = re.compile(r"\w[\w .,+&()'#-]*")
# reserved on Windows, with any suffix
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Preset:
    """Values by control, and the program change that recalls them."""

    name: str
    values: Mapping[str, float]
    program: int | None = None

    def text(self) -> str:
        """Return the preset as the text of its file."""
        program = [] if self.program is None else [f"program = {self.program}"]
        lines = [f"{name} = {control_text(value, BY_NAME[name])}" for name, value in self.values.items()]
        return "\n".join([*program, *lines, ""])

    def recall(self, controls: Controls, by: str = BY) -> None:
        """Set all its values together, or none and raise `UsageError`; other controls do not change."""
        values = {name: BY_NAME[name].check(value) for name, value in self.values.items()}
        for name, value in values.items():
            controls.set(name, value, by)


def audible(values: Mapping[str, float], balance_by: str) -> dict[str, float]:
    """Return the controls of a session that a preset of it contains: without a `balance` of no effect.

    `balance_by` is the last source of a change of `balance`. Nothing sets it on an output without a stereo
    bus; its default value would turn the voice of another output into the mix.
    """
    return {name: value for name, value in values.items() if name != "balance" or balance_by}


def user_folder() -> Path:
    """Return the folder of the user's presets."""
    return folders.config() / "presets"


def _composed(name: str) -> str:
    """Return a name with one character for each accented letter; a file from a Mac may have two (NFD)."""
    return unicodedata.normalize("NFC", name)


def check_name(name: str) -> str:
    """Return `name` if it is a valid file name on every system; else raise `UsageError` with the rule."""
    name = _composed(name)
    if len(name) > MAX_NAME:
        raise UsageError(f"preset '{name[:20]}...': a name has at most {MAX_NAME} characters")
    if not _NAME.fullmatch(name) or name[-1] in " ." or _RESERVED.fullmatch(name):
        raise UsageError(
            f"preset '{name}': a name consists of letters, digits, spaces and any of _-+.,&()'# "
            "(a letter or digit first), and must not be reserved by Windows"
        )
    return name


def parse_preset(text: str, path: Path) -> Preset:
    """Parse a preset's text; `path` gives its name, and appears in errors. Raise `UsageError`."""
    file = TomlFile(text, path)
    values: dict[str, float] = {}
    program = None
    for key, value in file.tables.items():
        if key == "program":
            program = file.whole(value, key, 0, HIGHEST_PROGRAM)
        elif key in BY_NAME:
            values[key] = file.control_value(value, BY_NAME[key])
        else:
            words = [*BY_NAME, "program"]
            raise file.error(f"no control is called '{key}'{suggest(key, words) or known(words)}", key)
    if not values:
        raise file.error("it sets no control; add one, for example: threshold = 0.4")
    return Preset(_composed(path.name.removesuffix(SUFFIX)), values, program)


def programs(presets: Sequence[Preset]) -> list[int | None]:
    """Return the program change that recalls each of all `presets`, in order; None for none.

    This is its number or, if no preset has one, its position in the list, counted from 0.
    """
    if any(preset.program is not None for preset in presets):
        return [preset.program for preset in presets]
    return [place if place <= HIGHEST_PROGRAM else None for place in range(len(presets))]


_Stamp = tuple[int, int, int]


class Presets:
    """Presets in one folder (default: the user's). Changes by others take effect at once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_folder()
        self._read: dict[str, tuple[_Stamp, Preset | UsageError]] = {}  # by name, with its stamp

    def names(self) -> list[str]:
        """Return the names of all presets, in order."""
        return sorted(self._stamps(), key=_order)

    def load(self, name: str) -> Preset:
        """Return one preset; raise `UsageError` if it is missing or damaged."""
        name = check_name(name)
        try:
            return self._parsed(name)
        except FileNotFoundError:
            here = self.names()
            hint = suggest(name, here) or (
                f"; the presets are {', '.join(here)}" if here else "; there is none yet"
            )
            raise UsageError(f"no preset is called '{name}'{hint} ('rtsep presets save' makes one)") from None

    def load_all(self) -> tuple[list[Preset], list[str]]:
        """Return all presets in order, and a line about each damaged one."""
        before, read = self._read, {}
        presets, broken = [], []
        for name, stamp in sorted(self._stamps().items(), key=lambda entry: _order(entry[0])):
            kept = before.get(name)
            found: Preset | UsageError
            if stamp and kept and kept[0] == stamp:
                found = kept[1]
            else:
                try:
                    found = self._parsed(check_name(name))
                except FileNotFoundError:
                    continue  # just deleted
                except UsageError as error:
                    found = error
            if stamp:
                read[name] = (stamp, found)
            if isinstance(found, Preset):
                presets.append(found)
            else:
                broken.append(str(found))
        self._read = read  # at once: several threads read; the last one wins
        return presets, broken

    def _parsed(self, name: str) -> Preset:
        """Return the preset `name`, a valid one; raise `FileNotFoundError` or `UsageError`."""
        path = self.path(name)
        return parse_preset(read_text(path, "preset"), path)

    def program_of(self, name: str) -> int | None:
        """Return the program number in the preset `name`; None without one, or without a readable preset."""
        try:
            return self._parsed(check_name(name)).program
        except (FileNotFoundError, UsageError):
            return None

    def save(self, preset: Preset, replace: bool = False) -> Path:
        """Write a preset; return its file. With `replace`, an existing one is replaced.

        Raise `UsageError` for a name or program already in use, or values out of range, `OutputError` if it
        cannot be written.
        """
        name = check_name(preset.name)
        path = self.path(name)
        parse_preset(preset.text(), path)
        if not replace and os.path.lexists(path):  # Path.exists raises errors for some links
            raise UsageError(f"there is a preset '{name}' already; choose another name, or add --replace")
        if preset.program is not None:
            for other in self.load_all()[0]:
                if other.program == preset.program and other.name != name:
                    raise UsageError(
                        f"program {preset.program} already recalls '{other.name}'; choose another number"
                    )
        write_whole(path, preset.text(), "preset")
        return path

    def delete(self, name: str) -> None:
        """Remove a preset, even a damaged one; raise `UsageError` if there is none."""
        path = self.path(check_name(name))
        if not os.path.lexists(path):
            self.load(name)  # raises the error with the nearest names
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot remove the preset: {error.strerror}") from None

    def recall(self, name: str, controls: Controls) -> Preset:
        """Recall the preset `name`; return it. On `UsageError`, nothing changes."""
        preset = self.load(name)
        preset.recall(controls)
        return preset

    def of_program(self, program: int) -> Preset | None:
        """Return the preset for program change `program` (0 to 127), None for none.

        Raise `UsageError` if two have the same number.
        """
        presets, _ = self.load_all()
        found = [preset for preset, its in zip(presets, programs(presets), strict=True) if its == program]
        if len(found) > 1:
            names = " and ".join(f"'{preset.name}'" for preset in found)
            raise UsageError(f"program {program}: {names} both have this number; change one")
        return found[0] if found else None

    def on_program(self, controls: Controls, notify: Callable[[str], None]) -> Callable[[int, int], None]:
        """Return the callback of a MIDI surface for (program, channel): recall a preset, never raise.

        `notify` receives a line when the preset changes, or cannot be recalled.
        """
        last_line = ""

        def recall(program: int, _channel: int) -> None:
            nonlocal last_line
            try:
                preset = self.of_program(program)
                if preset:
                    preset.recall(controls)
                    line = f"preset '{preset.name}' (program {program})"
                else:
                    line = f"program {program} recalls no preset ('rtsep presets' lists them)"
            except RtsepError as error:
                line = str(error)
            except Exception as error:  # the thread of MIDI must not end
                line = f"program {program}: cannot recall a preset: {type(error).__name__}: {error}"
            if line != last_line:
                last_line = line
                notify(line)

        return recall

    def path(self, name: str) -> Path:
        """Return the path of the preset `name`, existing or not."""
        path = self.folder / f"{name}{SUFFIX}"
        if name.isascii() or os.path.lexists(path):
            return path
        with contextlib.suppress(OSError):
            for other in self.folder.iterdir():
                if _composed(other.name) == path.name:
                    return other
        return path

    def _stamps(self) -> dict[str, _Stamp | None]:
        """Return the version of each preset's file, by name; None for one that cannot be read."""
        stamps: dict[str, _Stamp | None] = {}
        try:
            entries: list[os.DirEntry[Any]] = list(os.scandir(self.folder))
        except (FileNotFoundError, NotADirectoryError):
            return stamps
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot read the presets: {error.strerror}") from None
        for entry in entries:
            name = _composed(entry.name).removesuffix(SUFFIX)
            if not entry.name.endswith(SUFFIX) or not _NAME.fullmatch(name):
                continue
            try:
                if entry.is_file():
                    found = entry.stat()
                    stamps[name] = (found.st_ino, found.st_mtime_ns, found.st_size)
            except FileNotFoundError:
                continue  # just deleted
            except OSError:  # a link to itself, or into a folder of another user: `load` gives the reason
                stamps[name] = None
        return stamps


def _order(name: str) -> tuple[str, str]:
    return name.casefold(), name
