"""Full disks, and folders that two commands want at once."""

import contextlib
import dataclasses
import os

import numpy as np
import pytest
import soundfile

from rtsep.errors import OutputError
from tests.train.recordings import music
from train.data.cache import RATE, AudioCache
from train.data.output import sole_use, write_audio
from train.data.prepare import prepare
from train.data.synthetic_leads import write_leads
from train.learn import checkpoint as checkpoints
from train.learn import pseudo_labels
from train.learn.checkpoint import Checkpoint
from train.learn.fit import fit
from train.learn.nets.causal import Causal
from train.pages.listen import write_sound
from train.quickstart import Job, _written, quickstart


@contextlib.contextmanager
def full_disk(limit):
    """Refuse all but the first `limit` bytes of each file."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_sound_has_the_format_of_its_name(tmp_path):
    wave = music(0.5)
    for name, form in (("a.wav", "WAV"), ("b.flac", "FLAC"), ("c.mp3", "MP3")):
        write_audio(tmp_path / name, wave)
        about = soundfile.info(tmp_path / name)
        assert (about.format, about.samplerate, about.channels) == (form, RATE, 2)
        assert about.frames == pytest.approx(len(wave), abs=3000)
    np.testing.assert_allclose(soundfile.read(tmp_path / "b.flac")[0], wave, atol=1e-4)


def test_a_full_disk_is_one_line_wherever_a_sound_is_written(cache, tmp_path):
    song = max(AudioCache(cache).select("train"), key=lambda song: song.frames)
    wave = music(5).T.astype(np.float32)
    stems, system = (wave / 2, wave / 2), Causal()
    weights = system.net().state_dict()
    writers = {
        "listen": lambda: write_sound(tmp_path / "listen", wave),
        "label": lambda: pseudo_labels._write(tmp_path / "label", stems, {"a": (0, 5 * RATE)}),
        "quickstart": lambda: _written(AudioCache(cache), song, tmp_path / "quickstart"),
        "checkpoint": lambda: checkpoints.save(Checkpoint(system, weights, weights), tmp_path),
    }
    for name, write in writers.items():
        with full_disk(50_000), pytest.raises(OutputError, match=rf"{name}.*cannot be written") as caught:
            write()
        assert "\n" not in str(caught.value)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()], name


needs_locks = pytest.mark.skipif(os.name == "nt", reason="no locks for folders")


@needs_locks
def test_a_folder_is_free_again_after_its_command_and_for_its_forks(tmp_path):
    with pytest.raises(ZeroDivisionError), sole_use(tmp_path):
        with pytest.raises(OutputError, match="another command writes there"), sole_use(tmp_path):
            pass
        (is_up, tell), (wait, end) = os.pipe(), os.pipe()
        if not (child := os.fork()):  # as a worker that draws mixtures: it outlives the lock
            os.close(end)
            os.write(tell, b"1")
            os.read(wait, 1)
            os._exit(0)
        os.read(is_up, 1)
        raise ZeroDivisionError
    try:
        with sole_use(tmp_path):
            assert not list(tmp_path.iterdir())
    finally:
        for pipe in (end, wait, is_up, tell):
            os.close(pipe)
        os.waitpid(child, 0)


@needs_locks
def test_a_second_command_on_one_folder_is_refused(config, data, tmp_path, monkeypatch):
    refused = pytest.raises(OutputError, match="another command writes there; wait")
    config.run.mkdir()
    with sole_use(config.run), refused:
        fit(dataclasses.replace(config, steps=1))
    assert not list(config.run.iterdir())
    (tmp_path / "cache").mkdir()
    with sole_use(tmp_path / "cache"), refused:
        prepare(data, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    (tmp_path / "mine").mkdir()
    with sole_use(tmp_path / "mine"), refused:
        quickstart(Job((data,), tmp_path / "mine"))
    assert not list((tmp_path / "mine").iterdir())
    (tmp_path / "leads").mkdir()
    (tmp_path / "font.sf2").touch()
    monkeypatch.setattr("shutil.which", lambda name: name)
    with sole_use(tmp_path / "leads"), refused:
        write_leads(tmp_path / "font.sf2", tmp_path / "leads", 1, 10, 1, "MIT")
    assert not list((tmp_path / "leads").iterdir())
