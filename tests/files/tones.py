"""Files of tones, by which a test finds which piece of sound it got."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader

RATE = 44100
KINDS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
    ".au": ("AU", "PCM_16"),
    ".rf64": ("RF64", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
}


def tone(path: Path, hz: float, seconds: float = 1.0, channels: int = 2, rate: int = RATE) -> bytes:
    """Write a tone in the format of the suffix; return the bytes of the file."""
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    container, subtype = KINDS[path.suffix]
    soundfile.write(path, np.tile(wave[:, None], channels), rate, format=container, subtype=subtype)
    return path.read_bytes()


def read(path: Path, **options) -> tuple[np.ndarray, int, str]:
    """Return all that can be read [frames, channels], the rate, and what is said of the rest."""
    blocks, said = [], ""
    with AudioReader(path, **options) as reader:
        try:
            while len(block := reader.read(1000)):
                blocks.append(block)
        except InputFileError as error:
            said = str(error)
        return np.concatenate([np.zeros((0, reader.channels), np.float32), *blocks]), reader.rate, said


def hz_of(sound: np.ndarray, rate: int) -> int:
    """Return the strongest frequency of `sound` [frames, channels], to some Hz; 0 for silence."""
    spectrum = np.abs(np.fft.rfft(sound.mean(1)))
    return round(float(spectrum.argmax()) * rate / len(sound)) if spectrum.max() > 1 else 0
