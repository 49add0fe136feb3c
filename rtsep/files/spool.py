"""Opening an input: a file directly, a pipe through a temporary file, because readers seek."""

from __future__ import annotations

import errno
import os
import select
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rtsep.errors import InputFileError, NoSoundError, system_reason
from rtsep.files.names import STDIN, handles_of, one_line

WAIT_FOR_WRITER_S = 10.0
"""Maximum wait for a program that writes to a FIFO, in seconds."""

_NOTIFY_AFTER_S = 1.0
_LOOK_EVERY_S = 0.05
_PIECE = 1 << 20
_FREE_BYTES = 256 << 20  # disk space that a pipe may not use
_CHECK_EVERY = 64 << 20

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """Input that can be read from any position."""

    file: BinaryIO
    access_path: Path  # path for libraries and programs
    size: int  # bytes
    handles: tuple[int, ...] = ()  # file descriptors that a program inherits to find `access_path`


def notify_on_stderr(line: str) -> None:
    """Print a line for the user."""
    print(f"rtsep: {one_line(line)}", file=sys.stderr, flush=True)


def open_input(path: Path, notify: Notify = notify_on_stderr) -> Opened:
    """Open `path`; raise `InputFileError` with the reason.

    A pipe is read to its end. `notify` receives a line if that takes time.
    """
    try:
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            raise InputFileError(f"{path}: a folder; give the audio files in it")
        if stat.S_ISREG(mode):
            opened = _regular(path)
        elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            opened = _spooled(path, notify)
        elif path == STDIN and os.isatty(0):
            raise InputFileError(
                f"{path}: standard input is a terminal; send audio into it: 'cat song.wav | rtsep file -'"
            )
        elif str(path) == os.devnull or (path == STDIN and _is_null(0)):
            raise NoSoundError(f"{path}: the file is empty")
        else:
            raise InputFileError(f"{path}: a device, not an audio file; save its sound in a file first")
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        reason = "no such file" if missing else f"cannot be read ({system_reason(error)})"
        raise InputFileError(f"{path}: {reason}") from None
    except ValueError:  # a name with a NUL byte
        raise InputFileError(f"{str(path)!r}: no such file") from None
    if opened.size == 0:
        opened.file.close()
        raise NoSoundError(f"{path}: the file is empty")
    return opened


def open_again(opened: Opened, name: Path) -> Opened:
    """Open the same file again while `opened` is still open; raise `InputFileError` about `name`."""
    try:
        file = opened.access_path.open("rb")
    except OSError as error:
        raise InputFileError(f"{name}: cannot be read ({system_reason(error)})") from None
    if opened.handles:
        return _by_handle(file, opened.size)
    return Opened(file, opened.access_path, opened.size)


def _by_handle(file: BinaryIO, size: int) -> Opened:
    """Return an input that libraries and programs find by its open file."""
    return Opened(file, Path(f"/dev/fd/{file.fileno()}"), size, (file.fileno(),))


def _mode(path: Path) -> int:
    if path == STDIN:
        try:
            return os.fstat(0).st_mode
        except OSError:
            raise InputFileError(f"{path}: standard input is closed; name a file") from None
    return path.stat().st_mode


def _is_null(handle: int) -> bool:
    return os.fstat(handle).st_rdev == Path(os.devnull).stat().st_rdev


def _regular(path: Path) -> Opened:
    if path == STDIN:
        resolved = path.resolve()
        if not resolved.is_file():  # a system on which the name leads nowhere
            return _spooled(path, notify_on_stderr)
        path = resolved
    file = path.open("rb")
    size = os.fstat(file.fileno()).st_size
    return _by_handle(file, size) if handles_of(path) else Opened(file, path, size)


def _spooled(path: Path, notify: Notify) -> Opened:
    """Read a pipe to its end into an unnamed file, which disappears when it is closed."""
    file = tempfile.TemporaryFile(prefix="rtsep-") if os.name == "posix" else tempfile.NamedTemporaryFile()  # noqa: SIM115
    try:
        size, checked = 0, 0
        for piece in _pieces(path, notify):
            size += len(piece)
            if size - checked >= _CHECK_EVERY:
                checked = size
                if shutil.disk_usage(tempfile.gettempdir()).free < _FREE_BYTES:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            try:
                file.write(piece)
            except OSError as error:
                raise OSError(errno.ENOSPC, error.strerror) from None
        file.flush()
    except OSError as error:
        file.close()
        if error.errno == errno.ENOSPC:
            where = tempfile.gettempdir()
            raise InputFileError(
                f"{path}: no space in {where} for the data of this pipe; save it to disk, or set TMPDIR"
            ) from None
        raise
    except BaseException:
        file.close()
        raise
    if os.name != "posix":
        return Opened(file, Path(file.name), size)  # type: ignore[arg-type]
    return _by_handle(file, size)  # type: ignore[arg-type]


def _pieces(path: Path, notify: Notify) -> Iterator[bytes]:
    """Yield the data of a pipe up to its end; raise `InputFileError` if no program writes to it."""
    began, notified = time.monotonic(), False
    own = path != STDIN
    # Other programs share standard input, so its mode does not change.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)) if own else 0
    has_writer = not own
    try:
        while True:
            waited = time.monotonic() - began
            if not notified and waited > _NOTIFY_AFTER_S:
                notified = True
                doing = (
                    "reading this pipe to its end"
                    if has_writer
                    else "waiting for a program that writes to this pipe"
                )
                notify(f"{path}: {doing}")
            if not own and os.name == "posix" and not select.select([handle], [], [], _NOTIFY_AFTER_S)[0]:
                continue
            try:
                piece = os.read(handle, _PIECE)
            except BlockingIOError:
                has_writer = True
                select.select([handle], [], [], _NOTIFY_AFTER_S)
                continue
            if piece:
                has_writer = True
                yield piece
            elif has_writer or _writer_has_left(handle):
                return
            elif waited > WAIT_FOR_WRITER_S:
                raise InputFileError(
                    f"{path}: a pipe without a writer; start the program that writes to it first"
                )
            else:
                time.sleep(_LOOK_EVERY_S)
    finally:
        if own:
            os.close(handle)


def _writer_has_left(handle: int) -> bool:
    """Return whether a program has opened a pipe and closed it again since it was opened here.

    Only Linux distinguishes this from a pipe that no program has opened yet (pipe(7), `POLLHUP`).
    """
    if sys.platform != "linux":
        return False
    poll = select.poll()
    poll.register(handle, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
