"""Input from other programs, and output to them: `--in system`, `--in app:NAME`, `--as-microphone`.

On PulseAudio and PipeWire, rtsep creates virtual devices (`rtsep.session.desktop`). On Windows it looks for a
loopback device of WASAPI, on macOS for a known loopback device by its name.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from rtsep.audio import devices, jack_library
from rtsep.audio.devices import Device, DeviceList
from rtsep.audio.pulse_server import MONITOR_SUFFIX
from rtsep.audio.pulse_virtual import SINK, VOICE, VOICE_SINK
from rtsep.errors import DeviceError
from rtsep.session.desktop import Part, PlayersTaken
from rtsep.session.named_devices import Kept, default_output, find_input
from rtsep.session.options import ALSA_INTO_SERVER, VIRTUAL, LiveOptions

_ALSA = "ALSA"
_WASAPI, _WASAPI_SUFFIX = "Windows WASAPI", " [Loopback]"
_CABLES = ("BlackHole", "Loopback Audio", "Soundflower", "CABLE Output", "VB-Cable")
"""Names of loopback devices. The two sides of one differ by a word."""

_HOW_TO_GET = {
    "win32": "install VB-Cable, make it the default output of Windows, and name your loudspeakers with "
    "--out-device",
    "darwin": "install BlackHole, make it the output of macOS, and name your loudspeakers with --out-device",
}


def find_on_desktop(
    options: LiveOptions,
    from_file: bool,
    parts: tuple[Part, ...],
    before: Device | None,
    kept: Kept,
    notes: list[str],
) -> tuple[Device | None, Device | None, DeviceList]:
    """Return input, output and devices on the PulseAudio server. Raise `DeviceError`.

    `parts` create the virtual devices. `before` is the lost output, if any: if the user named it, no other
    output replaces it. `kept` has the device of a side that is not switched. `notes` receives lines for the
    user.
    """
    if devices.look_at_pulse().pulse is None:
        raise DeviceError("the sound server does not answer any more; restart it")
    for part in parts:
        notes += part.open()
    there = devices.look_at_pulse()
    players = next((part for part in parts if isinstance(part, PlayersTaken)), None)
    source = None if from_file else _input(options, there, kept)
    output: Device | None
    if any(part.key[0] == VOICE for part in parts):
        output = there.find(VOICE_SINK, "output")
    elif options.out_device == VIRTUAL:
        output = None
    elif stays := kept.find(there, "output"):
        output = stays
    elif options.names_output and options.out_device is not None:
        output = (
            there.find_again(before, "output", ()) if before else there.find(options.out_device, "output")
        )
        if output is None:
            raise DeviceError(f"{options.out_device} is not back yet")
    else:
        output = there.find(players.real, "output") if players else default_output(there)
    if there.pulse and players:
        what = "all playback" if options.app is None else f"'{options.app}'"
        notes.append(
            f"by {there.pulse.name}: {what} passes through rtsep until it ends "
            "('rtsep system restore' undoes it after a crash)"
        )
    return source, output, there


def _input(options: LiveOptions, there: DeviceList, kept: Kept) -> Device:
    if options.takes_players:
        return replace(there.find(SINK + MONITOR_SUFFIX, "input"), name=options.input)
    return kept.find(there, "input") or find_input(options.input, there)


def find_elsewhere(options: LiveOptions, there: DeviceList, platform: str = sys.platform) -> Device | None:
    """Return the input for `--in system` without a PulseAudio server; None: a JACK device has this name.

    Raise `DeviceError` with the remedy.
    """
    if options.app is not None:
        raise DeviceError(
            f"--in {options.input} needs PulseAudio or PipeWire; --in system captures all playback"
        )
    if platform in _HOW_TO_GET:
        return _loopback(there, platform)
    if there.jack and not jack_library.pipewire_runs():
        return None  # JACK calls the sound card "system"
    raise no_server("--in system")


def no_server(what: str) -> DeviceError:
    """Return the error for `what` if no PulseAudio server answers."""
    if jack_library.pipewire_runs():
        return DeviceError(
            f"{what}: PipeWire is running, but not its PulseAudio server; install and start pipewire-pulse "
            "(Debian, Ubuntu: apt-get install pipewire-pulse)"
        )
    return DeviceError(
        f"{what} needs PulseAudio, or PipeWire with pipewire-pulse; neither answers here; start one of them"
    )


def find_microphone(there: DeviceList, platform: str = sys.platform) -> Device:
    """Return the output for `--as-microphone` without a PulseAudio server; raise `DeviceError` if none."""
    if platform not in _HOW_TO_GET:
        raise no_server("--as-microphone")
    names = [name.replace("CABLE Output", "CABLE Input").lower() for name in _CABLES]
    for device in there.devices:
        if device.outputs > 0 and any(name in device.name.lower() for name in names):
            return device
    get = {"win32": "VB-Cable", "darwin": "BlackHole"}[platform]
    raise DeviceError(f"--as-microphone needs a device that other programs can capture; install {get}")


def _loopback(there: DeviceList, platform: str) -> Device:
    inputs = [device for device in there.devices if device.inputs > 0]
    found = [d for d in inputs if d.api == _WASAPI and d.name.endswith(_WASAPI_SUFFIX)]
    if found and (output := there.default("output")):
        found.sort(key=lambda device: device.name.removesuffix(_WASAPI_SUFFIX) != output.name)
    found += [d for d in inputs if any(name.lower() in d.name.lower() for name in _CABLES)]
    if not found:
        raise DeviceError(f"--in system needs a loopback device, and there is none; {_HOW_TO_GET[platform]}")
    return found[0]


def refuse_feedback(source: Device | None, output: Device | None) -> None:
    """Raise `DeviceError` if the input captures the output of rtsep."""
    if source is None or output is None:
        return
    leads_into_server = output.api == _ALSA and output.name in ALSA_INTO_SERVER
    is_cable = any(name.lower() in source.name.lower() for name in _CABLES)
    if source.is_pulse:
        sink = captured_sink(source)
        looped = bool(sink) and (leads_into_server or (output.is_pulse and sink == output.system_name))
    elif source.api == _WASAPI and source.name.endswith(_WASAPI_SUFFIX):
        looped = source.name == output.name + _WASAPI_SUFFIX
    else:
        looped = is_cable and source.name.replace("CABLE Output", "CABLE Input") == output.name
    if looped:
        remedy = "--in system takes what plays" if source.is_pulse else "name another one with --out-device"
        if leads_into_server:
            raise DeviceError(
                f"{output.name} plays on whatever sink is the default one, which {source.name} may capture: "
                f"rtsep's output would come back as input; name another sink with --out-device; {remedy}"
            )
        raise DeviceError(
            f"{source.name} captures the output {output.name}: rtsep's output would come back as input; "
            f"{remedy}"
        )


def captured_sink(source: Device | None) -> str:
    """Return the server's name of the sink that `source` captures, "" for any other input."""
    if source is None or not source.is_pulse or not source.system_name.endswith(MONITOR_SUFFIX):
        return ""
    return source.system_name.removesuffix(MONITOR_SUFFIX)
