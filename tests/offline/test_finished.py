"""Records of finished stems: on a disk that refuses them nothing stays, and stale ones count as none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import OutputError
from rtsep.files.stem_writer import StemWriter
from rtsep.files.wavfile import WavFile
from rtsep.offline.batch import separate_one
from rtsep.offline.finished import LEDGER, Finished
from rtsep.offline.jobs import Done, How, Job
from tests.models import PlainModel

resource = pytest.importorskip("resource")


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Refuse all but the first bytes of each file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["links", "no links"])
def disk(request, monkeypatch, tmp_path) -> Path:
    """A folder of a file system with links, or without."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)
    return tmp_path


def test_a_full_disk_leaves_neither_a_part_nor_the_new_folders(disk):
    there = disk / "there"
    there.mkdir()
    for place in (disk / "out" / "deep" / "song", there):
        with full_disk(), pytest.raises(OutputError, match="cannot write there"):
            Finished(place, disk / "song.wav")
    assert list(disk.iterdir()) == [there]
    assert list(there.iterdir()) == []


def test_a_record_that_only_its_last_file_lacks_room_for(disk, monkeypatch):
    """The temporary file fits, and the record itself does not."""
    write_text = Path.write_text

    def write(path: Path, *words: object, **options: object) -> int:
        if path.name.startswith(f"{LEDGER}."):
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            try:
                return write_text(path, *words, **options)  # type: ignore[arg-type]
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return write_text(path, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", write)
    with full_disk(), contextlib.suppress(OutputError):
        Finished(disk / "song", disk / "song.wav")
    assert not (disk / "song").exists() or (disk / "song" / LEDGER).read_text().endswith("[]}")


def test_what_is_given_back_leaves_only_the_folders_that_were_there(disk):
    (disk / "there").mkdir()
    for place in (disk / "out" / "deep" / "song", disk / "there"):
        Finished(place, disk / "song.wav").give_back()
    assert [path.name for path in disk.iterdir()] == ["there"]
    assert list((disk / "there").iterdir()) == []


def test_an_interrupt_while_the_stems_are_created_leaves_none(tmp_path, monkeypatch):
    create = WavFile.__init__

    def interrupted(file: WavFile, path: Path, *options: object) -> None:
        if path.name.startswith("instrumental"):
            raise KeyboardInterrupt
        create(file, path, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(WavFile, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        StemWriter(tmp_path, ("vocals", "instrumental"), 44100, 2, "PCM_24")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_an_interrupt_while_stems_are_replaced_makes_earlier_records_stale(tmp_path, monkeypatch, form):
    soundfile.write(tmp_path / "song.wav", np.zeros((1000, 1)), 44100)

    def separate(kind: str) -> Done:
        job, how = Job(tmp_path / "song.wav", tmp_path / "out"), How(Path("x.pt"), sha256=kind, format=form)
        return separate_one(job, how, lambda: PlainModel(kind), lambda *_: None)

    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if Path(target).stem == "instrumental" and Path(target).parent.name == "out":
            raise KeyboardInterrupt
        return replace(path, target)

    assert separate("half").result
    assert separate("half").skipped
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        separate("ones")  # its vocals are beside the earlier instrumental now
    assert separate("half").result
