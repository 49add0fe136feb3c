"""Opened ports on machines whose controllers appear, disappear and refuse."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from rtsep.surfaces.midi import links as links_module
from rtsep.surfaces.midi import systems as systems_module
from rtsep.surfaces.midi.links import Links
from rtsep.surfaces.midi.names import WINDOWS
from rtsep.surfaces.midi.protocol import Closed, Event, Opened, Output, Ports, Received, Scanned
from rtsep.surfaces.midi.systems import System

ALSA, JACK, WINMM = 2, 3, 4
NAMES = {ALSA: "ALSA", JACK: "Jack", WINMM: WINDOWS}
PAD = "nanoPAD2:nanoPAD2 MIDI 1 28:0"
PAD_AGAIN = "nanoPAD2:nanoPAD2 MIDI 1 32:0"
KEYS = "keys:keys MIDI 1 20:0"


class World:
    """A machine, as rtmidi shows it."""

    def __init__(self) -> None:
        self.inputs: dict[int, list[str]] = {ALSA: []}
        self.outputs: dict[int, list[str]] = {ALSA: []}
        self.refuses: set[str] = set()  # ports that another program has
        self.miscounts = 0  # how often a port leaves while it is being named
        self.dead: set[str] = set()  # whose closing fails
        self.queues: dict[str, list[list[int]]] = {}
        self.sent: list[tuple[str, list[int]]] = []
        self.open: list[str] = []

    def module(self) -> Any:
        """Return what stands in for rtmidi."""
        world = self

        class Port:
            def __init__(self, api: int, name: str = "", queue_size_limit: int = 0) -> None:
                if api not in world.inputs:
                    raise OSError("JACK server not running?")
                self.api, self.port = api, ""

            def get_ports(self) -> list[str]:
                if world.miscounts:
                    world.miscounts -= 1
                    raise ValueError("the 'portNumber' argument (1) is invalid.")
                return list(self.lists[self.api])

            def is_port_open(self) -> bool:
                return bool(self.port)

            def ignore_types(self, **_: bool) -> None:
                pass

            def open_port(self, number: int, _: str) -> None:
                name = self.lists[self.api][number]
                if name in world.refuses:
                    raise RuntimeError("error creating Windows MM MIDI input port.")
                self.port = name
                world.open.append(name)

            def open_virtual_port(self, name: str) -> None:
                if self.api == WINMM:
                    raise NotImplementedError("Virtual ports are not supported by the Windows API.")
                self.port = name
                world.open.append(name)

            def close_port(self) -> None:
                if self.port:
                    world.open.remove(self.port)
                if self.port in world.dead:
                    raise RuntimeError("error closing port.")
                self.port = ""

            def delete(self) -> None:
                pass

        class MidiIn(Port):
            @property
            def lists(self) -> dict[int, list[str]]:
                return world.inputs

            def get_message(self) -> tuple[list[int], float] | None:
                queue = world.queues.get(self.port)
                return (queue.pop(0), 0.0) if queue else None

        class MidiOut(Port):
            @property
            def lists(self) -> dict[int, list[str]]:
                return world.outputs

            def send_message(self, message: list[int]) -> None:
                world.sent.append((self.port, message))

        return SimpleNamespace(
            MidiIn=MidiIn, MidiOut=MidiOut, API_UNIX_JACK=JACK, get_api_display_name=NAMES.get
        )


class Rig:
    """Links on a world, and their messages."""

    def __init__(self, world: World, *wanted: str) -> None:
        self.told: list[Event] = []
        self.systems = [System(api) for api in sorted(world.inputs)]
        self.links = Links(list(wanted), self.systems, self.told.append)

    def scan(self) -> list[Event]:
        """Look; return the messages about it, without the lists of ports."""
        self.told.clear()
        self.links.scan()
        return [line for line in self.told if not isinstance(line, Ports | Scanned)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(systems_module, "rtmidi", world.module())
    monkeypatch.setattr(links_module, "OUTPUT_AFTER_S", (0.0,))
    monkeypatch.setattr(links_module, "REFUSED_S", 0.0)
    return world


def opened(key: int, name: str, system: str = "ALSA", others: tuple[str, ...] = ()) -> Opened:
    return Opened(key, name, system, list(others))


def test_a_controller_leaves_and_returns_under_another_number(world):
    world.inputs[ALSA] = [KEYS, PAD]
    rig = Rig(world, "nanopad")
    assert rig.scan() == [opened(0, PAD)]
    assert rig.told[-2] == Ports({"ALSA": [KEYS, PAD]})
    assert rig.told[-1] == Scanned()
    assert rig.scan() == rig.told == []
    world.inputs[ALSA] = [KEYS]
    world.dead = {PAD}  # a plug that was pulled is not closed politely
    assert rig.scan() == [Closed(0)]
    world.inputs[ALSA] = ["nanoPAD:other 8:0", PAD_AGAIN, KEYS]
    assert rig.scan() == [opened(0, PAD_AGAIN)]  # the one it was, without a question
    assert world.open == [PAD_AGAIN]


def test_a_twin_that_takes_the_place_of_an_unplugged_controller_is_named(world):
    world.inputs[ALSA] = [PAD, PAD_AGAIN]
    rig = Rig(world, "pad")
    assert rig.scan() == [opened(0, PAD, others=(PAD_AGAIN,))]
    world.inputs[ALSA] = [PAD_AGAIN]
    assert rig.scan() == [
        Closed(0),
        opened(0, PAD_AGAIN, others=(PAD,)),
    ]  # not the same one, plugged in again
    world.inputs[ALSA] = [PAD, PAD_AGAIN]
    assert rig.scan() == []


def test_several_that_fit_are_named_and_the_first_is_taken(world):
    world.inputs[ALSA] = [KEYS, PAD]
    assert Rig(world, "MIDI 1").scan() == [opened(0, KEYS, others=(PAD,))]


def test_two_controllers_of_one_kind_are_two_links(world):
    world.inputs[ALSA] = world.outputs[ALSA] = [PAD, PAD_AGAIN]
    rig = Rig(world, "pad", "pad")
    assert [line["name"] for line in rig.scan() if "opened" in line] == [PAD, PAD_AGAIN]
    rig.links.send(1, [[176, 1, 5]])
    assert world.sent == [(PAD_AGAIN, [176, 1, 5])], "each has its own lights"


def test_a_port_that_leaves_while_it_is_counted_disturbs_nobody(world):
    world.inputs[ALSA] = [KEYS, PAD]
    rig = Rig(world, "pad")
    rig.scan()
    world.miscounts = 1
    assert rig.scan() == []
    world.inputs[ALSA] = [KEYS]
    world.miscounts = 1
    assert rig.scan() == []
    assert rig.scan() == [Closed(0)]


@pytest.mark.parametrize("wanted", ["pad", ""])
def test_a_port_that_another_program_has_is_told_once_and_taken_when_it_is_free(world, wanted):
    world.inputs[ALSA], world.refuses = [PAD], {PAD}
    rig = Rig(world, wanted)
    (line,) = rig.scan()
    assert (line["name"], line["why"]) == (PAD, "error creating Windows MM MIDI input port.")
    assert [rig.scan() for _ in range(50)] == [[]] * 50
    world.refuses.clear()
    assert rig.scan() == [opened(line["failed"], PAD)]


def test_a_port_that_was_refused_is_not_tried_all_the_time(world, monkeypatch):
    monkeypatch.setattr(links_module, "REFUSED_S", 0.2)
    world.inputs[ALSA], world.refuses = [PAD], {PAD}
    rig = Rig(world, "pad")
    rig.scan()
    world.refuses.clear()
    assert rig.scan() == []
    time.sleep(0.2)
    assert rig.scan() == [opened(0, PAD)]


def test_all_ports_are_those_that_are_there(world):
    world.inputs[ALSA] = [PAD]
    rig = Rig(world, "")
    assert rig.scan() == [opened(1, PAD)]
    world.inputs[ALSA] = [PAD, KEYS, "rtsep-midi:rtsep 130:0"]
    assert rig.scan() == [opened(2, KEYS)]
    world.inputs[ALSA] = [KEYS, f"{PAD}0"]  # whose name holds the other one's
    assert rig.scan() == [Closed(1), opened(3, f"{PAD}0")]
    world.inputs[ALSA] = []
    assert rig.scan() == [Closed(2), Closed(3)]
    world.inputs[ALSA] = [KEYS]
    assert rig.scan() == [opened(4, KEYS)]


def test_jack_is_left_alone_where_the_native_system_has_it_all(world):
    world.inputs |= {ALSA: [PAD], JACK: ["a2j:nanoPAD2"]}
    world.outputs[JACK] = []
    rig = Rig(world, "pad")
    assert rig.scan() == [opened(0, PAD)]
    rig.scan()
    assert not rig.systems[1].answers
    assert Rig(world, "jack:pad").scan() == [opened(0, "a2j:nanoPAD2", "Jack")]


def test_a_port_of_our_own_takes_feedback_at_once(world):
    rig = Rig(world, "virtual")
    assert rig.scan() == [opened(0, "rtsep"), Output(0)]
    rig.links.send(0, [[144, 36, 127]])
    assert world.sent == [("rtsep", [144, 36, 127])]


def test_windows_has_no_ports_of_our_own_which_is_told_once(world):
    world.inputs = {WINMM: []}
    rig = Rig(world, "virtual")
    (line,) = rig.scan()
    assert (line["failed"], line["name"]) == (0, "virtual")
    assert rig.scan() == []


def test_windows_numbers_inputs_and_outputs_each_for_itself(world):
    world.inputs = {WINMM: ["nanoKONTROL2 0", "nanoKONTROL2 1", "MIDIIN2 (Launchpad Pro) 2"]}
    world.outputs = {
        WINMM: [
            "Microsoft GS Wavetable Synth 0",
            "nanoKONTROL2 1",
            "nanoKONTROL2 2",
            "MIDIOUT2 (Launchpad Pro) 3",
        ]
    }
    rig = Rig(world, "kontrol", "kontrol", "launchpad")
    assert [line for line in rig.scan() if "output" in line] == [Output(key) for key in range(3)]
    for key in range(3):
        rig.links.send(key, [[176, 1, key]])
    assert [name for name, _ in world.sent] == world.outputs[WINMM][1:]
    world.inputs[WINMM] = ["nanoKONTROL2 0", "MIDIIN2 (Launchpad Pro) 1"]  # one is pulled, another moves up
    rig.scan()
    assert sorted(set(world.open) & set(world.inputs[WINMM])) == sorted(world.inputs[WINMM])


def test_what_comes_is_told_in_its_order_and_a_flood_in_parts(world, monkeypatch):
    monkeypatch.setattr(links_module, "MAX_AT_ONCE", 3)
    world.inputs[ALSA] = [PAD]
    rig = Rig(world, "pad")
    rig.scan()
    world.queues[PAD] = [[176, 1, value] for value in range(5)]
    rig.told.clear()
    for _ in range(3):
        rig.links.drain()
    assert rig.told == [
        Received(0, [[176, 1, 0], [176, 1, 1], [176, 1, 2]]),
        Received(0, [[176, 1, 3], [176, 1, 4]]),
    ]
