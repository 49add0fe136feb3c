"""Reads the model's columns and masks from the mask exchange, for display only.

A column stays in its slot for CAPACITY hops (0.37 s with the default model), so that a reader at 30 times per
second gets all of them. It takes no lock, and nothing waits for it: a column overwritten during the read
gives one wrong dot. The mask is shaped by the current controls in the same way as in the hop loop, so that a
changed threshold is visible at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import Controls
from rtsep.dsp.policy import shape_mask, smoothing_factor
from rtsep.model.contract import ModelSpec
from rtsep.realtime.atomics import acquire
from rtsep.realtime.mask_exchange import CAPACITY, COLUMNS, SEQUENCE, Exchange
from rtsep.surfaces.players.player import BANDS, HIGHEST_HZ, LOWEST_HZ, Spectrum

SILENCE_DB = -120.0
_SILENCE = 10.0 ** (SILENCE_DB / 10.0)

_REACH = CAPACITY // 2
"""Maximum number of columns read: older ones are about to be overwritten."""


class SpectrumReader:
    """Reader of one model's exchange; create another one if the model or the rate changes."""

    def __init__(self, exchange: Exchange, spec: ModelSpec, rate: int, controls: Controls) -> None:
        """Read `exchange`, with columns of `spec` at `rate` Hz."""
        self.exchange, self.rate = exchange, rate
        self._spec, self._controls = spec, controls
        self._starts = band_starts(spec.bins, rate)
        self._smooth = np.zeros((spec.channels, spec.bins), np.float32)
        self._played = np.zeros((spec.channels, spec.bins), np.float32)
        self._next = acquire(exchange.header, COLUMNS)
        self._shape(np.zeros_like(self._played))  # compiles if necessary

    def newest(self) -> Spectrum | None:
        """Return new data since the last call, None for nothing."""
        published = acquire(self.exchange.header, COLUMNS)
        # The newest column may still wait for its mask.
        until = published - 1
        first = max(self._next, until - _REACH, self._spec.lookahead_hops)
        if first >= until:
            return None
        self._next = until
        loudest = np.full(BANDS, _SILENCE, np.float32)
        voice, whole = np.zeros(BANDS, np.float32), np.full(BANDS, _SILENCE, np.float32)
        for number in range(first, until):
            self._fold(number, loudest, voice, whole)
        return Spectrum(np.asarray(10.0 * np.log10(loudest), np.float32), voice / whole, until - first)

    def _fold(
        self,
        number: int,
        loudest: NDArray[np.float32],
        voice: NDArray[np.float32],
        whole: NDArray[np.float32],
    ) -> None:
        """Add the mask of step `number`, and its column, to the bands."""
        exchange = self.exchange
        slot = number % CAPACITY
        if acquire(exchange.header, SEQUENCE + slot) == number + 1:  # else late: the last mask is used
            self._shape(exchange.masks[slot])
        column = exchange.columns[(number - self._spec.lookahead_hops) % CAPACITY]
        power = np.einsum("cbi,cbi->cb", column, column)
        total = power.sum(axis=0)
        sung = np.einsum("cb,cb->b", power, self._played)
        np.maximum(loudest, np.maximum.reduceat(total, self._starts)[::2], out=loudest)
        voice += np.add.reduceat(sung, self._starts)[::2]
        whole += np.add.reduceat(total, self._starts)[::2]

    def _shape(self, mask: NDArray[np.float32]) -> None:
        controls = self._controls
        factor = smoothing_factor(float(controls.smoothing), self._spec.hop, float(self.rate))
        shape_mask(
            mask, self._smooth, int(controls.mask), float(controls.threshold), float(controls.gate),
            factor, self._played,
        )  # fmt: skip


def band_edges() -> NDArray[np.float64]:
    """Return the edges of the bands in Hz, [BANDS + 1]."""
    return np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)


def band_starts(bins: int, rate: int) -> NDArray[np.int64]:
    """Return first bin and end of every band, in turn, for `reduceat`: [2 * BANDS].

    A band narrower than a bin uses the bin that contains it.
    """
    edges = np.clip(np.round(band_edges() * 2 * (bins - 1) / rate), 1, bins - 2).astype(np.int64)
    starts = np.empty(2 * BANDS, np.int64)
    starts[::2] = edges[:-1]
    starts[1::2] = np.maximum(edges[1:], edges[:-1] + 1)
    return starts
