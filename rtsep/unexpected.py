"""Unforeseen exceptions: one line for the user, and a file with the details.

The command line and every child process run inside `guarded` and watch their threads. A program that imports
rtsep keeps its own handling: an import installs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
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
from rtsep.errors import REMEDIES, UNEXPECTED, NoThreadError, in_a_line, without_controls
from rtsep.realtime import threads
from rtsep.realtime.foreign_calls import aloud

SHOW = "RTSEP_TRACEBACK"
"""Environment variable that also prints the details, if it is neither empty nor 0."""

KEPT = 10
"""Number of detail files kept; older ones are deleted."""

_MAX_TEXT = 300  # characters of the exception's own text in the line

_REPAIR = "install rtsep again: python -m pip install --force-reinstall rtsep"

_AGAIN_S = 0.02

_PREFIX, _SUFFIX = "error-", ".txt"

# Class and place of the reported exceptions: a callback may repeat one.
_known: set[tuple[str, str, int]] = set()


def guarded(main: Callable[[], int | None], where: str = "") -> int:
    """Return the result of `main` (None: 0); report an exception and return `UNEXPECTED`.

    `where` names the process in the message. `SystemExit` and `KeyboardInterrupt` pass through.
    """
    try:
        return main() or 0
    except Exception as error:
        report(error, where)
        return UNEXPECTED


def main_of(module: str) -> int:
    """Run `main` of one of rtsep's modules as a separate process would; return the exit code."""

    def run() -> int | None:
        use_cache()
        found: int | None = import_module(module).main()
        return found

    watch(module)
    return guarded(run, module)


def report(error: BaseException, where: str = "") -> None:
    """Print one line about `error` on standard error, once for each place; write the details to a file."""
    raised_at = _raised_at(error)
    if raised_at in _known:
        return
    _known.add(raised_at)
    details = _details(error)
    if os.environ.get(SHOW, "0") not in ("", "0"):
        _print(details)
    path = _kept(details)
    rest = f"the details are in {path}" if path else f"{SHOW}=1 prints the details"
    message = without_controls(in_a_line(error)[:_MAX_TEXT])
    if isinstance(error, ImportError):
        message += f"; {_REPAIR}"
    elif isinstance(error, OSError) and error.errno in REMEDIES:
        message += f"; {REMEDIES[error.errno]}"
    _print(f"rtsep: unexpected error{f' in {where}' if where else ''}: {message}; {rest}\n")


def watch(where: str = "") -> None:
    """Report exceptions of threads, and exceptions that Python cannot raise, in the same way from now on.

    `where` names the process in the message. Ctrl-C and other ends of the main thread that a library has
    swallowed in a callback, as LLVM does while it compiles, are raised again.
    """

    def of_thread(given: threading.ExceptHookArgs) -> None:
        if given.exc_value is not None and given.exc_type is not SystemExit:
            name = f"thread '{given.thread.name}'" if given.thread else "a thread"
            report(given.exc_value, f"{name} of {where}" if where else name)

    def unraisable(given: sys.UnraisableHookArgs) -> None:
        if isinstance(given.exc_value, KeyboardInterrupt | SystemExit):
            _raise_again(given.exc_value)
        elif given.exc_value is not None:
            report(given.exc_value, where)

    threading.excepthook = of_thread
    sys.unraisablehook = unraisable


def _raise_again(end: BaseException) -> None:
    """Raise `end` in the main thread a moment later; still inside the callback, it comes here again."""
    main, kind = threading.main_thread(), type(end)
    if threading.current_thread() is not main:
        return
    if isinstance(end, SystemExit):  # only a class can be raised there, and the exit code must come along
        code = end.code
        kind = type("SystemExit", (SystemExit,), {"__init__": lambda self: SystemExit.__init__(self, code)})

    def act() -> None:
        time.sleep(_AGAIN_S)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main.ident or 0), ctypes.py_object(kind))

    with contextlib.suppress(NoThreadError):
        threads.start(threading.Thread(target=act, name="end-again", daemon=True))


def _print(text: str) -> None:
    """Print to the descriptor: during a view, `sys.stderr` belongs to Textual and its text is lost."""
    with contextlib.suppress(OSError), aloud():
        os.write(2, text.encode("utf-8", "backslashreplace"))


def _raised_at(error: BaseException) -> tuple[str, str, int]:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return type(error).__name__, "", 0
    return type(error).__name__, last.tb_frame.f_code.co_filename, last.tb_lineno


def _details(error: BaseException) -> str:
    """Return the traceback, preceded by the other data that a bug report needs."""
    lines = [f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}, process {os.getpid()}", f"words: {sys.argv}"]
    with contextlib.suppress(Exception):  # an error in the report must not hide the original one
        import platform
        from importlib.metadata import version

        lines.append(f"rtsep {version('rtsep')}, Python {platform.python_version()}, {platform.platform()}")
    return "\n".join([*lines, "", *(part.rstrip() for part in traceback.format_exception(error)), ""])


def _kept(details: str) -> Path | None:
    """Write the details to a file; return its path, None if no file can be written."""
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
    except ImportError:  # possibly the very exception to report
        pass
    else:
        yield usual
    if own := folders.own_temporary("errors"):
        yield own
