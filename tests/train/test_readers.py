"""Readers of the forms that collections have, and the splits of their songs."""

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from rtsep.errors import InputFileError, UsageError
from tests.train.song_folders import dsd100, hq, karaoke, main_frequency, stem_file, tone
from train.data.cache import RATE
from train.data.prepare import prepare
from train.data.readers import FORMS, Choice, reader_for
from train.data.readers.base import Plan
from train.data.readers.decode import AudioFile, decode_song
from train.data.readers.splits import (
    HELD_OUT,
    MUSDB18_TEST,
    YARDSTICK,
    artist,
    reconcile,
    share_out,
    title,
)
from train.data.readers.stems import Stems, role_of


def splits(plans):
    of = defaultdict(set)
    for plan in plans:
        of[plan.split].add(plan.group)
    return of


def test_each_form_is_recognised_by_looking(tmp_path, data):
    made = {
        "musdb18-hq": hq(tmp_path / "a", ["X - Y"]),
        "dsd100": dsd100(tmp_path / "b", ["051 - X - Y"]),
        "karaoke": karaoke(tmp_path / "c"),
        "stems": tone(tmp_path / "d/song/vocals.wav").parents[1],
        "voices": tone(tmp_path / "my voices/ann/1.wav").parents[1],
        "instrumentals": tone(tmp_path / "e/package/usr/a.wav").parents[2],
        "table": data,
    }
    tone(tmp_path / "d/song/guitar.wav")
    (tmp_path / "e/package/copyright").write_text("free")
    for form, folder in made.items():
        assert reader_for(folder).form == form
    (tmp_path / "f/train").mkdir(parents=True)
    (tmp_path / "f/train/X - Y.stem.mp4").write_bytes(b"")
    assert reader_for(tmp_path / "f").form == "musdb18"
    for name in ("songs", "train"):  # a folder of folders whose test part alone is stem files
        tone(tmp_path / "g" / name / "A - B/vocals.wav")
        tone(tmp_path / "g" / name / "A - B/guitar.wav")
    (tmp_path / "g/test").mkdir()
    (tmp_path / "g/test/X - Y.stem.mp4").write_bytes(b"")
    assert reader_for(tmp_path / "g").form == "stems"
    for take in ("take vox", "take two"):  # a folder with a role in its name overrides the names of its files
        tone(tmp_path / f"my voices/ann/{take}.wav")
    for singer in ("bob", "cyd"):
        tone(tmp_path / f"my voices/{singer}/1.wav")
    assert reader_for(made["voices"]).form == "voices"
    assert reader_for(made["karaoke"], "voices").form == "voices", "what the user says goes"
    assert set(FORMS) == {*made, "musdb18", "pieces"}


def test_what_is_no_form_is_one_clear_line(tmp_path):
    tone(tmp_path / "anything.wav")
    with pytest.raises(InputFileError) as caught:
        reader_for(tmp_path)
    assert "\n" not in str(caught.value) and "--form voices" in str(caught.value)
    assert all(form in str(caught.value) for form in FORMS)
    with pytest.raises(InputFileError, match="no such folder"):
        reader_for(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="did you mean 'musdb18'"):
        reader_for(tmp_path, "musdb")
    for form in FORMS.keys() - {"musdb18", "musdb18-hq", "dsd100"}:
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        with pytest.raises(InputFileError):
            FORMS[form].find(empty, Choice())


def test_musdb18_stem_files_through_the_fields_parser(tmp_path):
    pytest.importorskip("musdb")
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg")
    stem_file(tmp_path / "m/train/Band - Song.stem.mp4", (300, 400, 500, 600, 700))
    (tmp_path / "m/train/Band - Broken.stem.mp4").write_bytes(b"no audio")
    (tmp_path / "m/test").mkdir()
    (tmp_path / "m/test/Other - Test.stem.mp4").write_bytes(b"never read")
    found = reader_for(tmp_path / "m").find(tmp_path / "m", Choice(validation_clips=0))
    assert found.test == ["Other - Test"] and {plan.split for plan in found.plans} == {"train"}
    broken, song = found.plans
    stems = decode_song(song).stems
    for stem, hz in (("drums", 400), ("bass", 500), ("other", 600), ("vocals", 700)):
        assert main_frequency(stems[stem].T.astype(np.float32)) == pytest.approx(hz, abs=3)
    with pytest.raises(InputFileError, match=r"Broken.stem.mp4: damaged"):
        decode_song(broken)


def test_the_test_folder_alone_is_nothing_to_learn_from(tmp_path):
    pytest.importorskip("musdb")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/Other - Test.stem.mp4").write_bytes(b"never read")
    for folder in (tmp_path, tmp_path / "test"):
        with pytest.raises(InputFileError, match="no training material in it"):
            prepare(folder, tmp_path / "cache")


def test_the_yardstick_is_the_published_list_and_its_artists():
    musdb = pytest.importorskip("musdb")
    listed = (Path(musdb.__file__).parent / "configs/mus.yaml").read_text()
    published = set(yaml.safe_load(listed)["validation_tracks"])
    assert published == set(YARDSTICK[: len(published)])
    assert {artist(name) for name in YARDSTICK} == {artist(name) for name in published}
    assert len(YARDSTICK) == len(set(YARDSTICK)) == 35
    assert not {title(name) for name in YARDSTICK} & {title(name) for name in (*MUSDB18_TEST, *HELD_OUT)}


def test_no_artist_of_the_yardstick_is_in_training():
    def plan(name, kind="stems", split="train"):
        return Plan(name, "mine", split, kind, "", {})

    other_song = f"{artist(YARDSTICK[0])} - Another Song"
    plans = [
        plan(YARDSTICK[0]), plan(f"012 - {YARDSTICK[1]}", "pair"), plan(YARDSTICK[2], "voice"),
        plan(other_song), plan(f"x/{other_song}", "voice"), plan(other_song, "music"),
        plan("Leaf"), plan("A - B"),
    ]  # fmt: skip
    kept, left_out = reconcile(plans, [])
    assert left_out == [other_song, f"x/{other_song}"]
    assert [plan.split for plan in kept] == ["valid"] * 3 + ["train"] * 3


def test_musdb18_hq_validates_by_the_yardstick(tmp_path):
    official = sorted(YARDSTICK)[:2]
    hq(tmp_path, [*official, "A - B", "C - D", HELD_OUT[0]], test=["E - F"])
    found = reader_for(tmp_path).find(tmp_path, Choice(validation_clips=3))
    of = {plan.name: plan.split for plan in found.plans}
    assert [of[name] for name in official] == ["valid", "valid"] and found.test == ["E - F"]
    assert list(of.values()).count("valid") == 3
    kept, left_out = reconcile(found.plans, found.test)
    assert left_out == [HELD_OUT[0]] and len(kept) == 4
    assert main_frequency(decode_song(kept[0]).stems["bass"].T.astype(np.float32)) == pytest.approx(
        600, abs=3
    )


def test_dsd100_trains_on_dev_and_never_on_test_songs_of_any_set(tmp_path):
    dev = [f"0{50 + i} - Band {i % 6} - Song {i}" for i in range(12)]
    dsd100(tmp_path, [*dev, f"070 - {MUSDB18_TEST[0]}"], test=["001 - Q - R"])
    found = reader_for(tmp_path).find(tmp_path, Choice())
    assert found.test == ["001 - Q - R"] and len(found.plans) == 13
    kept, left_out = reconcile(found.plans, found.test)
    assert left_out == [f"070 - {MUSDB18_TEST[0]}"], "a Dev song of DSD100, a test song of MUSDB18"
    groups = splits(kept)
    assert groups["valid"] and not groups["train"] & groups["valid"], "an artist is in one split"
    assert main_frequency(decode_song(kept[0]).stems["drums"].T.astype(np.float32)) == pytest.approx(
        500, abs=3
    )


def test_songs_of_the_yardstick_validate_wherever_they_lie(tmp_path):
    official = sorted(YARDSTICK)[0]
    names = [official, f"{official} again", "A - B", "C - D"]
    for name in names:
        for stem in ("vocals", "guitar"):
            tone(tmp_path / name / f"{stem}.wav")
    found = reader_for(tmp_path).find(tmp_path, Choice(validation_share=0.9))
    assert [plan.name for plan in found.plans if plan.split == "valid"] == [official]


def test_one_song_in_two_sets_has_one_split(tmp_path):
    def plan(name, split, source):
        return Plan(name, source, split, "stems", "", {})

    plans = [
        plan("012 - A - B", "train", "dsd100"),
        plan("A - B", "valid", "hq"),
        plan("C - D", "train", "hq"),
    ]
    kept, left_out = reconcile([*plans, plan("x/E - F", "train", "mine")], ["E - F"])
    assert [plan.split for plan in kept] == ["valid", "valid", "train"] and left_out == ["x/E - F"]


def test_folders_of_stems_of_any_kind(tmp_path):
    tone(tmp_path / "rock/Lead_Vox.wav", 400)
    tone(tmp_path / "rock/backing vocals.flac", 500)
    tone(tmp_path / "rock/Guitar.wav", 600)
    tone(tmp_path / "rock/KeysLeft.wav", 610)
    tone(tmp_path / "rock/Kick.wav", 700)
    tone(tmp_path / "rock/song mix.wav", 300)
    tone(tmp_path / "deep/er/pop/vocals.wav", 400, channels=1)
    tone(tmp_path / "deep/er/pop/no_vocals.wav", 450)
    tone(tmp_path / "lonely/vocals.wav")
    tone(tmp_path / "noise/wind.wav")
    (tmp_path / "LICENSE.txt").write_text("\nCC0 1.0\nmore words\n")
    found = reader_for(tmp_path).find(tmp_path, Choice())
    of = {plan.name: plan for plan in found.plans}
    assert of["deep/er/pop"].kind == "pair" and set(of["deep/er/pop"].files) == {"vocals", "accompaniment"}
    rock = of["rock"]
    named = {stem: sorted(source.path.name for source in files) for stem, files in rock.files.items()}
    assert named == {
        "vocals": ["Lead_Vox.wav", "backing vocals.flac"],
        "drums": ["Kick.wav"],
        "other": ["Guitar.wav", "KeysLeft.wav"],
    }
    assert rock.licence == "CC0 1.0" and rock.source == tmp_path.name
    assert of["lonely"].kind == "voice" and len(of) == 3
    (line,) = found.skipped
    assert "noise: no vocals" in line
    vocals = decode_song(rock).stems["vocals"].T / 32768.0
    both = [AudioFile(source.path).read()[0].T for source in rock.files["vocals"]]
    np.testing.assert_allclose(vocals, both[0] + both[1], atol=2e-5)


@pytest.mark.parametrize(
    ("name", "role"),
    [("vocals", "vocals"), ("LeadVox2", "vocals"), ("backing_vocals", "vocals"), ("Karaoke", "accompaniment"),
     ("instrumental", "accompaniment"), ("no-vocals", "accompaniment"), ("Bass Drum", "drums"),
     ("bassoon", "other"), ("mixture", "mixture"), ("my song_mix", "mixture"), ("trap hats", "other")],
)  # fmt: skip
def test_what_a_stem_is_by_its_name(name, role):
    assert role_of(name) == role


def test_a_sum_that_is_too_loud_is_turned_down_as_a_whole(tmp_path):
    for name in ("vocals", "vocals double"):
        tone(tmp_path / f"s/{name}.wav", 400, level=0.8)
    tone(tmp_path / "s/guitar.wav", 600, level=0.4)
    (plan,) = reader_for(tmp_path).find(tmp_path, Choice()).plans
    stems = decode_song(plan).stems
    assert np.abs(stems["vocals"]).max() >= 32767
    assert np.abs(stems["other"]).max() / 32768 == pytest.approx(0.4 / 1.6, rel=0.01)


def test_files_above_full_scale_are_turned_down_with_their_song(tmp_path):
    tone(tmp_path / "s/vocals.wav", 400, level=1.6, subtype="FLOAT")
    tone(tmp_path / "s/guitar.wav", 600, level=0.4, subtype="FLOAT")
    (plan,) = reader_for(tmp_path).find(tmp_path, Choice()).plans
    stems = {name: wave / 32768.0 for name, wave in decode_song(plan).stems.items()}
    time = np.arange(len(stems["vocals"])) / RATE
    for name, hz, level in (("vocals", 400, 1.0), ("other", 600, 0.25)):
        np.testing.assert_allclose(stems[name][:, 0], level * np.sin(2 * np.pi * hz * time), atol=1e-3)


def test_folders_named_for_splits_are_taken_at_their_word(tmp_path):
    for split in ("train", "valid", "test"):
        for stem in ("vocals", "guitar"):
            tone(tmp_path / split / f"{split} song" / f"{stem}.wav")
    found = reader_for(tmp_path).find(tmp_path, Choice())
    assert {plan.name: plan.split for plan in found.plans} == {
        "train song": "train", "valid song": "valid"
    }  # fmt: skip
    assert found.test == ["test song"] and found.test_tracks == [tmp_path / "test/test song"]


def stems_of(folder, *songs):
    for song in songs:
        for stem in ("vocals", "guitar"):
            tone(folder / song / f"{stem}.wav", seconds=0.01)
    return Stems().find(folder, Choice())


def test_songs_are_named_by_themselves_not_by_the_folder_of_their_stems(tmp_path):
    found = stems_of(tmp_path / "a", *(f"Song {name}/stems" for name in "ABCD"))
    assert {plan.name for plan in found.plans} == {f"Song {name}" for name in "ABCD"}
    assert {plan.split for plan in found.plans} == {"train", "valid"}
    found = stems_of(tmp_path / "b", "valid/Song D/stems", "Song A/stems", "Song B/WAV")
    kept, left_out = reconcile(found.plans, found.test)
    of = {plan.name: plan.split for plan in kept}
    assert of == {"Song D": "valid", "Song A": "train", "Song B": "train"} and not left_out
    found = stems_of(tmp_path / "c", "test/Song D/stems", "Song A/stems", "Song B/stems")
    kept, left_out = reconcile(found.plans, found.test)
    assert len(kept) == 2 and found.test == ["Song D"] and not left_out
    (plan,) = stems_of(tmp_path / "Only One", "stems").plans
    assert plan.name == "Only One"


def test_singers_and_albums_are_in_one_split(tmp_path):
    songs = [f"Artist {who}/{song}" for who in "ABC" for song in ("One", "Two/audio", "03 - Three")]
    found = stems_of(tmp_path / "a", *songs)
    groups = splits(found.plans)
    assert not groups["train"] & groups["valid"]
    assert groups["train"] | groups["valid"] == {"artist a", "artist b", "artist c"}
    found = stems_of(tmp_path / "b", *(f"all/{who} - {song}" for who in "xyz" for song in "12"))
    groups = splits(found.plans)
    assert groups["train"] | groups["valid"] == set("xyz"), "what holds all songs is no artist"
    assert groups["valid"] and not groups["train"] & groups["valid"]


def test_albums_share_numbers_not_songs(tmp_path):
    train = ("train/Album A/01", "train/02", "train/A/03 - Hey", "train/C/x")
    found = stems_of(tmp_path, *train, "test/Album B/01", "test/02", "test/B/03 - Hey", "test/C/x")
    kept, left_out = reconcile(found.plans, found.test)
    assert {plan.name for plan in kept} == {"Album A/01", "02", "A/03 - Hey"} and left_out == ["C/x"]


def test_a_voice_of_a_closed_song_is_left_out_too():
    def plan(name, kind, split="train"):
        return Plan(name, "mine", split, kind, "", {})

    plans = [
        plan("E - F", "voice"), plan("bits/E - F", "voice"), plan("G - H", "voice"), plan("ann/1", "voice"),
        plan("G - H", "stems", "valid"), plan(MUSDB18_TEST[0], "voice"), plan("E - F", "music"),
    ]  # fmt: skip
    kept, left_out = reconcile(plans, ["E - F", "1"])
    assert left_out == ["E - F", "bits/E - F", MUSDB18_TEST[0]]
    assert [(plan.kind, plan.split) for plan in kept] == [
        ("voice", "valid"), ("voice", "train"), ("stems", "valid"), ("music", "train"),
    ]  # fmt: skip


def test_a_licence_is_looked_for_up_to_the_data(tmp_path):
    folder = tmp_path / "data"
    (folder / "Song A").mkdir(parents=True)
    (tmp_path / "LICENSE").write_text("of something else")
    (folder / "LICENCE.txt").write_text("CC BY 4.0")
    (folder / "Song A/LICENSE").write_text("Creative Commons Legal Code\n\nCC0 1.0 Universal\n")
    found = stems_of(folder, "Song A/stems", "Song B/stems")
    assert {plan.name: plan.licence for plan in found.plans} == {
        "Song A": "CC0 1.0", "Song B": "CC BY 4.0"
    }  # fmt: skip


def test_karaoke_takes_the_channels_apart_and_keeps_singers_together(tmp_path):
    karaoke(tmp_path)
    found = reader_for(tmp_path).find(tmp_path, Choice())
    groups = splits(found.plans)
    assert len(groups["valid"]) == 1 and len(groups["train"]) == 2 and not groups["train"] & groups["valid"]
    decoded = decode_song(found.plans[0])
    assert decoded.band_hz == 7600 and decoded.stems["vocals"].shape[1] == 1
    assert main_frequency(decoded.stems["vocals"].T.astype(np.float32)) == pytest.approx(900, abs=3)
    assert main_frequency(decoded.stems["accompaniment"].T.astype(np.float32)) == pytest.approx(300, abs=3)


def test_voices_are_split_by_singer_however_they_are_filed(tmp_path):
    for singer in "abcdef":
        for take in range(3):
            tone(tmp_path / f"voices/{singer}/deep/{take}.wav")
            tone(tmp_path / f"speech/{singer}_{take}.wav")
    for folder in ("voices", "speech"):
        found = reader_for(tmp_path / folder).find(tmp_path / folder, Choice(validation_share=0.2))
        groups = splits(found.plans)
        assert len(found.plans) == 18 and groups["valid"] and not groups["train"] & groups["valid"]
        assert groups["train"] | groups["valid"] == set("abcdef")
        assert all(plan.kind == "voice" for plan in found.plans)


def test_instrumentals_are_split_by_package_and_screened_by_the_list(tmp_path):
    for package in ("alpha", "beta", "gamma"):
        for piece in range(4):
            tone(tmp_path / f"music/{package}/usr/{piece}.wav")
    listed = {"alpha": ("usr/0.wav", "usr/1.wav", "usr/gone.wav")}
    found = FORMS["instrumentals"].find(tmp_path / "music", Choice(listed=listed))
    groups = splits(found.plans)
    assert len(groups["valid"]) == 1 and not groups["train"] & groups["valid"]
    assert sorted(plan.name for plan in found.plans if plan.group == "alpha") == [
        "alpha/usr/0", "alpha/usr/1", "alpha/usr/gone"
    ]  # fmt: skip
    assert {plan.kind for plan in found.plans} == {"music"}


def test_growls_do_not_teach_that_there_is_no_voice(tmp_path):
    for package in ("fretsonfire-songs-muldjord", "fretsonfire-songs-sectoid"):
        tone(tmp_path / f"music/{package}/song.ogg.wav")
    found = FORMS["instrumentals"].find(tmp_path / "music", Choice())
    assert [plan.source for plan in found.plans] == ["fretsonfire-songs-sectoid"]
    assert len(found.skipped) == 1 and "muldjord: contains growled vocals" in found.skipped[0]


def test_long_instrumentals_give_their_middle(tmp_path):
    path = tmp_path / "a.wav"
    ramp = np.linspace(0, 0.9, 10 * RATE)
    soundfile.write(path, ramp, RATE)
    samples, _ = AudioFile(path, middle_s=2.0).read()
    assert len(samples) == 2 * RATE and samples.mean() == pytest.approx(0.45, abs=1e-3)
    assert len(AudioFile(path, middle_s=20.0).read()[0]) == 10 * RATE


def test_groups_are_shared_out_by_stable_names():
    names = [f"singer {i}" for i in range(300)]
    held = share_out(names, 0.1)
    assert 15 < len(held) < 50
    assert held & set(names[:200]) == share_out(names[:200], 0.1), "more singers move nobody"
    assert len(share_out(["a", "b"], 0.1)) == 1 and len(share_out(["a", "b"], 0.99)) == 1
    assert share_out(["a"], 0.5) == share_out(["a", "b"], 0.0) == share_out([], 0.5) == set()
    assert share_out(["big"] * 50 + ["small"], 0.2) == {"small"}, "by songs, not by names"


def test_titles_are_compared_as_sets_write_them():
    assert title("055 - Angels In Amplifiers - I'm Alright") == title("x/angels in amplifiers - I'm Alright")


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (("Voice of the Wind.wav", "Dawn.wav", "Dusk.wav"), "instrumentals"),
        (("Album/Voice of the Wind.wav", "Album/Dawn.wav"), "instrumentals"),
        (("Song/vocals.wav", "Song/drums.wav"), "stems"),
        (("Artist/Song/03 Song - Lead Vocals.wav", "Artist/Song/Bass.wav"), "stems"),
    ],
)
def test_a_title_with_a_voice_in_it_is_no_stem_in_a_folder_of_music(tmp_path, files, form):
    for name in files:
        tone(tmp_path / "music" / name)
    assert reader_for(tmp_path / "music").form == form
