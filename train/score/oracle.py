"""Oracle masks: the best masks at the windows, rate and channels of a model.

An oracle replaces the model in the signal path and computes masks from the true stems. Its score is an upper
bound for all nets that mask these columns.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.resample import to_device_rate
from rtsep.model.contract import ModelSpec
from rtsep.model.runner import ModelRunner
from rtsep.pipeline import begin_hop, frames_needed, make_pipeline, model_rate_for
from train.data.effects import Wave
from train.data.tracks import Stems

MASKS = {"ratio": "|V| / (|V| + |A|)", "phase": "Re(V / X), limited to 0..1"}
"""V, A and X: the columns of vocals, accompaniment and mixture. "phase" is the phase-sensitive mask of
H. Erdogan et al., "Phase-sensitive and recognition-boosted speech separation using deep recurrent neural
networks", ICASSP 2015."""


def ratio_mask(vocals: Wave, accompaniment: Wave) -> NDArray[np.float32]:
    """Return the share of the vocals' magnitude [..., bins] of two spectra [..., bins, 2]; 0 in silence."""
    voice, music = (np.hypot(s[..., 0], s[..., 1]) for s in (vocals, accompaniment))
    whole = voice + music
    return np.divide(voice, whole, out=np.zeros_like(voice), where=whole > 0)


def phase_mask(vocals: Wave, mix: Wave) -> NDArray[np.float32]:
    """Return the real part of vocals / mix [..., bins], limited to 0..1, of two spectra [..., bins, 2]."""
    shared = (vocals * mix).sum(-1)
    power = np.square(mix).sum(-1)
    return np.clip(np.divide(shared, power, out=np.zeros_like(shared), where=power > 0), 0, 1)


class Oracle(ModelRunner):
    """A model runner with masks from the true stems.

    It must be stepped once for each hop of the mixture of `stems`, from its start, at `rate` Hz.
    """

    def __init__(self, spec: ModelSpec, stems: Stems, rate: int, mask: str = "ratio") -> None:
        self.spec = spec
        self.column: NDArray[np.float32] = np.zeros((spec.channels, spec.bins, 2), np.float32)
        self.mask: NDArray[np.float32] = np.zeros((spec.channels, spec.bins), np.float32)
        self._kind, self._stems, self._rate = mask, stems, rate
        self._columns = np.zeros((2, *self.column.shape), np.float32)  # of vocals, accompaniment
        self.reset()

    def reset(self) -> None:
        """Start again at the first hop."""
        model_rate = model_rate_for(self.spec, self._rate)
        self._paths = [make_pipeline(self.spec, self._rate, len(stem), model_rate) for stem in self._stems]
        self._position = 0  # frames taken so far
        self._due = deque([np.zeros_like(self.mask)] * self.spec.lookahead_hops)

    def step(self) -> None:
        """Write the oracle mask of the column that is `lookahead_hops` older than `column`."""
        frames = frames_needed(self._paths[0])
        for path, stem, column in zip(self._paths, self._stems, self._columns, strict=True):
            block = np.zeros((len(stem), frames), np.float32)  # silence after the end
            part = stem[:, self._position : self._position + frames]
            block[:, : part.shape[1]] = part
            begin_hop(path, block, column)
            to_device_rate(
                path.bridge, path.hop, path.vocals[:, :frames]
            )  # ends the step; its output is not used
        self._position += frames
        vocals, accompaniment = self._columns
        best = ratio_mask(vocals, accompaniment) if self._kind == "ratio" else phase_mask(vocals, self.column)
        self._due.append(best)
        self.mask[:] = self._due.popleft()
