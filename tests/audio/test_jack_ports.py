"""How a client opens on a server that answers with an error; libjack is a stand-in."""

from __future__ import annotations

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
