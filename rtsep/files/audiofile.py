"""Audio files in and out, in blocks: in, whatever libsndfile or ffmpeg reads; out, stems as WAV files."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.errors import InputFileError, OutputError
from rtsep.files.wavfile import BITS, WavFile

_DECODED = 8192  # frames at a time
_PROBE_BYTES = 4096
_NOT_KNOWN = 2**63 - 1  # frames, as libsndfile says it (SF_COUNT_MAX)

MISSING_S = 0.2
"""A file that ends so much before its time is damaged; what encoders and decoders add or cut is less."""

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
        self._decoder: _Ffmpeg | None = None
        self._decoded = 0  # frames
        self._told = 0  # frames that the file says it has; 0: it does not, or who reads it guesses
        self._failure: InputFileError | None = None
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
        known = self._sound.seekable() and self._sound.frames < _NOT_KNOWN
        self.frames = self._sound.frames if known else None
        if self.frames == 0:
            raise InputFileError(f"{path}: holds no audio (0 frames)")
        if self._sound.subtype == "OPUS" and _ffmpeg():
            # libsndfile 1.2.2 gives up within some whole Opus files, wrong samples before that.
            self._sound.close()
            self._sound, frames = None, self.frames
            self._open_ffmpeg()
            self.frames, self._told = frames, frames or 0
        elif self._sound.format != "MP3":
            self._told = self.frames or 0

    def _open_ffmpeg(self) -> None:
        self._decoder = _Ffmpeg(self.path)
        self.rate, self.channels = self._decoder.rate, self._decoder.channels
        self.frames, self._told = None, self._decoder.told

    @property
    def length(self) -> int | None:
        """Frames of the file as far as it says so; None: not known before the end."""
        return self.frames or self._told or None

    @property
    def seeks(self) -> bool:
        """Whether `seek` is quick and goes both ways; else it decodes all before its place."""
        return self._sound is not None and self._sound.seekable()

    def seek(self, frame: int) -> None:
        """Let the next `read` begin with `frame` (from 0), to the sample; behind the end, it reads nothing.

        Raises `InputFileError` for a damaged file, and `ValueError` for the way back in one that only
        goes on (`seeks` is false).
        """
        if self._sound is not None and self.seeks:
            # Decoders of some formats need what lies before.
            begin = min(max(0, frame - _DECODED), self._sound.frames)
            try:
                self._sound.seek(begin)
            except soundfile.LibsndfileError as error:
                raise InputFileError(f"{self.path}: damaged ({error})") from None
            self._kept, self._decoded, self._failure = self._kept[:0], begin, None
        elif frame < self._decoded - len(self._kept):
            raise ValueError(f"{self.path} is at frame {self._decoded - len(self._kept)}, behind {frame}")
        left = frame - (self._decoded - len(self._kept))
        while left > 0 and len(skipped := self.read(min(left, _DECODED))):
            left -= len(skipped)

    def read(self, frames: int) -> NDArray[np.float32]:
        """Return the next block [<= frames, channels]; an empty one is the end.

        Raises `InputFileError` where a damaged file ends, after all that can be read of it.
        """
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
        if not parts and self._failure:
            raise self._failure
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def _decode(self) -> NDArray[np.float32]:
        """Return what comes next; nothing at the end, where it is found whether the file is whole."""
        if self._failure:
            return self._kept  # empty
        block, damage = self._decode_block()
        self._decoded += len(block)
        if len(block) == 0:
            if self._decoded < self._told - MISSING_S * self.rate:
                read = f"{self._decoded / self.rate:.2f} s of {self._told / self.rate:.2f} s can be read"
                damage = f"{read}: {damage}" if damage else read
            if damage:
                self._failure = InputFileError(f"{self.path}: damaged ({damage})")
        return block

    def _decode_block(self) -> tuple[NDArray[np.float32], str]:
        """Return a block and, where it is empty, what the decoder says of the file, "" for nothing."""
        # Always in one size: libsndfile's Opus gives other last samples for other sizes.
        if self._sound is None:
            assert self._decoder
            raw = self._decoder.read(_DECODED * self.channels * 4)
            whole = len(raw) // (4 * self.channels) * self.channels
            block = np.frombuffer(raw, np.float32, whole).reshape(-1, self.channels)
            return block, "" if whole else self._decoder.verdict()
        try:
            return self._sound.read(_DECODED, dtype="float32", always_2d=True), ""
        except soundfile.LibsndfileError as error:
            todo = "; install ffmpeg, which may read it" if self._sound.subtype == "OPUS" else ""
            return np.zeros((0, self.channels), np.float32), f"{error}{todo}"

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
            self._decoder.close()


class _Ffmpeg:
    """First audio stream of a file as ffmpeg decodes it: `rate`, `channels`, `told` (frames; 0: not known).

    What ffmpeg says is listened to: it ends in peace whatever was missing or wrong on its way.
    """

    def __init__(self, path: Path) -> None:
        """Start decoding; raises `InputFileError` where there is no audio."""
        place = f"file:{path.absolute()}"  # else 'Suite: one.m4a' is a protocol, and '-1.m4a' an option
        probe = subprocess.run(
            ["ffprobe", "-v", "repeat+error", "-select_streams", "a:0", "-of", "json",
             "-show_entries", "stream=sample_rate,channels,duration:format=format_name", place],
            capture_output=True,
        )  # fmt: skip
        try:
            found = json.loads(probe.stdout)
            stream = found["streams"][0]
            self.rate, self.channels = int(stream["sample_rate"]), int(stream["channels"])
            if self.rate <= 0 or self.channels <= 0:  # what ffprobe says of some broken files
                raise ValueError
            # Other formats guess, or tell how long the picture is.
            formats = found["format"]["format_name"].split(",")
            self.told = round(float(stream.get("duration", 0)) * self.rate) if "mp4" in formats else 0
        except (ValueError, KeyError, IndexError):
            raise InputFileError(f"{path}: no audio that libsndfile or ffmpeg can read") from None
        # Times are counted anew, else gaps in the file's own would be complained about as an output's.
        self._process = subprocess.Popen(
            ["ffmpeg", "-v", "repeat+error", "-nostdin", "-i", place, "-map", "a:0",
             "-af", "asetpts=N/SR/TB", "-f", "f32le", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._said = ""  # last
        # Pages of Ogg have checksums: what a decoder refuses of a whole one is the head of a chained stream.
        self._heeded = b"[ogg @ " if formats == ["ogg"] else b""
        # What is said at opening, of tags and pictures, is no word about the sound.
        expected = Counter(_plain(line) for line in probe.stderr.splitlines())
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stderr, expected), name="ffmpeg-says", daemon=True
        )
        self._listener.start()

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes, float32 frames; fewer, or none, at the end."""
        assert self._process.stdout
        return _read_fully(self._process.stdout, count)

    def verdict(self) -> str:
        """Return what was wrong, "" for nothing; call at the end."""
        code = self._process.wait()
        self._listener.join()
        return self._said or (f"ffmpeg ended with code {code}" if code else "")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe
            pipe.close()

    def _listen(self, pipe: Iterable[bytes], expected: Counter[str]) -> None:
        for line in pipe:
            words = _plain(line)
            if expected[words] > 0:
                expected[words] -= 1
            elif words and line.startswith(self._heeded):
                self._said = words


def _plain(line: bytes) -> str:
    """Return a line of ffmpeg without its sources, such as `[aac @ 0x55d4017d980] ` (two since ffmpeg 7)."""
    return re.sub(r"^(\[[^]]* @ 0x[0-9a-f]+\] )+", "", line.decode(errors="replace").strip())


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
