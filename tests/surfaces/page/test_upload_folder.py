"""Uploads of a killed page are removed by the next one, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from rtsep.realtime import locks
from rtsep.surfaces.page.upload_folder import LOCK, PREFIX, UploadFolder, remove_orphans
from rtsep.surfaces.page.uploads import Uploads

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

PAGE = """
from rtsep.surfaces.page.upload_folder import UploadFolder
folder = UploadFolder()
(folder.path / "1").mkdir()
(folder.path / "1" / "song.wav").write_bytes(bytes(1000))
print(folder.path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Return the temporary folder of the pages."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def page(place):
    page = subprocess.Popen(
        [sys.executable, "-c", PAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    page.folder = place / page.stdout.readline().strip()
    yield page
    page.kill()
    page.communicate()


def orphan(place, name):
    folder = place / f"{PREFIX}{name}"
    (folder / "1").mkdir(parents=True)
    (folder / LOCK).touch(0o600)
    (folder / "1" / "song.wav").write_bytes(bytes(1000))
    folder.chmod(0o700)
    return folder


def test_uploads_of_a_killed_page_are_removed_those_of_a_running_one_stay(page, place):
    Uploads()
    assert (page.folder / "1" / "song.wav").exists()
    page.kill()
    page.wait()
    assert page.folder.exists()
    Uploads()
    assert list(place.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no leases")
def test_a_file_that_still_plays_stays(place):
    folder = orphan(place, "plays")
    with (folder / "1" / "song.wav").open("rb"):
        remove_orphans()
        assert (folder / "1" / "song.wav").exists()
    remove_orphans()
    assert not folder.exists()


def test_nothing_is_removed_through_links(place, tmp_path):
    mine = orphan(tmp_path, "of somebody")
    (place / f"{PREFIX}link").symlink_to(mine)
    folder = orphan(place, "with a link as its lock")
    (folder / LOCK).unlink()
    (folder / LOCK).symlink_to(mine / LOCK)
    with_links = orphan(place, "with links")
    (with_links / "1" / "link").symlink_to(mine / "1" / "song.wav")
    (with_links / "2").symlink_to(mine)
    remove_orphans()
    assert (mine / "1" / "song.wav").exists() and (mine / LOCK).exists()
    assert folder.exists()
    for each in (with_links / "1" / "link", with_links / "2"):
        each.unlink()
    remove_orphans()
    assert not with_links.exists()


def test_folders_of_others_and_of_older_versions_stay(place, monkeypatch):
    old, shared, foreign = (orphan(place, name) for name in ("old", "shared", "foreign"))
    (old / LOCK).unlink()
    shared.chmod(0o770)
    fstat, inode = os.fstat, foreign.stat().st_ino

    def of_another(descriptor):
        found = fstat(descriptor)
        if found.st_ino == inode:
            found = os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))
        return found

    monkeypatch.setattr(os, "fstat", of_another)
    remove_orphans()
    assert all((each / "1" / "song.wav").exists() for each in (old, shared, foreign))


def test_a_folder_is_private_and_goes_when_it_is_closed(place):
    folder = UploadFolder()
    assert folder.path.parent == place and folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()
    assert list(place.iterdir()) == []


def test_a_page_makes_another_folder_after_its_own_was_removed(place):
    async def parts():
        yield b"song"

    uploads = Uploads()
    first = asyncio.run(uploads.take("song.wav", 4, parts()))
    gone = first.parents[1]
    shutil.rmtree(gone)
    second = asyncio.run(uploads.take("song.wav", 4, parts()))
    assert second.read_bytes() == b"song" and list(place.iterdir()) == [second.parents[1]]
    uploads.close()
    assert list(place.iterdir()) == []


def test_a_folder_in_the_place_of_a_removed_one_is_left_alone(place):
    folder = UploadFolder()
    folder.path.rename(place / "moved")
    folder.path.mkdir()
    assert not folder.is_there
    folder.close()
    assert folder.path.exists()


def test_a_folder_is_locked_itself_which_systemd_tmpfiles_respects():
    folder = UploadFolder()
    other = os.open(folder.path, os.O_RDONLY)
    try:
        assert not locks.take(other)
        folder.close()
        assert locks.take(other)
    finally:
        os.close(other)
