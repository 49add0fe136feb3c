"""Presets in a session: by program change, at the start, and after a restart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from rtsep.surfaces.last_state import load_last_state, state_file
from rtsep.surfaces.presets import Preset, Presets
from tests.cli.program import rtsep
from tests.e2e.exact import noise
from tests.e2e.test_virtual import STEMS, read, untouched

PROGRAM = 0xC0
OWN_PORT = "rtsep-midi:rtsep"
LOUD_ENOUGH = 0.05


@pytest.fixture
def presets() -> Iterator[Presets]:
    """The user's presets (of this test run), empty before and after."""
    presets = Presets()
    yield presets
    for name in presets.names():
        presets.delete(name)
    state_file().unlink(missing_ok=True)


@pytest.mark.jack
def test_a_program_change_is_audible_without_a_click(start_rig, half_model, presets, tmp_path):
    from tests.e2e.midi_peer import MidiPeer

    presets.save(Preset("loud", {"vocals_gain": 0.0}, 3))
    presets.save(Preset("soft", {"vocals_gain": -20.0, "instrumental_mute": 1.0}, 4))
    own_map = tmp_path / "midi.toml"
    own_map.write_text("# the default map\n")
    rig = start_rig(
        *("--out", "both", "--model", half_model, "--midi", "jack:virtual", "--map", own_map), period=64
    )
    rig.patch()
    peer = MidiPeer(rig.server, rig.player_recorder)
    try:
        rig.player_recorder.connect(("pad:out", OWN_PORT))
        peer.plan([(100, (PROGRAM, 3)), (40_000, (PROGRAM, 4))])
        for _ in range(6):  # the first one may come before the port has been found
            played = noise(88_200)
            take = rig.play(played)
            dry = 0.5 * rig.expected(played, take)
            recorded = take.sound[:, :2]
            if np.abs(recorded[30_000:40_000] - dry[30_000:40_000]).max() < 1e-6:
                break
    finally:
        peer.close()

    there = np.abs(dry[:, 0]) > LOUD_ENOUGH
    there[:30_000] = False  # programs of the take before
    there[88_000:] = False
    gains = recorded[there, 0] / dry[there, 0]
    at = np.flatnonzero(there)
    assert np.abs(gains[at < 40_000] - 1).max() < 1e-4
    assert np.abs(gains[at > 80_000] - 0.1).max() < 1e-4
    assert np.diff(gains).max() < 1e-4, "it goes down and never up"
    moving = at[(gains < 0.999) & (gains > 0.101)]
    assert len(moving) > 50, "a jump is a click"
    assert moving[-1] - moving[0] < 2 * 256
    assert not take.sound[80_000:88_000, 2:].any(), "the instrumental is muted"
    assert [line for line in rig.live.said if "preset 'soft' (program 4)" in line]


def test_it_starts_with_a_preset_and_goes_on_from_the_last_state(start_live, half_model, presets, tmp_path):
    sound = noise(60_000)
    song = tmp_path / "song.wav"
    soundfile.write(song, sound, 44100, subtype="FLOAT")
    presets.save(Preset("mine", {"vocals_gain": -20.0, "instrumental_mute": 1.0, "gate": 0.3}))

    def play(folder, *options):
        live = start_live(
            *("--in", song, "--out", "both", "--out-device", "virtual", "--model", half_model),
            *("--record", tmp_path / folder, "--subtype", "FLOAT", *options),
        )
        keep = untouched(len(sound), live.final(120)["late_hops"])
        assert keep.any()
        stems = {name: read(tmp_path / folder, name) for name in STEMS}
        return stems["vocals"][keep], stems["instrumental"][keep], sound[keep], live.said

    # The command line wins over the preset.
    vocals, instrumental, dry, _ = play("first", "--preset", "mine", "--gate", 0.2)
    np.testing.assert_allclose(vocals, 0.05 * dry, rtol=0, atol=1e-6)
    assert not instrumental.any()
    last = load_last_state().values
    assert (last["vocals_gain"], last["instrumental_mute"], last["gate"]) == (-20, 1, 0.2)

    assert rtsep("presets", "save", "as it was").code == 0
    assert presets.load("as it was").values == last

    # So it does over the last state, in either direction.
    vocals, instrumental, dry, said = play("second", "--resume", "--no-instrumental-mute")
    np.testing.assert_allclose(vocals, 0.05 * dry, rtol=0, atol=1e-6)
    np.testing.assert_allclose(instrumental, 0.5 * dry, rtol=0, atol=1e-6)
    assert not any("resume" in line for line in said)


def test_a_session_that_was_killed_is_resumed_as_it_stood(start_live, half_model, presets):
    presets.save(Preset("mine", {"vocals_gain": -20.0, "bypass": 1.0, "gate": 0.3}))
    options = ("--in", "demo", "--out-device", "virtual", "--model", half_model)
    live = start_live(*options, "--preset", "mine")
    live.playing()
    live.wait_for(state_file().exists, "the last state should be written while it plays")
    live.kill()
    before = load_last_state().values
    assert (before["vocals_gain"], before["bypass"], before["gate"]) == (-20, 1, 0.3)

    live = start_live(*options, "--resume", "--no-bypass", "--seconds", "1")
    live.final(120)
    assert load_last_state().values == before | {"bypass": 0}
