"""A live session, composed: input, model process, engine, output, recorder, and what happens when one goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtsep.audio import jack_ports, portaudio
from rtsep.audio import rings as r
from rtsep.audio.engine import Engine, Format
from rtsep.audio.portaudio import Device, Stream, check_format, within
from rtsep.audio.source import FileSource
from rtsep.audio.virtual import VirtualDevice
from rtsep.audiofile import AudioReader
from rtsep.controls import Controls
from rtsep.demo import demo_song
from rtsep.dsp.router import INSTRUMENTAL, MIX, VOCALS
from rtsep.errors import DeviceError, InputFileError, OutputError, UsageError
from rtsep.model.package import ModelPackage
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.slots import SharedSlots
from rtsep.report.counters import Tally
from rtsep.report.recorder import Recorder

VIRTUAL = "virtual"
DEFAULT_BLOCK = 256
"""Frames a call, where the device does not decide (a JACK server does)."""

LOST_AFTER_S = 1.0
"""A device that has not called for so long is gone."""

LOOK_AGAIN_S = 0.5
"""How often a lost device is looked for."""

ROUTES: dict[str, tuple[int, ...]] = {
    "vocals": (VOCALS,),
    "instrumental": (INSTRUMENTAL,),
    "mix": (MIX,),
    "both": (VOCALS, INSTRUMENTAL),
}


@dataclass(frozen=True)
class LiveOptions:
    """What `rtsep live` can be asked for; channel numbers count from 1, as printed on the gear."""

    input: str = "mic"
    out: str | None = None  # a key of ROUTES; None: both where there are channels for it
    out_device: str | None = None
    in_channels: tuple[int, ...] | None = None
    out_channels: tuple[int, ...] | None = None
    rate: int | None = None
    block: int | None = None
    slack: int | None = None
    client_name: str = "rtsep"
    connect: bool = True
    reconnect: bool = True
    record: Path | None = None
    subtype: str = "PCM_24"
    seconds: float | None = None
    device: str = "cpu"  # of the model


@dataclass
class Ends:
    """Input and output as resolved: a device, or the stand-in for one."""

    source: AudioReader | None
    input: Device | None
    output: Device | None  # None: virtual
    form: Format
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Input -> output, in words."""
        heard = self.source.path.name if self.source else self.input.name if self.input else "?"
        return f"{heard} -> {self.output.name if self.output else VirtualDevice.name}"


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
        self._played_s = 0.0  # on devices that were lost since
        self.recordings: list[dict[str, Path]] = []
        self.ends = resolve_ends(package, options)
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
            },
            "real_time": self.engine.real_time,
        }

    # --- the run -------------------------------------------------------------------------------------

    def start_model(self) -> None:
        """Start the model process and compile what runs without the GIL, side by side."""
        compiler = threading.Thread(target=self.engine.compile)
        compiler.start()
        try:
            self._supervisor.start()
        finally:
            compiler.join()

    def run(self) -> None:
        """Play until the end; a device that goes away is waited for, unless told otherwise."""
        while True:
            lost = self._play_once()
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
        streams: list[Stream] = []
        virtual: VirtualDevice | None = None
        try:
            streams = self._open_streams()
            if self.ends.output is None:
                virtual = VirtualDevice(engine.state, form.out_block, form.out_rate)
                virtual.start()
            for stream in streams:
                stream.start()
            if streams:
                self._name_ports()
            self.state = "playing"
            return self._watch(recorder)
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

    def _watch(self, recorder: Recorder | None) -> str | None:
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

    def _open_streams(self) -> list[Stream]:
        ends, form, state = self.ends, self.ends.form, self.engine.state
        inputs = (ends.input, max(form.in_map) + 1) if ends.input else None
        outputs = (ends.output, len(form.out_map)) if ends.output else None
        if inputs and outputs and not form.two_clocks:
            return [Stream(state, inputs, outputs, form.rate, 0 if inputs[0].is_jack else form.block)]
        streams = []
        if inputs:
            streams.append(Stream(state, inputs, None, form.rate, 0 if inputs[0].is_jack else form.block))
        if outputs:
            streams.append(Stream(state, None, outputs, form.out_rate, 0 if outputs[0].is_jack else form.out_block))
        return streams

    def _name_ports(self) -> None:
        if self.ends.output and self.ends.output.is_jack:
            form = self.ends.form
            names = jack_ports.output_names(form.out_map, form.channels)
            jack_ports.name_outputs(self.options.client_name, names, self.options.connect)

    def _wait_for_devices(self) -> bool:
        """Look for the lost devices until they are back (True) or the session is to end (False)."""
        while not self._leaving.wait(LOOK_AGAIN_S):
            if not within(5.0, lambda: portaudio.initialise(self.options.client_name)):
                raise DeviceError("the sound system does not answer any more; start rtsep again when it does")
            try:
                found = resolve_ends(self.package, self.options, self.ends)
            except DeviceError:
                continue
            self.ends = found
            return True
        return False

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


# --- resolving what the user named into devices, channels, rates, blocks -------------------------------


def resolve_ends(package: ModelPackage, options: LiveOptions, before: Ends | None = None) -> Ends:
    """Find devices, channels, rates and blocks; raises `RtsepError` where something cannot be.

    `before` are the ends of a session whose device was lost: a played file goes on where it was.
    """
    notes: list[str] = []
    source = before.source if before else _open_source(options.input)
    wants_virtual = options.out_device == VIRTUAL
    if not (source and wants_virtual) and before is None:
        try:
            portaudio.initialise(options.client_name)
        except DeviceError as error:
            if source is None or options.out_device is not None:
                raise
            notes.append(str(error))
            wants_virtual = True
    input_device = None if source else _find_input(options.input)
    output = None if wants_virtual else _find_output(options.out_device)
    if output is None and not wants_virtual:
        if before and before.output:
            raise DeviceError("the output device is not back yet")
        if source is None and options.out_device is None:
            raise DeviceError("there is no output device; --out-device virtual plays without one")
        notes.append("no audio device here: playing on the virtual device (nothing is heard; --record keeps it)")

    in_map = _in_map(options, source, input_device)
    out_map = _out_map(options, output, len(in_map))
    rate = _choose_rate(options, source, input_device, output)
    if input_device:
        check_format(input_device, "input", max(in_map) + 1, rate)
    out_rate = rate
    one_clock = input_device is None or (output is not None and input_device.index == output.index)
    if output:
        if not one_clock and options.rate is None and output.rate != rate:
            out_rate = output.rate
        check_format(output, "output", len(out_map), out_rate)
    block = _block(options, input_device or output, notes)
    out_block = block if one_clock else _block(options, output, notes)
    declared = (input_device.input_latency_s if input_device else 0.0) + (output.output_latency_s if output else 0.0)
    form = Format(
        rate,
        len(in_map),
        tuple(in_map),
        tuple(out_map),
        block,
        out_rate,
        out_block,
        not one_clock,
        options.slack,
        round(declared * rate),
    )
    return Ends(source, input_device, output, form, notes)


def _open_source(text: str) -> AudioReader | None:
    """Return a reader where the input is the demo song or a file, None where it is a device."""
    if text == "demo":
        return AudioReader(demo_song())
    path = Path(text).expanduser()
    if path.is_file():
        return AudioReader(path)
    looks_like_file = path.suffix.lower() in {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aif", ".aiff", ".mp4"}
    if looks_like_file or path.is_dir():
        raise InputFileError(f"{text}: {'a folder' if path.is_dir() else 'no such file'}; --in takes mic, demo, a device or a file")
    return None


def _find_input(text: str) -> Device:
    if text != "mic":
        return portaudio.find_device(text, "input")
    device = portaudio.default_device("input")
    if device is None:
        raise DeviceError("there is no input device; connect one, or try --in demo")
    return device


def _find_output(text: str | None) -> Device | None:
    return portaudio.default_device("output") if text is None else portaudio.find_device(text, "output")


def _in_map(options: LiveOptions, source: AudioReader | None, device: Device | None) -> list[int]:
    there = source.channels if source else device.inputs if device else 0
    chosen = options.in_channels or tuple(range(1, min(2, there) + 1))
    for channel in chosen:
        if channel > there:
            name = source.path.name if source else device.name if device else "?"
            raise UsageError(f"--in-channels {channel}: {name} has {there} channel{'s' if there != 1 else ''}")
    return [channel - 1 for channel in chosen]


def _out_map(options: LiveOptions, output: Device | None, channels: int) -> list[int]:
    """Lay the routed feeds on device channels; a mono signal goes to both sides of a pair."""
    width = max(2, channels)
    there = output.outputs if output else None
    route = options.out
    if route is None:
        route = "both" if there is None or there >= 2 * width else "vocals"
    entries = [feed * channels + min(side, channels - 1) for feed in ROUTES[route] for side in range(width)]
    if there == 1 and options.out_channels is None and len(entries) == 2:
        entries = entries[:1]  # one loudspeaker: the first channel of the feed
    places = options.out_channels or tuple(range(1, len(entries) + 1))
    if len(places) != len(entries):
        raise UsageError(
            f"--out-channels {','.join(map(str, places))}: --out {route} has {len(entries)} channels to place"
        )
    if there is not None and max(places) > there:
        remedy = "use --out vocals, instrumental or mix" if route == "both" else "choose others with --out-channels"
        raise DeviceError(f"{output.name if output else '?'} has {there} output channels, --out {route} needs {max(places)}; {remedy}")
    out_map = [-1] * max(places)
    for place, entry in zip(places, entries, strict=True):
        if out_map[place - 1] != -1:
            raise UsageError(f"--out-channels: channel {place} is named twice")
        out_map[place - 1] = entry
    return out_map


def _choose_rate(
    options: LiveOptions, source: AudioReader | None, input_device: Device | None, output: Device | None
) -> int:
    if options.rate is not None:
        return options.rate
    if input_device:
        return input_device.rate
    if output:
        return output.rate
    assert source
    return source.rate


def _block(options: LiveOptions, device: Device | None, notes: list[str]) -> int:
    if device and device.is_jack:
        period = jack_ports.period()
        if period is None:
            raise DeviceError("the JACK server does not answer; is it still running?")
        if options.block not in (None, period):
            note = f"--block {options.block}: the JACK server decides, its period is {period}"
            if note not in notes:
                notes.append(note)
        return period
    return options.block or DEFAULT_BLOCK
