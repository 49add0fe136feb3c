"""Centre extraction: the voice is the part that both channels of a stereo mix share.

C. Avendano, "Frequency-domain source identification and manipulation in stereo mixes for enhancement,
suppression and re-panning applications", WASPAA 2003: the similarity of both channels' spectra, bin by bin.
Here it is the real part, so that signals out of phase count as off-centre, of energies smoothed over time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.windows import PROFILES
from rtsep.model.contract import ModelSpec
from rtsep.model.runner import ModelRunner
from train.data.cache import RATE

SMOOTHING_S = 0.03
LOWEST_HZ = 100.0  # lowest frequency of a voice: bass and kick are in the centre, too


class CentreMask(ModelRunner):
    """Mask 2 Re(L R*) / (|L|^2 + |R|^2), limited to 0..1, from mid and side.

    With M = (L + R) / 2 and S = (L - R) / 2 that is (|M|^2 - |S|^2) / (|M|^2 + |S|^2).
    """

    def __init__(self) -> None:
        framing = PROFILES["light"]
        self.spec = ModelSpec(
            name="centre", system="centre", n_fft=framing.n_fft, synthesis=framing.synthesis, hop=framing.hop,
            state_size=0, rates=(RATE,),
        )  # fmt: skip
        self.column: NDArray[np.float32] = np.zeros((2, self.spec.bins, 2), np.float32)
        self.mask: NDArray[np.float32] = np.zeros((2, self.spec.bins), np.float32)
        self._power: NDArray[np.float32] = np.zeros((2, self.spec.bins), np.float32)  # [mid and side, bins]
        self._keep = float(np.exp(-self.spec.hop / (SMOOTHING_S * RATE)))
        self._in_range = np.fft.rfftfreq(self.spec.n_fft, 1 / RATE) >= LOWEST_HZ

    def step(self) -> None:
        """Compute `mask` from `column`."""
        power = np.square(self.column).sum(-1)
        self._power += (1 - self._keep) * (power - self._power)
        middle, side = self._power
        whole = middle + side
        alike = np.divide(middle - side, whole, out=np.zeros_like(whole), where=whole > 0)
        self.mask[:] = np.clip(alike, 0, 1) * self._in_range

    def reset(self) -> None:
        """Reset the state."""
        self._power[:] = 0
