"""`quickstart` a second time: after an interruption, a repair, a longer training."""

import os
from types import SimpleNamespace

import pytest

from tests.train.recordings import write_track
from train import quickstart as quickstarts
from train.quickstart import Job


class Fitted(Exception):
    """The training that a test has no time for was reached."""


@pytest.fixture
def job(tmp_path, monkeypatch):
    def fitted(config):
        raise Fitted

    monkeypatch.setattr(quickstarts, "fit", fitted)
    for seed, name in enumerate("ABC"):
        write_track(tmp_path / f"songs/Song {name}", 1, seed)
    return Job((tmp_path / "songs",), tmp_path / "out", device="cpu", minutes=1.0)


def go(job, capsys):
    with pytest.raises(Fitted):
        quickstarts.quickstart(job)
    return capsys.readouterr().out


def test_a_repaired_file_is_read(job, tmp_path, capsys):
    broken = tmp_path / "songs/Song B/vocals.wav"
    good = broken.read_bytes()
    broken.write_bytes(b"no audio")
    assert "1 skipped" in go(job, capsys)
    assert "decoded again" not in go(job, capsys)
    broken.write_bytes(good)
    said = go(job, capsys)
    assert "1 files changed: all are decoded again, and the run continues" in said and "0 skipped" in said
    assert "decoded again" not in go(job, capsys)


def test_no_training_is_promised_on_a_finished_run(job, tmp_path, capsys, monkeypatch):
    go(job, capsys)
    job.run.mkdir()
    (job.run / "checkpoint.pt").touch()
    monkeypatch.setattr(quickstarts.checkpoints, "load", lambda run: SimpleNamespace(elapsed_s=60.0))
    write_track(tmp_path / "songs/Song D", 1, 3)
    said = go(job, capsys)
    assert "1 songs were added" in said and "the run continues" not in said
    assert "the training is finished; --minutes above 1 trains on them" in said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("train ")] == ["done"]


def test_scores_of_an_older_model_are_never_told(job, monkeypatch):
    job.run.mkdir(parents=True)
    job.model.write_bytes(b"old")
    job.scores.write_text("{}")
    os.utime(job.model, (1, 1))
    (job.run / "checkpoint.pt").write_bytes(b"continued")
    os.utime(job.run / "checkpoint.pt", (1000, 1000))
    config = SimpleNamespace(progress=lambda state: 1.0)
    monkeypatch.setattr(quickstarts, "fit", lambda config: SimpleNamespace(elapsed_s=60.0))
    monkeypatch.setattr(quickstarts, "export", lambda run, model, name: model.write_bytes(b"new"))
    monkeypatch.setattr(quickstarts, "listen", lambda *_: "page")

    def interrupted(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstarts, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quickstarts._trained(job, config, [], True)
    scored = []
    monkeypatch.setattr(quickstarts, "evaluate", lambda *_: scored.append(1) or {})
    assert quickstarts._trained(job, config, [], True) == job.model and scored


def test_long_names_of_songs_fit_into_a_file_system(job):
    job.held_out.mkdir(parents=True)
    names = ["/".join(["\u6b4c" * 40, "\u66f2" * 30, "\u58f0" * 30]), "x" * 300, "a. " + "-" * 90 + "b"]
    for name in names:
        for _ in range(3):
            quickstarts._new_place(job, {}, SimpleNamespace(name=name)).mkdir()
    made = sorted(path.name for path in job.held_out.iterdir())
    assert len(made) == 9 and all(len(name.encode()) <= 210 for name in made)
    assert {"a", "a 2", "a 3", "x" * 80, "x" * 80 + " 2"} <= set(made)
