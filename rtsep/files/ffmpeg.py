"""Reading by ffmpeg: formats that libsndfile lacks, files that it cannot finish, tracks of a video."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import REMEDIES, InputFileError, system_reason

_BLOCK = 8192  # frames
_MAX_PACKET_S = 60.0
"""Maximum duration of a packet; ffmpeg 5 reports 2**32 frames for the last one of some short Ogg files."""

_PROBE_S = 60.0  # time limit of an examination in seconds
_DEMUX_S, _DECODE_S = 120.0, 600.0  # time limits in seconds of reading all packets, and of decoding all
_MAX_PACKETS = 1 << 24  # some hundred hours
_LAST_LINE = re.compile(r"Invalid data found when processing input$")
_NO_FRAME = re.compile(rf"^Header missing$|{_LAST_LINE.pattern}")
_ENDED = frozenset(
    [255]  # ffmpeg's own answer to a signal
    + [-getattr(signal, name, 0) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGXCPU")]
) - {0}
"""Exit codes of an ffmpeg that somebody ended; other signals are its own faults, as on a damaged file."""
OWN_GROUP = 0
"""Process group of each program, its own: Ctrl-C in a terminal reaches all of the foreground group, and the
output of a program until then would count as the whole file."""

_CHANNELS = re.compile(rb'"channels": (\d+)')
_LAYOUT = re.compile(rb'"channel_layout": "([^"]+)"')


def has_ffmpeg() -> bool:
    """Return whether ffmpeg and ffprobe are installed."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


class NotStartedError(InputFileError):
    """The machine cannot start ffmpeg or ffprobe now; the file itself may be readable."""


class DecoderEndedError(InputFileError):
    """A signal has ended ffmpeg; the rest of the file may be intact."""


@dataclass(frozen=True)
class FfmpegInput:
    """Location of a file for the programs."""

    path: Path
    handles: tuple[int, ...] = ()  # open files that they inherit
    name: Path | None = None  # for messages; None: `path`

    @property
    def argument(self) -> str:
        """Return the file as an argument: 'Suite: one.m4a' would be a protocol, and '-1.m4a' an option."""
        return f"file:{self.path.absolute()}"


@contextlib.contextmanager
def _starting(source: FfmpegInput, program: str) -> Iterator[None]:
    """Raise `NotStartedError` with the remedy if a program or a thread cannot be started."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: Python cannot start a thread
        reason = system_reason(error) if isinstance(error, OSError) else REMEDIES[errno.EAGAIN]
        if isinstance(error, OSError) and error.errno not in REMEDIES:
            reason += "; install ffmpeg again"
        raise NotStartedError(
            f"{source.name or source.path}: {program} cannot be started ({reason})"
        ) from None


class _Lines:
    """Lines that a program prints within a time limit; a context manager, which ends the program."""

    def __init__(self, source: FfmpegInput, command: Sequence[str], limit_s: float) -> None:
        """Start it. Raise `NotStartedError`."""
        self.cut = False  # the time limit was reached
        with _starting(source, command[0]):
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=source.handles,
                process_group=OWN_GROUP,
            )  # fmt: skip
        self._timer = threading.Timer(limit_s, self._stop)
        self._timer.daemon = True
        try:
            with _starting(source, command[0]):
                self._timer.start()
        except BaseException:
            self._end()
            raise

    def _stop(self) -> None:
        self.cut = True
        self._process.kill()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout
        return iter(self._process.stdout)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._end()


@dataclass(frozen=True)
class Track:
    """Audio stream of a file."""

    stream: int  # among all streams of the file
    number: int  # among its audio streams, from 1
    rate: int  # Hz
    channels: int
    layout: str  # of channels, by ffmpeg's names; "" if unknown
    stated_frames: int  # length in frames; 0: unknown
    default: bool
    name: str  # language and title

    @property
    def readable(self) -> bool:
        """Return whether ffmpeg can decode it."""
        return self.rate > 0 and self.channels > 0


@dataclass(frozen=True)
class Tracks:
    """Results of ffprobe for a file."""

    tracks: tuple[Track, ...]
    formats: tuple[str, ...]
    complaints: bytes  # standard error during opening

    @property
    def default(self) -> Track:
        """Return the track that media players choose; at least one of `tracks` is readable."""
        readable = [track for track in self.tracks if track.readable]
        return next((track for track in readable if track.default), readable[0])


def probe(source: FfmpegInput, name: Path) -> Tracks:
    """Return the audio tracks of a file; raise `InputFileError` about `name` if there are none."""
    command = [
        "ffprobe", "-v", "repeat+error", "-select_streams", "a", "-of", "json", "-show_entries",
        "stream=index,sample_rate,channels,channel_layout,duration,duration_ts,nb_frames:stream_disposition=default"
        ":stream_tags=language,title:format=format_name", source.argument,
    ]  # fmt: skip
    try:
        with _starting(source, command[0]):
            run = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=source.handles,
                process_group=OWN_GROUP,
                timeout=_PROBE_S,
            )
        found = json.loads(run.stdout.decode(errors="replace"))
        formats = tuple(found["format"]["format_name"].split(","))
        streams = found["streams"]
    except subprocess.TimeoutExpired:
        raise InputFileError(f"{name}: ffprobe does not finish; convert it to wav or flac") from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise InputFileError(f"{name}: no audio that libsndfile or ffmpeg can read") from None
    tracks = [_track(stream, number, formats) for number, stream in enumerate(streams, 1)]
    if not any(track.readable for track in tracks):
        raise InputFileError(f"{name}: no audio that libsndfile or ffmpeg can read")
    return Tracks(tuple(tracks), formats, run.stderr)


def seconds_of(source: FfmpegInput, track: Track) -> float:
    """Return the length of a track in s by ffmpeg's demuxer, without decoding. 0.0: unknown.

    It takes about a second per hour of audio. The length is unknown if that needs too long, or if a hostile
    file has too many packets. Raise `NotStartedError`.
    """
    command = [
        "ffprobe", "-v", "quiet", "-select_streams", str(track.stream), "-show_entries",
        "packet=duration_time", "-of", "csv=p=0", source.argument,
    ]  # fmt: skip
    seconds = 0.0
    with _Lines(source, command, _DEMUX_S) as lines:
        for number, line in enumerate(lines):
            if number >= _MAX_PACKETS:
                return 0.0
            with contextlib.suppress(ValueError):
                length = float(line.strip().strip(b","))
                if 0 < length < _MAX_PACKET_S:
                    seconds += length
        return 0.0 if lines.cut else seconds


def widest(source: FfmpegInput, track: Track) -> Track:
    """Return `track` with the channels of its widest part: a joined file may begin in mono.

    This decodes everything, about a hundred times faster than playback, for at most _DECODE_S. Raise
    `NotStartedError`.
    """
    command = [
        "ffprobe", "-v", "quiet", "-select_streams", str(track.stream), "-show_entries",
        "frame=channels,channel_layout", "-of", "json=compact=1", source.argument,
    ]  # fmt: skip
    with _Lines(source, command, _DECODE_S) as lines:
        for line in lines:
            found = _CHANNELS.search(line)
            if found and int(found[1]) > track.channels:
                layout = _LAYOUT.search(line)
                track = replace(track, channels=int(found[1]), layout=layout[1].decode() if layout else "")
    return track


def _track(stream: dict[str, Any], number: int, formats: Sequence[str]) -> Track:
    def count(key: str) -> float:
        try:
            return float(stream.get(key) or 0)
        except ValueError:
            return 0.0

    rate = int(count("sample_rate"))
    # Other formats guess the length, or state the video's.
    frames = round(count("duration") * rate) if "mp4" in formats else 0
    if formats == ("avi",) and count("duration_ts"):  # `duration` is that of the readable part
        frames = round(count("nb_frames") * count("duration") / count("duration_ts") * rate)
    tags = stream.get("tags", {})
    name = " ".join(str(tags[key]) for key in ("language", "title") if tags.get(key) not in (None, "", "und"))
    default = bool(stream.get("disposition", {}).get("default"))
    layout = str(stream.get("channel_layout") or "")
    channels = int(count("channels"))
    return Track(
        stream=int(stream["index"]),
        number=number,
        rate=rate,
        channels=channels,
        layout=layout,
        stated_frames=frames,
        default=default,
        name=name,
    )


class FfmpegDecoder:
    """Decodes one track of a file with ffmpeg: `rate`, `channels`, `stated_frames` (0: unknown).

    It reads ffmpeg's messages, because ffmpeg's exit code is 0 even if data was missing or wrong.
    """

    def __init__(
        self, source: FfmpegInput, found: Tracks, track: Track, tags: int = 0, to_end: bool = False
    ) -> None:
        """Start decoding; up to `tags` damaged frames are known to be tags.

        A WAV file is read `to_end` whatever its header states. Raise `NotStartedError`.
        """
        self._source, self._forgiven = source, tags
        unfinished = ["-ignore_length", "1"] if to_end and "wav" in found.formats else []
        self.rate, self.channels, self.stated_frames = track.rate, track.channels, track.stated_frames
        # Timestamps are replaced, because gaps in the file's own would give messages about the output. If
        # the format changes within the file, its first format is kept.
        shape = f",aformat=sample_rates={self.rate}"
        if re.fullmatch(r"[A-Za-z0-9.()-]+", track.layout):
            shape += f":channel_layouts={track.layout}"
        command = [
            "ffmpeg", "-v", "repeat+error", "-nostdin", *unfinished, "-i", source.argument,
            "-map", f"0:{track.stream}", "-af", f"asetpts=N/SR/TB{shape}", "-f", "f32le", "-",
        ]  # fmt: skip
        pipe = subprocess.PIPE
        with _starting(source, "ffmpeg"):
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, pass_fds=source.handles,
                process_group=OWN_GROUP,
            )  # fmt: skip
        self._last_message = ""
        # Pages of Ogg have checksums: a refused part of an intact page is the header of a chained stream.
        self._heeded = b"[ogg @ " if found.formats == ("ogg",) else b""
        # Messages at opening, about tags and pictures, do not concern the audio.
        expected = Counter(_plain(line) for line in found.complaints.splitlines())
        self._message_reader = threading.Thread(
            target=self._read_messages,
            args=(self._process.stderr, expected),
            name="ffmpeg-messages",
            daemon=True,
        )
        try:
            with _starting(source, "ffmpeg"):
                self._message_reader.start()
        except BaseException:
            self.close()
            raise

    def decode(self) -> NDArray[np.float32]:
        """Return the next block [frames, channels]; an empty one is the end."""
        assert self._process.stdout
        raw = _read_fully(self._process.stdout, _BLOCK * self.channels * 4)
        whole = len(raw) // (4 * self.channels) * self.channels
        return np.frombuffer(raw, np.float32, whole).reshape(-1, self.channels)

    @property
    def damage(self) -> str:
        """Return the damage, "" for none; call this at the end. Raise `DecoderEndedError`."""
        code = self._process.wait()
        self._message_reader.join()
        if code in _ENDED:
            name = self._source.name or self._source.path
            raise DecoderEndedError(f"{name}: ffmpeg was ended before the end of the file; try again")
        return self._last_message or (f"ffmpeg ended with code {code}" if code else "")

    def interrupt(self) -> None:
        """End ffmpeg while another thread reads; `close` is still needed."""
        self._process.kill()

    def close(self) -> None:
        """End ffmpeg."""
        self._process.kill()
        self._process.wait()
        if self._message_reader.ident:  # it was started
            self._message_reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe
            pipe.close()

    def _read_messages(self, pipe: Iterable[bytes], expected: Counter[str]) -> None:
        """Keep the last message about the audio; messages about the output's timestamps do not matter."""
        for line in pipe:
            words = _plain(line)
            if expected[words] > 0:
                expected[words] -= 1
            elif _NO_FRAME.search(words) and self._forgiven > 0:
                self._forgiven -= _LAST_LINE.search(words) is not None
            elif words and line.startswith(self._heeded) and b"increasing dts" not in line:
                self._last_message = words


def _plain(line: bytes) -> str:
    """Return a line of ffmpeg without its sources, such as `[aac @ 0x55d4017d980] ` (two since ffmpeg 7)."""
    return re.sub(r"^(\[[^]]* @ 0x[0-9a-f]+\] )+", "", line.decode(errors="replace").strip())


def _read_fully(pipe: IO[bytes], count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = pipe.read(count - len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)
