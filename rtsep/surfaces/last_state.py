"""The last state: the values of all controls, stored during a session so that `--resume` can restore them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rtsep import folders
from rtsep.controls import Controls
from rtsep.errors import NoThreadError, RtsepError
from rtsep.realtime import threads
from rtsep.surfaces.presets import Preset, parse_preset
from rtsep.surfaces.toml import read_text, write_whole

EVERY_S = 1.0
"""Minimum interval of writes in seconds; a crash loses no more than that."""

BY = "last state"
"""Source of a change by `--resume`."""


def state_file(session: str = folders.DEFAULT_SESSION) -> Path:
    """Return the path of the last state of the session of this name."""
    return folders.state_of(session, "last")


def load_last_state(path: Path | None = None) -> Preset:
    """Return the last state. Raise `FileNotFoundError` if it is missing, `UsageError` if it is damaged."""
    path = path or state_file()
    return parse_preset(read_text(path, "last state"), path)


def resume(
    controls: Controls,
    notify: Callable[[str], None],
    path: Path | None = None,
    session: str = folders.DEFAULT_SESSION,
) -> None:
    """Restore the controls of the last session of this name, or those in `path`.

    If that fails, report it with `notify` and change nothing.
    """
    try:
        load_last_state(path or state_file(session)).recall(controls, BY)
    except FileNotFoundError:
        name = "" if session == folders.DEFAULT_SESSION else f" '{session}'"
        notify(f"nothing to resume: no session{name} has played here yet")
    except RtsepError as error:
        notify(f"cannot resume, starting with the defaults: {error}")


class StateKeeper:
    """Stores the controls from `start` to `close`. Also a context manager."""

    def __init__(
        self,
        controls: Controls,
        notify: Callable[[str], None],
        path: Path | None = None,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """`notify` receives one line if writing fails; the session continues. `also` is called as often."""
        self._controls, self._notify, self._path, self._also = controls, notify, path or state_file(), also
        self._written: dict[str, float] | None = None
        self._refused = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="last-state", daemon=True)

    def start(self) -> None:
        """Begin to store; without a thread for it, store at the end alone, after a line."""
        try:
            threads.start(self._thread)
        except NoThreadError as error:
            self._notify(f"the controls are stored at the end alone: {error}")

    def close(self) -> None:
        """Store the last changes, and end.

        A session without a name of its own may share its file: the one that ends last replaces it.
        """
        self._stop()
        self._written = None
        self._write()

    def __enter__(self) -> StateKeeper:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._written is not None:
            self.close()
        else:  # a very short session: the previous state is worth more
            self._stop()

    def _stop(self) -> None:
        self._leaving.set()
        if self._thread.ident:
            self._thread.join()

    def _keep(self) -> None:
        while not self._leaving.wait(EVERY_S):
            self._write()

    def _write(self) -> None:
        self._also()
        values = self._controls.chosen()
        if values == self._written or self._refused:
            return
        try:
            write_whole(self._path, Preset("last", values).text(), "last state")
            self._written = values
        except RtsepError as error:
            self._refused = True
            self._notify(f"{error}; --resume cannot restore this session and its devices")
