import json
import os
import shutil
import signal

import pytest

from rtsep.errors import InputFileError, UsageError
from rtsep.model.package import read_package
from tests.train.conftest import SYSTEM
from train import presets
from train.__main__ import COMMANDS, main
from train.quickstart import Job, quickstart
from train.remix import Remixer


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


def test_stopped_it_says_so_and_goes_on(job, capsys, monkeypatch):
    batch = Remixer.batch

    def interrupted(self, seed, size, share):
        if seed[2] == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, seed, size, share)

    with monkeypatch.context() as patch:
        patch.setattr(Remixer, "batch", interrupted)
        assert quickstart(job) is None
    assert "the same command goes on" in capsys.readouterr().out and not job.model.exists()
    assert quickstart(job) == job.model


def test_what_cannot_work_is_said_before_anything_is_decoded(job, stems, tmp_path):
    assert quickstart(job, dry_run=True) is None
    assert not job.cache.exists() and not job.run.exists()
    other = Job((tmp_path,), job.out, system="tiny")
    with pytest.raises(UsageError, match="another quickstart"):
        quickstart(other)
    lonely = tmp_path / "lonely/takes"
    lonely.mkdir(parents=True)
    shutil.copy(stems / "One - A/vocals.opus", lonely / "vocals.opus")
    with pytest.raises(InputFileError):
        quickstart(Job((lonely.parent,), tmp_path / "b", system="tiny"))


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
