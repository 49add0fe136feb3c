"""Device swaps, requested by a command or caused by a lost device."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from rtsep.audio import devices
from rtsep.audio.devices import Device
from rtsep.errors import DeviceError, NoThreadError, RtsepError
from rtsep.files.names import STDIN, input_path
from rtsep.limits import loop_error
from rtsep.realtime.foreign_calls import within
from rtsep.session.commands import SwitchDevices
from rtsep.session.endpoints import NotBackError
from rtsep.session.helpers import abandon
from rtsep.session.jobs import Steps, Wait
from rtsep.session.named_devices import Kept
from rtsep.session.playback import output_latency_s
from rtsep.session.route import Route
from rtsep.session.states import SessionState

if TYPE_CHECKING:
    from rtsep.session.helpers import Helpers
    from rtsep.session.live import Live

LOOK_PATIENCE_S = 5.0
"""Time limit for a sound system to list its devices, in seconds; a slower one is taken to hang."""

_SEARCHES = "searches for a lost device"

FIND_PATIENCE_S, PIPE_PATIENCE_S = 900.0, 120.0
"""Time limits of a switch in seconds: for devices and files, longer than those of ffmpeg together, which may
decode a long file once; and for a pipe, which may have no end."""

LOOK_AGAIN_S = 0.5
"""Interval between searches for a lost device, in seconds."""


class LostDevices:
    """Waits for lost devices and plays on them when they are back."""

    def __init__(self, live: Live, helpers: Helpers) -> None:
        self._live, self._helpers = live, helpers
        self._reported: set[str] = set()  # reasons reported since it last played
        self._look_at = 0.0  # monotonic time
        self._look: Future[Route | str] | None = None

    @property
    def looking(self) -> bool:
        """Return whether a search of the sound systems is running."""
        return self._look is not None

    def wait_for(self, reason: str) -> None:
        """Wait from now on, because of `reason`. Raise `DeviceError` if waiting is turned off."""
        if not self._live.options.reconnect:
            raise DeviceError(f"{reason}; the session ends (--no-reconnect)")
        self._miss(reason)
        self._live.move_to(SessionState.WAITING)
        self._look_at = time.monotonic() + LOOK_AGAIN_S

    def found(self) -> None:
        """Record that the session plays again, on any devices."""
        self._reported.clear()

    def advance(self) -> None:
        """Search if it is time, and play if the devices are back. Raise `DeviceError` if it may not wait."""
        if self._look is None:
            if time.monotonic() >= self._look_at:
                self._look = self._helpers.run("device-finder", self._find)
            return
        if not self._look.done():
            return
        look, self._look = self._look, None
        self._look_at = time.monotonic() + LOOK_AGAIN_S
        try:
            found = look.result()
        except NoThreadError as error:  # some may end
            found = str(error)
        if isinstance(found, str):
            if found:
                self._miss(found)
            return
        before = self._live.route.io.name
        self._live.take_up(found)
        try:
            self._live.play()
        except (DeviceError, NoThreadError) as error:
            self.wait_for(str(error))
        else:
            self.found()
            name = found.io.name  # of another sink, if the default one was requested
            self._live.notify(
                f"{name} is back; playback continues" if name == before else f"playback continues on {name}"
            )

    def _miss(self, reason: str) -> None:
        if reason not in self._reported:  # a device can be found repeatedly and still fail to open
            self._reported.add(reason)
            self._live.notify(f"{reason}; waiting for it to come back (Ctrl-C ends)")

    def _find(self) -> Route | str:
        """Return the route if all devices are back and usable, else the reason; "" if not back yet."""
        found: list[Route | Exception] = []
        live = self._live

        def look() -> None:
            try:
                found.append(Route.find(live.options, live.route, lost=True))
            except Exception as error:
                found.append(error)

        ended = within(LOOK_PATIENCE_S, look, _SEARCHES)
        if ended is None:
            raise NoThreadError
        if not ended:
            return "the sound system does not answer; restart it if that lasts"
        (outcome,) = found
        if isinstance(outcome, Route):
            return outcome
        if isinstance(outcome, OSError):  # for example, out of file handles: some may become free
            return outcome.strerror or str(outcome)
        if not isinstance(outcome, RtsepError):
            raise outcome
        return "" if isinstance(outcome, NotBackError) else str(outcome)


def switch_devices(live: Live, command: SwitchDevices, lost: LostDevices, helpers: Helpers) -> Steps:
    """Switch to the devices of `command`; the steps end when they play.

    A side that it does not name keeps its current device; only if that is gone, its option is resolved again.
    Raise `DeviceError`, `InputFileError` or `UsageError` for impossible requests and for devices that do not
    open; then the session plays as before.
    """
    changed: dict[str, Any] = {}
    if command.input is not None:
        changed |= {"input": command.input, "in_channels": None, "track": None, "speed": 1.0, "key": 0.0}
    if command.out_device is not None:
        changed |= {"out_device": command.out_device, "out_channels": None, "as_microphone": False}
    options = dataclasses.replace(live.options, **changed)
    before = None if command.input is not None else live.route
    parts, io = live.route.parts, live.route.io
    kept = Kept(
        input=io.input if command.input is None else None,
        output=io.output if command.out_device is None else None,
        known=io.known,
    )
    finding = helpers.run("device-finder", lambda: Route.find(options, before, parts=parts, kept=kept))
    patience = PIPE_PATIENCE_S if command.input and _is_pipe(command.input) else FIND_PATIENCE_S
    late = time.monotonic() + patience
    try:
        yield Wait(lambda: finding.done() or time.monotonic() > late)
        if not finding.done():
            raise DeviceError(
                f"{command.input or command.out_device}: not opened within {patience:.0f} s; "
                "playback continues as before"
            )
    except BaseException:
        abandon(finding, lambda route: route.close(goes_on=live.route))
        raise
    route = finding.result()
    new_file = route.source if command.input is not None else None
    if command.loop and new_file and not loop_error(0.0, None, new_file.place(0).length):
        new_file.set_loop((0.0, None))  # a file that is too short for a loop plays once
    try:
        if live.playback:
            mixer = live.playback.mixer
            mixer.fade_out()
            yield Wait(lambda: mixer.faded_out, playing=True)
            silent_at = time.monotonic() + output_latency_s(live.route.io.format)
            yield Wait(lambda: time.monotonic() >= silent_at, playing=True)
    except BaseException:
        route.close(goes_on=live.route)
        raise
    _move(live, route, lost)


def _is_pipe(text: str) -> bool:
    path = input_path(text)
    with contextlib.suppress(OSError):
        return path == STDIN or path.is_fifo()
    return False


def _move(live: Live, route: Route, lost: LostDevices) -> None:
    """Switch to the devices of `route`; raise `DeviceError` if they do not open, and play as before."""
    before = live.route
    if live.playback:
        live.stop_playing()
    try:
        live.take_up(route)
        live.play()
    except RtsepError as error:
        route.close(goes_on=before)
        live.take_up(before)
        refusal = DeviceError(f"{error}; playback continues as before: {before.io.name}")
        try:
            live.play()
        except (DeviceError, NoThreadError) as gone:
            lost.wait_for(str(gone))
            raise refusal from None
        lost.found()
        raise refusal from None
    lost.found()
    before.close(goes_on=route)
    for note in route.io.notes:
        live.notify(note)
    live.notify(f"{route.io.name}; {live.engine.latency.line()}")


def list_devices(live: Live, helpers: Helpers) -> Steps:
    """Return the current devices; while PortAudio plays, its devices as they were at the start.

    Raise `DeviceError` if they cannot be listed.
    """
    look = live.state is SessionState.PLAYING  # else the session searches by itself

    def find() -> list[Device]:
        return list((devices.look() if look else devices.known()).devices)

    finding = helpers.run("device-finder", find)
    yield Wait(finding.done)
    return finding.result()
