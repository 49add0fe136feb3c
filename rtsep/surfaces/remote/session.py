"""A session of another program, with the interface of `rtsep.Session`.

with rtsep.attach() as session:
    session.controls.threshold = 0.4
    print(session.stats()["late_masks"])

"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from rtsep.audio.splices import FilePosition
from rtsep.controls import BY_NAME, Controls
from rtsep.errors import RtsepError, SessionError, UsageError
from rtsep.files.names import is_there, user_path
from rtsep.realtime import threads
from rtsep.realtime.waiting import wait_for
from rtsep.session.states import SessionState
from rtsep.surfaces.players.player import Choice
from rtsep.surfaces.remote.link import PATIENCE_S, Link, error_of
from rtsep.surfaces.remote.messages import (
    FASTEST_HZ,
    AnyAnswer,
    Choices,
    Done,
    End,
    Get,
    Lines,
    ListDevices,
    ListModels,
    ListPresets,
    LoadPreset,
    Loop,
    Pause,
    Picture,
    Record,
    Refused,
    Request,
    SavePreset,
    Seek,
    Set,
    State,
    StopRecording,
    Stretch,
    Subscribe,
    SwitchDevice,
    SwitchModel,
)

RATE_HZ = 10.0

A = TypeVar("A", bound=AnyAnswer)


class RemoteControls(Controls):
    """Controls of a remote session, as last received; setting one also sets it there."""

    _send: Callable[[str, float, str], Future[Done]]
    _unanswered: Counter[str]

    def __init__(self, send: Callable[[str, float, str], Future[Done]]) -> None:
        """`send` sends one value with the source of the change."""
        object.__setattr__(self, "_send", send)
        object.__setattr__(self, "_unanswered", Counter())
        super().__init__()

    def set(self, name: str, value: float, by: str = "API") -> None:
        """Set a control, here and there. Raise `UsageError`; `SessionError` if the session has ended."""
        super().set(name, value, by)
        self._unanswered[name] += 1
        try:
            outcome = self._send(name, float(getattr(self, name)), by)
        except BaseException:
            self._unanswered[name] -= 1
            raise
        outcome.add_done_callback(lambda _: self._unanswered.subtract([name]))

    def follow(self, state: State) -> None:
        """Take the values of `state`, except those that were set here and are not confirmed yet."""
        for name, value in state.controls.items():
            if name in BY_NAME and self._unanswered[name] <= 0:
                super().set(name, value.value, value.by)
                if not value.by:
                    self.movers.pop(name, None)


class RemoteSession:
    """Session of another program, with the methods of `rtsep.Session`.

    Leaving the `with`, or `close`, detaches: the session continues. If it has ended, methods raise
    `SessionError`.
    """

    def __init__(
        self,
        name: str | None = None,
        rate: float = RATE_HZ,
        picture: bool = False,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Attach to the session `name` (None: the only one).

        `controls` follow the session `rate` times per second (0 to 60); with `picture` it also sends its
        spectrum. `on_line` receives the session's lines for the user, on another thread. Raise `SessionError`
        if there is none, or several, and `UsageError` for another rate.
        """
        if not 0.0 <= rate <= FASTEST_HZ:  # also refuses NaN
            raise UsageError(f"rate {rate:g}: out of range; 0 to {FASTEST_HZ:g} Hz")
        self._link = Link(name)
        self._over = threading.Event()
        self._closed = False
        self._failure: RtsepError | None = None  # reason why no more data comes
        self._sending = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self.controls = RemoteControls(self._send_control)
        self.pictures: deque[Picture] = deque(maxlen=4)  # not yet read
        self._on_line = on_line
        self._thread = threading.Thread(target=self._receive, name="remote-session", daemon=True)
        try:
            self._take(self._link.ask(Get(id=self._link.new_id()), State))
            threads.start(self._thread)
        except BaseException:
            self._link.close()
            raise
        try:
            self._request(Subscribe(id=self._new_id(), rate=rate, picture=picture), Done, None)
        except BaseException:
            self.close()
            raise

    # --- life ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Return the name of the session."""
        return self._link.name

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the session ends, at most `timeout` seconds; return whether it has ended.

        Raise `SessionError` if it disappeared without an end.
        """
        over = self.is_over(timeout)
        if over and self.state != SessionState.ENDED and not self._closed:
            raise self._gone()
        return over

    def is_over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session has ended or was detached, after at most `timeout` seconds."""
        return wait_for(self._over, timeout)

    def end(self) -> None:
        """Request the end of the session."""
        self._request(End(id=self._new_id()), Done)

    def close(self) -> None:
        """Detach from the session, which continues."""
        self._closed = True
        self._link.shut()
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE_S)
        self._link.close()

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- readings --------------------------------------------------------------------------------------

    @property
    def latest(self) -> State:
        """Return the last received state of the session."""
        return self._latest

    def read(self) -> State:
        """Request the current state of the session."""
        return self._request(Get(id=self._new_id()), State)

    def stats(self) -> dict[str, Any]:
        """Request the figures of `rtsep live --json`: state, counters, latency, levels, the model's state."""
        return self.read().stats

    @property
    def place(self) -> FilePosition | None:
        """Return the position in the played file; None if the input is a device."""
        file = self.stats()["file"]
        return FilePosition.from_json(file) if file else None

    @property
    def state(self) -> SessionState:
        """Return the state, which is also in `stats()["state"]`."""
        return SessionState(self._latest.state)

    @property
    def latency(self) -> int:
        """Return the frames from input to output, at `rate`."""
        return int(self.read().stats["latency_samples"])

    @property
    def rate(self) -> int:
        """Return the sample rate of the input in Hz."""
        return int(self.read().stats["rate"])

    @property
    def recording(self) -> dict[str, Any] | None:
        """Return the state of the recording, as in `stats()["recording"]`; None: there is none."""
        found: dict[str, Any] | None = self.read().stats["recording"]
        return found

    @property
    def recordings(self) -> list[dict[str, Path]]:
        """Return the files of the finished takes, by stem."""
        return [{stem: Path(path) for stem, path in take.items()} for take in self.read().recordings]

    # --- requests --------------------------------------------------------------------------------------

    def start_recording(self, folder: str | Path | None = None) -> str:
        """Record to `folder` (None: the session's folder of takes); return it."""
        where = None if folder is None else str(user_path(folder).absolute())
        return self._request(Record(id=self._new_id(), folder=where), Done).words

    def stop_recording(self) -> str:
        """End the take; return its files as text. Wait for the disk."""
        return self._request(StopRecording(id=self._new_id()), Done, None).words

    def switch_model(self, model: str | Path) -> None:
        """Switch to another model, given by name or path; return when it is active."""
        path = Path(model)
        name = str(path.absolute()) if path.suffix and is_there(path) else str(model)
        self._request(SwitchModel(id=self._new_id(), name=name), Done, None)

    def switch_device(
        self, *, input: str | Path | None = None, out_device: str | None = None, loop: bool = False
    ) -> None:
        """Switch to another input or output, named as at the start; return when it plays.

        `loop`: repeat the new input if it is a file.
        """
        if input is not None and is_there(Path(input)):
            input = Path(input).absolute()
        where = None if input is None else str(input)
        request = SwitchDevice(id=self._new_id(), input=where, output=out_device, loop=loop)
        self._request(request, Done, None)

    def pause(self) -> None:
        """Pause the played file."""
        self._request(Pause(id=self._new_id()), Done)

    def resume(self) -> None:
        """Continue after `pause`."""
        self._request(Pause(id=self._new_id(), on=False), Done)

    def seek(self, seconds: float) -> None:
        """Continue at `seconds` of the played file."""
        self._request(Seek(id=self._new_id(), seconds=seconds), Done)

    def skip(self, seconds: float) -> None:
        """Move by `seconds` in the played file (negative: back), at most to one of its ends."""
        self._request(Seek(id=self._new_id(), seconds=seconds, relative=True), Done)

    def loop(self, start: float = 0.0, end: float | None = None) -> None:
        """Repeat the file from `start` to `end`, in s."""
        self._request(Loop(id=self._new_id(), start=start, end=end), Done)

    def stop_loop(self) -> None:
        """End the loop: play on to the end of the file."""
        self._request(Loop(id=self._new_id(), on=False), Done)

    def stretch(self, speed: float | None = None, key: float | None = None) -> None:
        """Play the file at another speed (a factor), in another key (semitones), or both; None: as before."""
        self._request(Stretch(id=self._new_id(), speed=speed, key=key), Done)

    def load_preset(self, name: str) -> None:
        """Set the controls to the values of a preset."""
        self._request(LoadPreset(id=self._new_id(), name=name), Done, None)

    def save_preset(self, name: str) -> None:
        """Save the controls as a preset, replacing an existing one."""
        self._request(SavePreset(id=self._new_id(), name=name), Done, None)

    def devices(self) -> list[Choice]:
        """Return the inputs and outputs."""
        return as_list(self.choices(ListDevices))

    def models(self) -> list[Choice]:
        """Return the models."""
        return as_list(self.choices(ListModels))

    def presets(self) -> list[Choice]:
        """Return the presets."""
        return as_list(self.choices(ListPresets))

    def choices(self, kind: type[ListDevices | ListModels | ListPresets]) -> Choices:
        """Return the answer to a request of this kind, with its remark."""
        return self._request(kind(id=self._new_id()), Choices, None)

    # --- internal --------------------------------------------------------------------------------------

    def _new_id(self) -> int:
        return self._link.new_id()

    def _gone(self) -> RtsepError:
        if self._failure and not self._closed and self._latest.state != SessionState.ENDED:
            return self._failure
        what = "was detached" if self._closed else "has disappeared"
        if self._latest.state == SessionState.ENDED:
            what = "has ended"
        return SessionError(f"session '{self.name}' {what}")

    def _post(self, request: Request) -> Future[Any]:
        future: Future[Any] = Future()
        with self._sending:
            if self._over.is_set():
                raise self._gone()
            self._waiting[request.id] = future
            try:
                self._link.send(request)
            except BaseException:
                self._waiting.pop(request.id, None)
                raise
        return future

    def _send_control(self, name: str, value: float, by: str) -> Future[Done]:
        return self._post(Set(id=self._new_id(), controls={name: value}, by=by[:16] or "API"))

    def _request(self, request: Request, kind: type[A], patience_s: float | None = PATIENCE_S) -> A:
        try:
            answer = self._post(request).result(patience_s)
        except TimeoutError:
            raise SessionError(f"session '{self.name}' does not answer; try again in a moment") from None
        if not isinstance(answer, kind):
            raise UsageError(
                f"session '{self.name}' sent an unknown answer; use the same version of rtsep for both"
            )
        return answer

    def _receive(self) -> None:
        """Handle received messages until the connection ends."""
        try:
            while True:
                self._take(self._link.receive())
        except RtsepError as error:
            self._failure = error
        finally:
            with self._sending:
                self._over.set()
                waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                future.set_exception(self._gone())

    def _take(self, message: AnyAnswer) -> None:
        match message:
            case State():
                self._latest = message
                self.controls.follow(message)
                if message.state == SessionState.ENDED:
                    self._over.set()
            case Picture():
                self.pictures.append(message)
            case Lines():
                for line in message.lines:
                    self._on_line(line)
        future = self._waiting.pop(getattr(message, "id", 0), None)
        if isinstance(message, Refused) and future:
            future.set_exception(error_of(message))
        elif future:
            future.set_result(message)


def as_list(choices: Choices) -> list[Choice]:
    """Return the entries of a received list."""
    return [
        Choice(name=each.name, note=each.note, current=each.current, kind=each.kind)
        for each in choices.choices
    ]


def attach(name: str | None = None, rate: float = RATE_HZ) -> RemoteSession:
    """Attach to a session of this user in another program; the result is a context manager.

    `name` is that of `rtsep live --session` (None: the only one); its `controls` are updated `rate` times per
    second. Raise `SessionError` if there is none, or several and no name.
    """
    return RemoteSession(name, rate)
