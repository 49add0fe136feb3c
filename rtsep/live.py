"""A live session, composed: input, model process, engine, output, recorder, and what to do when one goes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsep.audio import jack_ports
from rtsep.audio import rings as r
from rtsep.audio.devices import Device
from rtsep.audio.engine import Engine
from rtsep.audio.portaudio import Stream
from rtsep.audio.source import FileSource
from rtsep.audio.virtual import VirtualDevice
from rtsep.controls import Controls
from rtsep.endpoints import Ends, LiveOptions, resolve_ends
from rtsep.errors import DeviceError, OutputError
from rtsep.foreign import within
from rtsep.model.package import ModelPackage
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime import priority
from rtsep.realtime.slots import SharedSlots
from rtsep.report.counters import Tally
from rtsep.report.recorder import Recorder

if TYPE_CHECKING:
    from rtsep.audio.jack_stream import JackStream  # needs libjack

    AnyStream = Stream | JackStream

LOST_AFTER_S = 1.0
"""A device that has not called for so long is gone."""

LOOK_PATIENCE_S = 5.0
"""A sound system that takes longer to list its devices has hung."""

LOOK_AGAIN_S = 0.5
"""How often a lost device is looked for."""


class LiveSession:
    """One run of `rtsep live`. `run` returns when the input is over, time is up, or `end` was called."""

    def __init__(
        self, package: ModelPackage, options: LiveOptions, controls: Controls, say: Callable[[str], None]
    ) -> None:
        """Resolve the ends; nothing sounds yet. `say` gets lines for the user. Raises `RtsepError`."""
        self.package, self.options, self.controls = package, options, controls
        self._say = say
        self._leaving = threading.Event()
        self._tally = Tally()
        self.memory_locked = False
        self._found: Ends | None = None  # the ends of a lost device, once it is back
        self._played_s = 0.0  # on devices that were lost since
        self.recordings: list[dict[str, Path]] = []
        self.ends = resolve_ends(options)
        self._shared = SharedSlots.create(package.spec.channels, package.spec.bins)
        self._supervisor = ModelSupervisor(self._shared, package.path, options.device)
        self._source: FileSource | None = None
        self.engine = self._make_engine()
        self.state = "starting"

    # --- what others read --------------------------------------------------------------------------

    def end(self) -> None:
        """Ask the session to end; returns at once."""
        self._leaving.set()

    def stats(self) -> dict[str, Any]:
        """Return the counters of the whole session, latency, levels, the model's state."""
        budget = self.engine.latency
        return {
            "state": self.state,
            **self._tally.total(self.engine),
            "latency_ms": budget.milliseconds(),
            "latency_samples": budget.total,
            "rate": self.engine.form.rate,
            "block": self.engine.form.block,
            "levels": self.engine.meters(),
            "drift_ppm": self.engine.drift_ppm(),
            "model": {
                "name": self.package.spec.name,
                "pid": self._supervisor.pid,
                "restarts": self._supervisor.restarts,
                "ready": self._supervisor.ready,
                "error": self._supervisor.last_error,
            },
            "real_time": self.engine.real_time,
            "memory_locked": self.memory_locked,
        }

    # --- the run -------------------------------------------------------------------------------------

    def start_model(self) -> None:
        """Start the model process and compile what runs without the GIL, side by side."""
        compiler = threading.Thread(target=self._compile)
        compiler.start()
        try:
            self._supervisor.start()
        finally:
            compiler.join()

    def _compile(self) -> None:
        self.engine.compile()
        if any(end.is_jack for end in (self.ends.input, self.ends.output) if end):
            from rtsep.audio import jack_stream  # noqa: F401 (compiles, or loads what was)

    def run(self) -> None:
        """Play until the end; a device that goes away is waited for, unless told otherwise."""
        self.memory_locked = priority.lock_memory()
        while True:
            try:
                lost = self._play_once()
            except DeviceError as error:
                if self.state == "starting":  # it was never there
                    raise
                lost = str(error)  # found again, and gone again before it was open
            if lost is None or self._leaving.is_set():
                return
            if not self.options.reconnect:
                raise DeviceError(f"{lost}; ended (--no-reconnect)")
            self._say(f"{lost}; waiting for it to come back (Ctrl-C ends)")
            self.state = "waiting"
            if not self._wait_for_devices():
                return
            self._tally.add(self.engine)
            self._played_s += self.engine.read(r.IN_READ) / self.engine.form.rate
            self.engine = self._make_engine()
            self._say(f"{self.ends.name} is back; playing")

    def close(self) -> None:
        """Give everything back; call once, whatever happened."""
        self._supervisor.stop()
        if self._source:
            self._source.close()
        elif self.ends.source:
            self.ends.source.close()
        self._shared.close()

    def _make_engine(self) -> Engine:
        return Engine(self.package.spec, self.ends.form, self.controls, self._shared)

    def _play_once(self) -> str | None:
        """Run the engine on the devices; return why they were lost, or None at the regular end."""
        engine, form = self.engine, self.ends.form
        recorder = self._start_recorder()
        if self.ends.source:
            engine.state[r.HAS_SOURCE] = 1
            if self._source is None:
                channels = list(form.in_map)
                self._source = FileSource(self.ends.source, form.rate, channels)
            self._source.start(engine.state, engine.input_ring)
        engine.start()
        streams: list[AnyStream] = []
        virtual: VirtualDevice | None = None
        try:
            streams = self._open_streams()
            if self.ends.output is None:
                virtual = VirtualDevice(engine.state, form.out_block, form.out_rate)
                virtual.start()
            for stream in streams:
                stream.start()
            self.state = "playing"
            return self._watch(recorder, streams)
        finally:
            for stream in streams:
                stream.close()
            if virtual:
                virtual.stop()
            if self._source:
                self._source.stop()
            engine.stop()
            if recorder:
                self._stop_recorder(recorder)

    def _watch(self, recorder: Recorder | None, streams: list[AnyStream]) -> str | None:
        """Wait for the end; return the reason if a device stops calling."""
        engine = self.engine
        left = self._frames_left()
        clocks = [slot for slot, used in ((r.IN_CALLS, self.ends.input), (r.OUT_CALLS, True)) if used]
        seen = {slot: (engine.read(slot), time.monotonic()) for slot in clocks}
        while not self._leaving.wait(0.02):
            end = engine.read(r.SOURCE_END) if left is None else min(left, engine.read(r.SOURCE_END))
            if min(engine.read(r.IN_READ), engine.read(r.OUT_READ)) >= end + engine.latency.total:
                return None
            if recorder and recorder.failure and not recorder.reported:
                recorder.reported = True
                self._say(f"recording stopped: {recorder.failure}; the sound goes on")
            frames = engine.read(r.OUT_FRAMES)
            if frames not in (0, engine.form.out_block):
                return f"the device has changed its block from {engine.form.out_block} to {frames} frames"
            for stream in streams:
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

    def _frames_left(self) -> int | None:
        """Return how many frames `--seconds` leaves to play, None without it."""
        if self.options.seconds is None:
            return None
        return round((self.options.seconds - self._played_s) * self.ends.form.rate)

    # --- devices ---------------------------------------------------------------------------------------

    def _open_streams(self) -> list[AnyStream]:
        ends, form = self.ends, self.ends.form
        inputs = (ends.input, max(form.in_map) + 1) if ends.input else None
        outputs = (ends.output, len(form.out_map)) if ends.output else None
        if inputs and outputs and not form.two_clocks:
            return [self._open(inputs, outputs, form.rate, form.block)]
        streams = []
        if inputs:
            streams.append(self._open(inputs, None, form.rate, form.block))
        if outputs:
            streams.append(self._open(None, outputs, form.out_rate, form.out_block))
        return streams

    def _open(
        self, inputs: tuple[Device, int] | None, outputs: tuple[Device, int] | None, rate: int, block: int
    ) -> AnyStream:
        engine, options, form = self.engine, self.options, self.ends.form
        if not any(end[0].is_jack for end in (inputs, outputs) if end):
            heard, played = (((end[0].index, end[1]) if end else None) for end in (inputs, outputs))
            return Stream(engine, engine.state, heard, played, rate, block)
        from rtsep.audio.jack_stream import JackStream  # needs libjack

        names = jack_ports.output_names(form.out_map, form.channels) if outputs else []
        return JackStream(
            engine, engine.state, options.client_name, inputs[1] if inputs else 0, names,
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

    # --- recording -------------------------------------------------------------------------------------

    def _start_recorder(self) -> Recorder | None:
        options, engine = self.options, self.engine
        if options.record is None:
            return None
        ring = engine.prepare_recording()
        return Recorder(
            options.record,
            engine.state,
            ring,
            engine.form.rate,
            engine.feed_latency,
            options.subtype,
            self._frames_left(),
        )

    def _stop_recorder(self, recorder: Recorder) -> None:
        try:
            self.recordings.append(recorder.stop())
        except OutputError as error:
            self._say(f"the recording could not be finished: {error}")
        if recorder.lost_frames:
            self._say(f"the disk was too slow: {recorder.lost_frames} frames of the recording are silence")
        if recorder.writer.clipped_samples:
            self._say(
                f"{recorder.writer.clipped_samples} recorded samples were beyond full scale and clipped; "
                "--subtype FLOAT keeps them"
            )
