"""Processes of our own: how they are started in any folder, with the environment that the user has set."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path

from rtsep.errors import ModelProcessError

_HOME = str(Path(__file__).resolve().parents[2])  # where the folder `rtsep` lies


def interpreter() -> str:
    """Return the path of the Python that runs this program, "" where none is found.

    `sys.executable` is another program where Python is embedded or frozen: to start that would begin the
    program once more, which would start another, and so on.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folders = [Path(prefix, "bin") for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix)]
    names = (f"python{version}", "python3", "python")
    if sys.platform == "win32":
        folders, names = (
            [Path(sys.prefix, "Scripts"), Path(sys.prefix), Path(sys.base_prefix)],
            ("python.exe",),
        )
    if not getattr(sys, "frozen", False) and _is_python(sys.executable):
        return sys.executable
    here = (folder / name for folder in folders for name in names)
    return next((str(path) for path in here if path.is_file() and os.access(path, os.X_OK)), "")


def _is_python(executable: str | None) -> bool:
    if not executable:
        return False
    path = Path(executable)
    return re.match(r"(python|pypy)", path.name, re.IGNORECASE) is not None and path.is_file()


def require_python(command: Sequence[str]) -> None:
    """Raise `ModelProcessError` for a command of `command_of` where no Python was found."""
    if not command[0]:
        raise ModelProcessError(
            f"the model needs a process of its own, and no Python is here to run it (sys.executable is "
            f"'{sys.executable}'); set sys.executable to a Python of this version before rtsep is imported"
        )


def command_of(module: str) -> list[str]:
    """Command that runs `main` of a module of ours; arguments follow, the exit code is what it returns.

    With `python -m` a `json.py` or `queue.py` of the user's would take the place of the real one: it looks
    into the present folder first. -P does not look there at all; `rtsep` is found by its place.
    """
    python = interpreter()
    places = [_HOME]
    if python != sys.executable:  # it may know less than the program that Python is embedded in
        places += [path for path in sys.path if Path(path).is_absolute()]
    program = (
        f"import sys; sys.path += {places!r}; from rtsep.standard_streams import complete; complete(); "
        f"from rtsep.unexpected import main_of; sys.exit(main_of({module!r}))"
    )
    return [python, "-P", "-c", program]


def end_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends, even if this process is stopped.

    Elsewhere it does nothing: there a process ends when its standard input does.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


_changing = threading.Lock()
_users: dict[str, str | None] = {}  # what stood in the environment before `for_libraries`


@contextlib.contextmanager
def for_libraries(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment for a library in this process that reads them. Not to be nested.

    A child process that starts meanwhile inherits them, but for one that is given `environment()`.
    """
    with _changing:
        _users.update({name: os.environ.get(name) for name in values})
        os.environ.update(values)
    try:
        yield
    finally:
        with _changing:
            _restore(os.environ)
            _users.clear()


def environment() -> dict[str, str]:
    """Return the environment for a child process, as the user has set it."""
    with _changing:
        here = dict(os.environ)
        _restore(here)
    return here


def _restore(variables: MutableMapping[str, str]) -> None:
    for name, value in _users.items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
