"""Controllers on a real JACK server while a session plays, and their effect on the sound."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rtsep.surfaces.midi.process import ALIVE_S
from tests.e2e.exact import assert_equal, noise
from tests.waiting import until

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
"""Difference within a few samples of half-scale noise if the level jumps to an eighth."""


@pytest.fixture
def map_file(tmp_path) -> Any:
    path = tmp_path / "midi.toml"
    path.write_text("# nothing but the default map\n")
    return path


def take_until(
    rig: Any, played: np.ndarray, good: Callable[[Any], str], begin: Callable[[], None] = lambda: None
) -> Any:
    """Return the first take of `played` without an xrun in which `good` finds no fault.

    A change by Python can be audible a scheduling later: on a machine that stalls, it is repeated. `begin()`
    is called before each take.
    """
    said = []
    for _ in range(ATTEMPTS):
        take = rig.play(played, begin)
        problem = good(take)
        if not problem:
            return take
        said.append(problem)
    raise AssertionError(f"{ATTEMPTS} takes: {said}")


def assert_audible_in_time(rig: Any, peer: MidiPeer) -> list[int]:
    """Turn the threshold up and down; return after how many frames each move is audible."""
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
            recorded = take.sound[frame : frame + distance, :2]
            lags.append(int(np.argmax(np.abs(recorded - before).max(axis=1) > CHANGED)))
            assert lags[-1] > 0, "no effect, or an effect before the move"
        return "" if max(lags) <= bound else f"audible after {lags}, allowed {bound}"

    take_until(rig, played, late)
    print(f"\nperiod {rig.server.period}: audible {sorted(lags)} frames after; allowed {bound}")
    return lags


def test_a_knob_is_audible_within_a_hop_and_a_block_of_the_latency(
    start_rig, half_model, map_file, plug_in, record_property
):
    rig = start_rig(
        *("--out", "both", "--model", half_model, "--midi", "jack:virtual", "--map", map_file), period=64
    )
    rig.patch()
    peer = plug_in(rig)
    rig.player_recorder.connect(("pad:out", OWN_PORT))
    record_property("lags", assert_audible_in_time(rig, peer))


def test_a_flood_loses_neither_its_last_value_nor_a_hop(
    start_rig, half_model, map_file, plug_in, watch, record_property
):
    rig = start_rig("--out", "both", "--model", half_model, "--midi", "jack:virtual", "--map", map_file)
    rig.patch()
    peer = plug_in(rig)
    rig.player_recorder.connect(("pad:out", OWN_PORT))
    record_property("lags", assert_audible_in_time(rig, peer))

    until(
        lambda: "rtsep-midi-mend" in str(rig.player_recorder.connections(OWN_PORT)),
        "the repair of cut-off sysexes",
    )
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
        recorded, dry = take.sound[:, :2], rig.expected(played, take)
        louder, softer = np.abs(recorded - 0.5 * dry) < 1e-6, np.abs(recorded - 0.125 * dry) < 1e-6
        change = int(np.argmin(louder.all(axis=1)[8000:])) + 8000
        assert change > at
        assert softer[-10_000:].all(), "the last value is not audible"
        assert softer[change + 3 * HOP :].all(), "more than one cross-fade"
        assert peer.sent - before["sent"] == planned
        assert witness.messages - before["witnessed"] == planned, "the server has dropped messages"
        counted = after["midi"]["messages"] - before["counted"]
        assert counted == planned, "messages were lost, or unknown ones counted"
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
    rig.player_recorder.connect(("pad:out", OWN_PORT))
    until(
        lambda: "rtsep-midi-mend" in str(rig.player_recorder.connections(OWN_PORT)),
        "the repair of cut-off sysexes",
    )
    witness = watch(rig, OWN_PORT)
    until(lambda: witness.empty_sysexes >= 2, "a quiet input is repaired")
    silence = np.zeros((round((MAX_SKIPPED * ALIVE_S - 1) * rig.server.rate), 2), np.float32)
    peer.plan([(frame, (CC, THRESHOLD, 0)) for frame in range(0, len(silence), 2000)])
    for _ in range(ATTEMPTS):
        before = witness.messages, witness.empty_sysexes
        take = rig.player_recorder.take(silence, 0)
        messages, repairs = witness.messages - before[0], witness.empty_sysexes - before[1]
        if take.clean:
            break
    assert take.clean
    assert messages == len(range(0, len(silence), 2000))
    assert repairs <= 1  # before the first message
    repaired = witness.empty_sysexes
    until(lambda: witness.empty_sysexes - repaired >= 2, "a quiet input is repaired again")


def test_controllers_and_servers_may_come_and_go_while_it_plays(
    start_rig, open_player_recorder, half_model, map_file, plug_in
):
    rig = start_rig("--out", "both", "--model", half_model, "--midi", "PAD", "--map", map_file)
    rig.patch()
    rig.live.wait_said("no MIDI controller is called 'PAD'")
    played = noise(40_000)
    for come in (1, 2):
        peer = plug_in(rig)
        until_said(rig, "using pad:out", come)
        # Lights and faders receive all values: 3 knobs, 5 pads.
        until(lambda peer=peer: len(peer.received) >= 8, "it should receive all values")
        muted = come == 2  # as it was left
        assert (NOTE, VOCALS_MUTE, 127 * muted) in peer.received
        assert (CC, THRESHOLD, 0) in peer.received
        count = len(peer.received)
        peer.send((NOTE, VOCALS_MUTE, 100), (NOTE_OFF, VOCALS_MUTE, 0))
        until(lambda peer=peer, count=count: len(peer.received) > count, "its light should be updated")
        take = rig.play(played)
        assert peer.received[count:] == [(NOTE, VOCALS_MUTE, 0 if muted else 127)]  # once, and nothing else
        assert take.sound[rig.latency :, :2].any() == muted  # pressed once: muted; pressed again: audible
        expected = 0.5 * rig.expected(played, take)
        assert_equal(take.sound[:, 2:], expected, 1e-6, "the instrumental, whatever comes and goes")
        peer.close()
        until_said(rig, "pad:out has disappeared", come)
    assert rig.live.fresh()["midi"]["restarts"] == 0

    rig.server.stop(signal.SIGKILL)
    rig.live.wait_said("waiting for it to come back (")
    rig.player_recorder.close()
    rig.server.start()
    rig.live.wait_said("is back")
    rig.player_recorder = open_player_recorder(rig.server)
    peer = plug_in(rig)
    until_said(rig, "using pad:out", 3)
    until(lambda: len(peer.received) >= 8, "and receive all values")
    peer.send((NOTE, BYPASS, 100))
    rig.live.wait_line(lambda line: line["midi"]["moves"] == 3, "a third press", since=len(rig.live.lines))

    rig.server.send(signal.SIGSTOP)  # a server that hangs is no hang of ours
    try:
        rig.live.wait_said("stopped answering")
        rig.live.send(signal.SIGINT)
        rig.live.exit_code()
    finally:
        rig.server.send(signal.SIGCONT)


def until_said(rig: Any, part: str, times: int) -> None:
    """Wait until `part` stands in so many lines on standard error. Raises `AssertionError` with all lines."""
    try:
        until(lambda: sum(part in line for line in rig.live.said) >= times)
    except AssertionError:
        midi = rig.live.lines[-1]["midi"]
        raise AssertionError(f"{part!r} should be said {times} times: {midi}\n{rig.live.said}") from None
