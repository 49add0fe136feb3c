"""What other programs play, where no PulseAudio server is: loopback devices by their names, and refusals."""

from __future__ import annotations

import pytest

from rtsep.audio.devices import Device, DeviceList
from rtsep.errors import DeviceError
from rtsep.session.captured import find_elsewhere, find_microphone, refuse_feedback
from rtsep.session.options import LiveOptions, OptionError

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
