"""Maps, learning and the monitor: controllers on a real JACK server, as a user has them."""

from __future__ import annotations

import itertools
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtsep.surfaces.last_state import load_last_state
from rtsep.surfaces.midi.messages import CC14, NRPN, encode
from tests.e2e.liveprocess import ROOT
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.jack

NOTE_OFF, NOTE, CC = 0x80, 0x90, 0xB0
THRESHOLD = 1  # the controller of the default map


MAP = """\
[threshold]
cc14 = 20
takeover = false

[gate]
nrpn = 300
range = [0.2, 0.6]
takeover = false

[smoothing]
cc = 30
encoder = "offset"
step = 0.05

[vocals_gain]
cc = 31
curve = "dB"
range = [-60, 0]
invert = true
takeover = false

[instrumental_gain]
cc = 32
curve = "lin"
range = ["-inf", 0]
takeover = false

[blend]
cc = 33

[mask]
note = 50

[vocals_mute]
note = 51
mode = "momentary"

[vocals_solo]
cc = 34
mode = "latched"

[[bypass]]
note = 52
channel = 10
[[bypass]]
note = 53
"""


def test_every_kind_of_knob_turns_its_control_by_the_map_in_the_users_folder(
    start_server, open_player_recorder, start_live, half_model, plug_in, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "config" / "rtsep"
    folder.mkdir(parents=True)
    (folder / "midi.toml").write_text(MAP)
    (folder / "presets").mkdir()
    (folder / "presets" / "duet.toml").write_text("program = 7\ninstrumental_solo = true\n")
    server = start_server()
    rig = SimpleNamespace(server=server, player_recorder=open_player_recorder(server))
    pad, keys = plug_in(rig, "pad"), plug_in(rig, "keys")
    live = start_live(
        *("--in", "demo", "--out-device", "virtual", "--model", half_model),
        *("--midi", "pad", "--midi", "KEYS:out"),
        server=server,
    )
    live.playing()
    pad.send(
        *encode(CC14, 1, 20, 5461),  # a third of the way, to 14 bits
        *encode(NRPN, 2, 300, 8192),
        *[(CC, 30, 66)] * 3,  # two clicks up, three times
        (CC, 30, 63),
        (CC, 31, 64),
        (CC, 32, 64),
        *[(CC, 33, value) for value in (10, 60)],  # elsewhere than its control: nothing
        (NOTE, 50, 1),
        *[(NOTE, 51, 90), (NOTE_OFF, 51, 0)],
        (CC, 34, 127),
        (NOTE, 52, 90),  # on another channel than asked for
    )
    keys.send((0xC0, 7), (NOTE, 53, 90))
    live.wait_line(
        lambda line: line["midi"]["messages"] == pad.sent + keys.sent and pad.sent > 15 and keys.sent == 2,
        "all of it should arrive",
    )
    assert live.fresh()["midi"]["ports"] == ["pad:out", "keys:out"]
    live.end()
    assert load_last_state().values == pytest.approx(
        {
            "threshold": 5461 / 16383,
            "mask": 1,
            "gate": 0.2 + 0.4 * 8192 / 16383,
            "smoothing": 25,
            "vocals_gain": -60 * 64 / 127,
            "instrumental_gain": 20 * np.log10(64 / 127),
            "vocals_mute": 0,
            "vocals_solo": 1,
            "instrumental_mute": 0,
            "instrumental_solo": 1,
            "blend": 1,
            "bypass": 1,
        },
        abs=1e-6,
    )
    assert any("preset 'duet' (program 7)" in line for line in live.said)


def test_a_sysex_that_was_cut_off_leaves_no_port_deaf(start_server, open_player_recorder, plug_in):
    server = start_server()
    peer = plug_in(SimpleNamespace(server=server, player_recorder=open_player_recorder(server)))
    with midi_command(server, "monitor", "--midi", "pad", "--seconds", "60") as monitor:
        wait_line(monitor.stderr, "waiting for messages")
        peer.send((0xF0, 1, 2))
        values = itertools.cycle(range(127))

        def takes_effect() -> bool:
            peer.send((CC, THRESHOLD, next(values)))
            return bool(select.select([monitor.stdout], [], [], 0.05)[0])

        until(takes_effect, "a knob that moves after it")
        assert monitor.stdout.readline().startswith("pad:out  channel 1  cc 1 = ")


def test_knobs_are_learned_from_a_controller_and_its_messages_printed(
    start_server, open_player_recorder, plug_in, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    server = start_server()
    rig = SimpleNamespace(server=server, player_recorder=open_player_recorder(server))
    peer = plug_in(rig)
    path = tmp_path / "rtsep" / "midi.toml"
    path.parent.mkdir()
    path.write_text("# mine\n[gate]\nnote = 60   # stays\n")
    pair = [message for value in range(3000, 9000, 300) for message in encode(CC14, 3, 20, value)]
    for control, move in (("threshold", pair), ("bypass", [(NOTE, 60, 90), (NOTE_OFF, 60, 0)])):
        with midi_command(server, "learn", control, "--midi", "pad") as learning:
            wait_line(learning.stderr, "turn the knob")
            peer.send(*move)
            said = learning.stdout.read()
            assert learning.wait(PATIENCE_S) == 0, said
            shared = "the same knob also turns gate" in learning.stderr.read()
            assert shared == (control == "bypass")
    assert path.read_text() == (
        "# mine\n[gate]\nnote = 60   # stays\n"
        "\n[threshold]\ncc14 = 20\nchannel = 3\n"
        '\n[bypass]\nnote = 60\nchannel = 1\nmode = "toggle"\n'
    )
    with midi_command(server, "monitor", "--seconds", "60") as monitor:
        wait_line(monitor.stderr, "waiting for messages")
        peer.send((NOTE, 60, 90), (0xC0, 5), (0xF8,))
        assert [monitor.stdout.readline() for _ in range(2)] == [
            "pad:out  channel 1  note 60 (C4) velocity 90  -> gate 1, bypass on\n",
            "pad:out  channel 1  program 5\n",
        ]
        monitor.stdout.close()  # without a reader, it ends
        peer.send((NOTE, 60, 90))
        assert monitor.wait(PATIENCE_S) == 1
        assert "Traceback" not in monitor.stderr.read()


@contextmanager
def midi_command(server: Any, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run `rtsep midi ARGUMENTS` on `server`."""
    with subprocess.Popen(
        [sys.executable, "-m", "rtsep", "midi", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=server.environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_line(pipe: Any, part: str) -> None:
    """Read until `part` and the opening of the pad have been said."""
    said = ""
    for line in pipe:
        said += line
        if part in said and "using pad:out" in said:
            return
    raise AssertionError(f"'{part}' was not said: {said}")
