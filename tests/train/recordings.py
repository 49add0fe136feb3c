"""Synthetic tracks: on disk a voice over noise and a bass tone, each stem a file; batches to learn from."""

import numpy as np
import soundfile
import torch

from train.data.cache import RATE


def voice(seconds=2.1, seed=0, rate=RATE):
    """A breathy tone with overtones that glides and pauses: [n, 2]."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(300 + 60 * seed + 40 * np.sin(2 * np.pi * time)) / rate
    sung = sum(np.sin(k * phase) / k for k in range(1, 6)) * (np.sin(2 * np.pi * 1.3 * time) > -0.6)
    breath = np.random.default_rng(100 + seed).standard_normal((time.size, 2)) * 1e-3
    return np.stack([0.12 * sung, 0.1 * sung], 1) + breath


def music(seconds=2.1, seed=0, rate=RATE):
    """Noise and a low tone: [n, 2]."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal((time.size, 2)) * 0.03
    return noise + 0.1 * np.sin(2 * np.pi * (70 + seed) * time)[:, None]


def write_track(folder, seconds=2.1, seed=0, rate=RATE, **names):
    """Write `folder` as a track of two stems; `names` give other file names for vocals and other."""
    folder.mkdir(parents=True)
    stems = {"vocals": voice(seconds, seed, rate), "other": music(seconds, seed, rate)}
    for stem, sound in stems.items():
        soundfile.write(folder / names.get(stem, f"{stem}.wav"), sound, rate, subtype="FLOAT")
    return folder


def swelling_tone(system, batch, period, seed=2):
    """A batch as `System.loss` takes it: a tone that swells over `period` windows as the voice, and noise."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(system.frames) / system.framing.n_fft
    voice = 0.2 * torch.sin(2 * torch.pi * 8 * time) * (1 + torch.sin(2 * torch.pi * time / period))
    voice = voice.expand(batch, 2, -1)
    music = 0.05 * torch.randn(batch, 2, system.frames, generator=generator)
    return torch.stack([voice, voice + music], 1)
