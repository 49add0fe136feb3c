"""Audio files in and out, in blocks: whatever libsndfile reads, and through ffmpeg what it does not."""

from __future__ import annotations

import contextlib
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

_DECODED = 8192  # frames at a time

SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")


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
    """Create `folder` and check that files can be made there; raises `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".rtsep-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there ({error.strerror}); choose another folder") from None


def _leave_out_the_time(file: soundfile.SoundFile) -> None:
    """Write no PEAK chunk: it holds the time of day, and equal sound shall make equal files."""
    sfc_set_add_peak_chunk = 0x1050  # sndfile.h; soundfile has no call of its own for it
    soundfile._snd.sf_command(file._file, sfc_set_add_peak_chunk, soundfile._ffi.NULL, 0)


class StemWriter:
    """Stems of one take, one WAV file each, written beside their final names until `close`.

    Counts the samples that an integer format had to clip.
    """

    def __init__(self, folder: Path, stems: tuple[str, ...], rate: int, channels: int, subtype: str) -> None:
        make_folder(folder)
        self.paths = {stem: folder / f"{stem}.wav" for stem in stems}
        self._parts = {stem: folder / f"{stem}.part.wav" for stem in stems}
        self._clips = subtype != "FLOAT"
        self.clipped_samples = 0
        self.frames = 0
        self._files: dict[str, soundfile.SoundFile] = {}
        try:
            for stem, part in self._parts.items():
                # RF64 when a file passes 4 GiB would need another header: WAVEX holds 4.5 h of 24-bit stereo.
                self._files[stem] = soundfile.SoundFile(part, "w", rate, channels, subtype, format="WAV")
                _leave_out_the_time(self._files[stem])
        except soundfile.LibsndfileError as error:
            self.discard()
            raise OutputError(f"{folder}: cannot write there ({error}); choose another folder") from None

    def write(self, blocks: dict[str, NDArray[np.float32]]) -> None:
        """Append blocks [frames, channels], all of one length; raises `OutputError` when the disk refuses."""
        for stem, block in blocks.items():
            if self._clips:
                self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1.0))
            try:
                self._files[stem].write(block)
            except (soundfile.LibsndfileError, OSError) as error:
                raise OutputError(
                    f"{self._parts[stem]}: writing failed ({error}); is the disk full?"
                ) from None
        self.frames += len(next(iter(blocks.values())))

    def flush(self) -> None:
        """Bring what was written to the disk."""
        for file in self._files.values():
            file.flush()

    def close(self) -> dict[str, Path]:
        """Finish the files and give them their names; returns the paths."""
        for stem, file in self._files.items():
            file.close()
            self._parts[stem].replace(self.paths[stem])
        self._files = {}
        return self.paths

    def discard(self) -> None:
        """Close and remove what was begun."""
        for file in self._files.values():
            with contextlib.suppress(soundfile.LibsndfileError):
                file.close()
        for part in self._parts.values():
            part.unlink(missing_ok=True)
        self._files = {}
