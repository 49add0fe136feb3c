"""RNNoise, a recurrent denoiser of speech, as a separator: its output is the voice.

J.-M. Valin, "A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP 2018. This
module uses the compiled library of the package `pyrnnoise`; one state per channel, floats in and out.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from benchmarks.streams import Stream
from train.data.effects import Wave
from train.score.peers import load_module, package_folder

FULL_SCALE = 32768.0  # full scale of 16 bits
DELAY_FRAMES = 2  # the output lags the input by half a window and one look-ahead frame of the net


class RNNoise(Stream):
    """RNNoise on both channels; the part that it removes is the accompaniment."""

    title = "RNNoise, a speech denoiser"
    licence = "BSD 3-Clause"
    params = None
    rate = 48000
    _late: Wave  # [2, DELAY_FRAMES * hop] recent input, for the accompaniment

    def __init__(self) -> None:
        folder = package_folder("pyrnnoise", "pip install --no-deps pyrnnoise")
        self._library = load_module("pyrnnoise_library", folder / "rnnoise.py").lib
        self.hop = int(self._library.rnnoise_get_frame_size())
        self.latency_samples = (1 + DELAY_FRAMES) * self.hop
        self._states: list[int] = []
        self.reset()

    def step(self, block: Wave) -> NDArray[np.float32]:
        """Process one hop; return the stems [2, 2, hop]."""
        stems = np.empty((2, *block.shape), np.float32)
        for state, samples, voice in zip(self._states, block, stems[0], strict=True):
            voice[:] = samples * FULL_SCALE
            address = voice.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            self._library.rnnoise_process_frame(state, address, address)
        stems[0] /= FULL_SCALE
        stems[1] = self._late[:, : self.hop] - stems[0]
        self._late = np.concatenate([self._late[:, self.hop :], block], 1)
        return stems

    def reset(self) -> None:
        """Reset the state."""
        self._free()
        self._states = [self._library.rnnoise_create(None) for _ in range(2)]
        self._late = np.zeros((2, DELAY_FRAMES * self.hop), np.float32)

    def __del__(self) -> None:
        if hasattr(self, "_states"):
            self._free()

    def _free(self) -> None:
        while self._states:
            self._library.rnnoise_destroy(self._states.pop())
