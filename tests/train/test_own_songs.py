"""Songs of the user's own, in folders with the names and the layout of published sets."""

import numpy as np
import pytest
import soundfile

from tests.train.song_folders import hq, tone
from train.data.cache import RATE, AudioCache
from train.data.prepare import prepare
from train.data.readers import Choice, reader_for
from train.data.readers.splits import MUSDB18_TRAIN, YARDSTICK
from train.data.readers.stems import role_of


def made(folder, *names):
    for name in names:
        for stem in ("mixture", "vocals", "drums", "bass", "other"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{stem}.wav").touch()
    return folder


def found_in(folder):
    return reader_for(folder).find(folder, Choice())


def test_own_songs_in_the_layout_of_musdb18_hq_are_split_as_any_songs(tmp_path):
    made(tmp_path / "d/train", *(f"Mine {k}" for k in range(12)))
    (tmp_path / "d/LICENSE").write_text("CC BY 4.0")
    found = found_in(tmp_path / "d")
    of = [plan.split for plan in found.plans]
    assert 1 <= of.count("valid") <= 2 and of.count("train") >= 10
    assert {(plan.licence, plan.source) for plan in found.plans} == {("CC BY 4.0", "d")}
    made(tmp_path / "d/valid", "Held")
    made(tmp_path / "d/test", "Closed")
    found = found_in(tmp_path / "d")
    assert [plan.name for plan in found.plans if plan.split == "valid"] == ["Held"]
    assert found.test == ["Closed"] and found.test_tracks == [tmp_path / "d/test/Closed"]


def test_own_stem_files_are_split_as_any_songs(tmp_path):
    for split, names in (("train", [f"Mine {k}" for k in range(12)]), ("valid", ["Held"])):
        (tmp_path / split).mkdir()
        for name in names:
            (tmp_path / split / f"{name}.stem.mp4").touch()
    found = found_in(tmp_path)
    assert [plan.name for plan in found.plans if plan.split == "valid"] == ["Held"]
    assert not any("MUSDB18" in plan.licence for plan in found.plans)


def test_one_song_of_musdb18_makes_it_musdb18(tmp_path):
    made(tmp_path / "train", MUSDB18_TRAIN[0], *(f"Mine {k}" for k in range(30)))
    made(tmp_path / "valid", YARDSTICK[0])
    found = found_in(tmp_path)
    assert {plan.licence for plan in found.plans} == {
        "academic purposes only (MUSDB18; some songs CC BY-NC-SA)"
    }
    valid = [plan.name for plan in found.plans if plan.split == "valid"]
    assert len(valid) == 20 and YARDSTICK[0] in valid
    assert not set(MUSDB18_TRAIN) & set(YARDSTICK)


@pytest.mark.parametrize("name", ["Music", "my instrumentals", "Backing"])
def test_a_folder_of_stems_is_one_whatever_its_name(tmp_path, name):
    for song in ("First Song", "Second Song"):
        for stem in ("vocals", "drums", "other"):
            tone(tmp_path / name / song / f"{stem}.wav", seconds=0.01)
    assert reader_for(tmp_path / name).form == "stems"
    for album in ("One", "Two"):
        tone(tmp_path / "b" / name / album / "a.wav", seconds=0.01)
    assert reader_for(tmp_path / "b" / name).form == "instrumentals"


@pytest.mark.parametrize(
    ("name", "role"),
    [("Soprano Vocals", "vocals"), ("soprano_vocals", "vocals"), ("Bruno vocals", "vocals"),
     ("lead mono vocals", "vocals"), ("BrunoVocals", "vocals"), ("no_vocals", "accompaniment"),
     ("Song NoVocals", "accompaniment"), ("01no_vox no-voc", "accompaniment"),
     ("song-minus one", "accompaniment"), ("terminus one vox", "vocals")],
)  # fmt: skip
def test_a_soprano_is_a_voice(name, role):
    assert role_of(name) == role


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_stem_of_few_samples_beside_an_empty_one_costs_at_most_its_song(tmp_path, frames):
    for song in ("Good - A", "Good B - B", "Bad - C"):
        for stem in ("vocals", "drums"):
            tone(tmp_path / "data" / song / f"{stem}.wav", seconds=0.1)
    soundfile.write(tmp_path / "data/Bad - C/vocals.wav", np.full((frames, 2), 0.1), RATE)
    soundfile.write(tmp_path / "data/Bad - C/drums.wav", np.zeros((0, 2)), RATE)
    skipped = prepare(tmp_path / "data", tmp_path / "cache")
    songs = {song.name: song.frames for song in AudioCache(tmp_path / "cache").songs}
    assert skipped == (frames < 3) and songs.get("Bad - C") == (None if frames < 3 else 3)
    assert {"Good - A", "Good B - B"} <= set(songs)


def test_songs_with_all_their_stems_are_still_decoded(tmp_path):
    hq(tmp_path / "d", ["Mine 1"])
    prepare(tmp_path / "d", tmp_path / "cache")
    assert [song.name for song in AudioCache(tmp_path / "cache").songs] == ["Mine 1"]
