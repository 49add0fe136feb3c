"""A live session, composed: input, model process, engine, output, recorder, and what to do when one goes."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsep.audio import jack_ports
from rtsep.audio import rings as r
from rtsep.audio.desk import Desk
from rtsep.audio.devices import Device
from rtsep.audio.engine import Engine
from rtsep.audio.portaudio import Stream
from rtsep.audio.source import FileSource
from rtsep.audio.virtual import VirtualDevice
from rtsep.controls import Controls
from rtsep.deck import Deck
from rtsep.endpoints import Ends, LiveOptions, resolve_ends
from rtsep.errors import DeviceError, OutputError, UsageError
from rtsep.foreign import within
from rtsep.model.package import ModelPackage
from rtsep.realtime import priority
from rtsep.report.counters import Tally
from rtsep.report.recorder import RecordingState, Takes, Tape

if TYPE_CHECKING:
    from rtsep.audio.jack_stream import JackStream  # needs libjack

    AnyStream = Stream | JackStream

LOST_AFTER_S = 1.0
"""A device that has not called for so long is gone."""

LOOK_PATIENCE_S = 5.0
"""A sound system that takes longer to list its devices has hung."""

LOOK_AGAIN_S = 0.5
"""How often a lost device is looked for."""

WARM_UP_S = 1.0
"""How long another model hears along before it is heard: its memory is short, but not empty."""

CALL_OVER_S = 0.2
"""No audio callback takes so long."""

SWITCH_PATIENCE_S = 10.0


class LiveSession:
    """One run of `rtsep live`. `run` returns when the input is over, time is up, or `end` was called."""

    def __init__(
        self, package: ModelPackage, options: LiveOptions, controls: Controls, say: Callable[[str], None]
    ) -> None:
        """Resolve the ends; nothing sounds yet. `say` gets lines for the user. Raises `RtsepError`."""
        self.options, self.controls = options, controls
        self._say = say
        self._leaving = threading.Event()
        self._tally = Tally()
        self.memory_locked = False
        self._found: Ends | None = None  # the ends of a lost device, once it is back
        self._played_s = 0.0  # on devices that were lost since
        self._takes = Takes(options.subtype, say)
        self.ends = resolve_ends(options)
        self._source: FileSource | None = None
        self._deck = Deck(package, options.device, self.ends.form, controls)
        self._desk: Desk | None = None  # while streams are open
        self._streams: list[AnyStream] = []
        self._switching = threading.Lock()
        self._next: tuple[LiveOptions, Ends] | None = None  # other devices, asked for
        self._fallback: tuple[LiveOptions, Ends] | None = None  # those that they took over from
        self._fade_in = False
        self.state = "starting"

    # --- what others read --------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine that is heard."""
        return self._deck.engine

    @property
    def package(self) -> ModelPackage:
        """The model that is heard."""
        return self._deck.package

    def end(self) -> None:
        """Ask the session to end; returns at once."""
        self._leaving.set()

    def stats(self) -> dict[str, Any]:
        """Return the counters of the whole session, latency, levels, the model's state."""
        deck = self._deck  # the same one for all figures
        engine, model = deck.engine, deck.model
        budget = engine.latency
        return {
            "state": self.state,
            **self._tally.total(engine),
            "latency_ms": budget.milliseconds(),
            "latency_samples": budget.total,
            "rate": engine.form.rate,
            "block": engine.form.block,
            "levels": engine.meters(),
            "drift_ppm": engine.drift_ppm(),
            "model": {
                "name": deck.package.spec.name,
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
        """Start the model process and compile what runs without the GIL, side by side."""
        compiler = threading.Thread(target=self._compile)
        compiler.start()
        try:
            self._deck.start_model()
        finally:
            compiler.join()

    def _compile(self) -> None:
        self.engine.compile()
        if any(end.is_jack for end in (self.ends.input, self.ends.output) if end):
            from rtsep.audio import jack_stream  # noqa: F401 (compiles, or loads what was)

    def run(self) -> None:
        """Play until the end; a device that goes away is waited for, unless told otherwise."""
        self.memory_locked = priority.lock_memory()
        if self.options.record:
            self.start_recording(self.options.record)
        while True:
            try:
                lost = self._play_once()
            except DeviceError as error:
                if self.state == "starting":  # it was never there
                    raise
                lost = str(error)  # found again, and gone again before it was open
                if self._fallback:
                    self._say(f"{lost}; back to {self._fallback[1].name}")
                    self._next, self._fallback = self._fallback, None
            if self._next and not self._leaving.is_set():
                self._move(*self._next)
                continue
            self._fallback = None
            if lost is None or self._leaving.is_set():
                return
            if not self.options.reconnect:
                raise DeviceError(f"{lost}; ended (--no-reconnect)")
            self._say(f"{lost}; waiting for it to come back (Ctrl-C ends)")
            self.state = "waiting"
            if not self._wait_for_devices():
                return
            self._rebuild()
            self._say(f"{self.ends.name} is back; playing")

    def _rebuild(self) -> None:
        """Another engine, for the ends as they are now; what this one counted is kept."""
        self._tally.add(self.engine)
        self._played_s += self.engine.read(r.IN_READ) / self.engine.form.rate
        self._deck.build_engine(self.ends.form)

    def close(self) -> None:
        """Give everything back; call once, whatever happened."""
        self._takes.detach()
        self._deck.close()
        if self._source:
            self._source.close()
        elif self.ends.source:
            self.ends.source.close()

    def _play_once(self) -> str | None:
        """Run the engine on the devices; return why they were lost, or None at the regular end."""
        engine, form = self.engine, self.ends.form
        self._attach_recording()
        if self.ends.source:
            engine.state[r.HAS_SOURCE] = 1
            if self._source is None:
                channels = list(form.in_map)
                self._source = FileSource(self.ends.source, form.rate, channels)
            self._source.start(engine.state, engine.input_ring)
        engine.start()
        self._desk = Desk(engine.state, form.rate, len(form.out_map), self._fade_in)
        self._fade_in = False
        virtual: VirtualDevice | None = None
        try:
            self._streams = self._open_streams(self._desk)
            if self.ends.output is None:
                virtual = VirtualDevice(self._desk.slots, len(form.out_map), form.out_block, form.out_rate)
                virtual.start()
            for stream in self._streams:
                stream.start()
            self.state = "playing"
            return self._watch()
        finally:
            self.state = "stopping"  # no switch begins any more, and one under way is given up
            with self._switching:
                for stream in self._streams:
                    stream.close()
                self._streams, self._desk = [], None
                if virtual:
                    virtual.stop()
                if self._source:
                    self._source.stop()
                self.engine.stop()
                self._takes.detach()

    def _watch(self) -> str | None:
        """Wait for the end; return the reason if a device stops calling."""
        left = self._frames_left()
        clocks = [slot for slot, used in ((r.IN_CALLS, self.ends.input), (r.OUT_CALLS, True)) if used]
        seen = {slot: (self.engine.read(slot), time.monotonic()) for slot in clocks}
        while not self._leaving.wait(0.02):
            if self._next:
                return None
            engine = self.engine  # another one, once a model was switched
            end = engine.read(r.SOURCE_END) if left is None else min(left, engine.read(r.SOURCE_END))
            if min(engine.read(r.IN_READ), engine.read(r.OUT_READ)) >= end + engine.latency.total:
                return None
            frames = engine.read(r.OUT_FRAMES)
            if frames not in (0, engine.form.out_block):
                return f"the device has changed its block from {engine.form.out_block} to {frames} frames"
            for stream in self._streams:
                if stream.lost:
                    return stream.lost
            now = time.monotonic()
            for slot in clocks:
                calls = engine.read(slot)
                if calls != seen[slot][0]:
                    seen[slot] = (calls, now)
                elif now - seen[slot][1] > LOST_AFTER_S:
                    which = self.ends.input if slot == r.IN_CALLS else self.ends.output
                    return f"{which.name if which else 'the device'} has stopped answering"
        return None

    def _attach_recording(self) -> None:
        engine = self.engine
        left = self._frames_left()
        tape = Tape(engine.state, engine.record_ring, engine.form.rate, engine.feed_latency, left)
        try:
            self._takes.attach(tape)
        except OutputError as error:
            if self.state == "starting":
                raise
            self._say(f"recording stopped: {error}; the sound goes on")

    def _frames_left(self) -> int | None:
        """Return how many frames `--seconds` leaves to play, None without it."""
        if self.options.seconds is None:
            return None
        return round((self.options.seconds - self._played_s) * self.ends.form.rate)

    # --- other devices -------------------------------------------------------------------------------

    def switch_device(self, *, input: str | None = None, out_device: str | None = None) -> None:
        """Hear or play through something else, named as on the command line; None: as it is.

        What plays fades out, what comes fades in; between them lies the time that devices take to open. A
        played file goes on where it was. From any thread but the session's; returns when the old devices are
        silent. Raises `DeviceError`, `InputFileError` or `UsageError` for what cannot be, and goes on as
        before, as it does where the new devices do not open.
        """
        changed: dict[str, Any] = {"input": input, "in_channels": None} if input is not None else {}
        changed |= {"out_device": out_device, "out_channels": None} if out_device is not None else {}
        with self._switching:
            if self.state != "playing" or self._desk is None:
                raise UsageError("devices can be switched only while it plays; try again when it does")
            options = dataclasses.replace(self.options, **changed)
            ends = resolve_ends(options, self.ends if input is None else None)
            desk = self._desk
            desk.hush()
            self._until(lambda: desk.hushed)
            self._next = (options, ends)

    def _move(self, options: LiveOptions, ends: Ends) -> None:
        """Go on with these ends."""
        self._next = None
        if self._fallback is None:
            self._fallback = (self.options, self.ends)
        if self._source and ends.source is not self.ends.source:
            self._source.close()
            self._source = None
        self.options, self.ends, self._fade_in = options, ends, True
        self._rebuild()
        for note in ends.notes:
            self._say(note)
        self._say(f"{ends.name}; {self.engine.latency.line()}")

    # --- another model -------------------------------------------------------------------------------

    def switch_model(self, package: ModelPackage) -> None:
        """Play with another model: it is loaded and hears along while this one plays, then comes in softly.

        Returns once it is heard; seconds, of which the sound knows nothing. From any thread but the one that
        runs the session. Raises `ModelError`, `ModelProcessError` or `UsageError`, and goes on as before.
        """
        with self._switching:
            if self.state != "playing" or self._desk is None:
                raise UsageError("a model can be switched only while it plays; try again when it does")
            ring = self.engine.input_ring if self._source else None
            deck = Deck(package, self.options.device, self.ends.form, self.controls, ring)
            try:
                deck.start_model()
                self._bring_in(deck, self._desk)
            except BaseException:
                deck.close()
                raise

    def _bring_in(self, deck: Deck, desk: Desk) -> None:
        before, engine = self._deck, deck.engine
        if self._source:
            self._source.also(engine.state)
        desk.put(engine.state)
        try:
            self._until(lambda: desk.joined)
            started = engine.read(r.IN_READ)
            engine.start()
            self._until(lambda: engine.read(r.IN_READ) - started >= WARM_UP_S * engine.form.rate)
            hops, late = engine.read(r.HOPS), engine.read(r.LATE_MASKS)
            if late > hops / 2:
                name = deck.package.spec.name
                raise UsageError(f"model '{name}' is too slow here: {late} of {hops} masks came late")
            unheard = engine.counters()
            desk.fade()
            self._until(lambda: desk.faded)
        except BaseException:
            desk.settle()
            if self._source:
                self._source.only(before.engine.state)
            self._retire(engine)
            raise
        self._tally.add(before.engine)
        self._tally.leave_out(unheard)
        self._deck = deck
        if self._source:
            self._source.only(engine.state)
        self._takes.detach()
        self._attach_recording()
        desk.settle()
        for stream in self._streams:
            stream.tell_latency(engine.latency.total)
        self._retire(before.engine)
        before.close()

    def _retire(self, engine: Engine) -> None:
        time.sleep(CALL_OVER_S)  # no call that began with it is still at work
        engine.stop()

    def _until(self, happens: Callable[[], bool]) -> None:
        """Wait for what the callbacks and the hop loop do; `DeviceError` where they do not any more."""
        over = time.monotonic() + SWITCH_PATIENCE_S
        while not happens():
            if self.state != "playing" or time.monotonic() > over:
                raise DeviceError("the device stopped while the model was switched; the old one stays")
            time.sleep(0.005)

    # --- devices ---------------------------------------------------------------------------------------

    def _open_streams(self, desk: Desk) -> list[AnyStream]:
        ends, form = self.ends, self.ends.form
        inputs = (ends.input, max(form.in_map) + 1) if ends.input else None
        outputs = (ends.output, len(form.out_map)) if ends.output else None
        if inputs and outputs and not form.two_clocks:
            return [self._open(desk, inputs, outputs, form.rate, form.block)]
        streams = []
        if inputs:
            streams.append(self._open(desk, inputs, None, form.rate, form.block))
        if outputs:
            streams.append(self._open(desk, None, outputs, form.out_rate, form.out_block))
        return streams

    def _open(
        self,
        desk: Desk,
        inputs: tuple[Device, int] | None,
        outputs: tuple[Device, int] | None,
        rate: int,
        block: int,
    ) -> AnyStream:
        engine, options, form = self.engine, self.options, self.ends.form
        if not any(end[0].is_jack for end in (inputs, outputs) if end):
            heard, played = (((end[0].index, end[1]) if end else None) for end in (inputs, outputs))
            return Stream(desk, desk.slots, heard, played, rate, block)
        from rtsep.audio.jack_stream import JackStream  # needs libjack

        names = jack_ports.output_names(form.out_map, form.channels) if outputs else []
        return JackStream(
            desk, desk.slots, options.client_name, inputs[1] if inputs else 0, names,
            engine.latency.total, options.connect,
        )  # fmt: skip

    def _wait_for_devices(self) -> bool:
        """Look for the lost devices until they are back (True) or the session is to end (False)."""
        while not self._leaving.wait(LOOK_AGAIN_S):
            if not within(LOOK_PATIENCE_S, self._try_to_find_devices):
                raise DeviceError("the sound system does not answer any more; start rtsep again when it does")
            if self._found:
                self.ends = self._found
                return True
        return False

    def _try_to_find_devices(self) -> None:
        self._found = None
        with contextlib.suppress(DeviceError):  # not back yet
            self._found = resolve_ends(self.options, self.ends)
