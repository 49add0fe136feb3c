"""The file that the model process maps: reserved before, elsewhere if memory is full, owned by a lock."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.errors import OutputError
from rtsep.realtime import shared_file
from rtsep.realtime.mask_exchange import MaskExchange
from rtsep.realtime.shared_file import SharedFile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")

SIZE = 300_000


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in memory, and beside it the temporary folder."""
    folder, temporary = tmp_path / "memory", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(shared_file, "IN_MEMORY", folder)
    monkeypatch.setattr(shared_file.tempfile, "gettempdir", lambda: str(temporary))
    return folder


def full(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Let these folders have no room."""
    reserve = os.posix_fallocate

    def refuse(handle: int, start: int, size: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().parent in folders:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(handle, start, size)

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def test_all_of_its_room_is_reserved_before_anything_is_mapped(memory: Path) -> None:
    file = SharedFile(SIZE)
    found = file.path.stat()
    assert file.path.parent == memory and file.note == ""
    assert found.st_size == SIZE and found.st_blocks * 512 >= SIZE
    file.close()
    file.close()
    assert not list(memory.iterdir())


def test_without_room_in_memory_it_lies_in_the_temporary_folder_and_says_so(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, memory)
    shared = MaskExchange.create(2, 9)
    try:
        assert shared.path.parent == memory.parent / "temporary"
        assert str(memory) in shared.note and "No space left" in shared.note and "rtsep doctor" in shared.note
        shared.exchange.columns[:] = 1
        assert not list(memory.iterdir())
    finally:
        shared.close()
    assert not shared.path.exists()


def test_without_room_anywhere_it_is_refused_in_a_line(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, memory, memory.parent / "temporary")
    with pytest.raises(OutputError, match=r"no space for .*No space left.*TMPDIR") as refused:
        MaskExchange.create(2, 9)
    assert "\n" not in str(refused.value)
    assert not list(memory.iterdir()) and not list((memory.parent / "temporary").iterdir())


def test_a_file_in_use_is_kept_whatever_its_owner_is_called_here(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen from another container: no process has the number that the file is named by."""
    owner = SharedFile(SIZE)
    elsewhere = owner.path.with_name("rtsep-99999999-x.slots")
    owner.path = owner.path.rename(elsewhere)
    another = SharedFile(SIZE)
    assert elsewhere.exists()
    owner.close()
    another.close()


def test_what_a_killed_owner_has_left_is_removed(memory: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from rtsep.realtime import shared_file as f; "
        "f.IN_MEMORY = Path(sys.argv[1]); f.SharedFile(9); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(memory)], check=False)
    (left,) = memory.iterdir()
    # A running process may have the number of the dead one.
    left = left.rename(memory / f"rtsep-{os.getpid()}-x.slots")
    file = SharedFile(SIZE)
    assert not left.exists() and file.path.exists()
    file.close()


def test_a_fork_leaves_the_file_to_the_process_that_made_it(memory: Path) -> None:
    file = SharedFile(SIZE)
    if (child := os.fork()) == 0:
        file.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert file.path.exists()
    SharedFile(SIZE).close()  # which looks for orphans
    assert file.path.exists()
    file.close()
    assert not file.path.exists()


def test_a_fork_that_lives_on_does_not_hold_the_lock(memory: Path) -> None:
    reading, writing = os.pipe()
    begun, begins = os.pipe()
    file = SharedFile(SIZE)
    if (child := os.fork()) == 0:
        os.close(writing)
        os.write(begins, b"!")  # what a fork does at its begin is done
        os.read(reading, 1)  # until the end of the test
        os._exit(0)
    try:
        assert os.read(begun, 1) == b"!"
        left = file.path.rename(memory / "rtsep-1-x.slots")
        file.close()  # as the system does for an owner that is killed
        SharedFile(SIZE).close()
        assert not left.exists()
    finally:
        for descriptor in (writing, reading, begun, begins):
            os.close(descriptor)
        os.waitpid(child, 0)
