"""The worst seconds of a model: the right second, and words that fit what is wrong there."""

import argparse
import json

import numpy as np
import pytest

from rtsep.errors import InputFileError, UsageError
from tests.models import make_model
from tests.train.cards import INTRODUCTION, SOUND
from tests.train.recordings import write_track
from train.data.cache import RATE
from train.pages.card import Pieces, text_of
from train.score.worst import add_arguments, run, worst_second

SECONDS = 4


def tone(hz, amplitude=0.1):
    time = np.arange(SECONDS * RATE) / RATE
    return np.tile(amplitude * np.sin(2 * np.pi * hz * time), (2, 1)).astype(np.float32)


VOICE, BASS, HISS = tone(440), tone(100), tone(8000)


def at(second, wave):
    """`wave` in one second alone."""
    here = np.zeros_like(wave)
    here[:, second * RATE : (second + 1) * RATE] = wave[:, second * RATE : (second + 1) * RATE]
    return here


@pytest.mark.parametrize(
    ("wrong", "second", "words"),
    [
        (at(2, 0.5 * HISS), 2, "music at -6 dB to the voice is taken for voice, most of it in the treble"),
        (at(1, 2 * BASS), 1, "more music than voice is taken for voice, most of it in the bass"),
        (at(3, -0.75 * VOICE), 3, "the voice loses 12 dB, most of it in the low mids"),
    ],
)
def test_the_second_and_the_fault_are_found(wrong, second, words):
    place = worst_second("Song", VOICE + BASS, VOICE, VOICE + wrong)
    assert place.start_s == second and place.words().startswith(f"*Song*, second {second + 1}: ")
    assert "the voice is 3 dB below the mix" in place.words() and words in place.words()


def test_seconds_without_an_audible_voice_do_not_count():
    voice = at(1, VOICE)
    found = voice + at(3, HISS) + at(1, 0.01 * HISS)
    assert worst_second("Song", voice + BASS, voice, found).start_s == 1
    assert worst_second("Song", BASS, 0 * VOICE, found) is None
    assert worst_second("Song", VOICE[:, :100], VOICE[:, :100], VOICE[:, :100]) is None


def test_the_command_writes_what_a_card_shows(tmp_path, monkeypatch, capsys):
    model = make_model(tmp_path / "half.pt", "half")
    data, target = tmp_path / "songs", tmp_path / "worst.json"
    for name in ("One", "Two", "Three"):
        write_track(data / name, 1.2)
    (write_track(data / "Broken") / "other.wav").write_bytes(b"no audio")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["--model", str(model), "--data", str(data), "--json", str(target), "--count", "2"]
    monkeypatch.setattr("sys.argv", ["train", "worst", "--model", "half.pt"])
    run(parser.parse_args(words))
    out = capsys.readouterr().out
    content = json.loads(target.read_text())
    assert content["tracks"] == 3 and len(content["places"]) == 2 and "skipped: " in out
    prose = tmp_path / "prose.md"
    prose.write_text(f"{INTRODUCTION}\n\n## How it sounds and fails\n\n{SOUND}\n")
    text = text_of(Pieces(model, prose, worst=target), tmp_path / "card.md")
    assert "## Worst places" in text and all(place["words"] in text for place in content["places"])
    other = make_model(tmp_path / "ones.pt", "ones")
    with pytest.raises(InputFileError, match="another"):
        text_of(Pieces(other, prose, worst=target), tmp_path / "card.md")
    with pytest.raises(UsageError, match="at least 1"):
        run(parser.parse_args([*words[:-1], "0"]))
