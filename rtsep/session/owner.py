"""The thread that owns a live session: only it changes state, devices, model, engine and recordings.

All other threads send it commands and wait for the outcome. It wakes up for a command, for the result of a
helper, and every WATCH_EVERY_S to check the devices.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, nullcontext
from typing import TypeVar

from rtsep.audio.streams import compile_streams
from rtsep.compiled import compiled_folder
from rtsep.controls import Controls
from rtsep.errors import CompileError, NoThreadError, RtsepError, in_a_line
from rtsep.model.package import ModelPackage
from rtsep.realtime import threads
from rtsep.realtime.stops import Stops
from rtsep.session.commands import (
    Arrived,
    ChangeFile,
    Command,
    End,
    Inbox,
    ListDevices,
    Play,
    StartRecording,
    StopRecording,
    SwitchDevices,
    SwitchModel,
)
from rtsep.session.device_swap import LostDevices, list_devices, switch_devices
from rtsep.session.garbage import Garbage
from rtsep.session.helpers import Helpers, abandon
from rtsep.session.jobs import Job
from rtsep.session.live import Live
from rtsep.session.model_swap import switch_model
from rtsep.session.options import LiveOptions
from rtsep.session.route import Route
from rtsep.session.snapshot import Snapshot
from rtsep.session.stages import Stages, Stopwatch
from rtsep.session.states import SessionState

T = TypeVar("T")

WATCH_EVERY_S = 0.02
STEP_EVERY_S = 0.005
"""Interval of checks during a switch for the work of the callbacks, in seconds."""

HELPERS_LEFT_S = 5.0
"""Time limit at the end for helpers that end a model, in seconds: longer than a model needs."""


class _LeavingError(Exception):
    """The session was asked to end while it was preparing."""


class SessionOwner:
    """Owner of one session, with its thread."""

    def __init__(
        self,
        package: ModelPackage,
        options: LiveOptions,
        controls: Controls,
        notify: Callable[[str], None],
        stages: Stages | None = None,
    ) -> None:
        """`notify` receives lines for the user. `stages`, if given, already has the earlier stages."""
        self.inbox = Inbox()
        self.found = threading.Event()  # the devices are found, or it has failed
        self.begun = threading.Event()  # it plays, or has ended before that
        self.over = threading.Event()  # everything is released
        self.failure: BaseException | None = None  # the error that ended the session early
        self.thread = threading.Thread(target=self._run, name="rtsep-session", daemon=True)
        self._package, self._options, self._controls = package, options, controls
        self._notify, self._stages, self._timed = notify, stages or Stages(), stages is not None
        self._helpers = Helpers(self.inbox)
        self._live: Live | None = None
        self._lost: LostDevices | None = None
        self._jobs: deque[Job] = deque()  # the first one is in progress
        self._asked_to_play = self._leaving = False

    @property
    def now(self) -> Snapshot | None:
        """Return the published state, None before the devices are found. Any thread may read it."""
        return self._live.now if self._live else None

    def start(self) -> None:
        """Start the thread. Raise `NoThreadError`."""
        threads.start(self.thread)

    # --- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._play(*self._get_ready())
        except _LeavingError:
            pass
        except BaseException as error:  # raised again for the callers that wait
            self.failure = error
        try:
            self._finish()
        except BaseException as error:
            self.failure = self.failure or error
        finally:
            for event in (self.found, self.begun, self.over):
                event.set()

    def _get_ready(self) -> tuple[Live, LostDevices]:
        """Find the devices, load the model, compile; return on the command to play."""
        finding = self._helpers.run("device-finder", lambda: Route.find(self._options))
        try:
            route = self._result(finding)
        except _LeavingError:
            abandon(finding, Route.close)
            raise
        try:
            live = Live(self._package, route, self._controls, self._notify, self._stages)
        except BaseException:
            route.close()
            raise
        self._lost = LostDevices(live, self._helpers)
        self._live = live
        self._stages.reached("devices")
        self.found.set()
        compiling = self._helpers.run("compiler", lambda: self._compile(live))
        loading = self._helpers.run("model-loader", live.hosted.host.start, ends_soon=True)
        try:
            self._result(loading)
        except Exception:
            self._until(compiling.done)  # it uses memory that the end releases
            raise
        self._stages.reached("model", live.hosted.host.process.moments)
        self._result(compiling)
        self._until(lambda: self._asked_to_play)
        return live, self._lost

    def _compile(self, live: Live) -> None:
        try:
            live.engine.compile()
            compile_streams(live.route.io.input, live.route.io.output)
        except RtsepError:
            raise
        except Exception as error:  # any error of numba or LLVM
            raise CompileError(
                f"the audio code cannot be compiled here ({in_a_line(error)}); remove the folder "
                f"{compiled_folder()} and try again"
            ) from error
        self._stages.reached("compiled")

    def _result(self, work: Future[T]) -> T:
        self._until(work.done)
        return work.result()

    def _until(self, happens: Callable[[], bool]) -> None:
        """Handle commands until `happens()`; raise `_LeavingError` if the session is to end."""
        while not (self._leaving or happens()):
            self._carry_out(self.inbox.receive(None))
        if self._leaving:
            raise _LeavingError

    def _play(self, live: Live, lost: LostDevices) -> None:
        """Play until the end; wait for a lost device unless that is turned off.

        Raise `DeviceError` if there is no device left to play on, `InputFileError` at a damaged part of a
        file, `OutputError` if `--record` cannot write.
        """
        live.lock_memory()
        if live.options.record:
            live.recordings.start(live.options.record)
        live.play()
        self.begun.set()
        with Stopwatch(self._stages, lambda: live.engine) if self._timed else nullcontext():
            stops, garbage = Stops(), Garbage()
            while not self._leaving:
                self._carry_out(self.inbox.receive(self._pause_s()))
                stood = stops.look()
                if live.playback:
                    live.playback.watchdog.forgive(stood)
                self._advance(live, lost)
                garbage.follow()
                if self._is_over(live, lost):
                    break
        source = live.route.source
        if source and source.failure and not self._leaving:
            raise source.failure

    def _pause_s(self) -> float:
        return STEP_EVERY_S if self._jobs and self._jobs[0].waits_for_calls else WATCH_EVERY_S

    def _is_over(self, live: Live, lost: LostDevices) -> bool:
        """Return whether all input has been played; wait for a lost device."""
        if failure := live.engine.failure:
            raise CompileError(f"the audio code failed ({in_a_line(failure)})") from failure
        if live.playback is None:
            if lost.looking or not (self._jobs and self._jobs[0].queries_devices):
                lost.advance()  # only one search of the sound systems at a time
            return False
        if live.playback.new_rates != (None, None):
            if self._jobs:
                self._jobs[0].stop_playing()
            try:
                live.follow_rates()
            except NoThreadError as error:  # some may end: look again, as for a lost device
                lost.wait_for(str(error))
                return False
        live.follow_replaced()
        live.follow_moves()
        live.follow_blocks()
        live.follow_bursts()
        live.follow_limiter()
        live.follow_feedback()
        live.follow_faults()
        live.follow_stops()
        live.follow_model()
        for line in (
            *live.playback.tend(),
            *live.route.tend(live.engine.latency.total / live.engine.format.rate),
        ):
            live.notify(line)
        watchdog = live.playback.watchdog
        source = live.route.source
        if watchdog.over(live.engine) and not (source and source.unsettled):
            return True
        if reason := watchdog.lost(live.engine):
            live.follow_moves()  # found by the search just now
            if self._jobs:
                self._jobs[0].stop_playing()
            live.stop_playing()
            lost.wait_for(reason)
        return False

    def _finish(self) -> None:
        """End everything, refuse waiting commands, release everything; the last line is printed first."""
        live = self._live
        with ExitStack() as stack:
            stack.callback(self._helpers.join, HELPERS_LEFT_S)
            if live:
                stack.callback(live.close)
            stack.callback(self.begun.set)
            stack.callback(self.inbox.close)
            if live:
                stack.callback(live.end)
            for job in reversed(self._jobs):
                stack.callback(job.end)

    # --- commands ----------------------------------------------------------------------------------------

    def _carry_out(self, command: Command | None) -> None:
        """Carry out `command`; if it takes several steps, queue it as a job."""
        live, lost, helpers = self._live, self._lost, self._helpers
        match command:
            case None | Arrived():
                pass
            case End():
                self._leaving = True
            case Play():
                self._asked_to_play = True
            case _ if live is None or lost is None:
                command.refuse()
            case StartRecording():
                command.answer(lambda: live.recordings.start(command.folder))
            case StopRecording():
                command.answer(live.recordings.finish)
            case SwitchModel():
                self._jobs.append(Job(command, switch_model(live, command.package, helpers)))
            case SwitchDevices():
                steps = switch_devices(live, command, lost, helpers)
                self._jobs.append(Job(command, steps, queries_devices=True))
            case ChangeFile():
                command.answer(lambda: live.change_file(command.change))
            case ListDevices():
                self._jobs.append(Job(command, list_devices(live, helpers), queries_devices=True))

    def _advance(self, live: Live, lost: LostDevices) -> None:
        """Advance the first job, and start the next one when it is done."""
        while self._jobs:
            job = self._jobs[0]
            if job.queries_devices and lost.looking:
                return
            job.advance()
            if not job.done:
                return
            self._jobs.popleft()
            if job.failure and live.state not in (SessionState.PLAYING, SessionState.WAITING):
                raise job.failure
