"""What the user named, resolved: channel maps, routes and their refusals, without any device."""

from __future__ import annotations

import pytest

from rtsep.audio.devices import Device
from rtsep.dsp.router import INSTRUMENTAL, MIX, VOCALS
from rtsep.endpoints import LiveOptions, _in_map, _out_map
from rtsep.errors import DeviceError, UsageError


def device(inputs: int = 2, outputs: int = 2) -> Device:
    return Device(0, "Box", "Some API", inputs, outputs, 44100)


def test_both_puts_vocals_first_and_the_instrumental_second():
    assert _out_map(LiveOptions(out="both"), device(outputs=4), 2) == [0, 1, 2, 3]


def test_without_a_route_the_channels_of_the_device_decide():
    assert _out_map(LiveOptions(), device(outputs=4), 2) == [0, 1, 2, 3]
    assert _out_map(LiveOptions(), device(outputs=2), 2) == [VOCALS * 2, VOCALS * 2 + 1]
    assert _out_map(LiveOptions(), None, 2) == [0, 1, 2, 3]


def test_a_mono_signal_goes_to_both_sides_and_to_a_lone_loudspeaker():
    assert _out_map(LiveOptions(out="instrumental"), device(), 1) == [INSTRUMENTAL, INSTRUMENTAL]
    assert _out_map(LiveOptions(out="mix"), device(outputs=1), 1) == [MIX]


def test_chosen_places_leave_the_others_silent():
    assert _out_map(LiveOptions(out="vocals", out_channels=(4, 2)), device(outputs=6), 2) == [-1, 1, -1, 0]


def test_more_channels_than_two_are_routed_one_by_one():
    assert _out_map(LiveOptions(out="both"), device(outputs=8), 4) == list(range(8))


@pytest.mark.parametrize(
    ("options", "error", "remedy"),
    [
        (LiveOptions(out="both"), DeviceError, "use --out vocals"),
        (LiveOptions(out="vocals", out_channels=(3, 4)), DeviceError, "choose others"),
        (LiveOptions(out="both", out_channels=(1, 2)), UsageError, "has 4 channels to place"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(options, error, remedy):
    with pytest.raises(error, match=remedy):
        _out_map(options, device(outputs=2), 2)


def test_input_channels_count_from_one():
    assert _in_map(LiveOptions(), None, device(inputs=8)) == [0, 1]
    assert _in_map(LiveOptions(), None, device(inputs=1)) == [0]
    assert _in_map(LiveOptions(in_channels=(3, 4)), None, device(inputs=8)) == [2, 3]
    with pytest.raises(UsageError, match="Box has 2 channels"):
        _in_map(LiveOptions(in_channels=(3,)), None, device())
