"""Sound: servers by their sockets, bridges by their files, held cards, default devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from rtsep.doctor import sound
from rtsep.errors import DeviceError


class Device(NamedTuple):
    name: str
    api: str
    rate: int


CARD = Device("USB Audio", "ALSA", 48000)


def touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def by_name(found: list[sound.Finding]) -> dict[str, sound.Finding]:
    return {finding.name: finding for finding in found}


def test_servers_are_seen_by_their_sockets(tmp_path):
    assert sound.servers({}) == []
    user = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert sound.servers(user) == []
    touch(tmp_path / "pulse" / "native")
    assert sound.servers(user) == ["PulseAudio"]
    touch(tmp_path / "pipewire-0")
    assert sound.servers(user) == ["PipeWire", "PulseAudio"]
    assert sound.servers(user | {"PIPEWIRE_REMOTE": "pipewire-7"}) == ["PulseAudio"]


def test_a_runtime_folder_of_another_user_is_a_finding_with_a_remedy(monkeypatch, tmp_path):
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert sound.runtime_folder({}) == sound.runtime_folder(environment) == []
    (tmp_path / "run").mkdir()
    assert sound.runtime_folder(environment) == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
        patch.setattr(os, "access", lambda *_: True)
        assert sound.runtime_folder(environment) == [], "a container with the socket of its user"
        patch.setattr(os, "access", lambda *_: False)
        (found,) = sound.runtime_folder(environment)
        assert found.state == "problem" and "belongs to another user" in found.seen
    stat = os.stat

    def barred(path, *rest, **how):
        if str(path).startswith(environment["XDG_RUNTIME_DIR"]):
            raise PermissionError(13, "Permission denied")
        return stat(path, *rest, **how)

    monkeypatch.setattr(os, "stat", barred)
    assert sound.servers(environment) == []
    (found,) = sound.runtime_folder(environment)
    assert found.state == "problem" and "Permission denied" in found.seen
    assert "/run/user/" in found.remedy


def test_devices_that_agree_need_nothing():
    found = sound.default_devices(lambda: sound.Defaults(CARD, CARD), ["PipeWire"])
    assert [finding.state for finding in found] == ["ok"] * 3


def test_rates_that_differ_are_told():
    mic = Device("Webcam", "ALSA", 16000)
    found = by_name(sound.default_devices(lambda: sound.Defaults(mic, CARD), []))
    assert found["sample rates"].state == "problem"
    assert "16000" in found["sample rates"].seen
    assert "--rate 48000" in found["sample rates"].remedy


@pytest.mark.parametrize(
    ("name", "api", "servers", "state"),
    [
        ("default", "ALSA", ["PulseAudio"], "problem"),
        ("pipewire", "ALSA", ["PipeWire"], "problem"),
        ("default", "PulseAudio", ["PulseAudio"], "ok"),
        ("USB Audio", "ALSA", ["PulseAudio"], "ok"),
    ],
)
def test_an_alsa_default_that_leads_to_a_server_is_told(name, api, servers, state):
    out = Device(name, api, 48000)
    found = by_name(sound.default_devices(lambda: sound.Defaults(None, out), servers))
    assert found["way to the default output"].state == state


def test_no_devices():
    def broken() -> sound.Defaults:
        raise DeviceError("no PortAudio here")

    (found,) = sound.default_devices(broken, [])
    assert (found.state, found.seen) == ("problem", "no PortAudio here")
    (found,) = sound.default_devices(lambda: sound.Defaults(CARD, None), [])
    assert found.state == "problem"


def test_bridges(tmp_path):
    assert sound.bridges([], tmp_path) == []
    found = by_name(sound.bridges(["PipeWire", "PulseAudio"], tmp_path))
    assert found["PipeWire's JACK library"].state == "problem"
    assert "pipewire-jack" in found["PipeWire's JACK library"].remedy
    assert found["ALSA's plugin for the server"].state == "note"
    touch(tmp_path / "usr/lib/x86_64-linux-gnu/pipewire-0.3/jack/libjack.so.0")
    touch(tmp_path / "usr/lib64/alsa-lib/libasound_module_pcm_pipewire.so")
    assert {finding.state for finding in sound.bridges(["PipeWire"], tmp_path)} == {"ok"}
    assert by_name(sound.bridges(["PulseAudio"], tmp_path))["PulseAudio's library"].state == "problem"
    touch(tmp_path / "usr/lib/x86_64-linux-gnu/libpulse.so.0")
    assert by_name(sound.bridges(["PulseAudio"], tmp_path))["PulseAudio's library"].state == "ok"


def test_the_jack_library_of_jackd_is_no_bridge_to_pipewire(tmp_path):
    touch(tmp_path / "usr/lib/x86_64-linux-gnu/libjack.so.0.1.0")
    assert sound.bridges(["PipeWire"], tmp_path)[0].state == "problem"


def test_a_card_that_a_program_holds(tmp_path):
    assert sound.exclusive(tmp_path) == []
    asound = tmp_path / "proc/asound/card1"
    touch(asound / "id", "USB\n")
    touch(asound / "pcm0c/sub0/status", "closed\n")
    assert sound.exclusive(tmp_path) == []
    touch(asound / "pcm0p/sub0/status", "state: RUNNING\nowner_pid   : 4711\ntrigger_time: 1.5\n")
    touch(tmp_path / "proc/4711/comm", "ardour7\n")
    (found,) = sound.exclusive(tmp_path)
    assert found.state == "problem"
    assert "'ardour7' (process 4711)" in found.seen
    touch(tmp_path / "proc/4711/comm", "pipewire\n")
    assert sound.exclusive(tmp_path)[0].state == "ok"


def test_midi_is_optional():
    assert sound.midi(lambda _: None)[0].state == "note"
    assert sound.midi(lambda _: object())[0].state == "ok"
