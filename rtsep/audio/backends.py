"""Table of the audio back ends. A new one is a file with a `Backend` and a line here."""

from __future__ import annotations

from rtsep.audio.backend import PULSE, Backend, Device
from rtsep.audio.jack_backend import JackBackend
from rtsep.audio.portaudio import PortAudioBackend
from rtsep.audio.pulse_backend import PulseBackend
from rtsep.audio.virtual import VirtualBackend

PORTAUDIO = "PortAudio"

jack = JackBackend()
pulse = PulseBackend()

BACKENDS: dict[str, Backend] = {
    "JACK": jack,
    PULSE: pulse,
    PORTAUDIO: PortAudioBackend(),
    "virtual": VirtualBackend(),
}
"""Back ends by `Device.api`, in the order of their devices; PortAudio handles systems without a line."""


def backend_of(device: Device) -> Backend:
    """Return the back end that opens `device`."""
    return BACKENDS.get(device.api, BACKENDS[PORTAUDIO])
