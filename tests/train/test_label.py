"""Songs without stems get some by another separator, and come into the cache as songs of two stems."""

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError
from tests.train.conftest import _row, _write
from train import label as labelling
from train.cache import AudioCache
from train.label import BAND_RATE, label
from train.licences import is_open
from train.prepare import prepare
from train.readers.table import rows_of

HEAD = "split\tset\tpath\trole\tsample_rate\tseconds\tlicence"


class Teacher:
    """Takes the left channel for the voice."""

    title = "a teacher"
    heard = 0

    def separate(self, mix):
        Teacher.heard += 1
        voice = np.stack([mix[0], np.zeros_like(mix[0])])
        return voice, mix - voice


@pytest.fixture
def songs(tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "load_peer", lambda _name: Teacher())
    monkeypatch.setattr(Teacher, "heard", 0)
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
    assert [row["path"] for row in label(songs, out)] == ["songs/One", "songs/Two"]
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
    first = label(songs, tmp_path / "out")
    heard = Teacher.heard
    assert label(songs, tmp_path / "out") == first == rows_of(tmp_path / "out/tracks.tsv")
    assert Teacher.heard == heard + 1, "only the one without voice, of which nothing was kept"


def test_a_folder_without_such_songs_is_refused(songs):
    (songs / "tracks.tsv").write_text(HEAD + "\n")
    with pytest.raises(InputFileError, match="no training songs that are mixtures alone"):
        label(songs, songs / "out")
