"""A live session, composed: input, model, engine, output, recorder; what to do when one goes or changes."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from rtsep.audio import devices
from rtsep.audio.backend import Cables, ClientOptions
from rtsep.audio.desk import Desk
from rtsep.audio.devices import Device
from rtsep.audio.engine import Engine, Format
from rtsep.audio.streams import Streams, compile_streams
from rtsep.controls import Controls
from rtsep.errors import DeviceError, OutputError, RtsepError, UsageError
from rtsep.model.package import ModelPackage
from rtsep.realtime import priority
from rtsep.realtime.foreign_calls import within
from rtsep.session.counters import Tally
from rtsep.session.endpoints import Ends, NotBackError
from rtsep.session.hosted_model import HostedModel, ModelHost
from rtsep.session.model_swap import bring_in
from rtsep.session.options import LiveOptions
from rtsep.session.recorder import RecordingState, Takes, Tape
from rtsep.session.route import Setting
from rtsep.session.stages import LOOK_EVERY_S, Stages
from rtsep.session.watchdog import Watch

WATCH_EVERY_S = 0.02

LOOK_PATIENCE_S = 5.0
"""A sound system that takes longer to list its devices has hung."""

LOOK_AGAIN_S = 0.5
"""How often a lost device is looked for."""

SWITCH_PATIENCE_S = 10.0
"""On devices that play, no step of a switch takes so long."""


_TOO_LATE = "the session has ended before it could switch"


class _Move(NamedTuple):
    """Another setting, asked for on another thread, which waits for the outcome."""

    setting: Setting
    outcome: Future[None]


class LiveSession:
    """One run of `rtsep live`. `run` returns when the input is over, time is up, or `end` was called."""

    def __init__(
        self,
        package: ModelPackage,
        options: LiveOptions,
        controls: Controls,
        say: Callable[[str], None],
        stages: Stages | None = None,
    ) -> None:
        """Resolve the ends; nothing sounds yet. `say` gets lines for the user. Raises `RtsepError`.

        `stages` are those that the start has been through before.
        """
        self.stages = stages or Stages()
        self.controls = controls
        self._say = say
        self._leaving = threading.Event()
        self._tally, self._counting = Tally(), threading.Lock()
        self.memory_locked = False
        self._played_s = 0.0  # on devices that were lost or left since
        self._takes = Takes(options.subtype, say)
        self._setting = Setting.find(options)
        host = ModelHost(package, options.device)
        try:
            self._hosted = HostedModel(host, self.ends.form, controls)
        except BaseException:
            host.close()
            raise
        self._desk: Desk | None = None  # while streams are open
        self._streams: Streams | None = None
        self._cables: Cables = {}
        self._one_switch = threading.Lock()  # held by a switch from its first step to its last
        self._staying = threading.Lock()  # held while streams and engine must stay as they are
        self._move: _Move | None = None
        self._missed: set[str] = set()  # what was said of devices that are waited for
        self.state = "starting"
        self.stages.reached("devices")

    # --- what others read --------------------------------------------------------------------------

    @property
    def options(self) -> LiveOptions:
        """What was asked for, at the start and by switches since."""
        return self._setting.options

    @property
    def ends(self) -> Ends:
        """Input and output as they are now."""
        return self._setting.ends

    @property
    def engine(self) -> Engine:
        """The engine that is heard."""
        return self._hosted.engine

    @property
    def package(self) -> ModelPackage:
        """The model that is heard."""
        return self._hosted.package

    def end(self) -> None:
        """Ask the session to end; returns at once."""
        self._leaving.set()

    def look_at_devices(self) -> list[Device]:
        """Return the devices there are now; as far as PortAudio plays, those that were there when it began.

        Raises `DeviceError`.
        """
        with self._staying:
            if self.state == "playing":  # else the session looks itself
                devices.look()
            return devices.devices()

    def stats(self) -> dict[str, Any]:
        """Return the counters of the whole session, latency, levels, the model's state."""
        with self._counting:
            hosted = self._hosted
            engine, model = hosted.engine, hosted.host.process
            counted = self._tally.total(engine)
        budget = engine.latency
        return {
            "state": self.state,
            **counted,
            "latency_ms": budget.milliseconds(),
            "latency_samples": budget.total,
            "rate": engine.form.rate,
            "block": engine.form.block,
            "levels": engine.meters(),
            "drift_ppm": engine.drift_ppm(),
            "model": {
                "name": hosted.package.spec.name,
                "pid": model.pid,
                "restarts": model.restarts,
                "ready": model.ready,
                "error": model.last_error,
            },
            "recording": recording.as_json() if (recording := self.recording) else None,
            "real_time": engine.real_time,
            "memory_locked": self.memory_locked,
        }

    # --- recording, from any thread ------------------------------------------------------------------

    def start_recording(self, folder: Path) -> None:
        """Begin a take in `folder`, with the hop that is next, or with the first frame once it plays.

        A take that is there is left alone: the next goes to `folder/take-2`, and so on. Raises `UsageError`
        while one is being recorded, `OutputError` where nothing can be written.
        """
        self._takes.start(folder)

    def stop_recording(self) -> dict[str, Path] | None:
        """End the take; return its files by stem, None where there is nothing. Waits for the disk."""
        return self._takes.stop()

    @property
    def recording(self) -> RecordingState | None:
        """How the recording goes, or why it has stopped by itself; None: there is none."""
        return self._takes.state

    @property
    def recordings(self) -> list[dict[str, Path]]:
        """The files of the finished takes, by stem."""
        return list(self._takes.finished)

    # --- the run -------------------------------------------------------------------------------------

    def start_model(self) -> None:
        """Start the model process and compile what runs without the GIL, side by side.

        An interrupt waits for neither: half a minute, at the first start.
        """
        compiler = threading.Thread(target=self._compile, daemon=True)
        compiler.start()
        try:
            self._hosted.host.start()
            self.stages.reached("model", self._hosted.host.process.moments)
        except Exception:
            compiler.join()
            raise
        compiler.join()

    def _compile(self) -> None:
        self.engine.compile()
        compile_streams(self.ends.input, self.ends.output)
        self.stages.reached("compiled")

    def run(self) -> None:
        """Play until the end; a device that goes away is waited for, unless told otherwise.

        Raises `DeviceError` where there is nothing to play on, `InputFileError` behind the end of a file that
        is damaged further on, `OutputError` where `--record` cannot write.
        """
        self.memory_locked = priority.lock_memory()
        if self.options.record:
            self.start_recording(self.options.record)
        try:
            stopped = None if self._leaving.is_set() else self._play()
            while not self._leaving.is_set():
                if self._move:
                    stopped = self._move_on(self._move)
                elif stopped:
                    stopped = self._wait_for_devices(stopped)
                else:
                    break
        finally:
            with self._staying:
                self.state = "ended"
            if self._move:
                self._move.outcome.set_exception(UsageError(_TOO_LATE))
        if self._setting.source and self._setting.source.failure and not self._leaving.is_set():
            raise self._setting.source.failure

    def close(self) -> None:
        """Give everything back; call once, whatever happened."""
        self._takes.detach()
        self._hosted.host.close()
        self._setting.close()

    def _play(self, arrived: Callable[[], None] = lambda: None) -> str | None:
        """Play on the devices, and call `arrived` once they do; return why they were lost, if they were."""
        if self.state != "starting":
            self.state = "opening"
        try:
            return self._play_once(arrived)
        except DeviceError as error:
            if self.state == "starting":  # it was never there
                raise
            return str(error)

    def _play_once(self, arrived: Callable[[], None]) -> str | None:
        engine, form, source = self.engine, self.ends.form, self._setting.source
        # What begins is heard from its first frame; what goes on in the midst of something fades in.
        silent = None if self.state == "starting" else -(-engine.latency.total * form.out_rate // form.rate)
        self._record_by(self._takes.attach)
        if source:
            engine.attach_source(source)
        engine.start()
        self._desk = desk = Desk(engine, form.out_rate, form.out_block, len(form.out_map), silent)
        try:
            self._streams = streams = Streams(
                desk, form, self.ends.input, self.ends.output, engine.latency.total,
                ClientOptions(self.options.client_name, self.options.connect, self._cables),
            )  # fmt: skip
            streams.start()
            self.stages.reached("streams")
            self.state = "playing"
            self._missed.clear()
            arrived()
            watch = Watch(streams, self.ends, self._frames_left())
            while not self._leaving.wait(self._pause_s()) and not self._move and not watch.over(self.engine):
                if lost := watch.lost(self.engine):
                    return lost
            return None
        finally:
            if self.state == "playing":
                self.state = "stopping"  # no switch begins any more, and one under way is given up
            with self._staying:
                if self._streams:
                    self._streams.close()
                self._streams = self._desk = None
                self.engine.stop()
                self._setting.rewind(_frames_through(self.engine))
                self._takes.detach()

    def _pause_s(self) -> float:
        return LOOK_EVERY_S if self.stages.listen(self.engine) else WATCH_EVERY_S

    def _record_by(self, attach: Callable[[Tape], None]) -> None:
        """Let recordings take from the engine that is heard."""
        engine, left = self.engine, self._frames_left()
        try:
            attach(Tape(engine.record_tap, left))
        except OutputError as error:
            if self.state == "starting":
                raise
            self._say(f"recording stopped: {error}; the sound goes on")

    def _frames_left(self) -> int | None:
        """Return how many frames `--seconds` leaves to play, None without it."""
        if self.options.seconds is None:
            return None
        return round((self.options.seconds - self._played_s) * self.ends.form.rate)

    # --- devices that come and go ----------------------------------------------------------------------

    def _wait_for_devices(self, lost: str) -> str | None:
        """Look for the lost devices, and play on them; return as `_play` does."""
        if not self.options.reconnect:
            raise DeviceError(f"{lost}; ended (--no-reconnect)")
        self._miss(lost)
        self.state = "waiting"
        while not self._leaving.wait(LOOK_AGAIN_S) and not self._move:
            if found := self._find_devices():
                self._take_up(found)
                return self._play(lambda: self._say(f"{self.ends.name} is back; playing"))
        return None

    def _miss(self, reason: str) -> None:
        if reason not in self._missed:  # it may be found again and again, and not open
            self._missed.add(reason)
            self._say(f"{reason}; waiting for it to come back (Ctrl-C ends)")

    def _find_devices(self) -> Setting | None:
        """Return the setting with its devices, where all of them are back and can be used."""
        found: list[Setting | Exception] = []

        def look() -> None:
            try:
                found.append(Setting.find(self.options, self._setting, lost=True))
            except Exception as error:
                found.append(error)

        if not within(LOOK_PATIENCE_S, look):
            raise DeviceError("the sound system does not answer any more; start rtsep again when it does")
        (outcome,) = found
        if isinstance(outcome, Setting):
            return outcome
        if not isinstance(outcome, RtsepError):
            raise outcome
        if not isinstance(outcome, NotBackError):
            self._miss(str(outcome))
        return None

    def _take_up(self, setting: Setting) -> None:
        """Be ready to play with this setting, on another engine; what the one before counted is kept."""
        before, form = self._hosted, setting.ends.form
        if setting.source:
            setting.source.play_as(form.rate, list(form.in_map))
        hosted = before.for_devices(form)
        with self._counting:
            self._played_s += _frames_through(before.engine) / before.engine.form.rate
            self._tally.add(before.engine)
            self._hosted = hosted
        self._setting = setting

    # --- other devices, asked for on another thread ------------------------------------------------------

    def switch_device(self, *, input: str | None = None, out_device: str | None = None) -> None:
        """Hear or play through something else, named as on the command line; None: as it is.

        What plays fades out, what comes fades in; between them lies the time that devices take to open. A
        played file goes on where it was, a recording in another take. Returns when the new devices play. From
        any thread but the session's. Raises `DeviceError`, `InputFileError` or `UsageError` for what cannot
        be, and goes on as before, as it does where the new devices do not open.
        """
        if input is None and out_device is None:
            raise UsageError("nothing to switch to: name an input, an output device, or both")
        changed: dict[str, Any] = {"input": input, "in_channels": None} if input is not None else {}
        changed |= {"out_device": out_device, "out_channels": None} if out_device is not None else {}
        with self._one_switch:
            with self._staying:
                if self.state not in ("playing", "waiting"):
                    raise UsageError("devices can be switched only while it plays; try again when it does")
                options, before = dataclasses.replace(self.options, **changed), self._setting
                setting = Setting.find(options, before if input is None else None)
                try:
                    if desk := self._desk:
                        desk.hush()
                        self._wait(lambda: desk.hushed)
                        time.sleep(_way_out_s(before.ends.form))
                except DeviceError:
                    setting.close(goes_on=before)
                    raise
                self._move = move = _Move(setting, Future())
            move.outcome.result()

    def _move_on(self, move: _Move) -> str | None:
        """Play with another setting, or, where its devices do not open, as before; return as `_play` does."""
        self._move = None
        before, (setting, outcome) = self._setting, move
        refusal: Exception = UsageError(_TOO_LATE)

        def arrived() -> None:
            before.close(goes_on=setting)
            for note in setting.ends.notes:
                self._say(note)
            self._say(f"{self.ends.name}; {self.engine.latency.line()}")
            outcome.set_result(None)

        try:
            self._take_up(setting)
            stopped = self._play(arrived)
            if not outcome.done():
                refusal = DeviceError(f"{stopped}; playing on as before: {before.ends.name}")
                setting.close(goes_on=before)
                self._take_up(before)
                stopped = self._play(lambda: outcome.set_exception(refusal))
            return stopped
        finally:
            if not outcome.done():
                outcome.set_exception(refusal)

    # --- another model, asked for on another thread ------------------------------------------------------

    def switch_model(self, package: ModelPackage) -> None:
        """Play with another model: loaded while this one plays, it hears along, and is then faded in over it.

        Returns once it is heard; seconds, of which the sound knows nothing. A recording goes on in another
        take. From any thread but the session's. Raises `ModelError`, `ModelProcessError`, `DeviceError` or
        `UsageError`, and goes on as before.
        """
        with self._one_switch:
            before, host = self._hosted, ModelHost(package, self.options.device)
            try:
                host.start()
                with self._staying:
                    self._change_over(before, host)
            finally:
                if self._hosted.host is host:
                    before.engine.stop()
                    before.host.close()
                else:
                    host.close()
            self._say(f"model {self.package.spec.name}; {self.engine.latency.line()}")

    def _change_over(self, before: HostedModel, host: ModelHost) -> None:
        if self.state != "playing" or self._desk is None or self._streams is None:
            raise UsageError("a model can be switched only while it plays; try again when it does")
        source = self._setting.source
        ring = before.engine.input_ring if source else None
        hosted = HostedModel(host, self.ends.form, self.controls, ring)
        unheard = bring_in(hosted, before, self._desk, source, self._wait)
        with self._counting:
            self._tally.add(before.engine)
            self._tally.leave_out(unheard)
            self._hosted = hosted
        self._record_by(self._takes.change)
        self._streams.tell_latency(hosted.engine.latency.total)

    def _wait(self, happens: Callable[[], bool]) -> None:
        """Wait for what the callbacks and the hop loop do; `DeviceError` where they do not any more."""
        over = time.monotonic() + SWITCH_PATIENCE_S
        while not happens():
            if self.state != "playing" or time.monotonic() > over:
                raise DeviceError("it stopped playing before it could switch")
            time.sleep(0.005)


def _way_out_s(form: Format) -> float:
    """Return how long it takes at most from a call to the loudspeaker: what is closed before that, cuts."""
    return form.hardware / form.rate + 2 * form.out_block / form.out_rate


def _frames_through(engine: Engine) -> int:
    """Return how many frames of its input an engine has given as feeds."""
    return max(0, engine.progress().consumed - engine.feed_delay)
