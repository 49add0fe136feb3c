"""The JACK server goes away while it plays: one line, then the end or a return of both; never a hang."""

from __future__ import annotations

import signal

import pytest

from rtsep.errors import DeviceError
from tests.e2e.exact import SUM_TOLERANCE, assert_equal, noise

pytestmark = pytest.mark.jack

WAYS = [signal.SIGTERM, signal.SIGKILL]
WAITING = "waiting for it to come back"


def said_of(live, part: str) -> list[str]:
    return [line for line in live.said if part in line]


@pytest.mark.parametrize("how", WAYS)
def test_without_reconnecting_it_ends_with_one_line(start_rig, half_model, how):
    rig = start_rig("--out", "both", "--no-reconnect", "--model", half_model)
    lines = len(rig.live.said)
    rig.server.stop(how)
    assert rig.live.exit_code() == DeviceError.exit_code
    (line,) = rig.live.said[lines:]
    assert "--no-reconnect" in line


@pytest.mark.parametrize("how", WAYS)
def test_it_waits_and_plays_again_on_the_new_server(start_rig, open_player_recorder, half_model, how):
    rig = start_rig("--out", "both", "--model", half_model)
    rig.patch()
    played = noise(30_000)
    rig.play(played)
    hops = rig.live.fresh()["hops"]
    rig.server.stop(how)
    rig.live.wait_said(WAITING)
    rig.live.wait_line(lambda line: line["state"] == "waiting", "it should say so", since=len(rig.live.lines))
    rig.player_recorder.close()

    rig.server.start()
    rig.live.wait_said("is back")
    rig.line = rig.live.wait_line(
        lambda line: line["state"] == "playing" and line["hops"] > hops,
        "it should play",
        since=len(rig.live.lines),
    )
    rig.player_recorder = open_player_recorder(rig.server)
    rig.patch()
    take = rig.play(played)
    assert_equal(
        take.sound[:, :2] + take.sound[:, 2:], rig.expected(played, take), SUM_TOLERANCE, "the stems' sum"
    )
    final = rig.live.end()
    assert final["model"]["restarts"] == 0
    assert final["hops"] > hops
    assert len(said_of(rig.live, WAITING)) == 1
    assert len(said_of(rig.live, "is back")) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_waiting_ends_when_asked_to(start_rig, half_model, how):
    rig = start_rig("--out", "both", "--model", half_model)
    rig.server.stop(signal.SIGKILL)
    rig.live.wait_said(WAITING)
    assert rig.live.end(how)["state"] == "ended"


def test_a_server_of_another_period_is_taken_as_it_is(start_rig, open_player_recorder, half_model):
    rig = start_rig("--out", "both", "--model", half_model)
    rig.server.stop()
    rig.live.wait_said(WAITING)
    rig.player_recorder.close()
    rig.server.period = 128
    rig.server.start()
    rig.line = rig.live.wait_line(
        lambda line: line["state"] == "playing" and line["block"] == 128,
        "the new period",
        since=len(rig.live.lines),
    )
    rig.player_recorder = open_player_recorder(rig.server)
    rig.patch()
    played = noise(30_000)
    take = rig.play(played)
    assert_equal(
        take.sound[:, :2] + take.sound[:, 2:], rig.expected(played, take), SUM_TOLERANCE, "the stems' sum"
    )


@pytest.mark.parametrize("period", [512, 64, 1024])
def test_a_server_that_changes_its_period_is_followed_in_place(start_rig, half_model, period):
    """The client, its ports and their connections stay, and so does the sound, to the sample."""
    rig = start_rig("--out", "both", "--model", half_model)
    rig.patch()
    lines = len(rig.live.lines)
    client = rig.server.client("bufsize")
    client.blocksize = period
    client.close()
    rig.line = rig.live.wait_line(lambda line: line["block"] == period, "the new period", since=lines)
    rig.server.period = period
    played = noise(30_000)
    take = rig.play(played)
    assert_equal(
        take.sound[:, :2] + take.sound[:, 2:], rig.expected(played, take), SUM_TOLERANCE, "the stems' sum"
    )
    assert {line["state"] for line in rig.live.lines[lines:]} == {"playing"}
    assert len(said_of(rig.live, f"the block size is now {period} frames")) == 1


def test_a_frozen_server_is_no_hang(start_rig, half_model):
    rig = start_rig("--out", "both", "--model", half_model)
    rig.server.send(signal.SIGSTOP)
    try:
        rig.live.wait_said("stopped answering")
        rig.live.send(signal.SIGINT)
        assert rig.live.exit_code() in (0, DeviceError.exit_code)
    finally:
        rig.server.send(signal.SIGCONT)


@pytest.mark.long
def test_a_frozen_server_is_waited_for(start_rig, half_model):
    rig = start_rig("--out", "both", "--model", half_model)
    rig.server.send(signal.SIGSTOP)
    try:
        rig.live.wait_said("stopped answering")
        rig.live.wait_said("the sound system does not answer")  # a search for it hangs too
    finally:
        rig.server.send(signal.SIGCONT)
    rig.live.wait_said("is back")
    rig.live.wait_line(lambda line: line["state"] == "playing", "it should play", since=len(rig.live.lines))
