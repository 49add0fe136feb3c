"""Audio files in and out, in blocks: in, whatever libsndfile or ffmpeg reads; out, stems as WAV files."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.errors import InputFileError, OutputError
from rtsep.wavfile import BITS, WavFile

_DECODED = 8192  # frames at a time
_PROBE_BYTES = 4096

SUBTYPES = tuple(BITS)


class AudioReader:
    """Streaming reader: `rate`, `channels`, `frames` (None: not known before the end), `read`."""

    rate: int
    channels: int
    frames: int | None

    def __init__(self, path: Path) -> None:
        """Open `path`; raises `InputFileError` that says what is wrong with it."""
        self.path = path
        if not path.exists():
            raise InputFileError(f"{path}: no such file")
        if path.is_dir():
            raise InputFileError(f"{path}: a folder; name the audio files in it")
        try:
            empty = path.stat().st_size == 0
            with path.open("rb"):
                pass
        except OSError as error:
            raise InputFileError(f"{path}: cannot be read ({error.strerror})") from None
        if empty:
            raise InputFileError(f"{path}: the file is empty")
        self._sound: soundfile.SoundFile | None = None
        self._kept: NDArray[np.float32] = np.zeros((0, 0), np.float32)  # decoded, not yet asked for
        self._decoder: subprocess.Popen[bytes] | None = None
        try:
            self._sound = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            if not _ffmpeg():
                raise InputFileError(
                    f"{path}: not a format that libsndfile reads ({error}); "
                    "install ffmpeg, or convert it to wav or flac"
                ) from None
            self._open_ffmpeg()
            return
        self.rate, self.channels = self._sound.samplerate, self._sound.channels
        self.frames = self._sound.frames if self._sound.seekable() else None
        if self.frames == 0:
            raise InputFileError(f"{path}: holds no audio (0 frames)")
        if self._sound.subtype == "OPUS" and _ffmpeg():
            # libsndfile 1.2.2 gives up within some whole Opus files, wrong samples before that.
            self._sound.close()
            self._sound, frames = None, self.frames
            self._open_ffmpeg()
            self.frames = frames

    def _open_ffmpeg(self) -> None:
        probe = subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", "a:0", "-of", "json",
             "-show_entries", "stream=sample_rate,channels", str(self.path)],
            capture_output=True, text=True,
        )  # fmt: skip
        try:
            stream = json.loads(probe.stdout)["streams"][0]
            self.rate, self.channels = int(stream["sample_rate"]), int(stream["channels"])
            if self.rate <= 0 or self.channels <= 0:  # what ffprobe says of some broken files
                raise ValueError
        except (ValueError, KeyError, IndexError):
            raise InputFileError(f"{self.path}: no audio that libsndfile or ffmpeg can read") from None
        self.frames = None
        self._decoder = subprocess.Popen(
            ["ffmpeg", "-v", "error", "-nostdin", "-i", str(self.path), "-map", "a:0", "-f", "f32le", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def read(self, frames: int) -> NDArray[np.float32]:
        """Return the next block [<= frames, channels]; an empty one is the end."""
        parts: list[NDArray[np.float32]] = []
        wanted = frames
        while wanted > 0:
            if len(self._kept) == 0:
                self._kept = self._decode()
                if len(self._kept) == 0:
                    break
            parts.append(self._kept[:wanted])
            self._kept = self._kept[wanted:]
            wanted -= len(parts[-1])
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def _decode(self) -> NDArray[np.float32]:
        # Always in one size: libsndfile's Opus gives other last samples for other sizes.
        if self._sound is not None:
            try:
                block: NDArray[np.float32] = self._sound.read(_DECODED, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                todo = "; install ffmpeg, which may read it" if self._sound.subtype == "OPUS" else ""
                raise InputFileError(f"{self.path}: damaged ({error}){todo}") from None
            return block
        assert self._decoder and self._decoder.stdout
        raw = _read_fully(self._decoder.stdout, _DECODED * self.channels * 4)
        whole = len(raw) // (4 * self.channels) * self.channels
        return np.frombuffer(raw, np.float32, whole).reshape(-1, self.channels)

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file or end the decoder."""
        if self._sound is not None:
            self._sound.close()
        if self._decoder is not None:
            self._decoder.kill()
            self._decoder.wait()
            assert self._decoder.stdout
            self._decoder.stdout.close()


def _ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def _read_fully(pipe: IO[bytes], count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = pipe.read(count - len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)


def make_folder(folder: Path) -> None:
    """Create `folder` and check that files can be made and filled there; raises `OutputError`."""
    probe = folder / ".rtsep-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))  # an empty file has room on a full disk
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there ({error.strerror}); choose another folder") from None


class StemWriter:
    """Stems of one take, one WAV file each, of one length whatever happens.

    Counts the samples that an integer format had to clip.
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
        """Create the files in `folder`; raises `OutputError`.

        With `replace` they stand beside their final names until `close`, where they take the place of
        earlier ones. Without it they have their names from the first sample on, and no file may be there.
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
                part = path.with_suffix(".part.wav") if replace else path
                self._files[stem] = WavFile(part, rate, channels, subtype, replace)
        except FileExistsError as error:
            self.discard()
            raise OutputError(f"{error.filename}: is there already; choose another folder") from None
        except OSError as error:
            self.discard()
            raise OutputError(
                f"{folder}: cannot write there ({error.strerror}); choose another folder"
            ) from None
        self.frame_bytes = sum(file.frame_bytes for file in self._files.values())

    def write(self, blocks: dict[str, NDArray[np.float32]]) -> None:
        """Append blocks [frames, channels], all of one length; raises `OutputError` when the disk refuses.

        What was written before stays as it was, in files of one length.
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
            raise _refused(self.folder, error) from None
        self.frames += len(next(iter(blocks.values())))
        if self._clips:
            for block in blocks.values():
                self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1.0))

    def sync(self) -> None:
        """Bring what was written to the disk; may take as long as that is busy. Raises `OutputError`."""
        try:
            for file in self._files.values():
                file.sync()
        except OSError as error:
            raise _refused(self.folder, error) from None

    def close(self) -> dict[str, Path]:
        """Finish the files and give them their names; returns the paths.

        Raises `OutputError` where the disk refuses, with every file closed and named nevertheless.
        """
        refusal: OSError | None = None
        for stem, file in self._files.items():
            try:
                file.close()
            except OSError as error:
                refusal = refusal or error
            try:
                if self._replace:
                    file.path.replace(self.paths[stem])
            except OSError as error:
                refusal = refusal or error
        self._files = {}
        if refusal:
            raise _refused(self.folder, refusal)
        return self.paths

    def discard(self) -> None:
        """Close and remove what was begun."""
        for file in self._files.values():
            file.abandon()
            with contextlib.suppress(OSError):
                file.path.unlink(missing_ok=True)
        self._files = {}


_REMEDIES = {
    errno.ENOSPC: "make room, or choose another folder",
    errno.EDQUOT: "make room, or choose another folder",
    errno.EFBIG: "its file system or a limit takes no larger file; choose another folder",
}


def _refused(folder: Path, error: OSError) -> OutputError:
    remedy = _REMEDIES.get(error.errno or 0, "is the disk still there?")
    return OutputError(f"{folder}: writing failed ({error.strerror}); {remedy}")
