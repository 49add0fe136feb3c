"""The last state: where all controls stood, kept while it plays, so that `--resume` goes on from there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rtsep import folders
from rtsep.controls import Controls
from rtsep.errors import RtsepError
from rtsep.surfaces.presets import Preset, parse_preset
from rtsep.surfaces.toml import read_text, write_whole

EVERY_S = 1.0
"""How often it is written at most; a crash loses no more than that."""

BY = "last state"
"""Who has moved a control that was resumed."""


def state_file() -> Path:
    """Where the last state lies."""
    return folders.state() / "last.toml"


def load_last_state(path: Path | None = None) -> Preset:
    """Return the last state. Raises `FileNotFoundError` where there is none, `UsageError` if it is broken."""
    path = path or state_file()
    return parse_preset(read_text(path, "last state"), path)


def resume(controls: Controls, say: Callable[[str], None], path: Path | None = None) -> None:
    """Set the controls as the last session left them; where that cannot be, `say` why and leave them."""
    try:
        load_last_state(path).recall(controls, BY)
    except FileNotFoundError:
        say("nothing to resume: no session has played here yet")
    except RtsepError as error:
        say(f"cannot resume, starting afresh: {error}")


class StateKeeper:
    """Writes where the controls stand, from `start` to `close`. Use as a context manager, or by hand."""

    def __init__(
        self,
        controls: Controls,
        say: Callable[[str], None],
        path: Path | None = None,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """`say` gets a line if it cannot be written, once; the session goes on. `also` is called as often."""
        self._controls, self._say, self._path, self._also = controls, say, path or state_file(), also
        self._written: dict[str, float] | None = None
        self._refused = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="last-state", daemon=True)

    def start(self) -> None:
        """Begin to keep."""
        self._thread.start()

    def close(self) -> None:
        """Write what has changed since, and end."""
        self._leaving.set()
        self._thread.join()
        self._write()

    def __enter__(self) -> StateKeeper:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._written is not None:
            self.close()
        else:  # it has hardly played: what was before is worth more
            self._leaving.set()
            self._thread.join()

    def _keep(self) -> None:
        while not self._leaving.wait(EVERY_S):
            self._write()

    def _write(self) -> None:
        self._also()
        values = self._controls.snapshot()
        if values == self._written or self._refused:
            return
        try:
            write_whole(self._path, Preset("last", values).text(), "last state")
            self._written = values
        except RtsepError as error:
            self._refused = True
            self._say(f"{error}; --resume will not know this session and its devices")
