"""A live session from Python: plays on a thread of its own while your program turns its controls.

with rtsep.Session("demo", out="vocals") as session:
    session.controls.threshold = 0.4
    session.wait()
"""

from __future__ import annotations

import atexit
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from rtsep.audio.devices import Device
from rtsep.audio.source import FileSource
from rtsep.compute import chosen_compute
from rtsep.controls import Controls
from rtsep.errors import UsageError
from rtsep.files.audiofile import make_folder
from rtsep.files.names import user_path
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import ModelPackage, read_package
from rtsep.realtime.foreign_calls import aloud
from rtsep.realtime.forks import Origin
from rtsep.realtime.waiting import wait_for
from rtsep.session import commands
from rtsep.session.options import LiveOptions
from rtsep.session.owner import SessionOwner
from rtsep.session.readings import Readings
from rtsep.session.snapshot import Snapshot
from rtsep.session.stages import Stages

SHORTEST_LOOP_S = 0.1

_log = logging.getLogger("rtsep")


def _say(line: str) -> None:
    with aloud():
        _log.warning(line)


class Session(Readings):
    """One live session, begun by `with` (or `start`) and over when its input is, or the `with` is left.

    Several may play at once, each with an engine and a model process of its own. Lines for the user (a
    device that went away, say) go to `logging.getLogger("rtsep")`. A session lives on a thread of its own;
    the methods send commands there, and may be called on any thread. It belongs to the process that made it:
    a fork (`os.fork`, `multiprocessing`) ends without touching it, and cannot use it.
    """

    def __init__(
        self,
        input: str | Path = "mic",
        out: str | None = None,
        *,
        model: str | Path = DEFAULT_MODEL,
        controls: Controls | None = None,
        compute: str | None = None,
        out_device: str | None = None,
        as_microphone: bool = False,
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
        limiter: bool = True,
        feedback_guard: bool = True,
        track: int | None = None,
        device: str | None = None,
    ) -> None:
        """Take what is to be played; nothing is opened yet. Raises `UsageError` for what makes no sense.

        The arguments are the options of `rtsep live`: `input` is "mic", "demo", a device's name, a file, or
        "system" or "app:NAME" for what other programs play; `out` "vocals", "instrumental", "mix" or "both"
        (None: both where the device has the channels); `out_device` a name, or "virtual" for none;
        `as_microphone` plays into a virtual microphone. Channels count from 1, `rate` is in Hz, `block` and
        `slack` are in frames, `record` is a folder. `compute` is where the model runs, "cpu" or "cuda".
        `limiter` keeps what is played within full scale; `feedback_guard` dims the output where a microphone
        captures it and howls. Recordings are taken before both. Of a file with several audio tracks, `track`
        is read (from 1; None: the default one). `device` is the old name of `compute`, still accepted.
        """
        options = LiveOptions(
            input=str(input),
            out=out,
            out_device=out_device,
            as_microphone=as_microphone,
            in_channels=None if in_channels is None else tuple(in_channels),
            out_channels=None if out_channels is None else tuple(out_channels),
            rate=rate,
            block=block,
            slack=slack,
            client_name=client_name,
            connect=connect,
            reconnect=reconnect,
            limiter=limiter,
            feedback_guard=feedback_guard,
            record=Path(record) if record is not None else None,
            subtype=subtype,
            seconds=seconds,
            compute=chosen_compute(compute, device),
            track=track,
        )
        self._set_up(options, str(model), controls, _say, None)

    @classmethod
    def of(
        cls,
        options: LiveOptions,
        model: ModelPackage | str,
        controls: Controls | None = None,
        say: Callable[[str], None] = _say,
        stages: Stages | None = None,
    ) -> Session:
        """Return a session with these options; the command line and the benchmarks make theirs so.

        `model` is a name, a path, or a model file that was read. `say` gets lines for the user, on any
        thread. `stages`, if given, are the stages of the start so far; the further ones are noted there.
        """
        session = cls.__new__(cls)
        session._set_up(options, model, controls, say, stages)
        return session

    def _set_up(
        self,
        options: LiveOptions,
        model: ModelPackage | str,
        controls: Controls | None,
        say: Callable[[str], None],
        stages: Stages | None,
    ) -> None:
        self.controls = controls if controls is not None else Controls()
        self._options, self._model, self._say, self._stages = options, model, say, stages
        self._owner: SessionOwner | None = None
        self._origin = Origin()
        self._started = self._closed = False

    # --- life ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Find the devices, and begin to load the model. Raises `RtsepError` where it cannot.

        `start` does it, too; only a program that has to do something in between calls it before.
        """
        if self._owner or self._closed or not self._origin.is_here:
            raise UsageError("a session plays once; make another one")
        model = self._model
        package = model if isinstance(model, ModelPackage) else read_package(find_model(model))
        if self._options.record:
            make_folder(self._options.record)
        owner = SessionOwner(package, self._options, self.controls, self._say, self._stages)
        self._owner = owner
        try:
            atexit.register(self._finish)
            owner.thread.start()
            wait_for(owner.found)
            self._raise_failure()
            for note in self.ends.notes:
                self._say(note)
        except BaseException:
            self._finish()
            if owner.now is None:  # nothing was opened: it may be tried again
                self._owner, self._closed = None, False
            raise

    def start(self) -> Session:
        """Open everything and play; returns once it plays. Raises `RtsepError` where it cannot.

        The first start on a machine compiles for half a minute. A session plays once: make another one to
        play again.
        """
        if self._started:
            raise UsageError("a session plays once; make another one")
        if self._owner is None:
            self.open()
        self._started = True
        owner, _ = self._running()
        try:
            owner.inbox.send(commands.Play())
            wait_for(owner.begun)
            self._raise_failure()
        except BaseException:
            self._finish()
            raise
        _log.info("%s", self.now.title)
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until playing is over, at most `timeout` seconds; return whether it is.

        Raises what ended it before its time: a `DeviceError`, for example.
        """
        over = self.is_over(timeout)
        if over:
            self._raise_failure()
        return over

    def is_over(self, timeout: float | None = 0.0) -> bool:
        """Return whether playing is over, after at most `timeout` seconds; raises nothing of its end."""
        return wait_for(self._running()[0].over, timeout)

    def end(self) -> None:
        """Ask the session to end; returns at once. A signal handler may call it."""
        self._running()[0].inbox.send(commands.End())

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
        owner = self._owner
        if value is None:
            self._raise_failure()
        elif owner and owner.failure:
            value.add_note(f"(the session had ended, too: {owner.failure})")
            owner.failure = None

    # --- while it plays ----------------------------------------------------------------------------------

    @property
    def now(self) -> Snapshot:
        """The published state of the session: input and output, model, engine; it stays as it is."""
        return self._running()[1]

    def start_recording(self, folder: str | Path) -> None:
        """Record mix, vocals and instrumental to `folder`, from the next hop on; a further take beside it.

        Raises `OutputError` where nothing can be written, `UsageError` while it records already.
        """
        self._ask(command := commands.StartRecording(user_path(folder)))
        command.outcome.result()

    def stop_recording(self) -> dict[str, Path] | None:
        """End the take; return its files by stem, None where nothing was recorded. Waits for the disk."""
        self._ask(command := commands.StopRecording())
        recorder = command.outcome.result()
        return recorder.files() if recorder else None

    def switch_model(self, model: str | Path) -> None:
        """Play with another model, by name or path, without a gap: returns once it is heard, after seconds.

        It is loaded and hears along while the one before plays on, then comes in over a cross-fade; `latency`
        may be another one from then on. A recording goes on in another take. Raises `ModelError`,
        `ModelProcessError` or `UsageError` for a model that does not load or is too slow here, and
        `DeviceError` where playing stops meanwhile; the one before plays on.
        """
        self._running()
        self._ask(command := commands.SwitchModel(read_package(find_model(str(model)))))
        command.outcome.result()

    def switch_device(self, *, input: str | Path | None = None, out_device: str | None = None) -> None:
        """Hear or play through something else, named as at the start; returns once that plays.

        What plays fades out, what comes fades in; between them it is silent for as long as devices take to
        open. A played file goes on where it was, a recording in another take; `rate` and `latency` may be
        other ones from then on. Raises `DeviceError`, `InputFileError` or `UsageError` for what cannot be
        opened; what was there before plays on.
        """
        self._running()
        if input is None and out_device is None:
            raise UsageError("nothing to switch to: name an input, an output device, or both")
        self._ask(command := commands.SwitchDevices(None if input is None else str(input), out_device))
        command.outcome.result()

    # --- a played file -----------------------------------------------------------------------------------

    def seek(self, seconds: float) -> None:
        """Play on from `seconds` of the file, to the sample; a paused one stays paused, at that place.

        Returns at once. It is audible after the latency. A file that ffmpeg decodes has to be decoded up to
        there before; the sound goes on meanwhile. A recording keeps what is played. A place behind the end of
        a loop is the loop's start. Raises `UsageError` where no file is played, or for a place not in it.
        """

        def change(source: FileSource, heard: int) -> None:
            length = source.place(heard).length
            if not (math.isfinite(seconds) and 0 <= seconds <= (math.inf if length is None else length)):
                known = "from 0 on" if length is None else f"the file has 0 to {length:.3f} s"
                raise UsageError(f"seek to {seconds:g} s: {known}")
            source.seek(seconds)

        self._change_file(change)

    def skip(self, seconds: float) -> None:
        """Go on by `seconds` in the file (less than 0: back), at most to one of its ends; as `seek`."""

        def change(source: FileSource, heard: int) -> None:
            length = source.place(heard).length
            to = max(0.0, source.target(heard) + seconds)
            source.seek(to if length is None else min(to, length))

        self._change_file(change)

    def pause(self) -> None:
        """Let the file stand still: silence is played until `resume`, and recorded. No fault is counted."""
        self._change_file(lambda source, _: source.pause(True))

    def resume(self) -> None:
        """Go on with the frame of the file behind the last one that was played before `pause`."""
        self._change_file(lambda source, _: source.pause(False))

    def loop(self, start: float = 0.0, end: float | None = None) -> None:
        """Play from `start` to `end` of the file, in s, again and again; None: to the end of the file.

        The end is joined to the start without a gap, to the sample. What plays behind the end goes to the
        start at once. Raises `UsageError` where no file is played, or for less than SHORTEST_LOOP_S.
        """

        def change(source: FileSource, heard: int) -> None:
            length = source.place(heard).length
            last = end if end is not None else math.inf if length is None else length
            most = math.inf if length is None else length
            if not (start >= 0 and start + SHORTEST_LOOP_S <= last <= most):
                known = "" if length is None else f", within the {length:.3f} s of the file"
                raise UsageError(f"loop {start:g} to {last:g} s: {SHORTEST_LOOP_S:g} s at least{known}")
            source.set_loop((start, end))

        self._change_file(change)

    def stop_loop(self) -> None:
        """Play on to the end of the file."""
        self._change_file(lambda source, _: source.set_loop(None))

    def _change_file(self, change: Callable[[FileSource, int], None]) -> None:
        self._ask(command := commands.ChangeFile(change))
        command.outcome.result()

    # --- devices -----------------------------------------------------------------------------------------

    def devices(self) -> list[Device]:
        """Return the devices there are now; as far as PortAudio plays, those that were there when it began.

        Raises `DeviceError`.
        """
        self._ask(command := commands.ListDevices())
        return command.outcome.result()

    # --- within --------------------------------------------------------------------------------------------

    def _running(self) -> tuple[SessionOwner, Snapshot]:
        if not self._origin.is_here:
            raise UsageError("a fork cannot use the session of the process that it comes from; attach to it")
        owner = self._owner
        now = owner.now if owner else None
        if owner is None or now is None:
            raise UsageError(
                "the session has not begun; write 'with rtsep.Session(...) as session:', or start() it"
            )
        return owner, now

    def _ask(self, command: commands.Command) -> None:
        self._running()[0].inbox.send(command)

    def _raise_failure(self) -> None:
        if self._owner and self._owner.failure:
            failure, self._owner.failure = self._owner.failure, None
            raise failure

    def _finish(self) -> None:
        if self._owner is None or self._closed or not self._origin.is_here:
            return
        self._closed = True
        atexit.unregister(self._finish)
        self._owner.inbox.send(commands.End())
        if self._owner.thread.ident:  # else an interrupt came before it was started
            self._owner.thread.join()
