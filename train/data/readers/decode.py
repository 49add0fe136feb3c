"""Decoding of audio files for the cache; all stems of a song get one length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from rtsep.errors import InputFileError, NoSoundError, system_reason
from rtsep.files.audiofile import AudioReader
from rtsep.files.names import printable
from rtsep.files.sndfile import encoded
from train.data.cache import RATE
from train.data.readers.base import Plan, Samples, Source

SAME_LENGTH = 2
"""Allowed difference of the lengths of stems, in frames: resampling rounds."""

_BLOCK = 1 << 18  # frames read at a time


def read_source(source: Source) -> tuple[Samples, int]:
    """Return `source.read()`; an error of the system is an `InputFileError` as well."""
    try:
        return source.read()
    except OSError as error:  # a link into a barred folder, a failing disk
        raise InputFileError(f"{source.path}: cannot be read ({system_reason(error)})") from None


@dataclass(frozen=True)
class AudioFile:
    """A file that libsndfile or ffmpeg reads: mono, stereo, or one channel of it."""

    path: Path
    channel: int | None = None
    middle_s: float | None = None  # limit; the middle is taken

    def read(self) -> tuple[Samples, int]:
        """As `Source.read`."""
        if self.path.exists() and not self.path.is_file():
            raise InputFileError(f"{self.path}: a pipe or a folder, not an audio file")
        if (part := _part(self.path, self.middle_s)) is not None:
            samples, rate = part
            return to_cache_rate(samples, rate, self.path), rate
        with AudioReader(self.path) as reader:
            blocks = []
            while len(block := reader.read(_BLOCK)):
                blocks.append(block)
            rate, channels = reader.rate, reader.channels
        samples = np.concatenate(blocks) if blocks else np.zeros((0, channels), np.float32)
        if self.channel is not None:
            if channels <= self.channel:
                raise InputFileError(f"{self.path}: {channels} channel, {self.channel + 1} expected")
            samples = samples[:, self.channel : self.channel + 1]
        return to_cache_rate(_middle(samples, rate, self.middle_s), rate, self.path), rate


def to_cache_rate(samples: Samples, rate: int, path: Path) -> Samples:
    """Check samples [n, channels] of `path` and resample them to the rate of the cache."""
    if not samples.size:
        raise NoSoundError(f"{path}: no audio in it")
    if samples.shape[1] > 2:
        raise InputFileError(f"{path}: {samples.shape[1]} channels; mono or stereo is accepted, mix it down")
    if not np.isfinite(samples).all():
        raise InputFileError(f"{path}: damaged (contains NaN or infinite samples)")
    if rate == RATE:
        return samples
    return np.asarray(soxr.resample(samples, rate, RATE), np.float32)


def _part(path: Path, middle_s: float | None) -> tuple[Samples, int] | None:
    """Return the middle of a long file without decoding the rest, if libsndfile can seek in it."""
    if middle_s is None:
        return None
    try:
        with soundfile.SoundFile(encoded(path)) as file:
            wanted = int(middle_s * file.samplerate)
            if not file.seekable() or file.frames <= wanted:
                return None
            file.seek((file.frames - wanted) // 2)
            return file.read(wanted, dtype="float32", always_2d=True), file.samplerate
    except (OSError, soundfile.LibsndfileError):
        return None  # the reader tries other programs and raises the error


def _middle(samples: Samples, rate: int, seconds: float | None) -> Samples:
    kept = len(samples) if seconds is None else min(len(samples), int(seconds * rate))
    start = (len(samples) - kept) // 2
    return samples[start : start + kept]


@dataclass(frozen=True)
class Decoded:
    """Stems [n, 1 or 2] of a song, with equal lengths."""

    stems: dict[str, NDArray[np.int16]]
    band_hz: float
    padded: str  # note about tracks that are padded with silence, or nothing


def band_of(rate: int) -> float:
    """Return the frequency in Hz up to which a file of this sample rate has content."""
    return (
        RATE / 2 if rate >= RATE else 0.475 * rate
    )  # less than half: leaves room for the slope of a resampler's filter


def decode_song(plan: Plan) -> Decoded:
    """Decode all stems of a song; a song with one broken stem is broken.

    A stem that ends early is padded with silence; an empty file is a silent stem. Raises `InputFileError`.
    """
    parts: dict[str, list[Samples]] = {}
    lengths: dict[str, int] = {}  # of files, by name
    rates: list[int] = []
    empty = None
    for stem, sources in plan.files.items():
        parts[stem] = []
        for source in sources:
            try:
                samples, rate = read_source(source)
                rates.append(rate)
            except NoSoundError as error:
                samples, empty = np.zeros((0, 1), np.float32), error
            parts[stem].append(samples)
            lengths[stem if len(sources) == 1 else printable(source.path.name)] = len(samples)
    shortest, longest = min(lengths.values()), max(lengths.values())
    padded = ""
    if longest - shortest > SAME_LENGTH:
        of = ", ".join(f"{name} {length / RATE:.3f} s" for name, length in lengths.items())
        padded = f"{plan.source}: {plan.name}: files of different lengths ({of}); shorter ones end in silence"
    frames = longest if padded else shortest
    if not frames:  # all are empty, or one is and the others have a sample or two
        raise empty or NoSoundError(f"{plan.source}: {plan.name}: no audio in it")
    stems = {stem: _summed(parts.pop(stem), frames) for stem in list(parts)}
    peak = max(max(float(samples.max()), -float(samples.min())) for samples in stems.values())
    # Sums and files of floats may be louder than 16 bits hold: one factor for all, so that they still
    # belong together.
    gain = 1.0 / max(peak, 1.0)
    out = {stem: to_int16(stems.pop(stem), gain) for stem in list(stems)}
    band_hz = plan.band_hz if plan.band_hz is not None else min(band_of(rate) for rate in rates)
    return Decoded(out, band_hz, padded)


def _summed(parts: list[Samples], frames: int) -> Samples:
    """Return the sum of `parts`, each [n, 1 or 2], as [frames, 1 or 2]."""
    if len(parts) == 1 and len(parts[0]) >= frames:
        return parts[0][:frames]
    out = np.zeros((frames, max(part.shape[1] for part in parts)), np.float32)
    for part in parts:
        out[: len(part)] += part[:frames]  # mono goes to both sides
    return out


def to_int16(samples: Samples, gain: float = 1.0) -> NDArray[np.int16]:
    """Round `gain` times -1..1 to 16 bits, with clipping."""
    scaled = samples * np.float32(gain * 32768.0)
    return np.clip(np.rint(scaled, out=scaled), -32768, 32767, out=scaled).astype(np.int16)
