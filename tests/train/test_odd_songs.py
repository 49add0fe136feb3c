"""Folders of songs as people have them: links, stems that end early or are empty, odd names, pipes."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError
from train.data.cache import AudioCache
from train.data.prepare import SKIPPED, prepare
from train.data.readers import Choice, reader_for
from train.data.readers.base import walk
from train.data.readers.decode import AudioFile
from train.data.tracks import find_tracks, read_track, track_name

RATE = 44100

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and names of bytes")


def song(folder, seconds=1.0, **others):
    """Write vocals and drums of `seconds`, and further stems of other lengths."""
    folder.mkdir(parents=True)
    for stem, length in {"vocals": seconds, "drums": seconds, **others}.items():
        wave = 0.2 * np.sin(np.arange(round(length * RATE)) * 0.05)
        path = os.fsencode(folder / f"{stem}.wav")  # which may be no UTF-8
        soundfile.write(path, np.tile(wave[:, None], 2), RATE, format="WAV")
    return folder


def songs_in(folder):
    """Return the names of the songs that are found."""
    return sorted(plan.name for plan in reader_for(folder).find(folder, Choice()).plans)


def test_linked_song_folders_count_and_loops_end(tmp_path):
    data = tmp_path / "data"
    song(tmp_path / "elsewhere" / "A")
    song(data / "B")
    (data / "A").symlink_to(tmp_path / "elsewhere" / "A")
    (data / "B" / "loop").symlink_to("..")
    (data / "up").symlink_to(tmp_path)
    (data / "broken").symlink_to(tmp_path / "nowhere")
    assert songs_in(data) == ["A", "B"]
    assert [track.name for track in find_tracks([data])] == ["A", "B"]


def test_a_song_that_is_linked_into_its_own_set_counts_once_under_its_own_name(tmp_path):
    song(tmp_path / "data" / "z" / "Song")
    (tmp_path / "data" / "a link").symlink_to("z/Song")
    (tmp_path / "data" / "another").symlink_to("a link")
    assert songs_in(tmp_path / "data") == ["z/Song"]


def test_a_data_folder_that_is_a_link_is_walked(tmp_path):
    song(tmp_path / "data" / "A")
    (tmp_path / "link").symlink_to("data")
    assert [place.name for place, _ in walk(tmp_path / "link")] == ["link", "A"]


def test_a_stem_that_ends_early_is_silent_from_there_on(tmp_path):
    song(tmp_path / "data" / "Song", 3.0, fx=0.5, guitar=1.0)
    song(tmp_path / "data" / "Other", 3.0)
    assert prepare(tmp_path / "data", tmp_path / "cache") == 0
    cache = AudioCache(tmp_path / "cache")
    (padded,) = [entry for entry in cache.songs if entry.name == "Song"]
    assert {stem.frames for stem in padded.stems.values()} == {3 * RATE}
    other = cache.stored(padded, "other")
    assert np.abs(other[: RATE // 2]).max() > 1000
    assert not other[RATE + 2 :].any()
    (line,) = (tmp_path / "cache" / SKIPPED).read_text().splitlines()
    assert line.startswith("padded: ")
    assert "fx.wav 0.500 s" in line


@pytest.mark.parametrize("kind", ["no frames", "no bytes"])
@pytest.mark.parametrize("stem", ["drums", "other"])
def test_one_empty_stem_does_not_cost_the_song(tmp_path, kind, stem):
    folder = song(tmp_path / "data" / "Song", bass=1.0, other=1.0)
    song(tmp_path / "data" / "Second")
    if kind == "no bytes":
        (folder / f"{stem}.wav").write_bytes(b"")
    else:
        soundfile.write(folder / f"{stem}.wav", np.zeros((0, 2)), RATE)
    assert prepare(tmp_path / "data", tmp_path / "cache") == 0
    cache = AudioCache(tmp_path / "cache")
    (entry,) = [entry for entry in cache.songs if entry.name == "Song"]
    assert entry.stems[stem].frames == RATE
    assert not cache.stored(entry, stem).any()
    track = read_track(folder)
    assert track.mix.shape == (2, RATE)


def test_a_song_of_empty_stems_only_is_skipped(tmp_path):
    folder = song(tmp_path / "data" / "Song", 1.0)
    song(tmp_path / "data" / "Second")
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert prepare(tmp_path / "data", tmp_path / "cache") == 1
    with pytest.raises(InputFileError, match="no sound"):
        read_track(folder)


def test_names_that_are_no_utf_8_go_into_the_cache_readably(tmp_path, capsys):
    song(tmp_path / "data" / os.fsdecode(b"S\xf6ng"), 1.0, fx=0.2)
    song(tmp_path / "data" / "Ok")
    broken = song(tmp_path / "data" / os.fsdecode(b"br\xf6ken"))
    (broken / "drums.wav").write_bytes(b"no audio")
    prepare(tmp_path / "data", tmp_path / "cache")
    cache = AudioCache(tmp_path / "cache")
    assert sorted(entry.name for entry in cache.songs) == ["Ok", "S\\xf6ng"]
    lines = (tmp_path / "cache" / SKIPPED).read_text(encoding="utf-8")
    assert "br\\xf6ken" in lines
    assert track_name(broken) == "br\\xf6ken"


def test_a_pipe_among_the_songs_is_named_and_waits_for_nobody(tmp_path):
    folder = song(tmp_path / "data" / "Song")
    song(tmp_path / "data" / "Second")
    (folder / "drums.wav").unlink()
    os.mkfifo(folder / "drums.wav")
    assert prepare(tmp_path / "data", tmp_path / "cache") == 1
    assert "a pipe" in (tmp_path / "cache" / SKIPPED).read_text()
    with pytest.raises(InputFileError, match="a pipe"):
        AudioFile(folder / "drums.wav", middle_s=1.0).read()


def test_a_mixture_that_is_cut_off_is_refused_for_scoring(tmp_path):
    folder = song(tmp_path / "Song", 3.0, mixture=1.0)
    with pytest.raises(InputFileError, match=r"mixture\.wav of 1\.0 s, .* cut off"):
        read_track(folder)


def test_a_link_that_the_system_refuses_costs_its_song_alone(tmp_path):
    for name in ("A", "B", "C"):
        song(tmp_path / "data" / name)
    broken = tmp_path / "data" / "B" / "drums.wav"
    broken.unlink()
    broken.symlink_to("x" * 300)  # for root, too; another user's folder does the same to all others
    (tmp_path / "data" / "a folder").symlink_to("x" * 300)
    assert prepare(tmp_path / "data", tmp_path / "cache") == 1
    (line,) = (tmp_path / "cache" / SKIPPED).read_text().splitlines()
    assert line.startswith(f"skipped: {broken}: cannot be read (") and "name too long" in line
    assert {path.name for path in find_tracks([tmp_path / "data"])} == {"A", "B", "C"}
    with pytest.raises(InputFileError, match=r"drums\.wav: cannot be read"):
        read_track(broken.parent)
