"""Settings written by hand: small TOML files, checked strictly, written atomically.

An error has file, line and remedy: `/home/me/.config/rtsep/midi.toml, line 4: threshold 1.5: out of range`.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtsep import folders
from rtsep.controls import Control
from rtsep.errors import OutputError, UsageError, suggest

MAX_SHOWN = 60

MAX_BYTES = 1 << 16
"""Maximum bytes of a file of settings; a map needs about 100 for a knob."""

MAX_LINE = 5000
"""Maximum characters of a line: a path may have 4096."""

MAX_DOTS = 256
"""Maximum dots in a line. The time and memory of a key with parts (`a.b.c`) grow with their square."""

TableKey = tuple[str, int]
"""Table of a file: its name, and its index among tables of that name, from 0."""


class TomlFile:
    """Parsed text of one file; it finds the line of an error."""

    def __init__(self, text: str, path: Path) -> None:
        """Parse `text`; `path` is for errors. Raise `UsageError` if it is not TOML, or a line is too long."""
        self.path = path
        self._lines = text.split("\n")  # the only line end, as in tomllib
        for number, each in enumerate(self._lines, 1):
            if len(each) > MAX_LINE or each.count(".") > MAX_DOTS:
                given = f"{len(each)} characters with {each.count('.')} dots"
                raise UsageError(
                    f"{path}, line {number}: {given}; a line has at most {MAX_LINE} characters and "
                    f"{MAX_DOTS} dots; shorten it"
                )
        try:
            self.tables: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
            reason = found[1] if found else str(error)
            line = (found and found[2]) or text.rstrip().count("\n") + 1
            raise UsageError(f"{path}, line {line}: not valid TOML: {_in_words(reason)}") from None
        except (ValueError, RecursionError):
            raise UsageError(
                f"{path}, line 1: a number of thousands of digits, or as many brackets"
            ) from None

    def error(self, what: str, key: str = "", table_key: TableKey | None = None) -> UsageError:
        """Return an error about `key`, at the top of the file or in the table `table_key`."""
        what = what.replace("\n", "\\n")  # from a string in the file; an error is one line
        return UsageError(f"{self.path}, line {self.line(key, table_key)}: {what}")

    def line(self, key: str, table_key: TableKey | None = None) -> int:
        """Return the line (from 1) of `key`, in the table `table_key`."""
        start = 0
        if table_key:
            name, number = table_key
            header = re.compile(rf"\s*+(?:\[\[?\s*+{_pattern(name)}\s*+\]|{_pattern(name)}\s*+[.=])")
            headers = [n for n, line in enumerate(self._lines) if header.match(line)]
            start = headers[min(number, len(headers) - 1)] if headers else 0
        # Possessive (*+): a failed match gives nothing back, so that its time grows only with the line.
        pattern = re.compile(rf"(?:^[\s\[]*+|[.{{,]\s*+){_pattern(key)}\s*+[].=]") if key else None
        for number, line in enumerate(self._lines[start:], start + 1):
            if pattern and pattern.search(line.partition("#")[0]):
                return number
            if table_key and number > start + 1 and line.lstrip().startswith("["):
                break
        return start + 1

    # --- values ----------------------------------------------------------------------------------------

    def whole(
        self, value: Any, key: str, low: int, high: int, table_key: TableKey | None = None, more: str = ""
    ) -> int:
        """Return `value` of `key` if it is a whole number from low to high; `more` describes alternatives."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(
                f"{key} {shown(value)}: must be a whole number from {low} to {high}{more}", key, table_key
            )
        return value

    def switch(self, value: Any, key: str, table_key: TableKey | None = None) -> bool:
        """Return `value` of `key` if it is true or false."""
        if not isinstance(value, bool):
            raise self.error(f"{key} {shown(value)}: must be true or false", key, table_key)
        return value

    def control_value(self, value: Any, control: Control) -> float:
        """Return the result of `control_of`, with the line in its errors."""
        try:
            return control_of(value, control)
        except UsageError as error:
            raise self.error(str(error), control.name) from None


def control_of(value: Any, control: Control) -> float:
    """Return a value of `control` as a user types it: 0.4, true, "binary", "-6 dB", -inf.

    Raise `UsageError` with the accepted values.
    """
    if isinstance(value, str):
        return control.parse(value)
    if isinstance(value, bool) and control.unit == "switch":
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or control.choices:
        raise UsageError(f"{control.name} {shown(value)}: {control.accepted}")
    return control.check(plain(value))


def read_text(path: Path, what: str) -> str:
    """Return the text of `path`, which is a `what`; raise `FileNotFoundError`, else `UsageError`.

    A FIFO and a device are refused, because their reading may never end; the null device is an empty file.
    """
    try:
        if path.exists() and not (path.is_dir() or path.is_file() or path.samefile(os.devnull)):
            raise UsageError(f"{path}: cannot read the {what}: not a file; remove it, or write a file there")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(
                f"{path}: cannot read the {what}: more than {MAX_BYTES >> 10} kB; remove it, or write it "
                "again"
            )
        # some editors on Windows write a byte-order mark
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # the folder is unknown, or HOME is a device, as in services
        raise FileNotFoundError(*error.args) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UsageError(f"{path}: cannot read the {what}: {reason}") from None


def write_whole(path: Path, text: str, what: str) -> None:
    """Replace the file `path` by `text`, atomically; raise `OutputError`.

    A link stays a link: its target is written.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(
            f"{path}: the {what} cannot have a name that is not UTF-8; rename it first"
        ) from None
    temporary = None
    try:
        there = Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for a link to itself
        if there.exists() and not there.is_file():  # the null device, which root could replace by a file
            raise OutputError(f"{path}: not a file, so the {what} cannot be written; name another file")
        there.parent.mkdir(parents=True, exist_ok=True)
        # A unique name: if two programs write at once, the last one wins with a complete file.
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=there.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(there, temporary)
        Path(temporary).replace(there)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the {what}: {folders.reason(path, error)}") from None
    finally:
        if temporary:
            with suppress(OSError):  # gone, if all went well
                Path(temporary).unlink()


def control_text(value: float, control: Control) -> str:
    """Return a value of `control` in TOML, in the shortest form that gives the same number."""
    if control.choices:
        return f'"{control.choices[int(value)]}"'
    if control.unit == "switch":
        return "true" if value else "false"
    if control.unit == "dB" and value <= control.minimum:
        return "-inf"
    short = f"{value:g}"
    return short if float(short) == value and math.isfinite(value) else repr(value)


def known(words: Iterable[str]) -> str:
    """Return `; accepted: a, b`."""
    return f"; accepted: {', '.join(words)}"


def near(given: Any, words: Iterable[str]) -> str:
    """Return `; did you mean 'a'?` if `given` is similar to one of `words`, else ""."""
    return suggest(given, words) if isinstance(given, str) else ""


def shown(value: Any) -> str:
    """Return a value approximately as written in the file; a long one is cut."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def plain(number: float) -> float:
    """Return a TOML number as a float; a whole number may exceed the range of floats."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _in_words(reason: str) -> str:
    """Return tomllib's message without Python terms."""
    if twice := re.fullmatch(r"Cannot declare \((.*)\) twice", reason):
        name = ".".join(re.findall(r"'([^']*)'", twice[1]))
        return f"[{name}] occurs twice; several tables of one name are written [[{name}]]"
    return reason[0].lower() + reason[1:]


def _pattern(name: str) -> str:
    """Return a pattern for a bare or quoted key."""
    return rf"[\"']?{re.escape(name)}[\"']?"
