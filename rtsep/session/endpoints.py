"""Resolution of the user's choices to devices, files, channels, rates and blocks of a live session."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rtsep.audio import devices
from rtsep.audio.devices import Device, DeviceList, check_format
from rtsep.audio.engine import StreamFormat, most_slack
from rtsep.audio.jack_backend import HungServerError
from rtsep.audio.virtual import VirtualDevice
from rtsep.errors import DeviceError, InputFileError, UsageError
from rtsep.files.audiofile import AudioReader
from rtsep.files.demo import demo_song
from rtsep.files.names import STDIN, input_path, is_there, printable
from rtsep.limits import HIGHEST_RATE, LOWEST_RATE
from rtsep.session.captured import (
    captured_sink,
    find_elsewhere,
    find_microphone,
    find_on_desktop,
    refuse_feedback,
)
from rtsep.session.desktop import Part
from rtsep.session.named_devices import (
    IN_TAKES,
    NOTHING_KEPT,
    Kept,
    find_input,
    find_output,
    may_be_device,
    refuse_folder,
)
from rtsep.session.options import APP, BALANCES, ROUTES, SYSTEM, VIRTUAL, LiveOptions, OptionError

NO_DEVICES = DeviceList(devices=(), jack=None, defaults={"input": -1, "output": -1})

DEFAULT_BLOCK = 256
"""Default block in frames per call, unless the device decides (a JACK server does)."""

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aif", ".aiff", ".mp4"}
"""Suffixes of files: an input with one of them is never the name of a device."""


@dataclass
class ResolvedIO:
    """Resolved input and output: devices or their substitutes."""

    source: AudioReader | None
    input: Device | None
    output: Device | None  # None: virtual
    format: StreamFormat
    notes: list[str] = field(default_factory=list)
    known: frozenset[str] = frozenset()  # names of all devices found

    @property
    def name(self) -> str:
        """Return input -> output as text."""
        source = printable(self.source.path.name) if self.source else self.input.name if self.input else "?"
        return f"{source} -> {self.output.name if self.output else VirtualDevice.name}"

    @property
    def may_burst(self) -> bool:
        """Return whether calls can come in bursts, from a driver or server; JACK calls evenly."""
        return any(device and not device.is_jack for device in (self.input, self.output))

    @property
    def max_added_s(self) -> float:
        """Return the limit of latency from slack and device in seconds for automatic slack; 0: no limit."""
        return max(device.max_added_s for device in (self.input, self.output) if device)

    @property
    def captured_sink(self) -> str:
        """Return the server's name of the sink that is captured as input; "" for any other input."""
        return captured_sink(self.input)

    @property
    def rates(self) -> str:
        """Return the rates as text."""
        rate, out_rate = self.format.rate, self.format.out_rate
        return f"{rate} Hz" if rate == out_rate else f"{rate} -> {out_rate} Hz"

    def moved_to(self, input: Device | None, output: Device | None) -> ResolvedIO:
        """Return a copy on other devices; None: unchanged."""
        return replace(self, input=input or self.input, output=output or self.output)

    def at_rates(self, rate: int | None, out_rate: int | None) -> ResolvedIO:
        """Return a copy at other rates of input and output in Hz; None: unchanged."""
        format = self.format
        if not format.two_clocks:
            rate = out_rate = rate or out_rate
        rate, out_rate = rate or format.rate, out_rate or format.out_rate
        hardware = round(format.hardware * rate / format.rate)
        slack = None if format.slack is None else min(format.slack, most_slack(rate, out_rate))
        return replace(
            self,
            format=replace(format, rate=rate, out_rate=out_rate, hardware=hardware, slack=slack),
            input=self.input and replace(self.input, rate=rate),
            output=self.output and replace(self.output, rate=out_rate),
        )


class NotBackError(DeviceError):
    """A lost device is not back yet."""


def resolve_io(
    options: LiveOptions,
    before: ResolvedIO | None = None,
    lost: bool = False,
    parts: tuple[Part, ...] = (),
    kept: Kept = NOTHING_KEPT,
) -> ResolvedIO:
    """Find devices, channels, rates and blocks; raise `RtsepError` if something is impossible.

    `before` are the current input and output: a file that they play continues at its position. If the devices
    were `lost`, only these are searched, whatever the default is now; raise `NotBackError` if one is missing.
    `parts` are the session's changes on the sound server. A device in `kept` that is still there is used,
    whatever its option names now.
    """
    notes: list[str] = []
    source = before.source if before else _open_source(options.input, options.track)
    if source and not before:
        notes += [f"{source.path.name}: {note}" for note in source.notes]
    if parts:
        input_device, output, there = _find_on_desktop(
            options, source, before if lost else None, parts, kept, notes
        )
    elif before and lost:
        input_device, output, there = _find_lost(before)
    else:
        input_device, output, there = _find_named(options, source, kept, notes)
    refuse_feedback(input_device, output)
    period = there.jack.period if there.jack else None

    in_map = _in_map(options, source, input_device)
    out_map = _out_map(options, output, len(in_map))
    bus = _route(options, output, len(in_map))
    rate = _choose_rate(options, source, input_device, output)
    if input_device:
        check_format(input_device, "input", max(in_map) + 1, rate)
    out_rate = rate
    one_clock = input_device is None or (output is not None and input_device.clock == output.clock)
    if output:
        if not one_clock and options.rate is None and output.rate != rate:
            out_rate = output.rate
        check_format(output, "output", len(out_map), out_rate)
    block = _block(options, input_device or output, period, notes)
    out_block = block if one_clock else _block(options, output, period, notes)
    declared = (input_device.input_latency_s if input_device else 0.0) + (
        output.output_latency_s if output else 0.0
    )
    format = StreamFormat(
        rate=rate,
        channels=len(in_map),
        in_map=tuple(in_map),
        out_map=tuple(out_map),
        block=block,
        out_rate=out_rate,
        out_block=out_block,
        two_clocks=not one_clock,
        slack=_slack(options, (input_device, output), rate, out_rate, before is not None),
        hardware=round(declared * rate),
        bus=bus if bus in BALANCES else "mix",
        limiter=options.limiter,
        feedback_guard=options.feedback_guard and _may_howl(options, input_device, output),
    )
    known = frozenset(device.name for device in there.devices)
    return ResolvedIO(
        source=source, input=input_device, output=output, format=format, notes=notes, known=known
    )


def _find_on_desktop(
    options: LiveOptions,
    source: AudioReader | None,
    before: ResolvedIO | None,
    parts: tuple[Part, ...],
    kept: Kept,
    notes: list[str],
) -> tuple[Device | None, Device | None, DeviceList]:
    """Find the devices on a sound server that has these `parts`; `before` are the lost ones."""
    try:
        lost = before.output if before else None
        return find_on_desktop(options, source is not None, parts, lost, kept, notes)
    except DeviceError as error:
        if before is None:
            raise
        raise NotBackError(str(error)) from None


def _find_named(
    options: LiveOptions, source: AudioReader | None, kept: Kept, notes: list[str]
) -> tuple[Device | None, Device | None, DeviceList]:
    wants_virtual = options.out_device == VIRTUAL and not options.as_microphone
    there = NO_DEVICES
    if not (source and wants_virtual):
        try:
            there = devices.look()
        except DeviceError as error:
            if source is None:
                refuse_folder(options.input)
            if source is None or options.out_device is not None:
                raise
            notes.append(str(error))
            wants_virtual = True
    input_device = None
    if source is None:
        input_device = kept.find(there, "input") or _find_taken(options, there)
        input_device = input_device or find_input(options.input, there)
    output: Device | None
    if options.as_microphone:
        output, wants_virtual = kept.find(there, "output") or find_microphone(there), False
    elif wants_virtual:
        output = None
    else:
        output = kept.find(there, "output") or find_output(options.out_device, there)
    notes += _choice_notes(options, there, input_device, output)
    if output is None and not wants_virtual:
        if source is None and options.out_device is None:
            raise DeviceError(
                "there is no output device; connect one, or play without one with --out-device virtual"
            )
        notes.append(
            "no audio device found: playing on the virtual device, which is silent (--record saves the "
            "result)"
        )
    return input_device, output, there


def _choice_notes(options: LiveOptions, there: DeviceList, *found: Device | None) -> list[str]:
    """Return lines that explain an automatic choice of the sound system, if it is not obvious."""
    if there.jack and there.jack.note and any(device and device.is_jack for device in found):
        return [there.jack.note]
    if options.input != "mic" and options.out_device is not None:
        return []
    lines = [there.missing] if there.missing and not there.jack and any(found) else []
    chosen = [device for device in found if device and device.is_pulse]
    if chosen and there.pulse:
        named = " and ".join(device.name for device in chosen)
        lines.append(f"by {there.pulse.name}, the sound server that is running: {named}")
    return lines


def _find_lost(before: ResolvedIO) -> tuple[Device | None, Device | None, DeviceList]:
    sides = [("input", before.input), ("output", before.output)]
    wanted = [device for _, device in sides if device]
    there = NO_DEVICES
    if wanted:
        try:
            there = devices.look()
        except DeviceError as error:
            if isinstance(error, HungServerError) or not all(device.of_server for device in wanted):
                raise
            # no other system needs to answer
            raise NotBackError("the sound server is not back yet") from None
    found = [device and there.find_again(device, kind, before.known) for kind, device in sides]
    for (_, device), again in zip(sides, found, strict=True):
        if device and not again:
            raise NotBackError(f"{device.name} is not back yet")
    return found[0], found[1], there


def _open_source(text: str, track: int | None) -> AudioReader | None:
    """Return a reader if the input is the demo song, a file or a pipe, None if it is a device."""
    if text == "demo":
        return AudioReader(demo_song(), track)
    if text in ("mic", SYSTEM) or str(text).startswith(APP):
        return None
    path = input_path(text)
    if path == STDIN or is_there(path):
        return AudioReader(path, track)
    looks_like_file = path.suffix.lower() in AUDIO_SUFFIXES
    if looks_like_file or not may_be_device(str(text)):
        refuse_folder(text)
    if looks_like_file:
        raise InputFileError(f"{text}: no such file; {IN_TAKES}")
    return None


def _find_taken(options: LiveOptions, there: DeviceList) -> Device | None:
    return find_elsewhere(options, there) if options.takes_players else None


def _in_map(options: LiveOptions, source: AudioReader | None, device: Device | None) -> list[int]:
    there = source.channels if source else device.channels("input") if device else 0
    chosen = options.in_channels or tuple(range(1, min(2, there) + 1))
    for channel in chosen:
        if channel > there:
            name = source.path.name if source else device.name if device else "?"
            raise UsageError(
                f"--in-channels {channel}: {name} has only {there} channel{'s' if there != 1 else ''}"
            )
    return [channel - 1 for channel in chosen]


def _route(options: LiveOptions, output: Device | None, channels: int) -> str:
    """Return the key of ROUTES to play: the requested one, or the default for the device's channels."""
    if options.out is not None:
        return options.out
    return "both" if output is None or output.channels("output") >= 2 * max(2, channels) else "vocals"


def _out_map(options: LiveOptions, output: Device | None, channels: int) -> list[int]:
    """Map the routed feeds to device channels; a mono signal goes to both channels of a pair."""
    width = max(2, channels)
    there = output.channels("output") if output else None
    route = _route(options, output, channels)
    entries = [feed * channels + min(side, channels - 1) for feed in ROUTES[route] for side in range(width)]
    if there == 1 and options.out_channels is None and len(entries) == 2:
        entries = entries[:1]  # a single loudspeaker plays the first channel of the feed
    places = options.out_channels or tuple(range(1, len(entries) + 1))
    if len(places) != len(entries):
        raise UsageError(
            f"--out-channels {','.join(map(str, places))}: give {len(entries)} channels for --out {route}"
        )
    if there is not None and max(places) > there:
        remedy = (
            "use --out vocals, instrumental or mix"
            if route == "both"
            else "choose others with --out-channels"
        )
        raise DeviceError(
            f"{output.name if output else '?'} has {there} output channels, "
            f"--out {route} needs {max(places)}; {remedy}"
        )
    out_map = [-1] * max(places)
    for place, entry in zip(places, entries, strict=True):
        if out_map[place - 1] != -1:
            raise UsageError(f"--out-channels: channel {place} is given twice; give each channel once")
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
    return min(max(source.rate, LOWEST_RATE), HIGHEST_RATE)  # the file is resampled to this range


def _may_howl(options: LiveOptions, source: Device | None, output: Device | None) -> bool:
    """Return whether the input may be a microphone that captures loudspeakers on the output."""
    if source is None or output is None or options.takes_players or options.as_microphone:
        return False
    is_patched = source.is_jack and not options.connect  # the user connects it, as an insert of a DAW
    return not is_patched and not captured_sink(source)


def _slack(
    options: LiveOptions, devices: tuple[Device | None, ...], rate: int, out_rate: int, goes_on: bool
) -> int | None:
    """Return the slack in frames: as given, else as the devices need; None: chosen from the block.

    Raise `UsageError` if it is too much at these rates; a session that `goes_on` has as much as possible.
    """
    needed = sum(device.slack_s for device in devices if device)
    most = most_slack(rate, out_rate)
    if options.slack is None:
        return min(round(needed * rate), most) if needed else None
    if options.slack > most and not goes_on:
        raise OptionError("slack", f" {options.slack}: too much at {rate} Hz; at most {most} frames")
    return min(options.slack, most)


def _block(options: LiveOptions, device: Device | None, period: int | None, notes: list[str]) -> int:
    """Return the frames per call of `device`; `period` is the JACK server's period, if one runs."""
    if device and device.is_jack and period:
        if options.block not in (None, period):
            note = f"--block {options.block} is not used: the JACK server's period is {period}"
            if note not in notes:
                notes.append(note)
        return period
    return options.block or DEFAULT_BLOCK
