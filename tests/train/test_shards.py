import argparse
import json
import zipfile

import numpy as np
import pytest

from rtsep.errors import InputFileError, OutputError, UsageError
from train.data import shards as packing
from train.data.cache import RATE, AudioCache, Song, Stem
from train.data.prepare import prepare
from train.data.shards import choose, write_shards


def facts(song):
    return song.name, song.source, song.split, song.kind, song.licence, song.band_hz, song.group


def test_lossless_pieces_restore_the_cache_bit_for_bit(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SECTION_S", 1)  # stems of several members
    pieces = write_shards(cache, tmp_path / "pieces", codec="flac", piece_mib=1)
    assert len(pieces) > 1 and all(path.stat().st_size <= 1 << 20 for path in pieces)
    assert prepare(tmp_path / "pieces", tmp_path / "there") == 0
    before, after = AudioCache(cache), AudioCache(tmp_path / "there")
    assert [facts(song) for song in before.songs] == [facts(song) for song in after.songs]
    for old, new in zip(before.songs, after.songs, strict=True):
        for stem in old.stems:
            assert np.array_equal(before.stored(old, stem), after.stored(new, stem)), (old.name, stem)


def test_opus_pieces_keep_length_place_and_most_of_the_sound(cache, tmp_path):
    write_shards(cache, tmp_path / "pieces")
    prepare(tmp_path / "pieces", tmp_path / "there")
    before, after = AudioCache(cache), AudioCache(tmp_path / "there")
    for old, new in zip(before.songs, after.songs, strict=True):
        assert facts(old) == facts(new)
        for stem in old.stems:
            a, b = before.read(old, stem), after.read(new, stem)
            assert a.shape == b.shape
            # Half of these stems is noise, which no codec keeps: the tone must be there, in its place.
            assert np.vdot(a, b) / np.vdot(a, a) == pytest.approx(1, abs=0.1)
            assert np.square(a - b).sum() < 0.1 * np.square(a).sum()


def test_numbers_that_make_no_sense_are_one_line(cache, tmp_path):
    for wrong in ({"workers": 0}, {"piece_mib": 0}, {"hours": 0}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')} 0: "):
            write_shards(cache, tmp_path / "p", **wrong)
    assert not (tmp_path / "p").exists()


def test_equal_caches_make_equal_pieces(cache, tmp_path):
    first, second = (write_shards(cache, tmp_path / name, codec="flac") for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_missing_and_damaged_pieces_are_all_named(cache, tmp_path):
    pieces = write_shards(cache, tmp_path / "p", codec="flac", piece_mib=1)
    pieces[0].unlink()
    content = bytearray(pieces[1].read_bytes())
    content[len(content) // 2] ^= 1
    pieces[1].write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        prepare(tmp_path / "p", tmp_path / "there")
    assert pieces[0].name in str(caught.value) and f"{pieces[1].name} (checksum" in str(caught.value)
    assert not (tmp_path / "there").exists(), "nothing is decoded before all pieces are whole"
    for wrong in ("{}", "[]", '{"version": 1, "pieces": [], "songs": [{"stems": {}}]}'):
        (tmp_path / "p/pieces.json").write_text(wrong)
        with pytest.raises(InputFileError, match="not an index"):
            prepare(tmp_path / "p", tmp_path / "there")


def test_hours_take_a_part_of_every_set():
    def song(source, index, seconds, split="train"):
        return Song(f"{index}", source, split, "voice", "", 0.0, {"vocals": Stem(0, seconds * RATE, 1)})

    songs = [song("big", i, 60) for i in range(100)] + [song("small", i, 30) for i in range(3)]
    songs += [song("small", i, 30, "valid") for i in range(3)] + [song("long", 0, 3000)]
    chosen = choose(songs, 0.25)
    assert 800 < sum(song.frames for song in chosen) / RATE <= 900
    assert sum(song.source == "small" for song in chosen) == 6, "small sets come whole"
    assert not any(song.source == "long" for song in chosen)
    assert choose(songs, None) == songs


def test_the_command_and_its_errors(cache, tmp_path):
    parser = argparse.ArgumentParser()
    packing.add_arguments(parser)
    args = ["--cache", str(cache), "--out", str(tmp_path / "p"), "--hours", "0.002", "--codec", "flac"]
    (tmp_path / "p").mkdir()
    (tmp_path / "p/piece-0009.zip").write_bytes(b"of a run that was stopped")
    packing.run(parser.parse_args(args))
    index = json.loads((tmp_path / "p/pieces.json").read_text())
    names = [piece["name"] for piece in index["pieces"]]
    assert names == sorted(path.name for path in (tmp_path / "p").glob("*.zip")) == ["piece-0001.zip"]
    with zipfile.ZipFile(tmp_path / "p/piece-0001.zip") as archive:
        assert len(archive.namelist()) == sum(len(song["stems"]) for song in index["songs"])
    with pytest.raises(OutputError, match="holds pieces already"):
        packing.run(parser.parse_args(args))
    for hours in (0.0, -1.0, 1e-6):
        with pytest.raises(UsageError, match="--hours"):
            write_shards(cache, tmp_path / "q", hours=hours)
    with pytest.raises(InputFileError, match="train prepare"):
        write_shards(tmp_path, tmp_path / "q")
