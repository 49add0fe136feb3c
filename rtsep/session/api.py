"""A live session from Python: it plays on its own thread while your program changes its controls.

with rtsep.Session("demo", out="vocals") as session:
    session.controls.threshold = 0.4
    session.wait()

"""

from __future__ import annotations

import atexit
import logging
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
from rtsep.limits import last_position, loop_error, seconds_error, seek_error
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

_log = logging.getLogger("rtsep")


def _notify(line: str) -> None:
    with aloud():
        _log.warning(line)


def _refuse(problem: str) -> None:
    if problem:
        raise UsageError(problem)


class Session(Readings):
    """One live session. It starts with `with` (or `start`) and ends with its input or the `with` block.

    Several sessions may play at once, each with its own engine and model process. Messages for the user (such
    as a lost device) go to `logging.getLogger("rtsep")`. The methods send commands to the session's thread,
    and may be called on any thread. A session belongs to the process that made it: a fork (`os.fork`,
    `multiprocessing`) cannot use it, and does not change it when it ends.
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
        speed: float = 1.0,
        key: float = 0.0,
        device: str | None = None,
    ) -> None:
        """Check the options; open nothing yet. Raise `UsageError` for an invalid value.

        The arguments are the options of `rtsep live`. `input` is "mic", "demo", the name of a device, a file,
        or "system" or "app:NAME" for the sound of other programs. `out` is "vocals", "instrumental", "mix" or
        "both" (None: both if the device has the channels). `out_device` is a name, or "virtual" for no
        device; `as_microphone` plays into a virtual microphone. Channels count from 1, `rate` is in Hz,
        `block` and `slack` are in frames, `record` is a folder. `compute` selects the processor of the model,
        "cpu" or "cuda"; `device` is its old name. `limiter` keeps the output within full scale;
        `feedback_guard` reduces the output when acoustic feedback builds up. Recordings are taken before
        both. `track` selects the audio track of a file with several (from 1; None: the default track).
        A file begins at `speed`, a factor, and `key`, semitones above the recorded key.
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
            record=user_path(record) if record is not None else None,
            subtype=subtype,
            seconds=seconds,
            compute=chosen_compute(compute, device),
            track=track,
            speed=speed,
            key=key,
        )
        self._set_up(options, str(model), controls, _notify, None)

    @classmethod
    def of(
        cls,
        options: LiveOptions,
        model: ModelPackage | str,
        controls: Controls | None = None,
        notify: Callable[[str], None] = _notify,
        stages: Stages | None = None,
    ) -> Session:
        """Return a session with these options, for the command line and the benchmarks.

        `model` is a name, a path, or a model file that was read. `notify` receives lines for the user, on any
        thread. `stages`, if given, are the stages of the start so far; later stages are added to it.
        """
        session = cls.__new__(cls)
        session._set_up(options, model, controls, notify, stages)
        return session

    def _set_up(
        self,
        options: LiveOptions,
        model: ModelPackage | str,
        controls: Controls | None,
        notify: Callable[[str], None],
        stages: Stages | None,
    ) -> None:
        self.controls = controls if controls is not None else Controls()
        self._options, self._model, self._notify, self._stages = options, model, notify, stages
        self._owner: SessionOwner | None = None
        self._origin = Origin()
        self._started = self._closed = False

    # --- life ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Find the devices and begin to load the model. Raise `RtsepError` if that fails.

        `start` calls this too; call it yourself only to do something between the two.
        """
        if self._owner or self._closed or not self._origin.is_here:
            raise UsageError("a session plays only once; create another one")
        model = self._model
        package = model if isinstance(model, ModelPackage) else read_package(find_model(model))
        if self._options.record:
            make_folder(self._options.record)
        owner = SessionOwner(package, self._options, self.controls, self._notify, self._stages)
        self._owner = owner
        try:
            atexit.register(self._finish)
            owner.start()
            wait_for(owner.found)
            self._raise_failure()
            for note in self.io.notes:
                self._notify(note)
        except BaseException:
            self._finish()
            if owner.now is None:  # nothing was opened, so it may be tried again
                self._owner, self._closed = None, False
            raise

    def start(self) -> Session:
        """Open everything and return as soon as it plays. Raise `RtsepError` if that fails.

        The first start on a machine compiles for half a minute. A session plays only once: create another one
        to play again.
        """
        if self._started:
            raise UsageError("a session plays only once; create another one")
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
        """Wait until the session ends, at most `timeout` seconds; return whether it has ended.

        Without `timeout` there is no limit. Raise the error that ended it early, such as a `DeviceError`.
        """
        over = self.is_over(timeout)
        if over:
            self._raise_failure()
        return over

    def is_over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session has ended, after at most `timeout` seconds; do not raise its error."""
        return wait_for(self._running()[0].over, timeout)

    def end(self) -> None:
        """Request the end of the session and return at once. A signal handler may call it."""
        self._running()[0].inbox.send(commands.End())

    def close(self) -> None:
        """End the session, release everything, and raise the error that ended it early (once)."""
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
            value.add_note(f"(the session had already ended: {owner.failure})")
            owner.failure = None

    # --- during playback --------------------------------------------------------------------------------

    @property
    def now(self) -> Snapshot:
        """Return the published state, immutable: input and output, model, engine."""
        return self._running()[1]

    def start_recording(self, folder: str | Path) -> None:
        """Record mix, vocals and instrumental in `folder` from the next hop on; keep existing takes.

        Raise `OutputError` if the folder cannot be written, `UsageError` if a recording is already running.
        """
        self._send(command := commands.StartRecording(user_path(folder)))
        command.outcome.result()

    def stop_recording(self) -> dict[str, Path] | None:
        """End the take; return its files by stem, None if nothing was recorded. Wait for the disk."""
        self._send(command := commands.StopRecording())
        recorder = command.outcome.result()
        return recorder.files() if recorder else None

    def switch_model(self, model: str | Path) -> None:
        """Switch to another model, given by name or path, without a gap; return when it is active.

        The new model loads and processes the input while the old one still plays, which takes seconds; then
        the output cross-fades to it. `latency` can change. A recording continues in a new take. Raise
        `ModelError`, `ModelProcessError` or `UsageError` for a model that does not load or is too slow here,
        and `DeviceError` if playback stops meanwhile; the old model stays active.
        """
        self._running()
        self._send(command := commands.SwitchModel(read_package(find_model(str(model)))))
        command.outcome.result()

    def switch_device(
        self, *, input: str | Path | None = None, out_device: str | None = None, loop: bool = False
    ) -> None:
        """Switch the input, the output device, or both, named as at the start; return when they play.

        `loop`: repeat the new input if it is a file; without it, the session ends with the file.

        The output fades out and in, and is silent while the devices open. A played file continues at the same
        position, a recording in a new take; `rate` and `latency` can change. Raise `DeviceError`,
        `InputFileError` or `UsageError` if something cannot be opened; the old devices then play on.
        """
        self._running()
        if input is None and out_device is None:
            raise UsageError("nothing to switch to: give an input, an output device, or both")
        where = None if input is None else str(input)
        self._send(command := commands.SwitchDevices(where, out_device, loop))
        command.outcome.result()

    # --- a played file -----------------------------------------------------------------------------------

    def seek(self, seconds: float) -> None:
        """Continue at `seconds` of the file, exact to the sample; a paused file stays paused there.

        Return at once; the change is audible after the latency. A file that ffmpeg decodes must first be
        decoded up to that position; playback continues meanwhile. A recording contains the output as played.
        A position behind the end of a loop becomes the loop's start. Raise `UsageError` if no file is played,
        or for a position outside it.
        """
        _refuse(seconds_error("seek to", seconds))

        def change(source: FileSource, audible: int) -> None:
            _refuse(seek_error(seconds, source.place(audible).length))
            source.seek(seconds)

        self._change_file(change)

    def skip(self, seconds: float) -> None:
        """Move by `seconds` in the file (negative: back), at most to one of its ends; else like `seek`.

        Raise `UsageError` for more than MAX_POSITION_S of `rtsep.limits`, infinity and NaN.
        """
        _refuse(seconds_error("skip", seconds))

        def change(source: FileSource, audible: int) -> None:
            to = max(0.0, source.target(audible) + seconds)
            source.seek(min(to, last_position(source.place(audible).length)))

        self._change_file(change)

    def pause(self) -> None:
        """Pause the file: until `resume`, the output and recordings are silent. No fault is counted."""
        self._change_file(lambda source, _: source.pause(True))

    def resume(self) -> None:
        """Continue with the frame that follows the last one played before `pause`."""
        self._change_file(lambda source, _: source.pause(False))

    def loop(self, start: float = 0.0, end: float | None = None) -> None:
        """Repeat the file from `start` to `end`, in seconds (None: the end of the file).

        The end joins the start without a gap, exact to the sample. A position behind the end moves to the
        start at once. Raise `UsageError` if no file is played, if the loop is shorter than 0.1 s, or if a
        position is outside the file.
        """

        def change(source: FileSource, audible: int) -> None:
            _refuse(loop_error(start, end, source.place(audible).length))
            source.set_loop((start, end))

        self._change_file(change)

    def stop_loop(self) -> None:
        """End the loop: play on to the end of the file."""
        self._change_file(lambda source, _: source.set_loop(None))

    def stretch(self, speed: float | None = None, key: float | None = None) -> None:
        """Play the file at another speed, in another key, or both; None: as before.

        `speed` is a factor from 0.5 to 1.5 and keeps the key; `key` is in semitones above the recorded one,
        from -6 to 6, and keeps the speed. Returns at once; is audible after the latency, without a gap. The
        latency does not change. Position, seek, loop and length stay in the file's own time. Raises
        `UsageError` where no file is played, for values out of range, or without the library Bungee.
        """
        if speed is None and key is None:
            raise UsageError("nothing to change: name a speed, a key, or both")
        self._change_file(lambda source, _: source.set_stretch(speed, key))

    def _change_file(self, change: Callable[[FileSource, int], None]) -> None:
        self._send(command := commands.ChangeFile(change))
        command.outcome.result()

    # --- devices -----------------------------------------------------------------------------------------

    def devices(self) -> list[Device]:
        """Return the current devices; while PortAudio plays, its devices as they were at the start.

        Raise `DeviceError` if they cannot be listed.
        """
        self._send(command := commands.ListDevices())
        return command.outcome.result()

    # --- internal ---------------------------------------------------------------------------------------

    def _running(self) -> tuple[SessionOwner, Snapshot]:
        if not self._origin.is_here:
            raise UsageError("a forked process cannot use the session of its parent; attach to it instead")
        owner = self._owner
        now = owner.now if owner else None
        if owner is None or now is None:
            raise UsageError(
                "the session has not started; write 'with rtsep.Session(...) as session:', or call start()"
            )
        return owner, now

    def _send(self, command: commands.Command) -> None:
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
        if self._owner.thread.ident:  # else an interrupt came before the thread started
            self._owner.thread.join()
