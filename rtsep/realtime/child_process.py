"""Processes of our own: how they are started in any folder, with the environment that the user has set."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

_HOME = str(Path(__file__).resolve().parents[2])  # where the folder `rtsep` lies


def command_of(module: str) -> list[str]:
    """Command that runs `main` of a module of ours; arguments follow, the exit code is what it returns.

    With `python -m` a `json.py` or `queue.py` of the user's would take the place of the real one: it looks
    into the present folder first. -P does not look there at all; `rtsep` is found by its place.
    """
    program = (
        f"import sys; sys.path.append({_HOME!r}); from rtsep.compiled import use_cache; use_cache(); "
        f"from {module} import main; sys.exit(main())"
    )
    return [sys.executable, "-P", "-c", program]


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
