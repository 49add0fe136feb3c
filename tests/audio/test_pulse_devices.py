"""Sinks and sources as devices: what is the default, and by which names they are found."""

from __future__ import annotations

import pytest

from rtsep.audio.backends import pulse
from rtsep.audio.devices import Device, DeviceList
from rtsep.audio.pulse_server import PulseEnd, PulseServer
from rtsep.audio.pulse_virtual import OUR_SINKS, PLAYERS, SINK
from rtsep.errors import DeviceError
from rtsep.session import endpoints
from rtsep.session.held import Held
from rtsep.session.named_devices import default_output, find_input
from rtsep.session.options import LiveOptions

STEREO = (1, 2)
SPEAKERS = PulseEnd(0, "alsa_output.pci", "Built-in Audio", 48000, STEREO)
HEADSET = PulseEnd(4, "bluez_output", "Headset", 44100, STEREO)
MONITOR = PulseEnd(0, "alsa_output.pci.monitor", "Monitor of Built-in Audio", 48000, STEREO)
MICROPHONE = PulseEnd(1, "alsa_input.pci", "Built-in Microphone", 48000, (0,))
CARD = Device(0, "default", "ALSA", 32, 32, 44100)


def listed(
    sources: tuple[PulseEnd, ...], default_source: str, default_sink: str = HEADSET.name
) -> DeviceList:
    server = PulseServer("PulseAudio 16.1", (SPEAKERS, HEADSET), sources, default_sink, default_source)
    return DeviceList((*pulse.devices_of(server), CARD), None, pulse.defaults_of(server), server)


def test_the_defaults_are_the_servers_and_not_those_of_portaudio():
    there = listed((MONITOR, MICROPHONE), MICROPHONE.name)
    output, input = there.default("output"), there.default("input")
    assert output and (output.name, output.rate, output.channels("output")) == ("Headset", 44100, 2)
    assert input and (input.name, input.channels("input")) == ("Built-in Microphone", 1)


def test_a_monitor_is_no_microphone_even_where_the_server_says_so():
    there = listed((MONITOR, MICROPHONE), MONITOR.name)
    chosen = there.default("input")
    assert chosen and chosen.name == MICROPHONE.title
    assert listed((MONITOR,), MONITOR.name).default("input") is None
    with pytest.raises(DeviceError, match=r"PulseAudio 16.1 has no microphone.*--in demo"):
        find_input("mic", listed((MONITOR,), MONITOR.name))
    assert listed((MONITOR,), MONITOR.name).find("Monitor", "input").system_name == MONITOR.name


def test_a_default_that_is_not_there_gives_way_to_one_that_is():
    chosen = listed((), "", default_sink="gone").default("output")
    assert chosen and chosen.name == SPEAKERS.title


def test_no_two_devices_share_a_number():
    numbers = [device.index for device in listed((MONITOR, MICROPHONE), "").devices]
    assert len(set(numbers)) == len(numbers)


def test_a_device_has_two_names_and_is_found_again_by_both():
    there = listed((MONITOR, MICROPHONE), MICROPHONE.name)
    assert there.find("bluez_output", "output") == there.find("headset", "output")
    lost = there.find("headset", "output")
    again = there.find_again(lost, "output", [])
    assert again == lost
    twin = PulseEnd(9, "bluez_output.2", "Headset", 44100, STEREO)
    server = PulseServer("PulseAudio 16.1", (twin,), (), twin.name, "")
    other = DeviceList(tuple(pulse.devices_of(server)), None, pulse.defaults_of(server), server)
    assert other.find_again(lost, "output", [lost.name]) is None


def test_one_line_says_the_way_where_a_default_was_taken():
    there = listed((MONITOR, MICROPHONE), MICROPHONE.name)
    output = there.default("output")
    (line,) = endpoints._choice_notes(LiveOptions(input="demo"), there, None, output)
    assert line and "PulseAudio 16.1" in line and "Headset" in line
    assert endpoints._choice_notes(LiveOptions(input="demo", out_device="headset"), there, None, output) == []


@pytest.mark.parametrize("own", OUR_SINKS)
def test_a_sink_of_rtsep_is_never_the_default(own, tmp_path, monkeypatch):
    """It ends with a session; behind the sink of captured players is the user's own default sink."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sinks = (PulseEnd(7, own, "rtsep's own", 48000, STEREO), SPEAKERS, HEADSET)

    def default(ends: tuple[PulseEnd, ...] = sinks) -> Device | None:
        server = PulseServer("PulseAudio 16.1", ends, (), own, "")
        there = DeviceList(tuple(pulse.devices_of(server)), None, pulse.defaults_of(server), server)
        return default_output(there)

    first = default()
    assert first and first.system_name == SPEAKERS.name
    assert default(sinks[:1]) is None
    held = Held(PLAYERS)
    assert held.take()
    try:
        for left, expected in ((HEADSET.name, HEADSET if own == SINK else SPEAKERS), ("gone", SPEAKERS)):
            held.keep({"default": left, "moved": {}})
            found = default()
            assert found and found.system_name == expected.name
    finally:
        held.release()
