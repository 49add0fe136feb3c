"""Tables of tracks and indexes of pieces as strangers have them: short rows, entries of other kinds."""

import json

import pytest

from rtsep.errors import InputFileError
from tests.train.song_folders import tone
from train.data.cache import INDEX, AudioCache
from train.data.licences import licence_of
from train.data.prepare import prepare
from train.data.readers.base import Choice
from train.data.readers.table import TABLE, Table, listed_instrumentals, rows_of
from train.data.shards import write_shards

HEAD = "split\tset\tpath\trole\tsample_rate\tlicence"


def test_a_row_without_a_licence_has_none_and_makes_nothing_free(tmp_path):
    for name in ("a", "b"):
        tone(tmp_path / f"data/{name}.wav", seconds=1.0)
    rows = ["train\tmine\ta.wav\tinstrumental", "train\tmine\tb.wav\tinstrumental\t48000\tCC0 1.0"]
    (tmp_path / "data" / TABLE).write_text("\n".join([HEAD, *rows]) + "\n")
    prepare(tmp_path / "data", tmp_path / "cache")
    licences = {song.name: song.licence for song in AudioCache(tmp_path / "cache").songs}
    assert licences == {"mine/data/a": f"unknown (no licence in {TABLE})", "mine/data/b": "CC0 1.0"}
    assert "states no licence" in licence_of(["mine: 1.0 min, " + licences["mine/data/a"]])


@pytest.mark.parametrize(
    ("row", "missing"), [("train", "path, role, set"), ("train\tmine\t\tsinging", "path")]
)
def test_a_row_that_is_cut_off_is_named(tmp_path, row, missing):
    (tmp_path / TABLE).write_text(f"{HEAD}\ntrain\tmine\ta.wav\tsinging\t48000\tCC0 1.0\n{row}\n")
    with pytest.raises(InputFileError, match=f"{TABLE}: line 3: no {missing}"):
        rows_of(tmp_path / TABLE)


def test_a_row_of_a_list_of_packages_is_named_too(tmp_path):
    (tmp_path / TABLE).write_text("package\tfile\tmember\none\tusr/a.wav\ntwo\n")
    with pytest.raises(InputFileError, match="line 3: no file"):
        listed_instrumentals(tmp_path / TABLE)
    (tmp_path / TABLE).write_text("package\tfile\tmember\none\tusr/a.wav\n")
    assert listed_instrumentals(tmp_path / TABLE) == {"one": ("usr/a.wav",)}


@pytest.fixture
def packed(cache, tmp_path):
    """A folder of shards, and its index."""
    write_shards(cache, tmp_path / "p", codec="flac")
    return tmp_path / "p", json.loads((tmp_path / "p/pieces.json").read_text())


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.update(pieces=[{}]),
        lambda index: index.update(pieces=5),
        lambda index: index.update(songs=None),
        lambda index: index.update(songs=["a song"]),
        lambda index: index["songs"][0].update(stems={}),
        lambda index: index["songs"][0].update(kind="something"),
        lambda index: index["songs"][0].update(name=5),
        lambda index: index["songs"][0].update(later=1),
        lambda index: index["songs"][0].update(band_hz=None),
        lambda index: index["songs"][0]["stems"]["vocals"].update(parts=[]),
        lambda index: index["songs"][0]["stems"]["vocals"].update(frames="many"),
    ],
)
def test_an_odd_index_of_pieces_is_one_line(packed, tmp_path, change):
    folder, index = packed
    change(index)
    (folder / "pieces.json").write_text(json.dumps(index))
    with pytest.raises(InputFileError, match=r"pieces\.json: not an index of pieces") as caught:
        prepare(folder, tmp_path / "there")
    assert "\n" not in str(caught.value) and not (tmp_path / "there").exists()


@pytest.mark.parametrize("frames", [0, 10**12])
def test_a_stem_of_another_length_than_stated_is_skipped(packed, tmp_path, frames, capsys):
    folder, index = packed
    index["songs"][0]["stems"]["vocals"]["frames"] = frames
    (folder / "pieces.json").write_text(json.dumps(index))
    assert prepare(folder, tmp_path / "there") == 1
    assert "damaged (2.0 s in place of" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["[]", '{"version": 1}', '{"version": 1, "songs": [{"name": "a"}]}'])
def test_an_odd_index_of_a_cache_is_one_line(cache, tmp_path, content):
    (tmp_path / INDEX).write_text(content)
    (tmp_path / "audio.i16").symlink_to(cache / "audio.i16")
    with pytest.raises(InputFileError, match="prepare' again"):
        AudioCache(tmp_path)


def test_a_sample_rate_of_zero_is_that_of_the_file(tmp_path):
    row = "train\tmine\tvoices/a.wav\tsinging\t{}\tCC0"
    head = "split\tset\tpath\trole\tsample_rate\tlicence"
    (tmp_path / TABLE).write_text("\n".join([head, row.format(0), row.format(16000)]) + "\n")
    plans = Table().find(tmp_path, Choice()).plans
    assert [plan.band_hz for plan in plans] == [None, 7600]
