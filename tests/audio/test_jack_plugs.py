"""Connections of our ports, on a server that is a stand-in: others leave and return, and the user patches."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from rtsep.audio import jack_ports
from rtsep.audio.jack_plugs import LOOK_EVERY_S, Peers, Plugs


@pytest.fixture(autouse=True)
def pipewire(monkeypatch):
    monkeypatch.setattr(jack_ports, "is_pipewire", lambda: True)


class Server:
    """As much of a `jack.Client` as connections need. Its ports are names."""

    def __init__(self, *playbacks: str) -> None:
        self.playbacks = list(playbacks)
        self.default: tuple[str, ...] = ()  # ports of the sink that PipeWire has as the default one
        self.cables: set[tuple[str, str]] = set()

    def get_ports(
        self, name_pattern="^card:", is_audio=False, is_output=False, is_input=False, is_physical=False
    ):
        assert is_audio and (is_physical or name_pattern != "^card:")
        if name_pattern == "^system:playback_":
            found = list(self.default)
        else:
            found = [name for name in self.playbacks if re.search(name_pattern, name)]
        return [SimpleNamespace(name=name) for name in (found if is_input else [])]

    def get_port_by_name(self, name):
        if name not in self.playbacks:
            raise LookupError(name)

    def get_all_connections(self, port):
        return [SimpleNamespace(name=other) for own, other in sorted(self.cables) if own == port.shortname]

    def connect(self, port, other):
        self.get_port_by_name(other)
        self.cables.add((port.shortname, other))

    def disconnect(self, port, other):
        self.cables.remove((port.shortname, other))

    def choose(self, *ports: str) -> None:
        """Make the sink with these ports the default one, as the user of a desktop does."""
        self.playbacks += [name for name in ports if name not in self.playbacks]
        self.default = ports

    def remove(self, name: str) -> None:
        self.playbacks.remove(name)
        self.default = tuple(port for port in self.default if port != name)
        self.cables = {cable for cable in self.cables if cable[1] != name}


class Patchbay:
    """Our two outputs on a server, and a clock."""

    def __init__(self, *playbacks: str, connects: bool = True, cables=None, peer: str = "") -> None:
        self.server, self.cables = Server(*playbacks), {} if cables is None else cables
        outputs = [SimpleNamespace(shortname=name, is_input=False) for name in ("left", "right")]
        self.plugs = Plugs(self.server, [], outputs, connects, self.cables, Peers(outputs=peer))
        self.plugs.connect()
        self.now = 0.0

    def look(self) -> list[str]:
        self.now += LOOK_EVERY_S
        return self.plugs.tend(self.now)


CARD = ("card:1", "card:2")
PLUGGED = {("left", "card:1"), ("right", "card:2")}


def test_a_sink_that_leaves_is_told_of_once_and_connected_when_it_is_back():
    patchbay = Patchbay(*CARD)
    assert patchbay.server.cables == PLUGGED
    assert patchbay.look() == []
    for name in CARD:
        patchbay.server.remove(name)
    assert patchbay.look() == ["rtsep's outputs have no connection; waiting for card:1, card:2"]
    assert patchbay.look() == []
    patchbay.server.playbacks += CARD
    assert patchbay.look() == ["card:1, card:2: connected"]
    assert patchbay.server.cables == PLUGGED
    assert patchbay.look() == []


def test_a_sound_card_that_comes_later_is_connected():
    patchbay = Patchbay()
    assert patchbay.look() == ["rtsep's outputs have no connection; waiting for a sound device"]
    patchbay.server.playbacks += CARD
    patchbay.look()
    assert patchbay.server.cables == PLUGGED


def test_what_the_user_disconnects_stays_disconnected():
    patchbay = Patchbay(*CARD)
    patchbay.look()
    patchbay.server.cables.clear()
    assert [patchbay.look() for _ in range(3)] == [[], [], []]
    assert patchbay.server.cables == set()


def test_what_the_user_connects_comes_back_with_its_port():
    patchbay = Patchbay(*CARD, "mixer:in")
    patchbay.server.cables = {("left", "mixer:in")}
    patchbay.look()
    patchbay.server.remove("mixer:in")
    patchbay.look()
    patchbay.server.playbacks.append("mixer:in")
    patchbay.look()
    assert patchbay.server.cables == {("left", "mixer:in")}


def test_without_connections_of_our_own_there_is_nothing_to_wait_for():
    patchbay = Patchbay(*CARD, connects=False)
    assert [patchbay.look() for _ in range(3)] == [[], [], []]
    assert patchbay.server.cables == set()


@pytest.mark.parametrize("gone", [False, True])
def test_the_next_client_gets_the_cables_unless_all_ports_have_gone(gone):
    patchbay = Patchbay(*CARD)
    patchbay.look()
    patchbay.server.remove("card:2")
    patchbay.look()
    patchbay.plugs.note_cables(gone)
    assert patchbay.cables == ({} if gone else {"left": ["card:1"], "right": ["card:2"]})


def test_it_looks_now_and_then_only():
    patchbay = Patchbay()
    assert patchbay.look()
    patchbay.server.playbacks += CARD
    assert patchbay.plugs.tend(patchbay.now + LOOK_EVERY_S / 2) == []
    assert patchbay.server.cables == set()


AMP = ("amp [live]:in [1]", "amp [live]:in [2]")


def test_a_program_that_was_named_is_connected_in_the_place_of_the_sound_card():
    patchbay = Patchbay(*CARD, *AMP, "another amp [live]:in", peer="amp [live]")
    assert patchbay.server.cables == {("left", AMP[0]), ("right", AMP[1])}


def test_a_program_that_is_not_there_yet_is_waited_for_by_its_name():
    patchbay = Patchbay(*CARD, peer="amp [live]")
    assert patchbay.look() == ["rtsep's outputs have no connection; waiting for amp [live]"]
    patchbay.server.playbacks += AMP
    patchbay.look()
    assert patchbay.server.cables == {("left", AMP[0]), ("right", AMP[1])}


def test_cables_to_one_program_are_not_those_to_another():
    """A switch from the sound card to a program, and back: what the user has patched is kept for each."""
    cables: dict[str, list[str]] = {}
    card = Patchbay(*CARD, *AMP, cables=cables)
    card.server.cables = {("left", "card:2")}
    card.look()
    card.plugs.note_cables(gone=False)
    amp = Patchbay(*CARD, *AMP, cables=cables, peer="amp [live]")
    assert amp.server.cables == {("left", AMP[0]), ("right", AMP[1])}
    amp.plugs.note_cables(gone=False)
    assert Patchbay(*CARD, *AMP, cables=cables).server.cables == {("left", "card:2")}


HEADSET = ("headset:FL", "headset:FR")
ON_HEADSET = {("left", "headset:FL"), ("right", "headset:FR")}


def test_the_default_sink_comes_before_hardware_and_is_followed():
    """It is no hardware on PipeWire where it is a headset, or virtual."""
    patchbay = Patchbay()
    patchbay.server.playbacks += CARD
    patchbay.server.choose(*HEADSET)
    patchbay.look()
    assert patchbay.server.cables == ON_HEADSET
    patchbay.server.choose("room:1", "room:2")
    assert patchbay.look() == ["the default output is now 'room': playback continues there"]
    assert patchbay.server.cables == {("left", "room:1"), ("right", "room:2")}
    assert patchbay.look() == []


def test_a_default_sink_that_leaves_gives_way_to_the_next_one():
    patchbay = Patchbay(*CARD)
    patchbay.server.choose(*HEADSET)
    assert patchbay.look() == ["the default output is now 'headset': playback continues there"]
    for name in HEADSET:
        patchbay.server.remove(name)
    assert patchbay.look() == ["rtsep's outputs have no connection; waiting for headset:FL, headset:FR"]
    patchbay.server.choose(*CARD)
    assert patchbay.look() == [
        "the default output is now 'card': playback continues there",
        "card:1, card:2: connected",
    ]
    assert patchbay.server.cables == PLUGGED


def test_what_the_user_has_patched_does_not_follow_the_default():
    patchbay = Patchbay(*CARD, "mixer:in", "recorder:in")
    patchbay.server.cables = {("left", "mixer:in"), ("right", "card:2"), ("right", "recorder:in")}
    patchbay.look()
    patchbay.server.choose(*HEADSET)
    patchbay.look()
    assert patchbay.server.cables == {("left", "mixer:in"), ("right", "recorder:in"), ("right", "headset:FR")}


def test_a_sink_with_fewer_channels_leaves_the_others_open_until_one_has_more():
    patchbay = Patchbay(*CARD)
    patchbay.server.choose("phone:mono")
    patchbay.look()
    assert patchbay.server.cables == {("left", "phone:mono")}
    patchbay.server.choose(*HEADSET)
    patchbay.look()
    assert patchbay.server.cables == ON_HEADSET


def test_a_program_that_was_named_stays_when_the_default_changes():
    patchbay = Patchbay(*CARD, *AMP, peer="amp [live]")
    patchbay.server.choose(*HEADSET)
    assert patchbay.look() == []
    assert patchbay.server.cables == {("left", AMP[0]), ("right", AMP[1])}
