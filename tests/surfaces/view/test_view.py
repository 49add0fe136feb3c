"""The view in Textual's pilot: what can be read at which size, what is drawn, how it ends."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from textual.events import CursorPosition

from rtsep.controls import TABLE
from rtsep.surfaces.view.palette import Depth
from rtsep.surfaces.view.spectrogram import KEPT
from tests.surfaces.view.harness import find, with_view

ESSENTIALS = (
    "Scarlett 2i2 USB -> Scarlett", "playing", "not recording",  # where, whether
    "input", "vocals ", "instrumental", "peak", "rms",
    "p50", "p99", "5.80 ms", "late 0", "xruns 0", "underruns 0", "overruns 0",
    "11.6+2.9+5.8=20.3 ms", "drift +12", "model live ready", "restarts 0", "real-time",
    "? help", "r rec", "p preset", "m model", "d device", "q quit",
)  # fmt: skip


# --- what can be read -----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", Depth)
def test_80x24_shows_all_that_one_needs(depth):
    async def act(harness):
        await harness.play(1.0)
        for text in ESSENTIALS:
            assert text in harness.text, harness.text
        for control in TABLE:
            assert control.name.replace("_", " ").replace("instrumental", "instr") in harness.text
        assert [len(line) for line in harness.lines] == [80] * 24

    with_view(act, depth=depth)


@pytest.mark.parametrize("size", [(20, 6), (60, 20), (81, 25), (104, 24), (132, 34), (200, 60), (300, 24)])
def test_any_size_is_filled_and_none_breaks(size):
    async def act(harness):
        await harness.play(0.5)
        assert [len(line) for line in harness.lines] == [size[0]] * size[1]
        assert "playing" in harness.text
        if size[0] >= 160:
            assert "instrumental gain" in harness.text

    with_view(act, size)


@pytest.mark.parametrize(
    "size",
    [
        (0, 0),
        (1, 1),
        (1, 300),
        (300, 1),
        (20, 5),
        (400, 120),
        pytest.param((1000, 300), marks=pytest.mark.long),
    ],
)
def test_no_size_that_a_terminal_can_claim_ends_the_view(size):
    async def act(harness):
        await harness.play(0.5)
        await harness.press("question_mark", "escape", "m")
        await harness.pilot.resize_terminal(80, 24)
        await harness.play_until(lambda: "playing" in harness.text)

    with_view(act, size)


def test_a_resized_terminal_shows_the_same_past_at_once():
    async def act(harness):
        await harness.play(2.0)
        await harness.pilot.resize_terminal(130, 40)
        await harness.settle()
        spectrogram = harness.view.spectrogram
        assert spectrogram.size.height > 20
        drawn = [
            sum(segment.text != " " or bool(segment.style.bgcolor) for segment in row)
            for row in spectrogram._rows
        ]
        assert min(drawn) > 20
        assert len(harness.lines) == 40
        await harness.pilot.resize_terminal(80, 24)
        await harness.settle()
        assert "late 0" in harness.text
        assert [len(line) for line in harness.lines] == [80] * 24

    with_view(act)


def test_troubles_are_told():
    async def act(harness):
        harness.player.overrides = {"late_masks": 3, "device_xruns": 2, "drift_ppm": None, "real_time": False}
        harness.player.ready = False
        harness.player.state = "waiting"
        await harness.play(0.5)
        for text in ("late 3", "xruns 2", "drift -", "down: dry", "no real-time", "waiting"):
            assert text in harness.text, harness.text

    with_view(act, (100, 30))


def test_meters_hold_peaks_and_keep_the_clip_mark_until_it_is_taken_away():
    async def act(harness):
        meter = harness.view.meters.meters["vocals"]
        harness.view.meters.follow({f: {"peak": 1.2, "rms": 0.5} for f in harness.view.meters.meters}, 0.03)
        await harness.pilot.pause()
        assert harness.text.count("CLIP") == 3
        for _ in range(10):
            harness.view.meters.follow(
                {f: {"peak": 0.1, "rms": 0.05} for f in harness.view.meters.meters}, 0.1
            )
        assert meter.held_db == pytest.approx(1.58, abs=0.01)
        for _ in range(20):
            harness.view.meters.follow(
                {f: {"peak": 0.1, "rms": 0.05} for f in harness.view.meters.meters}, 0.1
            )
        assert meter.held_db == pytest.approx(-20, abs=0.01)
        await harness.press("c")
        assert "CLIP" not in harness.text

    with_view(act)


def test_the_spectrogram_scrolls_and_takes_the_colour_of_what_is_parted():
    async def act(harness):
        spectrogram = harness.view.spectrogram
        await harness.play(2.0)
        level, share = spectrogram._level.copy(), spectrogram._share
        await harness.play(1.0)
        moved = [n for n in range(10, 20) if np.array_equal(spectrogram._level[:, :-n], level[:, n:])]
        assert 14 in moved or 15 in moved or 16 in moved  # columns in a second
        audible = share[:, KEPT - 20 :][spectrogram._level[:, KEPT - 20 :] > -40]
        assert (audible > 0.8).sum() > 50  # the voice
        assert (audible < 0.2).sum() > 50  # the band
        harness.controls.bypass = 1
        await harness.play(0.2)
        assert not spectrogram._parted[-1]
        assert spectrogram._parted[-10]

    with_view(act)


# --- frames and the end ---------------------------------------------------------------------------


def test_frames_that_a_slow_terminal_cannot_take_are_dropped():
    async def act(harness):
        pace = harness.view.pace
        pace.request_due(harness.now)
        pace.answer()
        pace.request_due(harness.now)  # and no answer
        await harness.play(1.0)
        frames = harness.view._frames
        harness.controls.set("gate", 0.45, "MIDI")
        await harness.play(1.0)
        assert harness.view._frames == frames
        assert pace.dropped > 30
        assert "0.45" not in harness.text
        harness.view.post_message(CursorPosition(0, 0))
        await harness.pilot.pause()
        await harness.play(0.1)
        assert "0.45 MIDI" in harness.text

    with_view(act)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_quitting_ends_the_session_first(key):
    async def act(harness):
        harness.view._by_time = True  # else the end of the harness is immediate
        await harness.pilot.press(key)
        await harness.pilot.pause()
        assert harness.player.ended
        assert "ending" in harness.text
        assert harness.view._exit is False
        harness.view.frame()
        assert harness.view._exit

    with_view(act)


def test_only_what_has_changed_is_drawn():
    async def act(harness):
        drawn = []
        harness.view._display = lambda screen, update: drawn.append(update)
        harness.player.stats = (lambda stats: lambda: stats)(harness.player.stats())
        harness.player.newest = lambda: None
        await harness.play(12.0)  # peaks have fallen, the spectrogram is empty, the histogram old
        drawn.clear()
        harness.view.frame()
        await asyncio.sleep(0.05)
        assert [update for update in drawn if update] == []
        harness.controls.set("gate", 0.5)
        harness.view.frame()
        await asyncio.sleep(0.05)
        (update,) = (update for update in drawn if update)
        assert {y for y, _, _ in update.spans} == {find(harness, "gate")[1]}

    with_view(act)
