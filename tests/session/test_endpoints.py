"""Names of the user, resolved: channel maps, routes, refusals, lost devices; without real devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtsep.audio import devices
from rtsep.audio.devices import JACK, Device, DeviceList
from rtsep.audio.engine import most_slack
from rtsep.audio.jack_backend import HungServerError, JackBackend
from rtsep.audio.jack_ports import JackClient, JackServer
from rtsep.dsp.router import BUS
from rtsep.errors import DeviceError, InputFileError, UsageError
from rtsep.session.endpoints import NotBackError, _in_map, _out_map, resolve_io
from rtsep.session.named_devices import Kept
from rtsep.session.options import LiveOptions
from rtsep.session.route import Route


def device(inputs: int = 2, outputs: int = 2) -> Device:
    return Device(0, "Box", "Some API", inputs, outputs, 44100)


def test_both_puts_vocals_first_and_the_instrumental_second():
    assert _out_map(LiveOptions(out="both"), device(outputs=4), 2) == [0, 1, 2, 3]


def test_without_a_route_the_channels_of_the_device_decide():
    assert _out_map(LiveOptions(), device(outputs=4), 2) == [0, 1, 2, 3]
    assert _out_map(LiveOptions(), device(outputs=2), 2) == [BUS * 2, BUS * 2 + 1]
    assert _out_map(LiveOptions(), None, 2) == [0, 1, 2, 3]


def test_a_mono_signal_goes_to_both_sides_and_to_a_lone_loudspeaker():
    assert _out_map(LiveOptions(out="instrumental"), device(), 1) == [BUS, BUS]
    assert _out_map(LiveOptions(out="mix"), device(outputs=1), 1) == [BUS]


def test_chosen_places_leave_the_others_silent():
    assert _out_map(LiveOptions(out="vocals", out_channels=(4, 2)), device(outputs=6), 2) == [
        -1,
        2 * BUS + 1,
        -1,
        2 * BUS,
    ]


def test_more_channels_than_two_are_routed_one_by_one():
    assert _out_map(LiveOptions(out="both"), device(outputs=8), 4) == list(range(8))


@pytest.mark.parametrize(
    ("options", "error", "remedy"),
    [
        (LiveOptions(out="both"), DeviceError, "use --out vocals"),
        (LiveOptions(out="vocals", out_channels=(3, 4)), DeviceError, "choose others"),
        (LiveOptions(out="both", out_channels=(1, 2)), UsageError, "give 4 channels for --out"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(options, error, remedy):
    with pytest.raises(error, match=remedy):
        _out_map(options, device(outputs=2), 2)


def test_input_channels_count_from_one():
    assert _in_map(LiveOptions(), None, device(inputs=8)) == [0, 1]
    assert _in_map(LiveOptions(), None, device(inputs=1)) == [0]
    assert _in_map(LiveOptions(in_channels=(3, 4)), None, device(inputs=8)) == [2, 3]
    with pytest.raises(UsageError, match="Box has only 2 channels"):
        _in_map(LiveOptions(in_channels=(3,)), None, device())


# --- devices that were lost -----------------------------------------------------------------------------


class Gear:
    """Devices: (name, inputs, outputs), numbered in order; the first ones are the defaults."""

    def __init__(self, monkeypatch) -> None:
        self.cards: list[tuple[str, int, int]] = []
        self.jack: JackServer | None = None
        self.api = "ALSA"
        self.failure: DeviceError | None = None
        monkeypatch.setattr(devices, "look", self._look)
        monkeypatch.setattr(devices.portaudio, "refusal", lambda *_: None)

    def _look(self) -> DeviceList:
        if self.failure:
            raise self.failure
        return DeviceList(tuple(self._devices()), self.jack, {"input": -1, "output": -1})

    def _devices(self) -> list[Device]:
        server = JackBackend.devices_of(self.jack)
        return server + [Device(k, name, self.api, i, o, 44100) for k, (name, i, o) in enumerate(self.cards)]


@pytest.fixture
def gear(monkeypatch):
    return Gear(monkeypatch)


LAPTOP, STAGE = ("Laptop (hw:0,0)", 2, 2), ("Stage box (hw:1,0)", 2, 2)


@pytest.mark.parametrize("options", [LiveOptions(), LiveOptions(out_device="Stage"), LiveOptions(input="1")])
def test_a_lost_device_is_waited_for_whatever_is_the_default_meanwhile(gear, options):
    gear.cards = [STAGE, LAPTOP] if options.input == "mic" else [LAPTOP, STAGE]
    before = resolve_io(options)
    assert before.input and before.input.name == STAGE[0]
    for cards in ([LAPTOP], [("Other (hw:0,0)", 2, 2), LAPTOP], []):
        gear.cards = cards
        with pytest.raises(NotBackError, match="is not back yet"):
            resolve_io(options, before, lost=True)
    gear.cards = [LAPTOP, ("Other (hw:2,0)", 2, 2), STAGE]
    io = resolve_io(options, before, lost=True)
    assert io.input and io.input.name == STAGE[0] and io.input.index == 2
    assert io.output and before.output and io.output.name == before.output.name


def test_a_lost_device_of_another_sound_system_is_another_device(gear):
    gear.cards = [STAGE]
    before = resolve_io(LiveOptions())
    gear.api = "MME"
    with pytest.raises(NotBackError):
        resolve_io(LiveOptions(), before, lost=True)


def test_a_card_that_comes_back_under_another_number_is_the_same_and_its_twin_is_not(gear):
    twin = (STAGE[0].replace("hw:1", "hw:2"), 2, 2)
    gear.cards = [STAGE, LAPTOP]
    before = resolve_io(LiveOptions())
    gear.cards = [LAPTOP, twin]
    again = resolve_io(LiveOptions(), before, lost=True)
    assert again.input and again.input.name == twin[0]
    gear.cards = [STAGE, twin]
    before = resolve_io(LiveOptions())
    gear.cards = [twin]
    with pytest.raises(NotBackError):
        resolve_io(LiveOptions(), before, lost=True)


@pytest.mark.parametrize("played", ["mic", "demo"])
def test_when_a_jack_server_ends_nothing_else_is_opened_in_its_place(gear, played):
    gear.jack, gear.cards = JackServer(48000, 256, 2, 2), [LAPTOP]
    before = resolve_io(LiveOptions(input=played))
    gear.jack = None
    with pytest.raises(NotBackError):
        resolve_io(LiveOptions(), before, lost=True)
    gear.failure = DeviceError("there is no PortAudio here")  # which is not needed
    with pytest.raises(NotBackError):
        resolve_io(LiveOptions(), before, lost=True)
    gear.failure, gear.jack = None, JackServer(48000, 128, 2, 2)
    io = resolve_io(LiveOptions(), before, lost=True)
    assert io.output and io.output.is_jack and io.format.block == 128
    assert io.source is before.source


def test_programs_on_a_jack_server_are_inputs_and_outputs_by_one_clock(gear):
    programs = JackClient("pad [/x]", 1, 0), JackClient("amp [live]", 0, 2), JackClient("loop", 2, 2)
    gear.jack = JackServer(48000, 256, 2, 2, clients=programs)
    there = devices.look()
    found = [(device.name, device.inputs, device.outputs) for device in there.devices]
    assert found == [("JACK server", 2, 2), ("pad [/x]", 1, 0), ("amp [live]", 0, 2), ("loop", 2, 2)]
    assert len({device.index for device in there.devices}) == 4
    server = there.default("input")
    assert server and server.index == JACK and there.default("output") == server

    io = resolve_io(LiveOptions(input="pad [/x]", out_device="amp"))
    assert io.input and io.input.client == "pad [/x]" and io.output and io.output.client == "amp [live]"
    assert not io.format.two_clocks and io.format.block == io.format.out_block == 256
    assert io.format.channels == 1 and len(io.format.out_map) == 2
    with pytest.raises(DeviceError, match=r"no input device is called 'amp \[live\]'"):
        resolve_io(LiveOptions(input="amp [live]"))

    mixed = resolve_io(LiveOptions(input="loop"))  # to the sound card, on the same server
    assert mixed.output == server and not mixed.format.two_clocks
    gear.jack = JackServer(48000, 256, 2, 2)
    with pytest.raises(NotBackError, match="loop is not back yet"):
        resolve_io(LiveOptions(input="loop"), mixed, lost=True)


def test_a_sound_system_that_cannot_be_asked_is_told_of(gear):
    gear.cards = [STAGE]
    before = resolve_io(LiveOptions())
    gear.failure = DeviceError("the sound system refused the request")
    with pytest.raises(DeviceError, match="refused") as error:
        resolve_io(LiveOptions(), before, lost=True)
    assert not isinstance(error.value, NotBackError)


def test_a_device_that_is_back_with_less_is_refused_and_the_virtual_one_needs_no_look(gear):
    options = LiveOptions(in_channels=(3, 4))
    gear.cards = [("Stage box (hw:1,0)", 4, 2)]
    before = resolve_io(options)
    gear.cards = [STAGE]
    with pytest.raises(UsageError, match="--in-channels 3"):
        resolve_io(options, before, lost=True)
    gear.failure = DeviceError("nobody is to look")
    options = LiveOptions(input="demo", out_device="virtual")
    before = resolve_io(options)
    assert resolve_io(options, before, lost=True).output is None


def test_speed_and_key_are_for_a_file(gear):
    gear.cards = [LAPTOP]
    with pytest.raises(UsageError, match="speed and key need a played file; use --in FILE"):
        Route.find(LiveOptions(speed=0.8))
    route = Route.find(LiveOptions(input="demo", out_device="virtual", speed=0.8, key=-2))
    assert route.source.place(0)[-2:] == (0.8, -2)
    route.close()
    for option, words in (({"speed": 2}, "speed 2: out of range; 0.5 to 1.5"), ({"key": 9}, "key 9: out of")):
        with pytest.raises(UsageError, match=words):
            LiveOptions(**option)


def test_a_jack_server_that_hangs_is_told_of_and_not_taken_for_one_that_has_gone(gear):
    gear.jack = JackServer(48000, 256, 2, 2)
    before = resolve_io(LiveOptions())
    gear.failure = HungServerError("the JACK server does not answer")
    with pytest.raises(HungServerError):
        resolve_io(LiveOptions(), before, lost=True)


def test_a_look_of_another_session_changes_nothing_in_this_one(gear):
    gear.jack, gear.cards = JackServer(48000, 256, 2, 2), [LAPTOP]
    there = devices.look()
    gear.jack, gear.cards = None, []
    assert devices.look().devices == ()
    assert there.jack and there.default("output") == there.devices[0]
    assert there.find("Laptop", "input").name == LAPTOP[0]


@pytest.mark.parametrize(("rate", "most"), [(8000, 16384), (32000, 32768), (44100, 65536), (192000, 65536)])
def test_slack_ends_where_the_ring_does(gear, rate, most):
    gear.cards = [STAGE]
    options = LiveOptions(input="Stage", rate=rate, out_device="virtual", slack=most)
    assert resolve_io(options).format.slack == most
    if most < 65536:
        with pytest.raises(UsageError, match=f"too much at {rate} Hz; at most {most} frames"):
            resolve_io(replace(options, slack=most + 1))


def test_slack_counts_at_the_rate_of_the_input_and_a_session_that_plays_has_what_fits(gear):
    gear.cards = [STAGE]
    assert most_slack(16000, 48000) == 32768 // 6  # the output ring has 32768 frames
    options = LiveOptions(input="Stage", rate=48000, out_device="virtual", slack=60000)
    before = resolve_io(options)
    assert resolve_io(replace(options, rate=16000), before, lost=True).format.slack == 16384


@pytest.mark.parametrize("text", ["\u00b2", "9" * 5000])
def test_what_only_looks_like_a_number_is_no_device(gear, text):
    gear.cards = [STAGE]
    with pytest.raises(DeviceError, match="no input device is called"):
        resolve_io(LiveOptions(input=text, out_device="virtual"))


# --- folders and devices of one name -------------------------------------------------------------------


def test_a_folder_hides_no_device_of_its_name(gear, tmp_path, monkeypatch):
    gear.cards = [("Box 2.0 (hw:0,0)", 2, 0), STAGE]
    monkeypatch.chdir(tmp_path)
    for name in ("Stage", "mic", "songs", "1"):
        (tmp_path / name).mkdir()

    def found(text: str) -> str | None:
        io = resolve_io(LiveOptions(input=text, out_device="virtual"))
        return io.input and io.input.name

    assert found("Stage") == found("1") == STAGE[0]
    assert found("mic") == "Box 2.0 (hw:0,0)"
    for text in ("songs", "Stage/", str(tmp_path / "Stage"), "."):  # "." is a part of a name, too
        with pytest.raises(InputFileError, match="a folder; --in takes mic, demo, a device or a file"):
            found(text)
    with pytest.raises(DeviceError, match="no input device is called 'Stages'"):
        found("Stages")
    gear.failure = DeviceError("there is no PortAudio here")
    with pytest.raises(InputFileError, match="a folder"):
        found("songs")


# --- a switch of one side -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "Laptop", "0"])
def test_a_side_that_is_not_switched_stays_where_it_is(gear, text):
    """The stream was moved, or the device was found again under another number."""
    gear.cards = [LAPTOP, STAGE]
    options = LiveOptions(input="demo", out_device=text)
    before = resolve_io(options)
    assert before.output and before.output.name == LAPTOP[0]
    kept = Kept(output=devices.look().find("Stage", "output"), known=before.known)
    io = resolve_io(options, kept=kept)
    assert io.output and io.output.name == STAGE[0]
    gear.cards = [LAPTOP, ("Other (hw:2,0)", 2, 2), STAGE]
    io = resolve_io(options, kept=kept)
    assert io.output and (io.output.name, io.output.index) == (STAGE[0], 2)
    gear.cards = [LAPTOP]  # it is gone: as at the start
    io = resolve_io(options, kept=kept)
    assert io.output and io.output.name == LAPTOP[0]


def test_an_input_stays_when_the_output_is_switched_and_a_played_file_needs_none(gear):
    gear.cards = [LAPTOP, STAGE]
    kept = Kept(input=devices.look().find("Stage", "input"))
    io = resolve_io(LiveOptions(input="0", out_device="Laptop"), kept=kept)
    assert io.input and io.output and (io.input.name, io.output.name) == (STAGE[0], LAPTOP[0])
    assert resolve_io(LiveOptions(input="demo", out_device="virtual"), kept=kept).input is None
