"""Child processes of rtsep: started in any folder, with the user's environment."""

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

_HOME = str(Path(__file__).resolve().parents[2])  # parent of the folder `rtsep`


def interpreter() -> str:
    """Return the path of the Python that runs this program, "" if it is not found.

    If Python is embedded or frozen, `sys.executable` is another program: starting it would start the whole
    program again, which would start another, and so on.
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
    """Raise `ModelProcessError` for a command of `command_of` if no Python was found."""
    if not command[0]:
        raise ModelProcessError(
            f"the model needs its own process, and no Python was found to run it (sys.executable is "
            f"'{sys.executable}'); set sys.executable to a Python of this version before rtsep is imported"
        )


def command_of(module: str) -> list[str]:
    """Return the command that runs `main` of one of rtsep's modules; append the arguments to it.

    With `python -m`, a `json.py` or `queue.py` of the user would replace the real module, because it searches
    the current folder first. -P leaves that folder out; `rtsep` is found by its path.
    """
    python = interpreter()
    places = [_HOME]
    if python != sys.executable:  # it may lack paths of the program that embeds Python
        places += [path for path in sys.path if Path(path).is_absolute()]
    program = (
        f"import sys; sys.path += {places!r}; from rtsep.standard_streams import complete; complete(); "
        f"from rtsep.unexpected import main_of; sys.exit(main_of({module!r}))"
    )
    return [python, "-P", "-c", program]


def end_with_parent() -> None:
    """Make Linux kill this process when its parent thread ends, even if this process is stopped.

    On other systems it does nothing: there the process ends when its standard input closes.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


_changing = threading.Lock()
_users: dict[str, str | None] = {}  # the environment before `for_libraries`


@contextlib.contextmanager
def for_libraries(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that a library in this process reads. Do not nest.

    A child process started meanwhile inherits them, unless it gets `environment()`.
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
    """Return the environment of the user, for a child process."""
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
