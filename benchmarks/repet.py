"""REPET-SIM: repeating parts are the music, the rest is the voice.

Z. Rafii and B. Pardo, "Music/voice separation using the similarity matrix", ISMIR 2012: each frame is
compared with all others; the median of similar frames is the repeating part. A live version: the same
authors, "Online REPET-SIM for real-time speech enhancement", ICASSP 2013, which compares only with past
frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from benchmarks.spectra import LOWEST_HZ, Spectra, share
from rtsep.dsp.windows import PROFILES
from rtsep.model.contract import ModelSpec
from rtsep.model.runner import ModelRunner
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.tracks import Stems

SIZE, HOP = 2048, 1024  # 46 ms
APART_S = 1.0  # minimum distance of similar frames
MAX_LIKES = 100
REMEMBERED_S = 10.0
ROWS_AT_ONCE = 256  # of the similarity matrix, which would need gigabytes for a song


class RepetSim:
    """Separator (`train.score.peers.Peer`) for whole recordings."""

    title = "REPET-SIM, whole file"
    licence = "method published; code of this project"
    params = 0
    latency_samples = None  # it needs the whole recording

    def separate(self, mix: Wave) -> Stems:
        """Return vocals and accompaniment [2, n] of `mix` [2, n]."""
        spectra_of = Spectra(SIZE, HOP)
        spectra = spectra_of.of(mix)
        magnitudes = np.abs(spectra).astype(np.float32)
        repeating = repeated(magnitudes, round(APART_S * RATE / HOP))
        masks = (1 - share(repeating, magnitudes)) * spectra_of.voiced[:, None]
        vocals = spectra_of.masked(spectra, masks, mix.shape[1])
        return vocals, mix - vocals


def repeated(magnitudes: NDArray[np.float32], apart: int) -> NDArray[np.float32]:
    """Return the repeating part of magnitudes [2, bins, frames]: the median of similar frames."""
    frames = magnitudes.shape[2]
    shapes = _directions(magnitudes.mean(0).T)  # [frames, bins]
    found = np.empty_like(magnitudes)
    for start in range(0, frames, ROWS_AT_ONCE):
        alike = shapes[start : start + ROWS_AT_ONCE] @ shapes.T
        peaks = alike == maximum_filter1d(alike, 2 * apart + 1, axis=1, mode="constant")
        for row, frame in enumerate(range(start, min(start + ROWS_AT_ONCE, frames))):
            likes = np.flatnonzero(peaks[row])
            likes = likes[np.argsort(-alike[row, likes])[:MAX_LIKES]]
            found[:, :, frame] = np.median(magnitudes[:, :, likes], axis=2)
    return np.minimum(found, magnitudes)


class OnlineRepetSim(ModelRunner):
    """Compares each column of mid and side with similar columns of the last seconds."""

    def __init__(self) -> None:
        framing = PROFILES["wide"]
        self.spec = ModelSpec(
            name="repet-online", system="repet", n_fft=framing.n_fft, synthesis=framing.synthesis,
            hop=framing.hop, state_size=0, rates=(RATE,),
        )  # fmt: skip
        self.column: NDArray[np.float32] = np.zeros((2, self.spec.bins, 2), np.float32)
        self.mask: NDArray[np.float32] = np.zeros((2, self.spec.bins), np.float32)
        self._voiced = np.fft.rfftfreq(self.spec.n_fft, 1 / RATE) >= LOWEST_HZ
        self._apart = round(APART_S * RATE / self.spec.hop)
        self.reset()

    def step(self) -> None:
        """Compute `mask` from `column`."""
        magnitudes = np.hypot(self.column[..., 0], self.column[..., 1])
        place = self._steps % len(self._columns)
        self._columns[place] = magnitudes
        self._shapes[place] = _directions(magnitudes[:1])[0]
        self._steps += 1
        known = min(self._steps, len(self._columns))
        turn = known - 1 - place
        alike = np.roll(self._shapes[:known] @ self._shapes[place], turn)  # oldest first
        peaks = alike == maximum_filter1d(alike, 2 * self._apart + 1, mode="constant")
        peaks &= alike > 0
        peaks[-1] = True  # a silent column is similar to none
        repeating = np.median(self._columns[(np.flatnonzero(peaks) - turn) % known], axis=0)
        self.mask[:] = (1 - share(np.minimum(repeating, magnitudes), magnitudes)) * self._voiced

    def reset(self) -> None:
        """Reset the state."""
        count = round(REMEMBERED_S * RATE / self.spec.hop)
        self._columns = np.zeros((count, 2, self.spec.bins), np.float32)  # a ring of columns
        self._shapes = np.zeros((count, self.spec.bins), np.float32)
        self._steps = 0


def _directions(frames: NDArray[np.floating]) -> NDArray[np.float32]:
    # Frames [n, bins], normalised to length 1: their products are cosines.
    lengths = np.sqrt(np.square(frames).sum(1, keepdims=True))
    return share(frames, np.broadcast_to(lengths, frames.shape)).astype(np.float32)
