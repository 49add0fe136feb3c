"""The options of `rtsep live` in layers: command line, preset, `--resume`, `rtsep.toml`, built in.

Names, types and accepted values come from the parser of `live`: `--out-device` is `out_device` in the file.
The file is flat TOML and checked strictly:

    in = "Scarlett"
    in_channels = [3, 4]
    block = 128
    midi = ["nanokontrol"]
    vocals_gain = -6

"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from rtsep import folders
from rtsep.compute import OLD_NAME as OLD_COMPUTE
from rtsep.controls import BY_NAME, Control
from rtsep.errors import UsageError, suggest
from rtsep.files.names import user_path
from rtsep.session.options import LiveOptions, OptionError
from rtsep.surfaces.osc import address as osc_address
from rtsep.surfaces.page import address as page_address
from rtsep.surfaces.remote.place import check_name
from rtsep.surfaces.toml import TomlFile, control_of, control_text, read_text, shown, write_whole

WHAT = "settings"
ELSEWHERE = "RTSEP_CONFIG"
"""Environment variable with the path of another settings file; if it is empty, no file is read."""

OLD_NAMES = {OLD_COMPUTE: "compute"}
"""Options by names that they had before. The file may use them; `rtsep config` writes the new ones."""

_CHECKS: Mapping[str, Callable[[str], object]] = {
    "session": check_name, "osc": osc_address.parse_where, "page": page_address.parse_where
}  # fmt: skip
"""Check of a text that the parser of `live` accepts as it is, by option."""

_HEADER = "# Defaults of 'rtsep live'; 'rtsep config' lists them.\n"


def config_file() -> Path:
    """Return the path of the settings file; the null device if none is to be read."""
    named = os.environ.get(ELSEWHERE)
    if named is not None:
        return Path(named or os.devnull)
    return folders.config() / "rtsep.toml"


@dataclass(frozen=True)
class ConfigOption:
    """Option of `live`: its name in the file and the reader of its values."""

    name: str
    action: argparse.Action

    @property
    def dest(self) -> str:
        """Return the attribute name among the parsed arguments."""
        return self.action.dest

    @property
    def flag(self) -> str:
        """Return the option of the command line."""
        return self.action.option_strings[0]

    @property
    def control(self) -> Control | None:
        """Return the control that the option sets, None for all other options."""
        return BY_NAME.get(self.dest)

    @property
    def is_switch(self) -> bool:
        """Return whether the option takes no value."""
        return self.control.unit == "switch" if self.control else self.action.nargs == 0

    @property
    def is_list(self) -> bool:
        """Return whether the option may be repeated."""
        return isinstance(self.action, argparse._AppendAction)

    def read(self, value: Any) -> Any:
        """Convert a TOML value to the parser's value; raise `UsageError` without file and line."""
        if self.control:
            return self._read_control(value)
        if self.is_switch:
            if not isinstance(value, bool):
                raise UsageError(f"{self.name} {shown(value)}: must be true or false")
            if isinstance(self.action, argparse.BooleanOptionalAction):
                return value
            return self.action.const if value else not self.action.const
        if self.is_list:
            each = value if isinstance(value, list) else [value]
            return [self._read_text(_text(self.name, one)) for one in each]
        many = isinstance(value, list)
        text = ",".join(_text(self.name, one) for one in value) if many else _text(self.name, value)
        return self._check(self._read_text(text))

    def _read_control(self, value: Any) -> float:
        control = self.control
        assert control
        if isinstance(value, list | dict):
            raise UsageError(f"{self.name} {shown(value)}: {control.accepted}")
        return control_of(value, control)

    def _read_text(self, text: str) -> Any:
        kind = user_path if self.action.type is Path else self.action.type  # as in `rtsep.cli.main.Parser`
        try:
            value = kind(text) if callable(kind) else text
        except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
            raise UsageError(f"{self.name} {error}") from None
        choices = self.action.choices
        if choices is not None and value not in choices:
            near = suggest(text, map(str, choices))
            raise UsageError(f"{self.name} '{text}': must be one of {', '.join(map(str, choices))}{near}")
        return value

    def _check(self, value: Any) -> Any:
        if self.dest in _CHECKS:
            try:
                _CHECKS[self.dest](value)
            except UsageError as error:
                raise UsageError(str(error).removeprefix("--")) from None
        if self.dest in LiveOptions.__dataclass_fields__:
            try:
                LiveOptions(**{self.dest: value})
            except OptionError as error:
                raise UsageError(f"{self.name}{error.rest}") from None
        return value

    def of_words(self, words: Sequence[str]) -> Any:
        """Convert command-line words to the TOML value; raise `UsageError` for bad ones."""
        if self.is_list:
            return list(words)
        text = ",".join(words)
        if self.control:
            return tomlkit.parse(f"x = {control_text(self.control.parse(text), self.control)}")["x"]
        if self.is_switch:
            if text.lower() not in ("true", "false", "on", "off"):
                raise UsageError(f"{self.name} '{text}': must be true or false")
            return text.lower() in ("true", "on")
        value = self.read(text)
        if isinstance(value, tuple):
            return list(value)
        return value if isinstance(value, int | float) else text

    def as_text(self, value: Any) -> str:
        """Return a value as a user would type it."""
        if value is None or (self.is_list and not value):
            return "-"
        if self.control:
            return self.control.shown(float(value))
        if isinstance(value, bool):
            return str(value).lower()
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{name} {shown(value)}: not a value of this option; see 'rtsep live --help'")
    return str(value)


def options_of(parser: argparse.ArgumentParser) -> dict[str, ConfigOption]:
    """Return every option of a parser by its name in the file."""
    found: dict[str, ConfigOption] = {}
    taken: set[str] = {"help"}
    for action in parser._actions:
        if action.option_strings and action.dest not in taken:
            taken.add(action.dest)
            name = action.option_strings[0].removeprefix("--").replace("-", "_")
            found[name] = ConfigOption(name, action)
    return found


def find_option(options: Mapping[str, ConfigOption], name: str) -> ConfigOption:
    """Return an option by its name or flag; raise `UsageError` with the nearest names."""
    plain = name.removeprefix("--").replace("-", "_")
    plain = OLD_NAMES.get(plain, plain)
    if plain not in options:
        raise UsageError(
            f"'{name}' is not an option of 'rtsep live'{suggest(plain, options)}; 'rtsep config' lists them"
        )
    return options[plain]


def names_of(name: str) -> list[str]:
    """Return the name of an option, then those that it had before."""
    return [name, *(old for old, new in OLD_NAMES.items() if new == name)]


class Config:
    """The values of `rtsep.toml` by name; empty without a file."""

    def __init__(self, options: Mapping[str, ConfigOption], path: Path | None = None) -> None:
        """Read the file; raise `UsageError` with the line of a wrong name or value."""
        self.path = path or config_file()
        self.values: dict[str, Any] = {}
        self._keys: dict[str, str] = {}  # as the file writes them
        self._file = TomlFile(_text_of(self.path), self.path)
        for key, value in self._file.tables.items():
            try:
                option = find_option(options, key)
                if option.name != OLD_NAMES.get(key, key):
                    raise UsageError(f"'{key}' must be written {option.name} in this file")
                if option.name in self.values:
                    both = " and ".join(names_of(option.name))
                    raise UsageError(f"{both} are the same option: keep {option.name}")
                self.values[option.name] = option.read(value)
                self._keys[option.name] = key
            except UsageError as error:
                raise self._file.error(str(error), key) from None

    def place(self, name: str) -> str:
        """Return file and line of a value."""
        return f"{self.path}, line {self._file.line(self._keys[name])}"


def _text_of(path: Path) -> str:
    try:
        return read_text(path, WHAT)
    except FileNotFoundError:
        return ""


def write_option(options: Mapping[str, ConfigOption], name: str, words: Sequence[str]) -> Path:
    """Write one value to the file and return its path; comments and other values stay.

    Raise `UsageError` for a bad name, value or file, `OutputError` if the file cannot be written.
    """
    option = find_option(options, name)
    value = option.of_words(words)
    option.read(value.unwrap() if hasattr(value, "unwrap") else value)
    document = _document()
    for name in names_of(option.name)[1:]:
        document.pop(name, None)
    document[option.name] = value
    return _write(document)


def remove_option(options: Mapping[str, ConfigOption], name: str) -> bool:
    """Remove a value from the file, even one with a wrong name; return whether it was there.

    Raise `UsageError` for a name that neither `live` nor the file has, and for a file that is not TOML.
    """
    document = _document()
    names = [name] if name in document else names_of(find_option(options, name).name)
    there = [name for name in names if name in document]
    if not there:
        return False
    for name in there:
        del document[name]
    _write(document)
    return True


def _document() -> tomlkit.TOMLDocument:
    path = config_file()
    text = _text_of(path)
    TomlFile(text, path)  # reports the errors of a file that is not TOML
    try:
        return tomlkit.parse(text or _HEADER)
    except (TOMLKitError, RecursionError) as error:
        raise UsageError(f"{path}: {error}") from None


def _write(document: tomlkit.TOMLDocument) -> Path:
    path = config_file()
    write_whole(path, document.as_string(), WHAT)
    return path
