"""File names as users give them: `~`, bytes that are not UTF-8, names that are invalid for a folder."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata
from pathlib import Path

from rtsep import folders
from rtsep.errors import UsageError

STDIN = Path("/dev/stdin")
"""Standard input as a path, on every system; `-` on a command line means it."""

_HANDLER = "rtsep-names"
_ESCAPED_BYTES = frozenset(map(chr, range(0xDC80, 0xDD00)))  # Python's form of bytes that are not UTF-8


_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Characters without width that change the direction of text, and so what a line seems to say."""


def user_path(text: str | Path) -> Path:
    """Return the path that a user means: a leading `~` is the home folder.

    A shell expands it only at the beginning of a word, so not in `--output=~/stems`. If the home folder is
    unknown, the path does not change. Raise `UsageError` for text that is no path on any system.
    """
    if not str(text):  # an unset variable of a script: it would be the current folder
        raise UsageError("an empty path; give a file or a folder, '.' for the current one")
    path = Path(text)
    try:
        usable = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise UsageError(
            f"{one_line(repr(str(text)[:60]))}: not a name of a file or folder; choose another one"
        )
    try:
        return path.expanduser()
    except RuntimeError:  # "~nobody/x": an ordinary folder with an unusual name, as in a shell
        return path


def input_path(text: str) -> Path:
    """Return the path of an input as given on a command line: `-` is standard input, `./-` is a file."""
    return STDIN if text == "-" else user_path(text)


def handles_of(path: Path) -> tuple[int, ...]:
    """Return the open file of this process that a path like /dev/fd/3 names, which programs must inherit.

    Empty for other paths, and for standard input, which they inherit anyway.
    """
    is_ours = path.parts[:3] == ("/", "dev", "fd") or path.parts[:4] == ("/", "proc", "self", "fd")
    return (int(path.name),) if is_ours and path.name.isdecimal() else ()


def settled(path: Path) -> Path:
    """Return the absolute path of a file, the same for all ways to its folder: without `..` and links.

    A link to the file itself keeps its name. A regular file behind an open one of this process, such as
    standard input, is that file; other paths like /dev/fd/3 stay.
    """
    if path == STDIN or handles_of(path):
        real = Path(os.path.realpath(path))
        with contextlib.suppress(OSError):
            if path.is_file() and real.samefile(path):  # a deleted file has no name
                return real
        return path
    return Path(os.path.realpath(path.parent)) / path.name


def folder_name(path: Path) -> str:
    """Return the name of the folder for the stems of `path`: its name without the suffix.

    It is always the name of a subfolder, never "." or "..": "...wav" keeps its whole name.
    """
    name = path.stem
    if sys.platform == "win32":  # Windows removes dots and spaces at the end of a name
        name = name.rstrip(" .")
    return name if name.strip(".") else path.name


def printable(text: str | Path) -> str:
    r"""Return `text` for pages and tables in UTF-8; a byte that is not UTF-8 is written like \xe9."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    r"""Return `text` with its control characters written like \n and \x1b; wide spaces and emoji stay."""
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) or c in _ESCAPED_BYTES else repr(c)[1:-1] for c in text)


def _is_shown(c: str) -> bool:
    if c.isprintable():
        return True
    kind = unicodedata.category(c)
    return kind == "Zs" or (kind == "Cf" and c not in _DIRECTIONS)


def print_any_name() -> None:
    """Let standard output and error accept every file name, as the bytes of the file system.

    Otherwise Python refuses to print them, and one such name would end a batch. Other characters that the
    output's encoding lacks are written as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or replaced by a program
            stream.reconfigure(errors=_HANDLER)  # type: ignore[union-attr]


def _take_name(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode or decode like file names. A stream of a host program may be a file that it reads back."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(_HANDLER, _take_name)


def is_there(path: Path) -> bool:
    """Return whether `path` exists and is not a folder: a file, a pipe, a device."""
    return folders.is_reachable(path) and not folders.is_reachable_folder(path)
