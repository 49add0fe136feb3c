"""A client on a server that answers with an error, and the ports of a sound card; libjack is a stand-in."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from rtsep.audio import jack_library, jack_ports


class OpenError(Exception):
    """As `jack.JackOpenError`."""

    def __init__(self, server_error: bool) -> None:
        self.status = SimpleNamespace(server_error=server_error)


@pytest.fixture
def tries(monkeypatch):
    """Gives `open_client` a library that refuses by the given errors, one a try; returns the tries made."""

    def refuse(*errors: bool) -> list[str]:
        made: list[str] = []

        def client(name: str, no_start_server: bool) -> str:
            made.append(name)
            if len(made) <= len(errors):
                raise OpenError(errors[len(made) - 1])
            return "a client"

        library = SimpleNamespace(
            Client=client, JackOpenError=OpenError,
            set_error_function=lambda _: None, set_info_function=lambda _: None,
        )  # fmt: skip
        monkeypatch.setattr(jack_library, "load", lambda: library)
        monkeypatch.setattr(jack_ports, "_PAUSE_S", 0.0)
        return made

    return refuse


def test_a_server_that_answers_with_an_error_is_asked_again(tries):
    made = tries(True, True)
    assert jack_ports.open_client("rtsep") == "a client"
    assert made == ["rtsep"] * 3


def test_where_no_server_runs_nobody_waits_for_one(tries):
    made = tries(False)
    with pytest.raises(OpenError):
        jack_ports.open_client("rtsep")
    assert made == ["rtsep"]


def test_a_server_that_answers_with_errors_alone_is_given_up(tries, monkeypatch):
    monkeypatch.setattr(jack_ports, "PATIENCE_S", 0.01)
    tries(*[True] * 1_000_000)
    with pytest.raises(OpenError):
        jack_ports.open_client("rtsep")


class Graph:
    """As much of a `jack.Client` on PipeWire as its default devices need: ports by the names of jackd."""

    def __init__(self, **ports: list[str]) -> None:
        self.ports, self.physical = ports, ["tuner:input_FL", "card:playback_FL"]

    def get_ports(self, name_pattern="", is_audio=False, is_physical=False, is_output=False, is_input=False):
        assert is_audio and is_output != is_input
        if is_physical:
            return [SimpleNamespace(name=name) for name in self.physical if is_input]
        kinds = ("capture", "monitor") if is_output else ("playback",)
        return [
            SimpleNamespace(name=name)
            for kind in kinds
            if re.search(name_pattern, f"system:{kind}_1")
            for name in self.ports.get(kind, [])
        ]


HEADSET = ["headset:playback_FL", "headset:playback_FR"]
VIRTUAL = ["tuner:capture_FL", "tuner:capture_FR"]


@pytest.mark.parametrize(
    ("graph", "captures", "playbacks"),
    [
        (Graph(playback=HEADSET), [], HEADSET),
        (
            Graph(playback=[*HEADSET, "tuner:input_FL"], monitor=["headset:monitor_FL", *VIRTUAL]),
            VIRTUAL,
            HEADSET,
        ),
        (Graph(playback=["tuner:input_FL"], monitor=VIRTUAL), VIRTUAL, ["card:playback_FL"]),
        (
            Graph(capture=["headset:capture_MONO"], monitor=["amp:monitor_FL"]),
            ["headset:capture_MONO"],
            ["card:playback_FL"],
        ),
        (Graph(), [], ["card:playback_FL"]),
    ],
    ids=["headset", "virtual source", "virtual source without a sink", "monitor", "no default"],
)
def test_the_default_devices_of_pipewire_are_its_sound_card(monkeypatch, graph, captures, playbacks):
    """The other ends of a virtual source and of a sink are no part of it: what is played there comes back."""
    monkeypatch.setattr(jack_ports, "is_pipewire", lambda: True)
    assert jack_ports.card_ports(graph, jack_ports.CAPTURE) == captures
    assert jack_ports.card_ports(graph, jack_ports.PLAYBACK) == playbacks


def test_on_jackd_the_sound_card_is_all_that_is_physical(monkeypatch):
    monkeypatch.setattr(jack_ports, "is_pipewire", lambda: False)
    graph = Graph(playback=["system:playback_1"])
    graph.physical = ["system:playback_1", "second card:playback_1"]
    assert jack_ports.card_ports(graph, jack_ports.PLAYBACK) == graph.physical


@pytest.mark.parametrize(
    ("version", "closed"),
    [
        ("1.9.21", True),
        ("3.0.0.0 (using PipeWire 0.3.65)", True),
        ("3.0.0.0 (using PipeWire 1.2.7)", True),
        ("3.0.0.0 (using PipeWire 1.4.2)", False),
    ],
)
def test_a_client_whose_server_has_ended_is_left_behind_where_closing_it_would_abort(
    monkeypatch, version, closed
):
    library = SimpleNamespace(version_string=lambda: version, _ffi=SimpleNamespace(NULL=None))
    monkeypatch.setattr(jack_library, "load", lambda: library)
    monkeypatch.setattr(jack_ports, "_abandoned", [])
    done: list[str] = []

    def deactivate() -> None:
        done.append("deactivated")
        raise OSError("the server has ended")

    client = SimpleNamespace(_ptr="ours", close=lambda: done.append("closed"), deactivate=deactivate)
    jack_ports.abandon(client, "memory")
    assert done == (["closed"] if closed else ["deactivated"])
    assert closed or (client._ptr, jack_ports._abandoned) == (None, ["memory"])
