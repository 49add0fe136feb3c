"""Inputs and outputs of a session: routes, channels, names, connections."""

from __future__ import annotations

import pytest

from tests.e2e.exact import SUM_TOLERANCE, assert_equal, music, noise, rms

pytestmark = pytest.mark.jack

FRAMES = 30_000
CAPTURE, PLAYBACK = 0, 1  # JackCaptureLatency, JackPlaybackLatency


def test_bypass_gives_the_input_at_the_same_delay(start_rig):
    rig = start_rig("--out", "both", "--bypass", period=64)
    rig.patch()
    played = noise(FRAMES)
    take = rig.play(played)
    assert_equal(take.sound[:, :2], rig.expected(played, take), 0.0, "the dry signal")
    assert not take.sound[:, 2:].any()  # on one pair only, or the sum would be twice the input


def test_vocals_alone_take_two_ports(start_rig, half_model):
    rig = start_rig("--out", "vocals", "--model", half_model, inputs=2)
    assert rig.player_recorder.ports("rtsep") == [
        "rtsep:in_0",
        "rtsep:in_1",
        "rtsep:vocals_L",
        "rtsep:vocals_R",
    ]
    rig.patch(("vocals_L", "vocals_R"))
    played = music(FRAMES)
    take = rig.play(played)
    assert_equal(take.sound, 0.5 * rig.expected(played, take), 1e-6, "vocals")


def test_the_instrumental_bypassed_is_whole_and_swapped_channels_come_out_swapped(start_rig):
    rig = start_rig("--out", "instrumental", "--bypass", "--in-channels", "2,1", inputs=2)
    rig.patch(("instrumental_L", "instrumental_R"))
    played = noise(FRAMES)
    take = rig.play(played)
    assert_equal(take.sound, rig.expected(played, take)[:, ::-1], 0.0, "the dry signal")


def test_out_channels_choose_the_ports(start_rig, half_model):
    rig = start_rig("--out", "vocals", "--out-channels", "4,3", "--model", half_model)
    names = ("silence_1", "silence_2", "vocals_L", "vocals_R")
    assert set(rig.player_recorder.ports("rtsep")) == {
        "rtsep:in_0",
        "rtsep:in_1",
        *(f"rtsep:{name}" for name in names),
    }
    assert rig.player_recorder.connections("rtsep:vocals_L") == ["system:playback_4"]
    rig.patch(("silence_1", "silence_2", "vocals_L", "vocals_R"))
    played = noise(FRAMES)
    take = rig.play(played)
    assert not take.sound[:, :2].any()
    assert_equal(take.sound[:, 2:], 0.5 * rig.expected(played, take), 1e-6, "vocals")


@pytest.mark.parametrize("channel", [1, 2])
def test_one_input_channel_is_audible_on_both_sides(start_rig, half_model, channel):
    rig = start_rig("--out", "both", "--in-channels", channel, "--model", half_model)
    inputs = [port for port in rig.player_recorder.ports("rtsep") if "in_" in port]
    assert len(inputs) == channel  # PortAudio opens the channels from the first on
    rig.patch(inputs=tuple(port.removeprefix("rtsep:") for port in inputs))
    played = noise(FRAMES)
    take = rig.play(played)
    expected = rig.expected(played, take)[:, channel - 1 : channel]
    vocals, instrumental = take.sound[:, :2], take.sound[:, 2:]
    assert_equal(vocals[:, :1], vocals[:, 1:], 0.0, "the two sides")
    assert_equal((vocals + instrumental)[:, :1], expected, SUM_TOLERANCE, "vocals + instrumental")


def test_the_ports_are_connected_to_the_sound_card(start_rig):
    rig = start_rig("--out", "both", "--client-name", "vox (1")
    ports = rig.player_recorder.ports("vox (1")
    assert ports[0] == "vox (1:in_0"
    assert rig.player_recorder.connections("vox (1:in_0") == ["system:capture_1"]
    assert rig.player_recorder.connections("vox (1:vocals_L") == ["system:playback_1"]
    assert rig.player_recorder.connections("vox (1:instrumental_R") == ["system:playback_4"]


def test_the_server_hears_of_our_latency(start_rig, half_model):
    rig = start_rig("--out", "both", "--model", half_model, period=64)
    for mode, ours, theirs in (
        (CAPTURE, "vocals_R", "system:capture_2"),
        (PLAYBACK, "in_0", "system:playback_1"),
    ):
        beyond = rig.player_recorder.latency(theirs, mode)
        assert rig.player_recorder.latency(f"rtsep:{ours}", mode) == tuple(
            rig.latency + frames for frames in beyond
        )


def test_a_second_session_unconnected_leaves_the_first_one_alone(start_rig, start_live):
    rig = start_rig("--out", "both", "--bypass")
    rig.patch()
    second = start_live("--in", "mic", "--out", "vocals", "--no-connect", server=rig.server)
    second.playing()
    assert rig.player_recorder.connections("rtsep:vocals_L") == ["recorder:in_1"]
    played = noise(FRAMES)
    take = rig.play(played)
    assert_equal(take.sound[:, :2], rig.expected(played, take), 0.0, "the dry signal")
    names = {name.split(":")[0] for name in rig.player_recorder.all_ports()}
    (other,) = names - {"rtsep", "system", "player", "recorder"}
    ports = rig.player_recorder.ports(other)
    assert f"{other}:vocals_L" in ports
    assert [rig.player_recorder.connections(port) for port in ports] == [[]] * 4  # --no-connect


def test_a_file_is_played_to_the_server_at_its_rate(start_server, start_live, open_player_recorder, tmp_path):
    import soundfile

    server = start_server(period=128)
    path = tmp_path / "song.wav"
    soundfile.write(path, music(3 * 44100), 44100, subtype="FLOAT")
    player_recorder = open_player_recorder(server, inputs=4)
    live = start_live("--in", path, "--out", "both", "--record", tmp_path / "out", server=server)
    final = live.final(60)
    assert final["rate"] == 44100
    vocals, _ = soundfile.read(tmp_path / "out" / "vocals.wav")
    assert len(vocals) == 3 * 44100
    assert rms(vocals) > 0
    player_recorder.close()
