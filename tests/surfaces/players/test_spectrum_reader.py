"""The view's data from the shared memory: levels in bands, and the audible mask."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.controls import Controls
from rtsep.dsp.stft import analyse, make_stft
from rtsep.realtime import mask_exchange
from rtsep.realtime.mask_exchange import CAPACITY, MaskExchange
from rtsep.surfaces.players.player import BANDS
from rtsep.surfaces.players.spectrum_reader import SILENCE_DB, SpectrumReader, band_edges
from tests.models import make_spec

RATE = 44100


class Wire:
    """Slots that a test publishes to."""

    def __init__(self, **spec):
        self.spec = make_spec("ones", **spec)
        self.shared = MaskExchange.create(self.spec.channels, self.spec.bins)
        self.exchange = self.shared.exchange
        self.controls = Controls()
        self.number = 0
        self.spectrum_reader = SpectrumReader(self.exchange, self.spec, RATE, self.controls)

    def put(self, column, mask=None):
        slot = self.number % CAPACITY
        self.exchange.columns[slot] = column
        mask_exchange.publish_column(self.exchange, self.number)
        if mask is not None:
            self.exchange.masks[slot] = mask
            mask_exchange.publish_mask(self.exchange, self.number)
        self.number += 1

    def column(self, hz, level=1.0):
        """Return the column of a steady sine in the middle."""
        stft = make_stft(self.spec.framing, 1)
        hop, spectrum = self.spec.hop, np.zeros((1, self.spec.bins, 2), np.float32)
        times = np.arange(4 * self.spec.n_fft) / RATE
        sine = (level * np.sin(2 * np.pi * hz * times)).astype(np.float32)
        for start in range(0, len(sine) - hop, hop):
            analyse(stft, sine[np.newaxis, start : start + hop], spectrum)
        column = np.zeros((self.spec.channels, self.spec.bins, 2), np.float32)
        column[0] = spectrum[0]
        return column


@pytest.fixture
def wire():
    made = []

    def make(**spec):
        made.append(Wire(**spec))
        return made[-1]

    yield make
    for each in made:
        each.shared.close()


@pytest.mark.parametrize("hz", [90.0, 440.0, 1000.0, 7000.0])
def test_a_sine_lies_in_its_band_at_its_level(wire, hz):
    bus = wire()
    column = bus.column(hz, 0.1)
    for _ in range(3):
        bus.put(column, 0.25)
    newest = bus.spectrum_reader.newest()
    assert newest is not None
    assert newest.hops == 2  # the newest may still wait for its mask
    band = int(np.argmax(newest.level_db))
    edges = band_edges()
    assert edges[max(0, band - 1)] / 1.2 <= hz <= edges[min(BANDS, band + 2)] * 1.2
    assert newest.level_db[band] == pytest.approx(-20.0, abs=2.0)  # between two bins, a window's loss
    assert newest.share[band] == pytest.approx(0.25, abs=1e-4)
    assert bus.spectrum_reader.newest() is None


def test_controls_shape_the_mask_that_is_shown(wire):
    bus = wire()
    column = bus.column(1000.0)

    def share():
        for _ in range(4):
            bus.put(column, 0.4)
        newest = bus.spectrum_reader.newest()
        return newest.share[np.argmax(newest.level_db)]

    assert share() == pytest.approx(0.4, abs=1e-4)
    bus.controls.threshold = 0.8  # a downward expander of ratio 1:3
    assert share() == pytest.approx(0.1, abs=1e-4)
    bus.controls.mask = 1
    assert share() == 0
    bus.controls.threshold = 0.3
    assert share() == pytest.approx(1, abs=1e-4)


def test_a_mask_belongs_to_the_column_it_was_made_for(wire):
    bus = wire(lookahead=2)
    loud, silent = bus.column(1000.0), np.zeros_like(bus.column(1000.0))
    for number in range(8):
        bus.put(loud if number == 3 else silent, 1.0 if number == 5 else 0.0)
    newest = bus.spectrum_reader.newest()
    assert newest.share[np.argmax(newest.level_db)] == pytest.approx(1.0, abs=1e-3)


def test_a_late_mask_leaves_the_last_one(wire):
    bus = wire()
    column = bus.column(1000.0)
    for mask in (0.5, None, None, None):
        bus.put(column, mask)
    newest = bus.spectrum_reader.newest()
    assert newest.hops == 3
    assert newest.share[np.argmax(newest.level_db)] == pytest.approx(0.5, abs=1e-4)


def test_whoever_comes_late_reads_what_is_there(wire):
    bus = wire(channels=1)
    for _ in range(3 * CAPACITY):
        bus.put(0.0, 1.0)
    newest = bus.spectrum_reader.newest()
    assert newest.hops == CAPACITY // 2
    assert np.all(newest.level_db == pytest.approx(SILENCE_DB, abs=0.1))
    assert np.all(np.isfinite(newest.share))
