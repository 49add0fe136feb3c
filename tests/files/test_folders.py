"""Folders of audio files: links to themselves, very deep ones, and the folder of the stems."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pytest

from rtsep.errors import InputFileError
from rtsep.files.folders import audio_files


def song(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.wav").touch()
    return folder / "a.wav"


def test_the_folder_of_the_stems_is_refused_as_a_folder_of_songs(tmp_path):
    path = song(tmp_path / "music" / "album")
    for without in (tmp_path / "music", tmp_path / "music" / "album" / ".."):
        with pytest.raises(InputFileError, match=r"music: the stems go there, too.* choose another -o"):
            audio_files(tmp_path / "music", True, without)
    for without in (tmp_path, tmp_path / "music" / "out"):
        assert audio_files(tmp_path / "music", True, without) == [path]


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_to_themselves_are_no_folders(tmp_path):
    path = song(tmp_path / "music")
    loop = path.with_name("loop")
    loop.symlink_to(loop)
    assert audio_files(tmp_path / "music", True, loop) == [path]


def test_folders_may_be_deeper_than_calls(tmp_path):
    limit = sys.getrecursionlimit()
    path = song(tmp_path.joinpath(*["d"] * 150))
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        found = audio_files(tmp_path, True, tmp_path / "out")
    finally:
        sys.setrecursionlimit(limit)
    assert found == [path]
