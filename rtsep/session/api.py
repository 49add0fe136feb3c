"""A live session from Python: plays on a thread of its own while your program turns its controls.

with rtsep.Session("demo", out="vocals") as session:
    session.controls.threshold = 0.4
    session.wait()
"""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rtsep.controls import Controls
from rtsep.errors import UsageError
from rtsep.files.audiofile import make_folder
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.realtime.foreign_calls import aloud
from rtsep.session.options import LiveOptions
from rtsep.session.run_loop import LiveSession

_log = logging.getLogger("rtsep")

_LOOK_EVERY_S = 0.02


def _say(line: str) -> None:
    with aloud():
        _log.warning(line)


class Session:
    """One live session, begun by `with` (or `start`) and over when its input is, or the `with` is left.

    Several may play at once, each with an engine and a model process of its own. Lines for the user (a
    device that went away, say) go to `logging.getLogger("rtsep")`.
    """

    def __init__(
        self,
        input: str | Path = "mic",
        out: str | None = None,
        *,
        model: str | Path = DEFAULT_MODEL,
        controls: Controls | None = None,
        device: str = "cpu",
        out_device: str | None = None,
        in_channels: Sequence[int] | None = None,
        out_channels: Sequence[int] | None = None,
        rate: int | None = None,
        block: int | None = None,
        slack: int | None = None,
        record: str | Path | None = None,
        subtype: str = "PCM_24",
        seconds: float | None = None,
        client_name: str = "rtsep",
        connect: bool = True,
        reconnect: bool = True,
    ) -> None:
        """Take what is to be played; nothing is opened yet. Raises `UsageError` for what makes no sense.

        The arguments are the options of `rtsep live`: `input` is "mic", "demo", a device's name or a file,
        `out` "vocals", "instrumental", "mix" or "both" (None: both where the device has the channels),
        `out_device` a name, or "virtual" for none. Channels count from 1, `rate` is in Hz, `block` and
        `slack` are in frames, `record` is a folder. `device` is where the model runs, "cpu" or "cuda".
        """
        self.controls = controls if controls is not None else Controls()
        self._model = str(model)
        self._options = LiveOptions(
            input=str(input),
            out=out,
            out_device=out_device,
            in_channels=_channels(in_channels),
            out_channels=_channels(out_channels),
            rate=rate,
            block=block,
            slack=slack,
            client_name=client_name,
            connect=connect,
            reconnect=reconnect,
            record=Path(record) if record is not None else None,
            subtype=subtype,
            seconds=seconds,
            device=device,
        )
        self._live: LiveSession | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._closed = False

    # --- life ------------------------------------------------------------------------------------------

    def start(self) -> Session:
        """Open everything and play; returns once it plays. Raises `RtsepError` where it cannot.

        The first start on a machine compiles for half a minute. A session plays once: make another one to
        play again.
        """
        if self._live or self._closed:
            raise UsageError("a session plays once; make another one")
        package = read_package(find_model(self._model))
        if self._options.record:
            make_folder(self._options.record)
        self._live = live = LiveSession(package, self._options, self.controls, _say)
        try:
            for note in live.ends.notes:
                _say(note)
            atexit.register(self._finish)
            live.start_model()
            _log.info("%s, model %s; %s", live.ends.name, package.spec.name, live.engine.latency.line())
            self._thread = threading.Thread(
                target=self._play, args=(live,), name="rtsep-session", daemon=True
            )
            self._thread.start()
            while live.state == "starting" and self._thread.is_alive():
                time.sleep(_LOOK_EVERY_S)
            self._raise_failure()
        except BaseException:
            self._finish()
            raise
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until playing is over, at most `timeout` seconds; return whether it is.

        Raises what ended it before its time: a `DeviceError`, for example.
        """
        self._running()
        assert self._thread
        until = math.inf if timeout is None else time.monotonic() + timeout
        while self._thread.is_alive() and (left := until - time.monotonic()) > 0:
            self._thread.join(min(left, 0.1))  # in pieces: on Windows, a Ctrl-C is heard between them only
        self._raise_failure()
        return not self._thread.is_alive()

    def end(self) -> None:
        """Ask the session to end; returns at once."""
        self._running().end()

    def close(self) -> None:
        """End the session, give everything back, and raise what ended it before its time (once)."""
        self._finish()
        self._raise_failure()

    def __enter__(self) -> Session:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        if value is None:
            self._raise_failure()
        elif self._failure:
            value.add_note(f"(the session had ended, too: {self._failure})")
            self._failure = None

    # --- while it plays ----------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Return what `rtsep live --json` prints: state, counters, latency, levels, the model's state."""
        return self._running().stats()

    @property
    def latency(self) -> int:
        """Frames from input to output, at `rate`; `stats()["latency_ms"]` has its parts in ms."""
        return self._running().engine.latency.total

    @property
    def rate(self) -> int:
        """Sample rate of the input, Hz."""
        return self._running().engine.form.rate

    def start_recording(self, folder: str | Path) -> None:
        """Record mix, vocals and instrumental to `folder`, from the next hop on; a further take beside it.

        Raises `OutputError` where nothing can be written, `UsageError` while it records already.
        """
        self._running().start_recording(Path(folder))

    def stop_recording(self) -> dict[str, Path] | None:
        """End the take; return its files by stem, None where nothing was recorded."""
        return self._running().stop_recording()

    def switch_model(self, model: str | Path) -> None:
        """Play with another model, by name or path, without a gap: returns once it is heard, after seconds.

        It is loaded and hears along while the one before plays on, then comes in over a cross-fade; `latency`
        may be another one from then on. A recording goes on in another take. Raises `ModelError`,
        `ModelProcessError` or `UsageError` for a model that does not load or is too slow here, and
        `DeviceError` where playing stops meanwhile; the one before plays on.
        """
        self._running().switch_model(read_package(find_model(str(model))))

    def switch_device(self, *, input: str | Path | None = None, out_device: str | None = None) -> None:
        """Hear or play through something else, named as at the start; returns once that plays.

        What plays fades out, what comes fades in; between them it is silent for as long as devices take to
        open. A played file goes on where it was, a recording in another take; `rate` and `latency` may be
        other ones from then on. Raises `DeviceError`, `InputFileError` or `UsageError` for what cannot be
        opened; what was there before plays on.
        """
        self._running().switch_device(input=None if input is None else str(input), out_device=out_device)

    @property
    def recordings(self) -> list[dict[str, Path]]:
        """The files of the finished takes, by stem."""
        return self._running().recordings

    # --- within --------------------------------------------------------------------------------------------

    def _running(self) -> LiveSession:
        if self._live is None:
            raise UsageError(
                "the session has not begun; write 'with rtsep.Session(...) as session:', or start() it"
            )
        return self._live

    def _play(self, live: LiveSession) -> None:
        try:
            live.run()
        except BaseException as error:  # for whoever waits
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure:
            raise failure

    def _finish(self) -> None:
        if self._live is None or self._closed:
            return
        self._closed = True
        atexit.unregister(self._finish)
        self._live.end()
        if self._thread:
            self._thread.join()
        self._live.close()


def _channels(given: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if given is None else tuple(given)
