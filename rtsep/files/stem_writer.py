"""Stems of one take, written as WAV files that are valid at every moment."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import OutputError
from rtsep.files.wavfile import BITS, WavFile

_PROBE_BYTES = 4096
_UNFINISHED = ".part.wav"

SUBTYPES = tuple(BITS)


def make_folder(folder: Path) -> None:
    """Create `folder` and check that files can be created and filled there; raise `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, probe = tempfile.mkstemp(prefix=".rtsep-", dir=folder)  # a name that nobody can have linked
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(bytes(_PROBE_BYTES))  # an empty file fits even on a full disk
        finally:
            Path(probe).unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there ({error.strerror}); choose another folder") from None


def written_by(folder: Path, stems: tuple[str, ...]) -> list[Path]:
    """Return the paths that a `StemWriter` with `replace` writes: final names, and temporary ones."""
    paths = [folder / f"{stem}.wav" for stem in stems]
    return [*paths, *(path.with_suffix(_UNFINISHED) for path in paths)]


class StemWriter:
    """Stems of one take, one WAV file each, always of equal length.

    It counts the samples that an integer format had to clip.
    """

    def __init__(
        self,
        folder: Path,
        stems: tuple[str, ...],
        rate: int,
        channels: int,
        subtype: str,
        replace: bool = True,
    ) -> None:
        """Create the files in `folder`; raise `OutputError`.

        With `replace` they have temporary names until `close`, when they replace earlier files. Without it
        they have their final names from the start, and no such file may exist.
        """
        make_folder(folder)
        self.folder = folder
        self.paths = {stem: folder / f"{stem}.wav" for stem in stems}
        self._clips = subtype != "FLOAT"
        self.clipped_samples = 0
        self.frames = 0
        self._replace = replace
        self._files: dict[str, WavFile] = {}
        try:
            for stem, path in self.paths.items():
                part = path.with_suffix(_UNFINISHED) if replace else path
                if replace:
                    part.unlink(missing_ok=True)  # a link would lead elsewhere
                self._files[stem] = WavFile(part, rate, channels, subtype, replace)
        except FileExistsError as error:
            self.discard()
            raise OutputError(f"{error.filename}: already exists; choose another folder") from None
        except OSError as error:
            self.discard()
            raise OutputError(
                f"{folder}: cannot write there ({error.strerror}); choose another folder"
            ) from None
        except BaseException:  # an interrupt
            self.discard()
            raise
        self.frame_bytes = sum(file.frame_bytes for file in self._files.values())

    def write(self, blocks: dict[str, NDArray[np.float32]]) -> None:
        """Append blocks [frames, channels], all of one length; raise `OutputError` if the disk refuses.

        Data written before stays, in files of equal length.
        """
        try:
            for stem, block in blocks.items():
                self._files[stem].append(block)
            for file in self._files.values():
                file.update_header()
        except OSError as error:
            for file in self._files.values():
                with contextlib.suppress(OSError):
                    file.cut(self.frames)
            raise refused(self.folder, error) from None
        self.frames += len(next(iter(blocks.values())))
        if self._clips:
            for block in blocks.values():
                self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1.0))

    def sync(self) -> None:
        """Flush the files to the disk; this may take as long as it is busy. Raise `OutputError`."""
        try:
            for file in self._files.values():
                file.sync()
        except OSError as error:
            raise refused(self.folder, error) from None

    def close(self) -> dict[str, Path]:
        """Finish the files and give them their names; return the paths.

        Raise `OutputError` if the disk refuses, after closing every file. Files that would replace others are
        then removed: the earlier ones are whole.
        """
        refusal: OSError | None = None
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:
                refusal = refusal or error
        if self._replace:
            for stem, file in self._files.items():
                if refusal is None:
                    try:
                        file.path.replace(self.paths[stem])
                        continue
                    except OSError as error:
                        refusal = error
                with contextlib.suppress(OSError):
                    file.path.unlink()  # no unfinished name stays
        self._files = {}
        if refusal:
            raise refused(self.folder, refusal)
        return self.paths

    def discard(self) -> None:
        """Close and remove the files."""
        for file in self._files.values():
            file.abandon()
            with contextlib.suppress(OSError):
                file.path.unlink(missing_ok=True)
        self._files = {}


_REMEDIES = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.ENOENT: "choose another folder",
    errno.EISDIR: "a folder has the name of a stem; rename it, or choose another folder",
    errno.EFBIG: "its file system or a limit allows no larger file; choose another folder",
}


def refused(folder: Path, error: OSError) -> OutputError:
    """Return the error of a disk that refuses files in `folder`, with the remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "check that the disk is still connected")
    return OutputError(f"{folder}: writing failed ({error.strerror}); {remedy}")
