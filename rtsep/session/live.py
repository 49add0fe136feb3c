"""What a live session is made of, and how one part gives way to another. On the owner's thread only.

Nothing here waits for a command. `now` is the exception to the rule of the one thread: any thread reads it.
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
from rtsep.session.counters import Tally
from rtsep.session.hosted_model import HostedModel, ModelHost
from rtsep.session.options import LiveOptions
from rtsep.session.playback import Playback
from rtsep.session.recorder import Takes, Tape
from rtsep.session.route import Route
from rtsep.session.slack import SlackLaw
from rtsep.session.snapshot import Snapshot, heard_frame
from rtsep.session.stages import Stages
from rtsep.session.states import SessionState, transition

FADE_PATIENCE_S = 0.2
"""A fade that takes longer has no calls to happen in; the sound goes on without it."""

FADE_LOOK_S = 0.002

LIMITER_TOLD_DB = 0.5
"""A limiter that takes less away is not worth a line."""


class Live:
    """Input, model, engine, output and recordings of one session."""

    def __init__(
        self,
        package: ModelPackage,
        route: Route,
        controls: Controls,
        say: Callable[[str], None],
        stages: Stages,
    ) -> None:
        """Build the engine for `route`; no process runs and nothing sounds yet."""
        self.controls, self.say, self.stages = controls, say, stages
        self.playback: Playback | None = None  # while it plays
        self._left: Engine | None = None  # by the last change of the rate
        self._slack_law = SlackLaw()
        self._stopped: tuple[Engine | None, float] = (None, 0.0)  # an engine, and s that it stood still
        self._cables: Cables = {}
        self._moved_to: tuple[Device | None, Device | None] = (None, None)  # as the route has it
        self._told_of_limiter = self._told_of_priority = False
        self._told_of_feedback: tuple[Engine | None, int] = (None, 0)
        self._told_of_model: tuple[ModelSupervisor | None, int, bool] = (None, 0, True)
        self._adviser = Adviser()
        self._played_s = 0.0  # on devices that were lost or left since
        begin_balance(route.ends.form, controls)
        host = ModelHost(package, route.options.compute)
        try:
            if host.slots.note:
                say(host.slots.note)
            hosted = HostedModel(host, route.ends.form, controls)
        except BaseException:
            host.close()
            raise
        self.now = Snapshot(
            state=SessionState.STARTING,
            route=route,
            hosted=hosted,
            tally=Tally(),
            takes=Takes(route.options.subtype, say),
        )

    @property
    def state(self) -> SessionState:
        """The state."""
        return self.now.state

    @property
    def route(self) -> Route:
        """Input and output as they are now."""
        return self.now.route

    @property
    def options(self) -> LiveOptions:
        """What was asked for, at the start and by switches since."""
        return self.now.route.options

    @property
    def hosted(self) -> HostedModel:
        """The model that is heard."""
        return self.now.hosted

    @property
    def engine(self) -> Engine:
        """The engine that is heard."""
        return self.now.hosted.engine

    @property
    def takes(self) -> Takes:
        """The recordings."""
        return self.now.takes

    def move_to(self, state: SessionState) -> None:
        """Change the state; raises `IllegalTransitionError` for one that may not follow."""
        self.now = self.now._replace(state=transition(self.state, state))

    # --- playing ---------------------------------------------------------------------------------------

    def lock_memory(self) -> None:
        """Keep our memory from being paged out, where the system allows that."""
        self.now = self.now._replace(memory_locked=priority.lock_memory())

    def play(self) -> None:
        """Open the devices and play. Raises `DeviceError`, with the engine ended and nothing open.

        At the start, raises `OutputError` where `--record` cannot write.
        """
        starting = self.state is SessionState.STARTING
        if self.state not in (SessionState.STARTING, SessionState.OPENING):
            self.move_to(SessionState.OPENING)
        try:
            self._record_by(self.takes.attach)
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
        """Close the devices and end the engine; a file stays where it was, a take ends."""
        self.move_to(SessionState.STOPPING)  # no switch begins any more
        self._halt()

    def _halt(self) -> None:
        if self.playback:
            self.playback.close()
            self.playback = None
        self.engine.stop()
        self._end_left()
        self.route.rewind(_frames_through(self.engine))
        self.takes.detach()

    def _record_by(self, attach: Callable[[Tape], None]) -> None:
        """Let recordings take from the engine that is heard."""
        try:
            attach(Tape(self.engine.record_tap, self._frames_left()))
        except OutputError as error:
            if self.state is SessionState.STARTING:
                raise
            self.say(f"recording stopped: {error}; the sound goes on")

    def _frames_left(self) -> int | None:
        """Return how many frames `--seconds` leaves to play, None without it."""
        if self.options.seconds is None:
            return None
        return round((self.options.seconds - self._played_s) * self.route.ends.form.rate)

    def change_file(self, change: Callable[[FileSource, int], None]) -> None:
        """Do `change` with the file that is played; raises `UsageError` where none is."""
        if self.route.source is None:
            raise UsageError(f"{self.route.ends.name}: no file is played; --in names one")
        change(self.route.source, heard_frame(self.engine))

    # --- other parts -------------------------------------------------------------------------------------

    def take_up(self, route: Route, hosted: HostedModel | None = None) -> None:
        """Be ready to play with this route, on another engine; what the one before has counted is kept.

        `hosted` is built for the route, if it is given.
        """
        before, form = self.hosted, route.ends.form
        if route.source:
            route.source.play_as(form.rate, list(form.in_map))
        begin_balance(form, self.controls)
        hosted = hosted or before.for_devices(form)
        self._played_s += _frames_through(before.engine) / before.engine.form.rate
        self.now = self.now._replace(route=route, hosted=hosted, tally=self.now.tally.plus(before.engine))

    def take_over(self, hosted: HostedModel, unheard: dict[str, int]) -> None:
        """Go on with another model, which is heard already; `unheard` is what it has counted before."""
        tally = self.now.tally.plus(self.engine).without(unheard)
        self.now = self.now._replace(hosted=hosted, tally=tally)
        self._record_by(self.takes.change)
        if self.playback:
            self.playback.tell_latency(hosted.engine.latency.total)

    def follow_blocks(self) -> None:
        """Take the size of the devices' calls as it is now; the sound has followed already."""
        ends, before = self.route.ends, self.engine.latency.total
        form, latency = self.engine.follow_blocks(), self.engine.latency
        if self.playback and latency.total != before:
            self.playback.tell_latency(latency.total)
        if form == ends.form:
            return
        self.now = self.now._replace(route=self.route._replace(ends=replace(ends, form=form)))
        block = form.out_block if form.out_block != ends.form.out_block else form.block
        self.say(f"{ends.name}: the block has changed to {block} frames; {latency.line()}")

    def follow_moves(self) -> None:
        """Take over the devices that somebody has moved us to: where they go away, they are waited for."""
        if not self.playback or self.playback.moved_to == self._moved_to:
            return
        self._moved_to = self.playback.moved_to
        ends = self.route.ends.moved_to(*self._moved_to)
        self.now = self.now._replace(route=self.route._replace(ends=ends))
        self.playback.watchdog.follow(ends)

    def follow_bursts(self) -> None:
        """Set the slack by how evenly devices call, unless the user has chosen it."""
        ends = self.route.ends
        if self.options.slack is not None or not ends.may_burst:
            return
        wanted = self._slack_law.wanted(self.engine, ends.most_added_s)
        if wanted is None:
            return
        calls = "in bursts or late" if wanted > self.engine.slack else "evenly again"
        form, latency = self.engine.set_slack(wanted), self.engine.latency
        self.now = self.now._replace(route=self.route._replace(ends=replace(ends, form=form)))
        if self.playback:
            self.playback.tell_latency(latency.total)
        self.say(f"{ends.name}: calls come {calls}, the slack is {wanted} frames now; {latency.line()}")

    def follow_faults(self) -> None:
        """Tell what to do about what goes wrong."""
        if self._adviser.due():
            counted = self.now.tally.total(self.engine)
            for line in self._adviser.look(counted, self.now.setting):
                self.say(line)
            if self.hosted.host.process.lost_priority and not self._told_of_priority:
                self._told_of_priority = True
                self.say(
                    f"model '{self.hosted.package.spec.name}' computes for longer than this system lets "
                    "real-time threads run (RLIMIT_RTTIME) and has lost its priority: other programs can "
                    "delay its masks; a lighter model keeps it"
                )

    def follow_model(self) -> None:
        """Tell that the model's process has ended, once until it has played again."""
        name, process = self.hosted.package.spec.name, self.hosted.host.process
        followed, told, played = self._told_of_model
        if process is not followed:
            told, played = 0, True
        if (restarts := process.restarts) > told:
            if played:
                self.say(f"model '{name}' {process.last_error}: the dry sound is heard until it is back")
            played = False
        self._told_of_model = (process, restarts, played or process.ready)

    def follow_stops(self) -> None:
        """Tell for how long all of the session stood still."""
        engine, stopped_s = self.engine, self.engine.telemetry().stopped_ns * 1e-9
        before, self._stopped = self._stopped, (engine, stopped_s)
        if before[0] is engine and stopped_s > before[1]:
            rest = "the file goes on where it stood" if self.route.source else "the input meanwhile is lost"
            self.say(f"stopped for {stopped_s - before[1]:.1f} s, as by Ctrl-Z or a paused container; {rest}")

    def follow_limiter(self) -> None:
        """Tell once that the limiter acts."""
        reduction = self.engine.limiter_db()
        if self._told_of_limiter or reduction > -LIMITER_TOLD_DB:
            return
        self._told_of_limiter = True
        self.say(
            f"limiter: the output would be {-reduction:.1f} dB beyond full scale and is made softer; "
            "while it acts the outputs do not add up to the input: turn the gains or the input down"
        )

    def follow_feedback(self) -> None:
        """Tell of feedback, each time that the output is dimmed further."""
        feedback = self.engine.feedback()
        engine, told = self._told_of_feedback
        if feedback.found > (told if engine is self.engine else 0):
            where = f" at {feedback.hz:.0f} Hz" if feedback.hz else ""
            self.say(
                f"feedback{where}: the microphone captures the loudspeakers; the output is dimmed "
                "until you change a level: turn a gain down, move the microphone away, or use headphones"
            )
        self._told_of_feedback = (self.engine, feedback.found)

    def follow_rates(self) -> None:
        """Go on at the rates that the devices have changed to, if any, on the same streams.

        The sound fades out, another engine is built meanwhile, and it fades in. A file goes on where it was,
        a recording in another take.
        """
        playback = self.playback
        if not playback or playback.new_rates == (None, None):
            return
        before, began = self.hosted, time.monotonic()
        route = self.route.at_rates(*playback.new_rates)
        hosted = before.for_devices(route.ends.form)
        while not playback.mixer.faded_out and time.monotonic() < began + FADE_PATIENCE_S:
            time.sleep(FADE_LOOK_S)
        self.move_to(SessionState.STOPPING)
        before.engine.end_hops()  # the streams may still call it, and get silence
        self.route.rewind(_frames_through(before.engine))
        self.take_up(route, hosted)
        self.move_to(SessionState.OPENING)
        try:
            self._record_by(self.takes.go_on)
            if route.source:
                self.engine.attach_source(route.source)
            self.engine.start()
            playback.go_on(self.engine, route, self._frames_left())
        except BaseException:
            self._halt()
            raise
        finally:
            self._end_left()
            self._left = before.engine  # a call may be at work with it
        self.move_to(SessionState.PLAYING)
        latency = self.engine.latency
        self.say(f"{route.ends.name}: the rate has changed to {route.ends.rates}; {latency.line()}")

    def _end_left(self) -> None:
        if self._left:
            self._left.stop()
            self._left = None

    def end(self) -> None:
        """Stop playing, if it plays, for good."""
        try:
            if self.state is SessionState.PLAYING:
                self.stop_playing()
        finally:
            self.move_to(SessionState.ENDED)

    def close(self) -> None:
        """Give everything back; it has ended."""
        self.takes.close()
        self.hosted.host.close()
        self.route.close()


def _frames_through(engine: Engine) -> int:
    """Return how many frames of its input an engine has given as feeds."""
    return max(0, engine.progress().consumed - engine.feed_delay)
