"""Carries out requests to a session by its public commands, independent of the transport of the messages."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtsep.controls import BY_NAME, Control
from rtsep.errors import RtsepError, UsageError, suggest
from rtsep.files.names import user_path
from rtsep.session.api import Session
from rtsep.session.options import VIRTUAL
from rtsep.surfaces.players.session_player import SessionPlayer
from rtsep.surfaces.presets import Presets
from rtsep.surfaces.remote.messages import (
    VERSION,
    Advise,
    AnyAnswer,
    Choice,
    Choices,
    Done,
    End,
    Get,
    Learn,
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
    SwitchDevice,
    SwitchModel,
    Value,
)
from rtsep.surfaces.toml import control_of

Teach = Callable[[Control], str]

QUICK = (Get, Set, End)
"""Requests that are answered at once; the others may take seconds."""


class RequestHandler:
    """Answers requests to one session; any thread may ask."""

    def __init__(
        self, session: Session, name: str, presets: Presets | None = None, learn: Teach | None = None
    ) -> None:
        """`session` is open; `name` is its name for clients.

        `learn` assigns the next moved knob to a control, and returns that as text.
        """
        self._teach = learn
        self.session, self.name = session, name
        self._presets = presets or Presets()
        self._player = SessionPlayer(session, self._presets)

    def answer(self, request: Request) -> AnyAnswer:
        """Carry out the request and return the answer. Raise nothing."""
        try:
            if request.version != VERSION:
                raise UsageError(f"version {request.version}: this session speaks version {VERSION}")
            return self._answer(request)
        except RtsepError as error:
            return Refused(request.id, str(error), error.exit_code)
        except Exception as error:  # the session continues after any error
            return Refused(request.id, f"{type(error).__name__}: {error}", RtsepError.exit_code)

    def state(self, id: int = 0) -> State:
        """Return the current state of the session."""
        session = self.session
        now, controls = session.now, session.controls
        io = now.route.io
        engine = now.hosted.engine
        values = {}
        for name, control in BY_NAME.items():
            value = float(getattr(controls, name))
            values[name] = Value(value, control.shown(value), controls.moved_by(name))
        return State(
            session=self.name,
            state=str(now.state),
            title=now.title,
            ends=io.name,
            input=_name_of(io.input, io.source.path if io.source else None),
            output=_name_of(io.output),
            model=now.hosted.package.spec.name,
            controls=values,
            recordings=[
                {stem: str(path.absolute()) for stem, path in take.items()}
                for take in now.recordings.finished
            ],
            hop_budget_us=1e6 * engine.spec.hop / engine.model_rate,
            stats=_finite(now.stats()),
            id=id,
        )

    def pictures(self) -> Pictures:
        """Return a source of pictures of the session for one reader; compiles the first time."""
        pictures = Pictures(SessionPlayer(self.session, self._presets))
        pictures.next()
        return pictures

    def _answer(self, request: Request) -> AnyAnswer:
        player, words = self._player, ""
        match request:
            case Get():
                return self.state(request.id)
            case Set():
                self._set(request)
            case SwitchModel():
                player.switch_model(request.name)
            case SwitchDevice():
                self.session.switch_device(input=request.input, out_device=request.output, loop=request.loop)
            case Record():
                words = player.start_recording(None if request.folder is None else user_path(request.folder))
            case StopRecording():
                words = player.stop_recording()
            case Pause():
                (self.session.pause if request.on else self.session.resume)()
            case Seek():
                (self.session.skip if request.relative else self.session.seek)(request.seconds)
            case Loop() if request.on:
                self.session.loop(request.start, request.end)
            case Loop():
                self.session.stop_loop()
            case Stretch():
                self.session.stretch(request.speed, request.key)
            case LoadPreset():
                player.recall_preset(request.name)
            case SavePreset():
                player.save_preset(request.name, request.replace)
            case ListPresets():
                return _choices(request.id, player.presets(), player.presets_remark())
            case ListModels():
                return _choices(request.id, player.models())
            case ListDevices():
                return _choices(request.id, player.devices(), player.devices_remark())
            case Advise():
                words = "\n".join(self.session.now.advice())
            case Learn():
                words = self._learn(request.control)
            case End():
                player.end()
            case _:
                raise UsageError(f"{type(request).__name__.lower()}: not to be asked here")
        return Done(request.id, words)

    def _set(self, request: Set) -> None:
        values = {}
        for name, value in request.controls.items():
            control = _control(name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            values[name] = control.check(float(value)) if is_number else control_of(value, control)
        if not request.by.isprintable():
            raise UsageError(f"by {request.by!r}: printable characters")
        for name, value in values.items():
            self.session.controls.set(name, value, request.by)

    def _learn(self, name: str) -> str:
        if self._teach is None:
            raise UsageError("this session plays without controllers; start it with --midi")
        return self._teach(_control(name))


class Pictures:
    """Pictures of the audio since the previous one."""

    def __init__(self, player: SessionPlayer) -> None:
        self._player = player

    def next(self) -> Picture:
        """Return the picture since the last call."""
        spectrum = self._player.newest()
        histogram = self._player.hop_histogram()
        filled = histogram.nonzero()[0].tolist()
        return Picture(
            level_db=[] if spectrum is None else [round(level, 1) for level in spectrum.level_db.tolist()],
            share=[] if spectrum is None else [round(share, 3) for share in spectrum.share.tolist()],
            hops=spectrum.hops if spectrum else 0,
            histogram=list(zip(filled, histogram[filled].tolist(), strict=True)),
        )


def _control(name: str) -> Control:
    control = BY_NAME.get(name)
    if control is None:
        raise UsageError(
            f"unknown control '{name}'{suggest(name, BY_NAME)}; the controls are {', '.join(BY_NAME)}"
        )
    return control


def _choices(id: int, found: list[Any], remark: str = "") -> Choices:
    return Choices(
        id,
        [Choice(name=each.name, note=each.note, current=each.current, kind=each.kind) for each in found],
        remark,
    )


def _name_of(device: Any, file: Path | None = None) -> str:
    if file is not None:
        return str(file.absolute())  # its readers may have other working folders
    return str(device.name) if device else VIRTUAL


def _finite(value: Any) -> Any:
    """Return a value of `stats` for strict JSON: NaN and infinities become None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
