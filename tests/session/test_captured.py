"""The sound of other programs: loopback devices by name, the default output, and refusals."""

from __future__ import annotations

import pytest

from rtsep.audio import devices
from rtsep.audio.backend import PULSE
from rtsep.audio.devices import Device, DeviceList
from rtsep.audio.pulse_server import PulseServer
from rtsep.errors import DeviceError
from rtsep.session.captured import find_elsewhere, find_microphone, find_on_desktop, refuse_feedback
from rtsep.session.named_devices import NOTHING_KEPT, Kept
from rtsep.session.options import ALSA_INTO_SERVER, LiveOptions, OptionError

SYSTEM = LiveOptions(input="system")
SPEAKERS = Device(0, "Speakers", "Windows WASAPI", 0, 2, 48000)
HEADSET = Device(1, "Headset", "Windows WASAPI", 0, 2, 48000)
LOOPED = Device(2, "Speakers [Loopback]", "Windows WASAPI", 2, 0, 48000)
HEADSET_LOOPED = Device(3, "Headset [Loopback]", "Windows WASAPI", 2, 0, 48000)
BLACKHOLE = Device(4, "BlackHole 2ch", "Core Audio", 2, 2, 48000)
MAC = Device(5, "MacBook Speakers", "Core Audio", 0, 2, 48000)
CABLE_IN = Device(6, "CABLE Input (VB-Audio)", "Windows WASAPI", 0, 2, 48000)
CABLE_OUT = Device(7, "CABLE Output (VB-Audio)", "Windows WASAPI", 2, 0, 48000)


def listed(*devices: Device, output: Device) -> DeviceList:
    return DeviceList(devices, None, {"input": -1, "output": output.index})


def test_windows_takes_the_loopback_of_the_default_output_and_refuses_to_play_there():
    there = listed(SPEAKERS, HEADSET, HEADSET_LOOPED, LOOPED, output=SPEAKERS)
    found = find_elsewhere(SYSTEM, there, "win32")
    assert found == LOOPED
    refuse_feedback(found, HEADSET)
    with pytest.raises(DeviceError, match="--out-device"):
        refuse_feedback(found, SPEAKERS)


def test_macos_takes_blackhole_and_refuses_to_play_there():
    there = listed(MAC, BLACKHOLE, output=BLACKHOLE)
    found = find_elsewhere(SYSTEM, there, "darwin")
    assert found == BLACKHOLE
    refuse_feedback(found, MAC)
    with pytest.raises(DeviceError, match="--out-device"):
        refuse_feedback(found, BLACKHOLE)
    assert find_microphone(there, "darwin") == BLACKHOLE


def test_the_two_sides_of_a_cable_feed_back():
    there = listed(SPEAKERS, CABLE_IN, CABLE_OUT, output=SPEAKERS)
    assert find_elsewhere(SYSTEM, there, "win32") == CABLE_OUT
    assert find_microphone(there, "win32") == CABLE_IN
    with pytest.raises(DeviceError, match="--out-device"):
        refuse_feedback(CABLE_OUT, CABLE_IN)


@pytest.mark.parametrize(("platform", "remedy"), [("win32", "VB-Cable"), ("darwin", "BlackHole")])
def test_without_a_loopback_device_the_remedy_is_named(platform, remedy):
    there = listed(MAC, output=MAC)
    with pytest.raises(DeviceError, match=remedy):
        find_elsewhere(SYSTEM, there, platform)
    with pytest.raises(DeviceError, match=remedy):
        find_microphone(there, platform)


def test_one_program_needs_a_server_and_a_name():
    with pytest.raises(DeviceError, match="PulseAudio or PipeWire"):
        find_elsewhere(LiveOptions(input="app:firefox"), listed(MAC, output=MAC), "darwin")
    with pytest.raises(OptionError, match="app:firefox"):
        LiveOptions(input="app:")


def test_the_monitor_of_a_sink_is_no_input_for_it():
    sink = Device(1000, "Speakers", "PulseAudio", 0, 2, 48000, system_name="sink")
    monitor = Device(1001, "Monitor of Speakers", "PulseAudio", 2, 0, 48000, system_name="sink.monitor")
    with pytest.raises(DeviceError, match="--in system"):
        refuse_feedback(monitor, sink)
    refuse_feedback(monitor, Device(1002, "Other", "PulseAudio", 0, 2, 48000, system_name="other"))


SINK = Device(1000, "Speakers", PULSE, 0, 2, 48000, system_name="speakers")
OTHER_SINK = Device(1002, "Headset", PULSE, 0, 2, 48000, system_name="headset")
MONITOR = Device(1001, "Monitor of Speakers", PULSE, 2, 0, 48000, system_name="speakers.monitor")
MICROPHONE = Device(1005, "Microphone", PULSE, 2, 0, 48000, system_name="microphone")
CARD = Device(9, "HDA Intel (hw:0,0)", "ALSA", 2, 2, 48000)


@pytest.mark.parametrize("name", ALSA_INTO_SERVER)
def test_a_monitor_and_what_leads_to_the_default_sink_feed_back(name):
    """ALSA's default plays on whatever sink the server makes the default one."""
    into_server = Device(8, name, "ALSA", 32, 32, 44100)
    for output in (SINK, into_server):
        with pytest.raises(DeviceError, match="rtsep's output would come back"):
            refuse_feedback(MONITOR, output)
        refuse_feedback(MICROPHONE, output)
    for output in (OTHER_SINK, CARD):
        refuse_feedback(MONITOR, output)


@pytest.mark.parametrize("name", [None, *ALSA_INTO_SERVER])
def test_the_default_output_of_a_sound_server_is_meant_by_alsas_names_too(name, monkeypatch):
    server = PulseServer("PulseAudio 16.1", (), (), "headset", "")
    there = DeviceList((SINK, OTHER_SINK, MONITOR), None, {"input": -1, "output": OTHER_SINK.index}, server)
    monkeypatch.setattr(devices, "look_at_pulse", lambda: there)
    options = LiveOptions(input="Monitor of Speakers", out_device=name)
    assert not options.names_output
    assert find_on_desktop(options, False, (), None, NOTHING_KEPT, [])[:2] == (MONITOR, OTHER_SINK)
    named = LiveOptions(input="Monitor of Speakers", out_device="Speakers")
    assert named.names_output
    assert find_on_desktop(named, False, (), None, NOTHING_KEPT, [])[1] == SINK
    kept = Kept(input=MICROPHONE, output=SINK)  # a microphone that is gone, a sink that is still there
    assert find_on_desktop(options, False, (), None, kept, [])[:2] == (MONITOR, SINK)
    kept = Kept(output=CARD)  # of another sound system
    assert find_on_desktop(named, False, (), None, kept, [])[1] == SINK
