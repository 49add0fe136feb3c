"""An exception that nobody has foreseen: one line for the user, and a file with the details.

The command line and every process of ours end by `guarded`, and have their threads watched. A program that
imports rtsep keeps its own ways: an import installs nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from rtsep import folders
from rtsep.compiled import use_cache
from rtsep.errors import UNEXPECTED, in_a_line
from rtsep.realtime.foreign_calls import aloud

SHOW = "RTSEP_TRACEBACK"
"""The environment variable that has the details printed as well, if it is neither empty nor 0."""

KEPT = 10
"""Files of details that stay; older ones make room."""

_LONGEST = 300  # characters of an exception's own words in the line

_REPAIR = "install it again: python -m pip install --force-reinstall rtsep"

_PREFIX, _SUFFIX = "error-", ".txt"

# Class and place of those that were told: a callback may repeat one.
_known: set[tuple[str, str, int]] = set()


def guarded(main: Callable[[], int | None], where: str = "") -> int:
    """Return what `main` returns (None: 0); an exception is told, and the code is `UNEXPECTED`.

    `where` names the process in the line. `SystemExit` and `KeyboardInterrupt` pass.
    """
    try:
        return main() or 0
    except Exception as error:
        tell(error, where)
        return UNEXPECTED


def main_of(module: str) -> int:
    """Run `main` of a module of ours, as a process of its own does; return the exit code."""

    def run() -> int | None:
        use_cache()
        found: int | None = import_module(module).main()
        return found

    watch(module)
    return guarded(run, module)


def tell(error: BaseException, where: str = "") -> None:
    """Print one line about `error` on standard error, once for each place; the details go to a file."""
    place = _place(error)
    if place in _known:
        return
    _known.add(place)
    details = _details(error)
    if os.environ.get(SHOW, "0") not in ("", "0"):
        _print(details)
    path = _kept(details)
    rest = f"the details are in {path}" if path else f"{SHOW}=1 prints the details"
    said = "".join(c if c.isprintable() else "?" for c in in_a_line(error)[:_LONGEST])
    if isinstance(error, ImportError):
        said += f"; {_REPAIR}"
    _print(f"rtsep: unexpected error{f' in {where}' if where else ''}: {said}; {rest}\n")


def watch(where: str = "") -> None:
    """Have exceptions of threads, and those that Python can raise nowhere, told likewise, from now on.

    `where` names the process in the line.
    """

    def of_thread(given: threading.ExceptHookArgs) -> None:
        if given.exc_value is not None and given.exc_type is not SystemExit:
            name = f"thread '{given.thread.name}'" if given.thread else "a thread"
            tell(given.exc_value, f"{name} of {where}" if where else name)

    def unraisable(given: sys.UnraisableHookArgs) -> None:
        if given.exc_value is not None:
            tell(given.exc_value, where)

    threading.excepthook = of_thread
    sys.unraisablehook = unraisable


def _print(text: str) -> None:
    """Print to the descriptor: `sys.stderr` is Textual's while there is a view, and what it gets is lost."""
    with contextlib.suppress(OSError), aloud():
        os.write(2, text.encode("utf-8", "backslashreplace"))


def _place(error: BaseException) -> tuple[str, str, int]:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return type(error).__name__, "", 0
    return type(error).__name__, last.tb_frame.f_code.co_filename, last.tb_lineno


def _details(error: BaseException) -> str:
    """Return the traceback, under what else a report of a defect needs."""
    lines = [f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}, process {os.getpid()}", f"words: {sys.argv}"]
    with contextlib.suppress(Exception):  # a defect in a report hides the other one
        import platform
        from importlib.metadata import version

        lines.append(f"rtsep {version('rtsep')}, Python {platform.python_version()}, {platform.platform()}")
    return "\n".join([*lines, "", *(part.rstrip() for part in traceback.format_exception(error)), ""])


def _kept(details: str) -> Path | None:
    """Write the details to a file of this user's; return its path, None where none can be written."""
    name = f"{_PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{len(_known)}{_SUFFIX}"
    for folder in _folders():
        path = folder / name
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(details.encode("utf-8", "backslashreplace"))
            for old in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"))[:-KEPT]:
                old.unlink(missing_ok=True)
            return path
    return None


def _folders() -> Iterator[Path]:
    try:
        usual = folders.state() / "errors"
    except ImportError:  # which may be what is told
        pass
    else:
        yield usual
    if own := folders.own_temporary("errors"):
        yield own
