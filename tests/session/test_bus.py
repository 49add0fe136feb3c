"""The stereo bus of a session: the first value of its balance, and its text in the header."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.audio.engine import StreamFormat
from rtsep.audio.jack_ports import output_names
from rtsep.controls import OUTPUT, Controls
from rtsep.dsp.router import BUS, INSTRUMENTAL, VOCALS
from rtsep.session.bus import begin_balance, output_in_words
from tests.session.playing import RATE
from tests.waiting import until

STEREO = (2 * BUS, 2 * BUS + 1)
FOUR = (2 * VOCALS, 2 * VOCALS + 1, 2 * INSTRUMENTAL, 2 * INSTRUMENTAL + 1)


def format(bus: str, out_map: tuple[int, ...] = STEREO) -> StreamFormat:
    return StreamFormat(RATE, 2, (0, 1), out_map, 256, RATE, 256, False, bus=bus)


@pytest.mark.parametrize(("out", "balance"), [("vocals", 1), ("mix", 0.5), ("instrumental", 0)])
def test_the_output_says_where_the_balance_begins(out, balance):
    controls = Controls()
    begin_balance(format(out), controls)
    assert controls.balance == balance and controls.moved_by("balance") == OUTPUT
    begin_balance(format("instrumental"), controls)  # another output later, and nobody has turned it
    assert controls.balance == 0


def test_who_has_set_the_balance_keeps_it():
    controls = Controls()
    controls.set("balance", 0.3, by="preset")
    begin_balance(format("vocals"), controls)
    assert controls.balance == 0.3


def test_four_channels_have_no_balance():
    controls = Controls()
    begin_balance(format("mix", FOUR), controls)
    assert controls.moved_by("balance") == "" and output_in_words(format("mix", FOUR), controls) == ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"balance": 1}, "voice"),
        ({"balance": 0}, "music"),
        ({"balance": 0.5}, "voice + music, unchanged"),
        ({"balance": 0.25}, "voice -6 dB + music"),
        ({"balance": 0.5, "vocals_gain": -6, "instrumental_mute": 1}, "voice -6 dB"),
        ({"balance": 1, "vocals_mute": 1}, "silence"),
        ({"balance": 1, "bypass": 1}, "the input, unchanged"),
        ({"balance": 0, "blend": 0.5}, "music, 50% of it the input"),
    ],
)
def test_the_header_says_what_comes_out(settings, words):
    assert output_in_words(format("mix"), Controls(**settings)) == words


def test_ports_are_named_for_the_output_that_was_asked_for():
    assert output_names(STEREO, 2, "instrumental") == ["instrumental_L", "instrumental_R"]
    assert output_names(FOUR, 2, "mix") == ["vocals_L", "vocals_R", "instrumental_L", "instrumental_R"]


def test_the_balance_is_turned_while_it_plays_and_recordings_keep_both_stems(model_folder, tmp_path):
    from tests.models import make_model

    half = make_model(model_folder / "bus-half.pt", "half")
    song = tmp_path / "song.wav"
    sound = np.random.default_rng(5).uniform(-0.4, 0.4, (3 * RATE, 2)).astype(np.float32)
    soundfile.write(song, sound, RATE, subtype="FLOAT")
    slack = RATE // 4  # no mask is late on a busy machine: the dry sound would stand in the stems
    with rtsep.Session(
        song,
        "vocals",
        out_device="virtual",
        model=half,
        record=tmp_path / "take",
        subtype="FLOAT",
        slack=slack,
    ) as session:
        assert session.controls.balance == 1 and "virtual device: voice, model" in session.now.title
        until(lambda: session.stats()["levels"]["bus"]["peak"] > 0.1, "the voice should be audible")
        session.controls.balance = 0.25
        assert "voice -6 dB + music" in session.now.title
        until(lambda: session.wait(0.1), "the song should end")
    vocals, _ = soundfile.read(tmp_path / "take" / "vocals.wav", dtype="float32")
    instrumental, _ = soundfile.read(tmp_path / "take" / "instrumental.wav", dtype="float32")
    frames = min(len(vocals), len(sound))
    assert np.abs(vocals[:frames] - 0.5 * sound[:frames]).max() < 1e-6
    assert np.abs(instrumental[:frames] - 0.5 * sound[:frames]).max() < 1e-6
