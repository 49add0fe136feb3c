"""Changes of a session to a desktop's sound server: the players that it captures, and its virtual microphone.

Both are undone when the session ends. `undo_left` does this for sessions that were killed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from rtsep.audio import devices, pipewire_sink, pulse_players, pulse_virtual
from rtsep.audio.pipewire_sink import PipeWireSink
from rtsep.audio.pulse_players import PlayerRouter, Undo
from rtsep.audio.pulse_server import Changes, connected
from rtsep.errors import DeviceError, RtsepError
from rtsep.realtime import threads
from rtsep.realtime.foreign_calls import finish_within
from rtsep.session.held import Held
from rtsep.session.options import LiveOptions

CALL_PATIENCE_S = 8.0
"""Time limit for a few calls to the server, in seconds; a slower server is taken to hang."""

LOOK_AGAIN_S = 1.0
VOICE_RATE = 48000
"""Rate of the virtual microphone in Hz; programs for calls use it."""

_CLIENT = "rtsep-players"
_CALLS = "changes in PulseAudio"


class Part(Protocol):
    """Change of a session on the server."""

    key: tuple[str, str | None]  # parts with the same key do the same

    def open(self) -> list[str]:
        """Create the missing devices on the server; return lines for the user. Raise `RtsepError`."""

    def begin(self, options: LiveOptions) -> None:
        """Activate the part: the session plays."""

    def tend(self, latency_s: float) -> list[str]:
        """Return new lines for the user. `latency_s` is the latency from input to output in seconds."""

    def close(self) -> None:
        """Undo the change."""


def _on_server(work: Callable[[Any], Any]) -> Any:
    """Return `work(pulse)`; raise its errors, and `DeviceError` if the server is gone or hangs."""
    found: list[Any] = []

    def act() -> None:
        try:
            with connected(_CLIENT) as pulse:
                found.append(work(pulse))
        except RtsepError as error:
            found.append(error)
        except Exception as error:
            found.append(
                DeviceError(
                    f"the sound server refused the connection ({error}); check that it is still running"
                )
            )

    hung = DeviceError("the sound server does not answer; restart it")
    finish_within(CALL_PATIENCE_S, act, hung, _CALLS)
    if isinstance(found[0], RtsepError):
        raise found[0]
    return found[0]


class PlayersTaken:
    """Routes all playback, or one program, through the virtual sink. Closed once."""

    def __init__(self, app: str | None) -> None:
        self.key: tuple[str, str | None] = (pulse_virtual.PLAYERS, app)
        self._held, self._undo = Held(pulse_virtual.PLAYERS), Undo()
        self._diversion = PlayerRouter(app, self._undo, lambda undo: self._held.keep(vars(undo)))
        self._lines: list[str] = []
        self._follows = True
        self._sink: PipeWireSink | None = None
        self._leaving = threading.Event()
        self._changes: Changes | None = None
        self._thread = threading.Thread(target=self._run, name="players", daemon=True)
        if not self._held.take():
            raise self._held.refusal("captures playback")

    @property
    def real(self) -> str:
        """Return the server's name of the default sink before rtsep; valid after `open`."""
        return self._diversion.real

    def open(self) -> list[str]:
        """Create the virtual sink; return lines for the user. Raise `RtsepError`."""
        self._held.keep(vars(self._undo))
        begin = self._begin_sink if pipewire_sink.is_possible() else None
        lines: list[str] = _on_server(lambda pulse: self._diversion.prepare(pulse, begin))
        return lines

    def _begin_sink(self, name: str, title: str, properties: dict[str, str]) -> bool:
        if self._sink:
            self._sink.close()
        try:
            self._sink = PipeWireSink(name, title, properties)
        except OSError:
            self._sink = None
        return self._sink is not None

    def begin(self, options: LiveOptions) -> None:
        """Move players to the virtual sink from now on."""
        self._follows = not options.names_output and not options.as_microphone
        if self._thread.ident is None:
            threads.start(self._thread)

    def tend(self, latency_s: float) -> list[str]:
        """Report the latency to players; return new lines for the user."""
        if self._sink:
            self._sink.report_latency(latency_s)
        lines, self._lines = self._lines, []
        return lines

    def close(self) -> None:
        """Move the players back. If the server is gone, the next start does the rest."""
        self._leaving.set()
        with contextlib.suppress(Exception):  # the server may stop at this moment
            if changes := self._changes:
                changes.wake()
        if self._thread.ident is not None:
            self._thread.join(CALL_PATIENCE_S)
        with contextlib.suppress(DeviceError):
            _on_server(lambda pulse: pulse_players.give_back(pulse, self._undo))
            self._held.clear()
        if self._sink:
            self._sink.close()
        self._held.release()

    def _run(self) -> None:
        while not self._leaving.is_set():
            try:
                with connected(_CLIENT) as pulse:
                    self._changes = Changes(pulse)
                    while not self._leaving.is_set():
                        self._lines += self._diversion.advance(pulse, self._follows)
                        self._changes.wait(self._diversion.due_s or LOOK_AGAIN_S)
            except RtsepError as error:
                self._lines.append(str(error))
                return
            except Exception:  # the server is gone: the session waits for it, too
                self._leaving.wait(LOOK_AGAIN_S)
            finally:
                self._changes = None


class VirtualMicrophone:
    """Source that other programs can choose as their microphone. Closed once."""

    def __init__(self) -> None:
        self.key: tuple[str, str | None] = (pulse_virtual.VOICE, None)
        self._held = Held(pulse_virtual.VOICE)
        if not self._held.take():
            raise self._held.refusal("provides the virtual microphone")

    def open(self) -> list[str]:
        """Create the microphone. Raise `RtsepError`."""
        self._held.keep({})
        _on_server(lambda pulse: pulse_virtual.load_microphone(pulse, VOICE_RATE))
        return [f"the microphone is called '{pulse_virtual.VOICE_TITLE}' in other programs"]

    def begin(self, options: LiveOptions) -> None:
        """Do nothing: the microphone already exists."""

    def tend(self, latency_s: float) -> list[str]:
        """Return no lines."""
        return []

    def close(self) -> None:
        """Remove the microphone."""
        with contextlib.suppress(DeviceError):
            _on_server(lambda pulse: pulse_virtual.unload(pulse, pulse_virtual.VOICE))
            self._held.clear()
        self._held.release()


def undo_left() -> list[str]:
    """Undo changes that killed sessions left on the server; return lines for the user.

    Raise `DeviceError` if there is something to undo and no server answers, `OutputError` without a state
    folder.
    """
    lines = []
    for role, what in (
        (pulse_virtual.PLAYERS, "the players are back on their outputs"),
        (pulse_virtual.VOICE, "its virtual microphone was removed"),
    ):
        held = Held(role)
        if not held.is_left or not held.take():
            continue
        try:
            if _on_server(partial(_undo, role, held.left)):
                lines.append(f"an earlier session was killed: {what}")
            held.clear()
        finally:
            held.release()
    return lines


def _undo(role: str, left: Any, pulse: Any) -> bool:
    if role != pulse_virtual.PLAYERS:
        return pulse_virtual.unload(pulse, role)
    try:
        undo = Undo.of_json(left)
    except (AttributeError, ValueError):
        undo = Undo()  # the file is damaged: remove the sink without it
    return pulse_players.give_back(pulse, undo)


def parts_wanted(options: LiveOptions, given: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts that `options` need; reuse those in `given` that are the same.

    None if no PulseAudio server answers: other systems have other ways. Raise `RtsepError`.
    """
    if not (options.takes_players or options.as_microphone) or devices.look_at_pulse().pulse is None:
        return ()
    wanted: list[tuple[tuple[str, str | None], Callable[[], Part]]] = []
    if options.takes_players:
        app = options.app
        wanted.append(((pulse_virtual.PLAYERS, app), lambda: PlayersTaken(app)))
    if options.as_microphone:
        wanted.append(((pulse_virtual.VOICE, None), VirtualMicrophone))
    parts: list[Part] = []
    try:
        for key, make in wanted:
            parts.append(next((part for part in given if part.key == key), None) or make())
    except BaseException:
        close_parts(tuple(parts), given)
        raise
    return tuple(parts)


def close_parts(parts: tuple[Part, ...], kept: tuple[Part, ...] = ()) -> None:
    """Undo `parts` except those in `kept`."""
    for part in parts:
        if part not in kept:
            part.close()
