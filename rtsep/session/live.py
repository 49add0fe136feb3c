"""The parts of a live session and their replacement. Only the owner's thread uses this module.

Nothing here waits for a command. The exception to the single thread is `now`: any thread may read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from rtsep.audio.backend import Cables, Device
from rtsep.audio.engine import Engine
from rtsep.audio.source import FileSource
from rtsep.controls import Controls
from rtsep.errors import OutputError, UsageError
from rtsep.model.package import ModelPackage
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime import priority
from rtsep.session.advice import Adviser
from rtsep.session.bus import begin_balance
from rtsep.session.counters import SessionCounters
from rtsep.session.hosted_model import HostedModel, ModelHost
from rtsep.session.options import LiveOptions
from rtsep.session.playback import Playback
from rtsep.session.recorder import Recordings, RecordSource
from rtsep.session.route import Route
from rtsep.session.slack import SlackLaw
from rtsep.session.snapshot import Snapshot, audible_frame
from rtsep.session.stages import Stages
from rtsep.session.states import SessionState, transition

FADE_PATIENCE_S = 0.2
"""Time limit of a fade in seconds; a longer one has no callbacks to run in, and is skipped."""

FADE_LOOK_S = 0.002

LIMITER_NOTIFY_DB = 0.5
"""Smallest gain reduction of the limiter that is worth a line, in dB."""


class Live:
    """Input, model, engine, output and recordings of one session."""

    def __init__(
        self,
        package: ModelPackage,
        route: Route,
        controls: Controls,
        notify: Callable[[str], None],
        stages: Stages,
    ) -> None:
        """Build the engine for `route`; start no process and no audio yet."""
        self.controls, self.notify, self.stages = controls, notify, stages
        self.playback: Playback | None = None  # None while it does not play
        self._left: Engine | None = None  # the engine before the last change of the rate
        self._slack_law = SlackLaw()
        # an engine, and the seconds that it stood still
        self._stopped: tuple[Engine | None, float] = (None, 0.0)
        self._cables: Cables = {}
        self._moved_to: tuple[Device | None, Device | None] = (None, None)  # as in the route
        self._notified_of_limiter = self._notified_of_priority = False
        self._notified_of_feedback: tuple[Engine | None, int] = (None, 0)
        self._notified_of_model: tuple[ModelSupervisor | None, int, bool] = (None, 0, True)
        self._adviser = Adviser()
        self._played_s = 0.0  # on devices used before
        begin_balance(route.io.format, controls)
        host = ModelHost(package, route.options.compute)
        try:
            if host.mask_exchange.note:
                notify(host.mask_exchange.note)
            hosted = HostedModel(host, route.io.format, controls)
        except BaseException:
            host.close()
            raise
        self.now = Snapshot(
            state=SessionState.STARTING,
            route=route,
            hosted=hosted,
            counters=SessionCounters(),
            recordings=Recordings(route.options.subtype, notify),
        )

    @property
    def state(self) -> SessionState:
        """Return the state."""
        return self.now.state

    @property
    def route(self) -> Route:
        """Return the current input and output."""
        return self.now.route

    @property
    def options(self) -> LiveOptions:
        """Return the options of the start, with later switches applied."""
        return self.now.route.options

    @property
    def hosted(self) -> HostedModel:
        """Return the active model."""
        return self.now.hosted

    @property
    def engine(self) -> Engine:
        """Return the active engine."""
        return self.now.hosted.engine

    @property
    def recordings(self) -> Recordings:
        """Return the recordings."""
        return self.now.recordings

    def move_to(self, state: SessionState) -> None:
        """Change the state; raise `IllegalTransitionError` for a transition that is not allowed."""
        self.now = self.now._replace(state=transition(self.state, state))

    # --- playing ---------------------------------------------------------------------------------------

    def lock_memory(self) -> None:
        """Lock rtsep's memory against paging, if the system allows it."""
        self.now = self.now._replace(memory_locked=priority.lock_memory())

    def play(self) -> None:
        """Open the devices and play. Raise `DeviceError`, with the engine ended and nothing open.

        At the start, raise `OutputError` if `--record` cannot write.
        """
        starting = self.state is SessionState.STARTING
        if self.state not in (SessionState.STARTING, SessionState.OPENING):
            self.move_to(SessionState.OPENING)
        try:
            self._record_by(self.recordings.attach)
            if self.route.source:
                self.engine.attach_source(self.route.source)
            self.engine.start()
            self.playback = Playback(
                self.engine, self.route, self._frames_left(), self._cables, fades_in=not starting
            )
            self._moved_to = (None, None)
        except BaseException:
            self._halt()
            raise
        self.route.begin()
        self.stages.reached("streams")
        self.move_to(SessionState.PLAYING)

    def stop_playing(self) -> None:
        """Close the devices and end the engine; a file keeps its position, a take ends."""
        self.move_to(SessionState.STOPPING)  # no new switch from here on
        self._halt()

    def _halt(self) -> None:
        if self.playback:
            self.playback.close()
            self.playback = None
        self.engine.stop()
        self._end_left()
        self.route.rewind(_frames_through(self.engine))
        self.recordings.detach()

    def _record_by(self, attach: Callable[[RecordSource], None]) -> None:
        """Attach the recordings to the active engine."""
        try:
            attach(RecordSource(self.engine.record_tap, self._frames_left()))
        except OutputError as error:
            if self.state is SessionState.STARTING:
                raise
            self.notify(f"recording stopped: {error}; the audio continues")

    def _frames_left(self) -> int | None:
        """Return the frames left to play under `--seconds`, None without it."""
        if self.options.seconds is None:
            return None
        return round((self.options.seconds - self._played_s) * self.route.io.format.rate)

    def change_file(self, change: Callable[[FileSource, int], None]) -> None:
        """Call `change` with the played file; raise `UsageError` if there is none."""
        if self.route.source is None:
            raise UsageError(f"{self.route.io.name}: no file is played; choose one with --in")
        change(self.route.source, audible_frame(self.engine))

    # --- other parts -------------------------------------------------------------------------------------

    def take_up(self, route: Route, hosted: HostedModel | None = None) -> None:
        """Prepare another engine for this route; keep the counts of the previous one.

        `hosted`, if given, was built for the route.
        """
        before, format = self.hosted, route.io.format
        if route.source:
            route.source.play_as(format.rate, list(format.in_map))
        begin_balance(format, self.controls)
        hosted = hosted or before.for_devices(format)
        self._played_s += _frames_through(before.engine) / before.engine.format.rate
        counters = self.now.counters.plus(before.engine)
        self.now = self.now._replace(route=route, hosted=hosted, counters=counters)

    def take_over(self, hosted: HostedModel, inactive_counts: dict[str, int]) -> None:
        """Continue with another model, now active; `inactive_counts` are its counts before that."""
        counters = self.now.counters.plus(self.engine).without(inactive_counts)
        self.now = self.now._replace(hosted=hosted, counters=counters)
        self._record_by(self.recordings.change)
        if self.playback:
            self.playback.report_latency(hosted.engine.latency.total)

    def follow_blocks(self) -> None:
        """Update the block size to the devices' calls; the audio has already adapted."""
        io, before = self.route.io, self.engine.latency.total
        format, latency = self.engine.follow_blocks(), self.engine.latency
        if self.playback and latency.total != before:
            self.playback.report_latency(latency.total)
        if format == io.format:
            return
        self.now = self.now._replace(route=self.route._replace(io=replace(io, format=format)))
        block = format.out_block if format.out_block != io.format.out_block else format.block
        self.notify(f"{io.name}: the block size is now {block} frames; {latency.line()}")

    def follow_moves(self) -> None:
        """Update the devices if the user moved the streams: a lost device is then waited for there."""
        if not self.playback or self.playback.moved_to == self._moved_to:
            return
        self._moved_to = self.playback.moved_to
        io = self.route.io.moved_to(*self._moved_to)
        self.now = self.now._replace(route=self.route._replace(io=io))
        self.playback.watchdog.follow(io)

    def follow_bursts(self) -> None:
        """Set the slack by the timing of the devices' calls, unless the user chose it."""
        io = self.route.io
        if self.options.slack is not None or not io.may_burst:
            return
        wanted = self._slack_law.wanted(self.engine, io.max_added_s)
        if wanted is None:
            return
        calls = "in bursts or late" if wanted > self.engine.slack else "evenly again"
        format, latency = self.engine.set_slack(wanted), self.engine.latency
        self.now = self.now._replace(route=self.route._replace(io=replace(io, format=format)))
        if self.playback:
            self.playback.report_latency(latency.total)
        self.notify(f"{io.name}: calls come {calls}, so the slack is now {wanted} frames; {latency.line()}")

    def follow_faults(self) -> None:
        """Report problems with their remedies."""
        if self._adviser.due():
            counted = self.now.counters.total(self.engine)
            for line in self._adviser.look(counted, self.now.conditions):
                self.notify(line)
            if self.hosted.host.process.lost_priority and not self._notified_of_priority:
                self._notified_of_priority = True
                self.notify(
                    f"model '{self.hosted.package.spec.name}' computed for longer than this system lets "
                    "real-time threads run (RLIMIT_RTTIME) and lost its priority: other programs can "
                    "delay its masks; choose a lighter model"
                )

    def follow_model(self) -> None:
        """Report the end of the model process, once until it has played again."""
        name, process = self.hosted.package.spec.name, self.hosted.host.process
        followed, counted_restarts, played = self._notified_of_model
        if process is not followed:
            counted_restarts, played = 0, True
        if (restarts := process.restarts) > counted_restarts:
            if played:
                self.notify(f"model '{name}' {process.last_error}: the dry signal plays until it is back")
            played = False
        self._notified_of_model = (process, restarts, played or process.ready)

    def follow_stops(self) -> None:
        """Report the time for which the whole session stood still."""
        engine, stopped_s = self.engine, self.engine.telemetry().stopped_ns * 1e-9
        before, self._stopped = self._stopped, (engine, stopped_s)
        if before[0] is engine and stopped_s > before[1]:
            rest = (
                "the file continues at its position"
                if self.route.source
                else ("the input of that time is lost")
            )
            self.notify(
                f"stopped for {stopped_s - before[1]:.1f} s, as by Ctrl-Z or a paused container; {rest}"
            )

    def follow_limiter(self) -> None:
        """Report the limiter's first action."""
        reduction = self.engine.limiter_db()
        if self._notified_of_limiter or reduction > -LIMITER_NOTIFY_DB:
            return
        self._notified_of_limiter = True
        self.notify(
            f"limiter: the output is reduced, because it would be {-reduction:.1f} dB beyond full scale; "
            "meanwhile the outputs do not add up to the input: reduce the gains or the input"
        )

    def follow_feedback(self) -> None:
        """Report feedback each time the output is reduced further."""
        feedback = self.engine.feedback()
        engine, notified = self._notified_of_feedback
        if feedback.found > (notified if engine is self.engine else 0):
            where = f" at {feedback.hz:.0f} Hz" if feedback.hz else ""
            self.notify(
                f"feedback{where}: the microphone captures the loudspeakers; the output is reduced "
                "until you change a level: turn a gain down, move the microphone away, or use headphones"
            )
        self._notified_of_feedback = (self.engine, feedback.found)

    def follow_rates(self) -> None:
        """Continue at the devices' new rates, if these changed, on the same streams.

        The output fades out, another engine is built, and the output fades in. A file continues at its
        position, a recording in a new take.
        """
        playback = self.playback
        if not playback or playback.new_rates == (None, None):
            return
        before, began = self.hosted, time.monotonic()
        route = self.route.at_rates(*playback.new_rates)
        hosted = before.for_devices(route.io.format)
        while not playback.mixer.faded_out and time.monotonic() < began + FADE_PATIENCE_S:
            time.sleep(FADE_LOOK_S)
        self.move_to(SessionState.STOPPING)
        before.engine.end_hops()  # the streams may still call this engine, and get silence
        self.route.rewind(_frames_through(before.engine))
        self.take_up(route, hosted)
        self.move_to(SessionState.OPENING)
        try:
            self._record_by(self.recordings.go_on)
            if route.source:
                self.engine.attach_source(route.source)
            self.engine.start()
            playback.go_on(self.engine, route, self._frames_left())
        except BaseException:
            self._halt()
            raise
        finally:
            self._end_left()
            self._left = before.engine  # a call may still use this engine; see `follow_replaced`
        self.move_to(SessionState.PLAYING)
        latency = self.engine.latency
        self.notify(f"{route.io.name}: the rate is now {route.io.rates}; {latency.line()}")

    def follow_replaced(self) -> None:
        """Release the engine of the last rate once no call uses it."""
        if self._left and self.playback and self.playback.drop_replaced():
            self._end_left()

    def _end_left(self) -> None:
        if self._left:
            self._left.stop()
            self._left = None

    def end(self) -> None:
        """Stop playback for good."""
        try:
            if self.state is SessionState.PLAYING:
                self.stop_playing()
        finally:
            self.move_to(SessionState.ENDED)

    def close(self) -> None:
        """Release everything after the end."""
        self.recordings.close()
        self.hosted.host.close()
        self.route.close()


def _frames_through(engine: Engine) -> int:
    """Return the number of input frames that an engine has turned into feeds."""
    return max(0, engine.progress().consumed - engine.feed_delay)
