"""`train prepare`: from folders to one cache."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, OutputError, UsageError
from tests.train.song_folders import hq, tone
from train.__main__ import main
from train.data import prepare as preparing
from train.data.cache import RATE, AudioCache, Song, song_from_json, song_to_json
from train.data.prepare import SKIPPED, prepare


def test_broken_missing_and_unequal_files_are_named_and_counted(tmp_path, capsys):
    hq(tmp_path / "d", [f"B{i} - S" for i in range(5)])
    (tmp_path / "d/train/B0 - S/drums.wav").unlink()
    (tmp_path / "d/train/B1 - S/bass.wav").write_bytes(b"no audio")
    tone(tmp_path / "d/train/B2 - S/other.wav", 700, seconds=0.25)
    soundfile.write(tmp_path / "d/train/B3 - S/vocals.wav", np.full((99, 2), np.nan), RATE, subtype="FLOAT")
    assert prepare(tmp_path / "d", tmp_path / "cache", validation_clips=1) == 3
    lines = (tmp_path / "cache" / SKIPPED).read_text().splitlines()
    for line, words in zip(
        lines, (("B0 - S/drums.wav", "no such file"), ("B1 - S/bass.wav",), ("B3 - S/vocals.wav", "damaged"),
                ("padded:", "B2 - S", "other 0.250 s", "vocals 0.300 s")), strict=True,
    ):  # fmt: skip
        assert all(word in line for word in words), line
    assert "2 songs" in capsys.readouterr().out.splitlines()[-1]
    cache = AudioCache(tmp_path / "cache")
    assert {song.name: song.frames for song in cache.songs} == {"B2 - S": 13230, "B4 - S": 13230}
    assert {stem.frames for song in cache.songs for stem in song.stems.values()} == {13230}
    assert {song.group for song in cache.songs} == {"b2", "b4"}


def test_several_folders_make_one_cache(tmp_path, capsys):
    hq(tmp_path / "a", ["X - Y", "Z - Q"])
    tone(tmp_path / "voices/ann/1.wav")
    tone(tmp_path / "music/one/a.wav")
    parser = argparse.ArgumentParser()
    preparing.add_arguments(parser)
    options = parser.parse_args(
        ["--data", str(tmp_path / "a"), str(tmp_path / "voices"), "--music", str(tmp_path / "music"),
         "--cache", str(tmp_path / "cache"), "--workers", "1"]
    )  # fmt: skip
    preparing.run(options)
    assert {song.kind for song in AudioCache(tmp_path / "cache").songs} == {"stems", "voice", "music"}
    said = capsys.readouterr().out
    assert "musdb18-hq, 2 songs" in said and "voices, 1 songs" in said and "instrumentals, 1 songs" in said
    with pytest.raises(UsageError, match="validation-share"):
        prepare(tmp_path / "a", tmp_path / "cache", validation_share=1.5)
    with pytest.raises(UsageError, match="--workers 0: 1 and more"):
        prepare(tmp_path / "a", tmp_path / "cache", workers=0)
    for command in ("prepare", "fetch"):
        with pytest.raises(SystemExit):
            main([command, "--out" if command == "fetch" else "--cache", str(tmp_path / "x")])
        assert "required: --data" in capsys.readouterr().err


def test_few_songs_are_in_memory_at_a_time(monkeypatch):
    begun, largest, taken = [], 0, 0
    monkeypatch.setattr(preparing, "decode_song", lambda plan: begun.append(plan) or plan)
    for plan, decoded in preparing._decoded(list(range(40)), 2):
        largest, taken = max(largest, len(begun) - taken), taken + 1
        assert plan == decoded == taken - 1, "in order"
    assert largest <= 3 and len(begun) == 40
    assert preparing.default_workers() <= 4


def test_stopped_between_audio_and_index_leaves_no_index_of_other_audio(tmp_path, monkeypatch):
    hq(tmp_path / "d", ["A - B"])
    prepare(tmp_path / "d", tmp_path / "cache", validation_clips=0)
    replace = Path.replace

    def killed(self, target):
        replace(self, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "d", tmp_path / "cache", validation_clips=0)
    with pytest.raises(InputFileError, match="train prepare"):
        AudioCache(tmp_path / "cache")


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    hq(tmp_path / "d", ["A - B"])
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/audio.i16.part").symlink_to(full)
    with pytest.raises(OutputError, match="the disk is full") as caught:
        prepare(tmp_path / "d", tmp_path / "cache", validation_clips=0)
    assert "\n" not in str(caught.value) and not list((tmp_path / "cache").iterdir())


def test_nothing_usable_leaves_the_old_cache_alone(tmp_path):
    hq(tmp_path / "d", ["A - B"])
    prepare(tmp_path / "d", tmp_path / "cache", validation_clips=0)
    before = {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
    (tmp_path / "d/train/A - B/drums.wav").write_bytes(b"no audio")
    with pytest.raises(InputFileError, match="not one of 1 songs"):
        prepare(tmp_path / "d", tmp_path / "cache", validation_clips=0)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()}


def test_caches_of_old_are_read(tmp_path):
    song = Song("a", "b", "train", "voice", "CC0", 22050.0, {})
    entry = song_to_json(song)
    del entry["group"]
    assert song_from_json(entry) == song
