"""MIDI ports. The one importer of rtmidi."""

from __future__ import annotations

from dataclasses import dataclass

from rtsep.foreign import quiet_stderr


@dataclass(frozen=True)
class MidiPort:
    """One input port of one MIDI system."""

    name: str
    api: str


def input_ports() -> list[MidiPort]:
    """Return the MIDI inputs of every system that answers; none is no error."""
    import rtmidi

    ports: list[MidiPort] = []
    for api in rtmidi.get_compiled_api():
        try:
            with quiet_stderr():
                listener = rtmidi.MidiIn(api, name="rtsep-list")
                names = listener.get_ports()
                listener.delete()
        except (rtmidi.RtMidiError, RuntimeError, SystemError):
            continue
        ports += [MidiPort(name, rtmidi.get_api_display_name(api)) for name in names]
    return ports
