"""Hands on it while it plays: controllers on a real JACK server, and what is heard of them."""

from __future__ import annotations

import itertools
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rtsep.surfaces.last_state import load_last_state
from rtsep.surfaces.midi.messages import CC14, NRPN, encode
from rtsep.surfaces.midi.process import ALIVE_S
from tests.e2e.exact import assert_equal, noise
from tests.e2e.liveprocess import ROOT

if TYPE_CHECKING:
    from tests.e2e.midi_peer import MidiPeer

pytestmark = pytest.mark.jack

HOP = 256
NOTE_OFF, NOTE, CC = 0x80, 0x90, 0xB0
THRESHOLD = 1  # the controller of the default map
VOCALS_MUTE, BYPASS = 36, 40
OWN_PORT = "rtsep-midi:rtsep"
ATTEMPTS = 6
CHANGED = 1e-3
"""What a level that jumps to an eighth differs by within a few samples of half-scale noise."""

PATIENCE_S = 30.0


@pytest.fixture
def map_file(tmp_path) -> Any:
    path = tmp_path / "midi.toml"
    path.write_text("# nothing but the default map\n")
    return path


@pytest.fixture
def plug_in() -> Any:
    """Plugs controllers in: `plug_in(rig, "pad")`; all are out again before their server ends."""
    from tests.e2e.midi_peer import MidiPeer

    with ExitStack() as stack:

        def plug(rig: Any, name: str = "pad") -> MidiPeer:
            peer = MidiPeer(rig.server, rig.studio, name)
            stack.callback(lambda: peer.client._ptr and peer.close())
            return peer

        yield plug


@pytest.fixture
def watch() -> Any:
    """Counts what the server brings to a port: `watch(rig, "rtsep-midi:rtsep")`."""
    from tests.e2e.midi_peer import Witness

    with ExitStack() as stack:

        def begin(rig: Any, port: str) -> Witness:
            witness = Witness(rig.server, rig.studio, port)
            stack.callback(witness.close)
            return witness

        yield begin


def until(there: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def take_until(
    rig: Any, played: np.ndarray, good: Callable[[Any], str], begin: Callable[[], None] = lambda: None
) -> Any:
    """Return the first take of `played` without an xrun of which `good` has nothing to say.

    What Python does is heard a scheduling later at times: a machine that stalls is asked again. `begin()` is
    called before each take.
    """
    said = []
    for _ in range(ATTEMPTS):
        take = rig.play(played, begin)
        problem = good(take)
        if not problem:
            return take
        said.append(problem)
    raise AssertionError(f"{ATTEMPTS} takes: {said}")


def assert_heard_in_time(rig: Any, peer: MidiPeer) -> list[int]:
    """Turn the threshold up and down; return after how many frames each move is heard."""
    first, distance, count = 8000, 4001, 12
    moves = [first + distance * k for k in range(count)]
    turns = [(frame, (CC, THRESHOLD, 0 if k % 2 else 127)) for k, frame in enumerate(moves)]
    peer.plan([(200, (CC, THRESHOLD, 0)), *turns])
    played = noise(moves[-1] + distance)
    bound = rig.latency + HOP + rig.server.period
    lags: list[int] = []

    def late(take: Any) -> str:
        dry = rig.expected(played, take)
        lags.clear()
        for k, frame in enumerate(moves):
            before = (0.125 if k % 2 else 0.5) * dry[frame : frame + distance]
            heard = take.sound[frame : frame + distance, :2]
            lags.append(int(np.argmax(np.abs(heard - before).max(axis=1) > CHANGED)))
            assert lags[-1] > 0, "nothing heard, or before it was turned"
        return "" if max(lags) <= bound else f"heard after {lags}, allowed {bound}"

    take_until(rig, played, late)
    print(f"\nperiod {rig.server.period}: heard {sorted(lags)} frames after; allowed {bound}")
    return lags


def test_a_knob_is_heard_within_a_hop_and_a_block_of_the_latency(
    start_rig, half_model, map_file, plug_in, record_property
):
    rig = start_rig(
        *("--out", "both", "--model", half_model, "--midi", "jack:virtual", "--map", map_file), period=64
    )
    rig.patch()
    peer = plug_in(rig)
    rig.studio.connect(("pad:out", OWN_PORT))
    record_property("lags", assert_heard_in_time(rig, peer))


def test_a_flood_loses_neither_its_last_value_nor_a_hop(
    start_rig, half_model, map_file, plug_in, watch, record_property
):
    rig = start_rig("--out", "both", "--model", half_model, "--midi", "jack:virtual", "--map", map_file)
    rig.patch()
    peer = plug_in(rig)
    rig.studio.connect(("pad:out", OWN_PORT))
    record_property("lags", assert_heard_in_time(rig, peer))

    until(lambda: "rtsep-midi-mend" in str(rig.studio.connections(OWN_PORT)), "the repair of cut-off sysexes")
    witness = watch(rig, OWN_PORT)

    flood, at = 10_000, 34_000
    # Thresholds under the model's 0.5 change nothing, so every sample of the flood is known; the last does.
    # Clock, sysex and active sensing in between are nobody's.
    # A flood fills the buffers of whole periods. The empty sysex that repairs a quiet input has no place in
    # them, and would push a message out: the input is in use before.
    events: list[tuple[int, tuple[int, ...]]] = [(200 + k, (CC, THRESHOLD, 0)) for k in range(0, at, 2000)]
    for k, value in enumerate(np.random.default_rng(3).integers(0, 58, flood)):
        events.append((at, (CC, THRESHOLD, int(value))))
        if k % 4 == 0:
            events += [(at, (0xF8,)), (at, (0xF0, 1, 0xF7)), (at, (0xFE,))]
    events.append((at, (CC, THRESHOLD, 127)))
    peer.plan(events)
    planned = sum(message[0] < 0xF0 for _, message in events)
    played = noise(72_000)
    before: dict[str, int] = {}

    def begin() -> None:
        line = rig.live.fresh()
        before.update(late=line["late_masks"], counted=line["midi"]["messages"])
        before.update(sent=peer.sent, witnessed=witness.messages)

    def disturbed(take: Any) -> str:
        after = rig.live.fresh()
        heard, dry = take.sound[:, :2], rig.expected(played, take)
        louder, softer = np.abs(heard - 0.5 * dry) < 1e-6, np.abs(heard - 0.125 * dry) < 1e-6
        change = int(np.argmin(louder.all(axis=1)[8000:])) + 8000
        assert change > at
        assert softer[-10_000:].all(), "the last value is not what is heard"
        assert softer[change + 3 * HOP :].all(), "more than one cross-fade was heard"
        assert peer.sent - before["sent"] == planned
        assert witness.messages - before["witnessed"] == planned, "the server has dropped messages"
        counted = after["midi"]["messages"] - before["counted"]
        assert counted == planned, "messages were lost, or some heard that are nobody's"
        late = after["late_masks"] - before["late"]
        return f"{late} late masks" if late else ""

    take_until(rig, played, disturbed, begin)


def test_an_input_that_brings_messages_is_sent_no_empty_sysex(
    start_rig, half_model, map_file, plug_in, watch
):
    """The server would push a message out of a full period for it."""
    from rtsep.surfaces.midi.jack_watch import MAX_SKIPPED

    rig = start_rig("--out", "both", "--model", half_model, "--midi", "jack:virtual", "--map", map_file)
    peer = plug_in(rig)
    rig.studio.connect(("pad:out", OWN_PORT))
    until(lambda: "rtsep-midi-mend" in str(rig.studio.connections(OWN_PORT)), "the repair of cut-off sysexes")
    witness = watch(rig, OWN_PORT)
    until(lambda: witness.empty_sysexes >= 2, "a quiet input is repaired")
    silence = np.zeros((round((MAX_SKIPPED * ALIVE_S - 1) * rig.server.rate), 2), np.float32)
    peer.plan([(frame, (CC, THRESHOLD, 0)) for frame in range(0, len(silence), 2000)])
    for _ in range(ATTEMPTS):
        before = witness.messages, witness.empty_sysexes
        take = rig.studio.take(silence, 0)
        messages, repairs = witness.messages - before[0], witness.empty_sysexes - before[1]
        if take.clean:
            break
    assert take.clean
    assert messages == len(range(0, len(silence), 2000))
    assert repairs <= 1  # before the first message
    repaired = witness.empty_sysexes
    until(lambda: witness.empty_sysexes - repaired >= 2, "a quiet input is repaired again")


def test_controllers_and_servers_may_come_and_go_while_it_plays(
    start_rig, open_studio, half_model, map_file, plug_in
):
    rig = start_rig("--out", "both", "--model", half_model, "--midi", "PAD", "--map", map_file)
    rig.patch()
    rig.live.wait_said("no MIDI controller is called 'PAD'")
    played = noise(40_000)
    for come in (1, 2):
        peer = plug_in(rig)
        until(lambda come=come: said(rig, "playing with pad:out") == come, "it should open")
        # Lights and faders are told where everything stands: 3 knobs, 5 pads.
        until(lambda peer=peer: len(peer.heard) >= 8, "it should be told where everything stands")
        muted = come == 2  # as it was left
        assert (NOTE, VOCALS_MUTE, 127 * muted) in peer.heard
        assert (CC, THRESHOLD, 0) in peer.heard
        told = len(peer.heard)
        peer.send((NOTE, VOCALS_MUTE, 100), (NOTE_OFF, VOCALS_MUTE, 0))
        until(lambda peer=peer, told=told: len(peer.heard) > told, "its light should be told")
        take = rig.play(played)
        assert peer.heard[told:] == [(NOTE, VOCALS_MUTE, 0 if muted else 127)]  # once, and nothing else
        assert take.sound[rig.latency :, :2].any() == muted  # pressed once: muted; pressed again: heard
        expected = 0.5 * rig.expected(played, take)
        assert_equal(take.sound[:, 2:], expected, 1e-6, "the instrumental, whatever comes and goes")
        peer.close()
        until(lambda come=come: said(rig, "pad:out has left") == come, "it should be missed")
    assert rig.live.fresh()["midi"]["restarts"] == 0

    rig.server.stop(signal.SIGKILL)
    rig.live.wait_said("waiting for it to come back (")
    rig.studio.close()
    rig.server.start()
    rig.live.wait_said("is back")
    rig.studio = open_studio(rig.server)
    peer = plug_in(rig)
    until(lambda: said(rig, "playing with pad:out") == 3, "it should open on the new server")
    until(lambda: len(peer.heard) >= 8, "and be told where everything stands")
    peer.send((NOTE, BYPASS, 100))
    rig.live.wait_line(lambda line: line["midi"]["moves"] == 3, "a third press", since=len(rig.live.lines))

    rig.server.send(signal.SIGSTOP)  # a server that hangs is no hang of ours
    try:
        rig.live.wait_said("stopped answering")
        rig.live.send(signal.SIGINT)
        rig.live.exit_code()
    finally:
        rig.server.send(signal.SIGCONT)


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
    start_server, open_studio, start_live, half_model, plug_in, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "config" / "rtsep"
    folder.mkdir(parents=True)
    (folder / "midi.toml").write_text(MAP)
    (folder / "presets").mkdir()
    (folder / "presets" / "duet.toml").write_text("program = 7\ninstrumental_solo = true\n")
    server = start_server()
    rig = SimpleNamespace(server=server, studio=open_studio(server))
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


def test_a_sysex_that_was_cut_off_leaves_no_port_deaf(start_server, open_studio, plug_in):
    server = start_server()
    peer = plug_in(SimpleNamespace(server=server, studio=open_studio(server)))
    with midi_command(server, "monitor", "--midi", "pad", "--seconds", "60") as monitor:
        wait_line(monitor.stderr, "listening")
        peer.send((0xF0, 1, 2))
        values = itertools.cycle(range(127))

        def heard() -> bool:
            peer.send((CC, THRESHOLD, next(values)))
            return bool(select.select([monitor.stdout], [], [], 0.05)[0])

        until(heard, "a knob that moves after it")
        assert monitor.stdout.readline().startswith("pad:out  channel 1  cc 1 = ")


def test_knobs_are_learned_from_a_controller_and_its_messages_printed(
    start_server, open_studio, plug_in, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    server = start_server()
    rig = SimpleNamespace(server=server, studio=open_studio(server))
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
            shared = "the same knob turns gate as well" in learning.stderr.read()
            assert shared == (control == "bypass")
    assert path.read_text() == (
        "# mine\n[gate]\nnote = 60   # stays\n"
        "\n[threshold]\ncc14 = 20\nchannel = 3\n"
        '\n[bypass]\nnote = 60\nchannel = 1\nmode = "toggle"\n'
    )
    with midi_command(server, "monitor", "--seconds", "60") as monitor:
        wait_line(monitor.stderr, "listening")
        peer.send((NOTE, 60, 90), (0xC0, 5), (0xF8,))
        assert [monitor.stdout.readline() for _ in range(2)] == [
            "pad:out  channel 1  note 60 (C4) velocity 90  -> gate 1, bypass on\n",
            "pad:out  channel 1  program 5\n",
        ]
        monitor.stdout.close()  # whoever read it has left: it ends
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
        if part in said and "playing with pad:out" in said:
            return
    raise AssertionError(f"'{part}' was not said: {said}")


def said(rig: Any, part: str) -> int:
    return sum(part in line for line in rig.live.said)
