"""Small music collections in the forms that people have them, for tests of readers."""

import subprocess

import numpy as np
import soundfile

from train.data.cache import RATE

STEMS = ("vocals", "drums", "bass", "other")


def tone(path, hz=220.0, seconds=0.3, rate=RATE, channels=2, level=0.1, subtype="PCM_16"):
    """A steady tone on all channels: its frequency identifies the decoded file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, 1), rate, subtype=subtype)
    return path


def main_frequency(wave):
    """Frequency in Hz of the strongest tone of [2, n]."""
    spectrum = np.abs(np.fft.rfft(wave[0] * np.hanning(wave.shape[1])))
    return spectrum.argmax() * RATE / wave.shape[1]


def hq(folder, names, test=()):
    for subset, tracks in (("train", names), ("test", test)):
        for name in tracks:
            for hz, stem in zip((300, 400, 500, 600, 700), ("mixture", *STEMS), strict=True):
                tone(folder / subset / name / f"{stem}.wav", hz)
    return folder


def dsd100(folder, dev, test=()):
    for subset, tracks in (("Dev", dev), ("Test", test)):
        for name in tracks:
            tone(folder / "Mixtures" / subset / name / "mixture.wav")
            for hz, stem in zip((400, 500, 600, 700), STEMS, strict=True):
                tone(folder / "Sources" / subset / name / f"{stem}.wav", hz)
    return folder


def karaoke(folder, singers=("ann", "bob", "cyd"), songs=2):
    for singer in singers:
        for song in range(songs):
            path = folder / "Wavfile" / f"{singer}_{song}_01.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            time = np.arange(RATE // 3) / 16000
            both = np.stack([np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 900 * time)], 1)
            soundfile.write(path, 0.1 * both, 16000)
    return folder


def stem_file(path, hz, codec="aac"):
    """A `.stem.mp4` of five streams, in MUSDB18's order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs, maps = [], []
    for index, frequency in enumerate(hz):
        inputs += ["-f", "lavfi", "-i", f"sine=frequency={frequency}:sample_rate=44100:duration=0.6"]
        maps += ["-map", str(index)]
    command = ["ffmpeg", "-v", "error", "-y", *inputs, *maps, "-ac", "2", "-c:a", codec, str(path)]
    subprocess.run(command, check=True)
    return path
