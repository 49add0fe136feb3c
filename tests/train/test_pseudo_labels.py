"""Songs without stems get some by another separator, and come into the cache as songs of two stems."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, UsageError
from tests.train.conftest import _row, _write
from train.data.cache import RATE, AudioCache
from train.data.licences import is_open
from train.data.prepare import prepare
from train.data.readers.decode import AudioFile
from train.data.readers.table import rows_of
from train.data.tracks import read_wave
from train.learn import pseudo_labels as labelling
from train.learn.pseudo_labels import BAND_RATE, Labelling, loudest_part, write_pseudo_labels

HEAD = "split\tset\tpath\trole\tsample_rate\tseconds\tlicence"


class Teacher:
    """Takes the left channel for the voice."""

    title = "a teacher"
    calls = 0

    def separate(self, mix):
        Teacher.calls += 1
        voice = np.stack([mix[0], np.zeros_like(mix[0])])
        return voice, mix - voice


@pytest.fixture
def songs(tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "load_peer", lambda _name: Teacher())
    monkeypatch.setattr(Teacher, "calls", 0)
    folder = tmp_path / "data"
    for index, name in enumerate(("One", "Two")):
        _write(folder / f"songs/{name}.opus", index, 3.0, 300)
    time = np.arange(3 * 44100) / 44100
    silent_left = np.stack([np.zeros_like(time), 0.1 * np.sin(2000 * time)], 1)
    soundfile.write(folder / "songs/Choir.wav", silent_left, 44100)
    _write(folder / "songs/Test.opus", 9, 2.0, 300)
    rows = [
        _row("train", "songs", f"songs/{name}", "mixture") for name in ("One.opus", "Two.opus", "Choir.wav")
    ]
    rows.append(_row("test", "songs", "songs/Test.opus", "mixture"))
    (folder / "tracks.tsv").write_text("\n".join([HEAD, *rows]) + "\n")
    return folder


def test_labelled_songs_are_prepared_as_pairs_up_to_where_the_teacher_hears(songs, tmp_path, capsys):
    out = tmp_path / "out"
    rows = write_pseudo_labels(songs, out)
    assert [row["path"] for row in rows] == ["songs/songs/One.opus/One", "songs/songs/Two.opus/Two"]
    assert "2 songs labelled of 3" in capsys.readouterr().out
    prepare(out, tmp_path / "cache")
    cache = AudioCache(tmp_path / "cache")
    pairs = cache.select("train", "pair") + cache.select("valid", "pair")
    assert {song.source for song in pairs} == {"songs-spleeter"} and len(pairs) == 2
    for song in pairs:
        voice = cache.read(song, "vocals")
        assert not voice[1].any() and np.abs(voice[0]).max() > 0.05
        assert song.band_hz < BAND_RATE / 2
        assert song.licence == "CC0 1.0, stems by a teacher" and not is_open(song.licence)


def test_a_second_time_nothing_is_done_again(songs, tmp_path):
    first = write_pseudo_labels(songs, tmp_path / "out")
    calls = Teacher.calls
    assert write_pseudo_labels(songs, tmp_path / "out") == first == rows_of(tmp_path / "out/tracks.tsv")
    assert Teacher.calls == calls + 1, "only the one without voice, of which nothing was kept"


def with_rows(folder, *rows):
    (folder / "tracks.tsv").write_text("\n".join([HEAD, *rows]) + "\n")
    return folder


def test_songs_of_one_name_have_labels_of_their_own(songs, tmp_path):
    paths = ("a/01.opus", "b/01.opus", "b.opus", "01.opus", "../outside/01.opus", str(tmp_path / "c/01.opus"))
    for seed, path in enumerate(paths):
        _write(songs / path, seed, 2.0, 300)
    with_rows(songs, *(_row("train", "mine", path, "mixture") for path in paths))
    out = tmp_path / "out"
    rows = write_pseudo_labels(songs, out)
    assert {Path(row["path"]).name for row in rows} == {"01", "b"}
    mixes = [read_wave(AudioFile(songs / path)) for path in paths]
    for row, mix in zip(rows, mixes, strict=True):
        stems = [read_wave(AudioFile(out / row["path"] / f"{stem}.flac")) for stem in labelling.STEMS]
        np.testing.assert_allclose(stems[0] + stems[1], mix, atol=1e-3)
    assert write_pseudo_labels(songs, out) == rows and Teacher.calls == len(paths)


def test_a_table_of_the_user_is_never_replaced(songs, tmp_path):
    table = songs / "tracks.tsv"
    before = table.read_bytes()
    with pytest.raises(UsageError, match=r"--out .*: its tracks\.tsv lists other recordings"):
        write_pseudo_labels(songs, songs)
    assert table.read_bytes() == before and Teacher.calls == 0


def test_labels_of_a_second_folder_join_those_of_the_first(songs, tmp_path):
    out, more = tmp_path / "out", tmp_path / "more"
    first = write_pseudo_labels(songs, out)
    _write(more / "Three.opus", 3, 3.0, 300)
    with_rows(more, _row("train", "more", "Three.opus", "mixture"))
    both = write_pseudo_labels(more, out)
    assert both[:2] == first and len(both) == 3 and rows_of(out / "tracks.tsv") == both
    # A song that is for scoring now is no longer trained on.
    songs_left = [_row("train", "songs", "songs/One.opus", "mixture"),
                  _row("test", "songs", "songs/Two.opus", "mixture")]  # fmt: skip
    left = write_pseudo_labels(with_rows(songs, *songs_left), out)
    assert [Path(row["path"]).name for row in left] == ["Three", "One"]


def test_a_broken_song_costs_no_other_one(songs, tmp_path, capsys):
    (songs / "songs/One.opus").write_bytes(b"no audio")
    assert [Path(row["path"]).name for row in write_pseudo_labels(songs, tmp_path / "out")] == ["Two"]
    out = capsys.readouterr()
    assert "1 songs labelled of 3" in out.out and f"skipped: {songs / 'songs/One.opus'}" in out.out + out.err


def test_a_folder_without_such_songs_is_refused(songs):
    (songs / "tracks.tsv").write_text(HEAD + "\n")
    with pytest.raises(InputFileError, match="no training songs without stems"):
        write_pseudo_labels(songs, songs / "out")


class Turning(Teacher):
    """Takes the left channel for the voice, and adds a constant that is no mean of anything."""

    def separate(self, mix):
        voice, rest = super().separate(mix)
        offset = np.float32(0.01 if Teacher.calls % 2 else 0.03)
        return voice + offset, rest - offset


def test_the_mean_of_two_estimates_is_of_the_same_samples(songs, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "load_peer", lambda _name: Turning())
    one = write_pseudo_labels(songs, tmp_path / "out", Labelling(averaged=True))[0]["path"]
    mix = read_wave(AudioFile(songs / "songs/One.opus"))
    voice = soundfile.read(tmp_path / "out" / one / "vocals.flac")[0].T
    # The second estimate is of swapped channels: its voice is the right one.
    np.testing.assert_allclose(voice, mix / 2 + 0.02, atol=1e-4)
    rest = soundfile.read(tmp_path / "out" / one / "accompaniment.flac")[0].T
    np.testing.assert_allclose(voice + rest, mix, atol=1e-4)


def test_of_a_long_song_the_part_with_most_voice_is_kept(tmp_path):
    voice = np.zeros((2, 20 * RATE), np.float32)
    voice[:, 7 * RATE : 9 * RATE] = 0.1
    voice[:, 15 * RATE :] = 0.01
    part = loudest_part(voice, 4 * RATE)
    assert part.stop - part.start == 4 * RATE and part.start <= 7 * RATE and part.stop >= 9 * RATE
    assert loudest_part(voice, 30 * RATE) == slice(0, 20 * RATE)
    with pytest.raises(UsageError, match="--seconds 2: 6 and more"):
        Labelling(seconds=2)


def test_seconds_about_whose_silence_both_disagree_are_left_out(monkeypatch):
    rng = np.random.default_rng(1)
    mix = (0.1 * rng.standard_normal((2, 25 * RATE + 700))).astype(np.float32)
    mix[:, 24 * RATE :] = 0
    teacher, checker = 0.5 * mix, 0.5 * mix
    checker[:, 8 * RATE : 9 * RATE] = 0  # a voice that only the teacher finds
    teacher[:, 12 * RATE : 13 * RATE] = 0  # and one that only the model finds
    teacher[:, 20 * RATE : 22 * RATE] *= 0.2  # softer, but a voice
    monkeypatch.setattr(labelling, "separate", lambda _model, _mix: (checker, mix - checker))
    assert labelling.agreed(mix, teacher, None) == [(0, 8 * RATE), (13 * RATE, mix.shape[1])]


def test_what_is_left_of_a_song_becomes_songs_of_their_own(songs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(labelling, "load_model", lambda path, _device: path)
    kept = {"checked": [(0, RATE), (2 * RATE, 3 * RATE)]}
    monkeypatch.setattr(labelling, "agreed", lambda _mix, _voice, _model: kept["checked"])
    rows = write_pseudo_labels(songs, tmp_path / "out", Labelling(check=Path("model.pt")))
    assert [row["path"] for row in rows] == [
        f"songs/songs/{name}.opus/{name}-{number}" for name in ("One", "Two") for number in (1, 2)
    ]
    assert "One: 2 s kept of 3" in capsys.readouterr().out
    for row in rows:
        assert soundfile.info(tmp_path / "out" / row["path"] / "vocals.flac").frames == RATE
    kept["checked"] = []
    assert write_pseudo_labels(songs, tmp_path / "none", Labelling(check=Path("model.pt"))) == []
    assert not list((tmp_path / "none").rglob("*.flac"))
