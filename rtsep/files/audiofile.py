"""Audio input files, read in blocks by libsndfile or ffmpeg: everything that a media player would play."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.errors import InputFileError, NoSoundError, system_reason
from rtsep.files import caf
from rtsep.files.ffmpeg import (
    DecoderEndedError,
    FfmpegDecoder,
    FfmpegInput,
    NotStartedError,
    Track,
    Tracks,
    has_ffmpeg,
    probe,
    seconds_of,
    widest,
)
from rtsep.files.mpeg import Mpeg, count_mpeg
from rtsep.files.pieces import Pieces, pieces_of
from rtsep.files.sndfile import BLOCK, SndfileDecoder, reason
from rtsep.files.spool import Notify, Opened, notify_on_stderr, open_again, open_input
from rtsep.files.stem_writer import SUBTYPES, StemWriter, make_folder
from rtsep.limits import HIGHEST_FILE_RATE, LOWEST_FILE_RATE, MAX_CHANNELS

__all__ = ["MISSING_S", "SUBTYPES", "AudioReader", "StemWriter", "make_folder"]

MISSING_S = 0.2
"""A file that ends this much too early, in seconds, is damaged; encoders and decoders add or cut less."""

_MORE = ("OGG", "FLAC", "MP3", "MPEG")
"""Formats, by libsndfile's names, that may contain more than that library finds."""

_INSTALL = "install ffmpeg, which may read more of it"
_UNFINISHED = "its header was never finished (a recorder that was stopped?)"
_HEADER = 4096  # bytes: the header of a WAV without audio is shorter


class AudioReader:
    """Streaming reader: `rate`, `channels`, `frames` (None: unknown before the end), `read`, `seek`.

    `notes` are lines about the file for the user, such as the selected track.
    """

    rate: int
    channels: int
    frames: int | None

    def __init__(
        self,
        path: Path,
        track: int | None = None,
        notify: Notify = notify_on_stderr,
        opened: Opened | None = None,
    ) -> None:
        """Open `path` and read audio track number `track` (from 1; None: the default track).

        A pipe is first read to its end. `notify` receives a line if that takes time. `opened` is the file if
        it is already open; it is closed with this object. Raise `InputFileError` with the reason.
        """
        self.path = path
        self.notes: list[str] = []
        self._kept: NDArray[np.float32] = np.zeros((0, 0), np.float32)  # decoded, not yet requested
        self._decoded = 0  # frames decoded so far
        self._stated_frames = 0  # length in frames according to the file; 0: not stated, or only guessed
        self._failure: InputFileError | None = None
        self._damage: list[str] = []
        self._decoder: SndfileDecoder | FfmpegDecoder | None = None
        self._taken: tuple[Tracks, Track, int, bool] | None = None  # request to ffmpeg
        self._found = 0  # frames found by ffmpeg's demuxer; 0: not asked
        self._passed = 0  # frames that a decoder still has to skip
        self._pieces = Pieces()
        self._counted: Mpeg | None = None
        self._track_asked = track
        self._opened = opened or open_input(path, notify)
        self._ffmpeg_input = FfmpegInput(self._opened.access_path, self._opened.handles, path)
        try:
            self._choose(track)
            self._check()
        except OSError as error:
            self.close()
            raise InputFileError(f"{path}: cannot be read ({system_reason(error)})") from None
        except BaseException:
            self.close()
            raise

    # --- choosing ----------------------------------------------------------------------------------------

    def _choose(self, number: int | None) -> None:
        """Choose libsndfile if it reads the whole file, else ffmpeg if it is installed."""
        self._pieces = pieces_of(self._opened.file, self._opened.size)
        self._counted = counted = count_mpeg(self._opened.file, self._opened.size)
        if self._pieces.damage:
            self._damage.append(self._pieces.damage)
        refusal = ""
        sound: SndfileDecoder | None = None
        if not (counted and (counted.is_short or counted.is_long) and has_ffmpeg()):
            try:
                sound = self._by_sndfile()
            except (soundfile.LibsndfileError, OSError, ValueError) as error:
                refusal = reason(error)
        self._decoder = sound
        if has_ffmpeg():
            if self._has_more(sound, counted, number) and self._take_ffmpeg(sound, counted, number):
                return
        elif sound:
            self._note_without_ffmpeg(sound, counted)
        if sound is None:
            raise InputFileError(
                f"{self.path}: not a format that libsndfile reads ({refusal}); "
                "install ffmpeg, or convert it to wav or flac"
            )
        if number not in (None, 1):
            self._refuse_track(number, 1)
        self.rate, self.channels, self.frames = sound.rate, sound.channels, sound.frames
        if self._found and self.frames:
            self.frames = min(self.frames, self._found)
        self._stated_frames = counted.frames if counted else sound.stated_frames
        if self.frames == 0:
            raise NoSoundError(f"{self.path}: contains no audio (0 frames)")

    def _by_sndfile(self) -> SndfileDecoder:
        end = self._counted.end if self._counted else 0
        return SndfileDecoder(self._opened.file, self._opened.access_path, self._pieces.pieces, end)

    def _has_more(self, sound: SndfileDecoder | None, counted: Mpeg | None, number: int | None) -> bool:
        """Return whether ffmpeg should examine the file, too."""
        if sound is None or self._pieces.many or sound.subtype == "OPUS":
            return True  # libsndfile 1.2.2 gives up within some valid Opus files, after wrong samples
        if sound.frames == 0:
            return not self._is_finished()
        if sound.in_pieces or (counted and number is None):
            return False
        return sound.format in _MORE or number not in (None, 1)

    def _is_finished(self) -> bool:
        """Return whether a WAV without audio is complete, by its header or because nothing follows."""
        self._opened.file.seek(4)
        riff_size = int.from_bytes(self._opened.file.read(4), "little")
        return self._opened.size <= _HEADER and riff_size + 8 >= self._opened.size - 64

    def _take_ffmpeg(self, sound: SndfileDecoder | None, counted: Mpeg | None, number: int | None) -> bool:
        """Let ffmpeg read the file if it finds more than libsndfile does; return whether it does."""
        try:
            found = probe(self._ffmpeg_input, self.path)
        except NotStartedError:
            raise
        except InputFileError:
            if sound is None:
                raise
            return False
        track = self._track(found, number)
        stated_frames = sound.stated_frames if sound else 0
        frames = track.stated_frames or stated_frames or None
        if not sound:  # it may state any number, so this is no length
            stated_frames = caf.stated_frames(self._opened.file, self._opened.size)
        if sound and sound.frames != 0 and len(found.tracks) == 1 and sound.subtype != "OPUS":
            more = round(seconds_of(self._ffmpeg_input, track) * track.rate)
            if sound.frames is not None and more <= sound.frames + MISSING_S * track.rate:
                self._found = more
                return False
            # A page of Ogg states its end, so the stated frames were there.
            stated_frames = more if sound.format == "OGG" else 0
            frames, track = more, widest(self._ffmpeg_input, track)
        elif sound and sound.frames == 0:
            self.notes.append(f"{_UNFINISHED}: the file is read to its end")
        elif counted:
            stated_frames = counted.frames
            if counted.is_long:
                frames = stated_frames = 0
                track = widest(self._ffmpeg_input, track)
        if sound and sound.in_pieces:
            frames = stated_frames = 0
            track = widest(self._ffmpeg_input, track)
        if sound:
            sound.close()
        never_finished = sound is not None and sound.frames == 0
        self._taken = (found, track, counted.tags if counted else 0, never_finished)
        self._decoder = FfmpegDecoder(self._ffmpeg_input, *self._taken)
        self.rate, self.channels = track.rate, track.channels
        self.frames, self._stated_frames = frames or None, track.stated_frames or stated_frames
        return True

    def _note_without_ffmpeg(self, sound: SndfileDecoder, counted: Mpeg | None) -> None:
        """Note what libsndfile leaves out if ffmpeg is not installed."""
        if counted and counted.is_long:
            self._damage.append(f"there is more behind the end stated in its header; {_INSTALL}")
        if self._pieces.many:
            self.notes.append("several streams at one time: one is read; with ffmpeg, --track N chooses")
        if sound.frames == 0 and not self._is_finished():
            raise InputFileError(f"{self.path}: {_UNFINISHED}; install ffmpeg, which reads it to its end")

    def _track(self, found: Tracks, number: int | None) -> Track:
        there = len(found.tracks)
        if number is not None:
            if number > there:
                self._refuse_track(number, there)
            track = found.tracks[number - 1]
            if not track.readable:
                raise InputFileError(f"{self.path}: --track {number}: ffmpeg cannot decode it")
            return track
        track = found.default
        if there > 1:
            name = f" ({track.name})" if track.name else ""
            self.notes.append(
                f"{there} audio tracks: track {track.number}{name}, the default, is read; "
                "--track N chooses another"
            )
        return track

    def _refuse_track(self, number: int | None, there: int) -> None:
        tracks = "1 audio track" if there == 1 else f"{there} audio tracks"
        raise InputFileError(f"{self.path}: --track {number}: it has {tracks}")

    def _check(self) -> None:
        """Refuse implausible values: headers can contain any bytes."""
        if not LOWEST_FILE_RATE <= self.rate <= HIGHEST_FILE_RATE:
            raise InputFileError(
                f"{self.path}: a sample rate of {self.rate} Hz; {LOWEST_FILE_RATE} to {HIGHEST_FILE_RATE} Hz "
                "are accepted (is its header damaged?)"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InputFileError(
                f"{self.path}: {self.channels} channels; 1 to {MAX_CHANNELS} are accepted "
                "(is its header damaged?)"
            )
        has_junk = self._counted is not None and self._counted.has_junk
        if isinstance(self._decoder, SndfileDecoder) and (self._decoder.is_lost or has_junk):
            self.notes.append("data after the end stated in its header is left out, as in media players")

    # --- reading -----------------------------------------------------------------------------------------

    def read(self, frames: int) -> NDArray[np.float32]:
        """Return the next block [<= frames, channels]; an empty one is the end.

        Raise `InputFileError` at the end of a damaged file, after all readable frames.
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

    @property
    def length(self) -> int | None:
        """Return the frames of the file as stated in it; None: unknown before the end."""
        return self.frames or self._stated_frames or None

    @property
    def seeks(self) -> bool:
        """Return whether `seek` is fast in both directions; else it decodes all frames before it."""
        return isinstance(self._decoder, SndfileDecoder) and self._decoder.seeks

    def seek(self, frame: int) -> bool:
        """Let the next `read` begin exactly at `frame` (from 0); return False if the file ends before it.

        Behind the end, `read` returns nothing. Raise `InputFileError` for a damaged file; without a decoder,
        the position stays.
        """
        frame = max(0, frame)
        begin = self._decoder.seek(frame) if isinstance(self._decoder, SndfileDecoder) else None
        if begin is None and frame < self._decoded - len(self._kept):
            before = self._decoder
            self._decoder = (
                FfmpegDecoder(self._ffmpeg_input, *self._taken) if self._taken else self._by_sndfile()
            )
            if before is not None:
                before.close()
            begin = 0
        if begin is not None:
            self._kept, self._decoded, self._passed, self._failure = self._kept[:0], begin, 0, None
        left = frame - (self._decoded - len(self._kept))
        while left > 0 and len(skipped := self.read(min(left, BLOCK))):
            left -= len(skipped)
        return left <= 0

    def again(self) -> Callable[[], AudioReader]:
        """Return a function that opens the same file again with the same options; a pipe's content is kept.

        The file itself is opened now, so this reader may be closed meanwhile. Raise `InputFileError`.
        """
        opened = open_again(self._opened, self.path)
        return lambda: AudioReader(self.path, self._track_asked, opened=opened)

    def _decode(self) -> NDArray[np.float32]:
        """Return the next block; at the end, an empty one, after a check that the file is complete."""
        assert self._decoder
        while not self._failure:
            block = self._decoder.decode()
            self._decoded += len(block)
            passed = min(self._passed, len(block))
            block, self._passed = block[passed:], self._passed - passed
            if passed and len(block) == 0:
                continue
            if len(block) or not self._go_on_with_ffmpeg():
                if len(block) == 0:
                    self._judge()
                return block
        return self._kept[:0]

    def _go_on_with_ffmpeg(self) -> bool:
        """Let ffmpeg continue after libsndfile gave up; return whether it does."""
        assert self._decoder
        if not isinstance(self._decoder, SndfileDecoder) or not self._decoder.damage:
            return False
        self._damage = list(dict.fromkeys([*self._damage, self._decoder.damage]))
        if self._decoder.in_pieces:
            return False  # ffmpeg's position in these is unknown
        if not has_ffmpeg():
            if _INSTALL not in self._damage[-1]:
                self._damage[-1] += f"; {_INSTALL}"
            return False
        try:
            found = probe(self._ffmpeg_input, self.path)
            track = found.default
            if (track.rate, track.channels) != (self.rate, self.channels):
                return False
            by_ffmpeg = FfmpegDecoder(self._ffmpeg_input, found, track)
        except NotStartedError as error:
            self._damage.append(str(error).removeprefix(f"{self.path}: "))
            return False
        except InputFileError:
            return False
        self._decoder.close()
        self._taken = (found, track, 0, False)
        self._decoder = by_ffmpeg
        self._passed, self._decoded = self._decoded + self._passed, 0
        return True

    def _judge(self) -> None:
        """Determine at the end what is missing from the file."""
        assert self._decoder
        try:
            reported = self._decoder.damage
        except DecoderEndedError as error:
            self._failure = error
            return
        damage = list(dict.fromkeys([reported, *self._damage] if reported else self._damage))
        if self._decoded < self._stated_frames - MISSING_S * self.rate:
            read = f"{self._decoded / self.rate:.2f} s of {self._stated_frames / self.rate:.2f} s can be read"
            damage = [f"{read}: {damage[0]}" if damage else read, *damage[1:]]
        if self._decoded == 0 and not damage:
            self._failure = NoSoundError(f"{self.path}: contains no audio (0 frames)")
        elif damage:
            self._failure = InputFileError(f"{self.path}: damaged ({'; '.join(damage)})")

    # --- the end -----------------------------------------------------------------------------------------

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def interrupt(self) -> None:
        """End a decoder that hangs, from another thread; a disk that hangs cannot be interrupted."""
        if isinstance(decoder := self._decoder, FfmpegDecoder):
            decoder.interrupt()

    def close(self) -> None:
        """Close the file or end the decoder."""
        if self._decoder is not None:
            self._decoder.close()
        self._opened.file.close()
