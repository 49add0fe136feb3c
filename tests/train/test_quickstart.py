import dataclasses
import json
import os
import shutil
import signal

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, UsageError
from rtsep.model.package import read_package
from tests.train.conftest import SYSTEM
from tests.train.recordings import music, voice, write_track
from train import quickstart as quickstarts
from train.__main__ import COMMANDS, main
from train.data.cache import RATE, AudioCache
from train.data.prepare import prepare
from train.data.readers.stems import Stems
from train.data.remix import Remixer
from train.data.shards import write_shards
from train.data.tracks import read_track
from train.learn import presets
from train.quickstart import ANSWERS, Job, quickstart


@pytest.fixture
def stems(data, tmp_path):
    """A stranger's folder: four songs as stems, one of them broken."""
    folder = tmp_path / "songs"
    for name in ("One - A", "Two - B", "Three - C"):
        shutil.copytree(data / "musdb18-7/train" / name, folder / name)
    shutil.copytree(folder / "Two - B", folder / "Broken - D")
    (folder / "Broken - D" / "vocals.opus").write_bytes(b"no audio")
    return folder


@pytest.fixture
def job(stems, tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", SYSTEM)
    return Job((stems,), tmp_path / "mine", system="tiny", minutes=0.03, device="cpu")


def test_a_folder_of_stems_becomes_a_model_and_a_page(job, capsys):
    model = quickstart(job)
    assert model is not None and read_package(model).spec.name == "mine"
    out = capsys.readouterr().out
    assert "Ctrl-C" in out and "Broken - D" in out and f"rtsep live --model {model}" in out
    scores = json.loads(job.scores.read_text())
    held = {song["name"] for song in json.loads((job.cache / "index.json").read_text())["songs"]
            if song["split"] == "valid"}  # fmt: skip
    assert {row["clip"] for row in scores["clips"]} == held, "scored on what training kept away from"
    page = (job.out / "listen" / "index.html").read_text()
    assert all(name in page for name in held) and "http://" not in page

    before = job.model.stat().st_mtime
    quickstart(job)
    assert job.model.stat().st_mtime == before, "nothing left to do"
    assert "done" in capsys.readouterr().out


@pytest.mark.long
def test_stopped_it_says_so_and_goes_on(job, capsys, monkeypatch):
    batch = Remixer.batch
    job = dataclasses.replace(job, minutes=0.25)  # longer than a step of a busy machine

    def interrupted(self, seed, size, share):
        if seed[2] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, seed, size, share)

    with monkeypatch.context() as patch:
        patch.setattr(Remixer, "batch", interrupted)
        assert quickstart(job) is None
    assert "repeat the command to continue" in capsys.readouterr().out and not job.model.exists()
    assert quickstart(job) == job.model


def test_what_cannot_work_is_said_before_anything_is_decoded(job, stems, tmp_path):
    assert quickstart(job, dry_run=True) is None
    assert not job.out.exists(), "saying what it would take leaves nothing behind"
    with pytest.raises(InputFileError, match="no such folder"):
        quickstart(dataclasses.replace(job, data=(tmp_path / "typo",)))
    assert not job.out.exists()
    for wrong in ({"minutes": 0.0}, {"threads": 0}, {"device": "gpu"}, {"out": stems / "mine"}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
            quickstart(dataclasses.replace(job, **wrong))
    lonely = tmp_path / "lonely/takes"
    lonely.mkdir(parents=True)
    shutil.copy(stems / "One - A/vocals.opus", lonely / "vocals.opus")
    with pytest.raises(InputFileError):
        quickstart(Job((lonely.parent,), tmp_path / "b", system="tiny"))


class Fitted(Exception):
    """The training that a test has no time for was reached."""


@pytest.fixture
def reached(monkeypatch):
    """Replaces the training in quickstart: stores the tracks to score, and ends."""
    scored = []
    resolve = quickstarts.songs_to_score

    def resolved(*given):
        scored.append(resolve(*given))
        return scored[-1]

    def fitted(config):
        raise Fitted

    monkeypatch.setattr(quickstarts, "songs_to_score", resolved)
    monkeypatch.setattr(quickstarts, "fit", fitted)
    return scored


def go(job):
    with pytest.raises(Fitted):
        quickstart(job)


def test_another_job_or_broken_answers_are_refused(job, stems, tmp_path, reached):
    go(job)
    with pytest.raises(UsageError, match="another quickstart"):
        quickstart(Job((stems / "One - A",), job.out, system="tiny"))
    (job.out / ANSWERS).write_text("{")
    with pytest.raises(UsageError, match=f"{ANSWERS}: damaged") as caught:
        quickstart(job)
    (job.out / ANSWERS).write_text(json.dumps(quickstarts._asked(job) | {"held-out": 5}))
    with pytest.raises(UsageError, match=f"{ANSWERS}: damaged"):
        quickstart(job)
    assert "\n" not in str(caught.value)


def test_added_songs_are_decoded(job, stems, reached, capsys):
    go(job)
    go(job)
    assert "decoded again" not in capsys.readouterr().out
    trained = {song.name for song in AudioCache(job.cache).songs if song.split == "train"}
    for name in ("Four - E", "Five - F", "Six - G"):
        shutil.copytree(stems / "One - A", stems / name)
    job.scores.write_text("{}")
    assert quickstart(job, dry_run=True) is None
    assert "3 songs were added and 0 removed" in capsys.readouterr().out and job.scores.exists()
    go(job)
    assert "3 songs were added and 0 removed" in capsys.readouterr().out and not job.scores.exists()
    assert len(AudioCache(job.cache).songs) == 6
    scored, unseen = reached[-1]
    assert unseen == (not trained & {path.name for path in scored})
    go(job)
    assert "decoded again" not in capsys.readouterr().out


def test_songs_of_an_earlier_training_are_never_called_unseen(job, stems, reached, monkeypatch):
    go(job)
    held = {song.name for song in AudioCache(job.cache).songs if song.split == "valid"}
    shutil.rmtree(stems / held.pop())  # another song validates now, which trained before
    go(job)
    assert AudioCache(job.cache).select("valid") and reached[0][1] and not reached[1][1]


def karaoke(folder):
    """Two channels, the voice on the right: songs that lie nowhere as stems."""
    folder.mkdir(parents=True)
    for seed, singer in enumerate(("ann", "bob", "cyd")):
        both = np.stack([music(2, seed).mean(1), voice(2, seed).mean(1)], 1)
        soundfile.write(folder / f"{singer}_1_01.wav", both, RATE)
    return folder


def test_karaoke_is_scored_out_of_the_cache(job, tmp_path, reached, capsys):
    job = dataclasses.replace(job, data=(karaoke(tmp_path / "karaoke"),))
    go(job)
    (song,) = AudioCache(job.cache).select("valid")
    folder = job.held_out / song.name
    assert f"1 songs to score have no folder of stems: up to 60 s of each are written to " \
           f"{job.held_out}" in capsys.readouterr().out  # fmt: skip
    for stem in ("vocals", "accompaniment"):
        wave, rate = soundfile.read(folder / f"{stem}.wav", dtype="int16")
        assert rate == RATE and soundfile.info(folder / f"{stem}.wav").subtype == "PCM_16"
        assert np.array_equal(wave[:, 0], AudioCache(job.cache).stored(song, stem)[:, 0])
    assert reached == [([folder], True)]
    stems = read_track(folder).stems
    assert np.array_equal(stems[0], AudioCache(job.cache).read(song, "vocals"))


def test_files_of_the_user_are_neither_removed_nor_overwritten(job, tmp_path, reached):
    job = dataclasses.replace(job, data=(karaoke(tmp_path / "karaoke"),))
    for name in ("held-out", "run", "mine.pt"):
        (job.out / name).mkdir(parents=True)
        with pytest.raises(UsageError, match=f"--out .*holds other files .{name}., no quickstart"):
            quickstart(job)
        assert [path.name for path in job.out.iterdir()] == [name]
        (job.out / name).rmdir()
    (job.out / ".DS_Store").touch()
    go(job)
    (song,) = AudioCache(job.cache).select("valid")
    (job.held_out / "My own test").mkdir()
    go(job)
    assert reached[0] == reached[1] == ([job.held_out / song.name], True)
    assert {path.name for path in job.held_out.iterdir()} == {"My own test", song.name}


def test_songs_to_score_are_known_before_training_whatever_the_folders(job, stems, tmp_path, reached):
    (tmp_path / "voices").mkdir()
    soundfile.write(tmp_path / "voices/ann_1.wav", voice(2), RATE)
    prepare(stems, tmp_path / "packed")
    write_shards(tmp_path / "packed", tmp_path / "pieces")
    nested = tmp_path / "nested"
    for seed, name in enumerate("ABC"):
        write_track(nested / f"Song {name}" / "stems", 2, seed)
    for data in ((stems, tmp_path / "voices"), (tmp_path / "pieces",), (nested,)):
        out = tmp_path / f"out {data[0].name}"
        go(dataclasses.replace(job, data=data, out=out))
        scored, unseen = reached[-1]
        (song,) = AudioCache(out / "cache").select("valid", "stems", "pair")
        assert [path.name for path in scored] == [song.name] and unseen
        assert (scored[0].parent == stems) == (data[0] == stems)
    write_track(nested / "test/Song T", 2)
    go(dataclasses.replace(job, data=(nested,), out=tmp_path / "with test"))
    assert reached[-1] == ([nested / "test/Song T"], True)


def test_no_more_than_a_minute_and_no_louder_than_16_bits(tmp_path):
    write_track(tmp_path / "d/One", 70)
    soundfile.write(tmp_path / "d/One/guitar.wav", np.full((70 * RATE, 2), 0.7), RATE)
    soundfile.write(tmp_path / "d/One/keys.wav", np.full((70 * RATE, 2), 0.7), RATE)
    prepare(tmp_path / "d", tmp_path / "cache")
    cache = AudioCache(tmp_path / "cache")
    job, song = Job((tmp_path / "d",), tmp_path / "out"), dataclasses.replace(cache.songs[0], name="a/b: c?")
    folder = quickstarts._written(cache, song, quickstarts._new_place(job, {}, song))
    assert folder.name == "a-b- c"
    waves = [soundfile.read(folder / f"{stem}.wav")[0] for stem in ("vocals", "accompaniment")]
    assert {len(wave) for wave in waves} == {60 * RATE} and np.abs(waves[1]).max() > 0.99
    assert np.mean(np.abs(waves[1]) > 0.9999) < 1e-3
    assert Stems().recognises(job.held_out)


def test_interrupted_while_scoring_it_ends_with_a_line(job, stems, monkeypatch, capsys):
    def interrupted(*_given, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstarts, "evaluate", interrupted)
    command = ["quickstart", "--data", str(stems), "--out", str(job.out), "--system", "tiny"]
    command += ["--minutes", "0.005", "--device", "cpu", "--threads", "1"]
    assert main(command) == 130
    assert "the same command continues" in capsys.readouterr().err and job.model.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0 and f"train {command}" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, capsys):
    assert main(["export", "--run", str(tmp_path), "--out", str(tmp_path / "m.pt")]) == 4
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "no such checkpoint" in captured.err
    assert main(["fit", "--system", "unit", "--run", str(tmp_path), "--cache", str(tmp_path)]) == 2
    assert "did you mean" in capsys.readouterr().err
