"""Speed and key of a played file while it plays: no click, no jump, places in the file's own time."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from rtsep.audio import rings
from rtsep.audio.rings import Rings
from rtsep.audio.stretch import Stretcher
from rtsep.errors import UsageError
from tests.audio.bench import noise
from tests.audio.test_source_splices import BLOCK, RATE, SourcePlayer, source_player
from tests.waiting import until

SHARP = 0.006  # s within which an attack is found, see tests/audio/test_stretch.py


@pytest.fixture
def clicks(tmp_path):
    """Ten seconds of silence with a short burst at each half second, louder from one to the next."""
    x = np.zeros((10 * RATE, 2), np.float32)
    for number, start in enumerate(range(RATE // 2, len(x), RATE // 2)):
        x[start : start + 400] = (0.2 + 0.04 * number) * noise(400)
    soundfile.write(tmp_path / "clicks.wav", x, RATE, "FLOAT")
    return tmp_path / "clicks.wav"


def attacks(y: np.ndarray) -> list[int]:
    """Return the frames at which bursts begin."""
    loud = np.flatnonzero(np.abs(y).max(axis=1) > 0.04)
    return [int(at) for at, gap in zip(loud, np.diff(loud, prepend=-RATE), strict=True) if gap > RATE // 10]


@pytest.fixture
def sine(tmp_path):
    """Ten seconds of 441 Hz."""
    x = (0.5 * np.sin(2 * np.pi * 441 * np.arange(10 * RATE) / RATE)).astype(np.float32)[:, None]
    soundfile.write(tmp_path / "sine.wav", x, RATE, "FLOAT")
    return tmp_path / "sine.wav"


def sharpest(y: np.ndarray) -> float:
    """Return the largest second difference: a click has many times that of a sine."""
    return float(np.abs(np.diff(y[:, 0], 2)).max())


def test_as_recorded_every_sample_passes_unchanged_before_and_after(tmp_path):
    x = noise(10 * RATE)
    soundfile.write(tmp_path / "x.wav", x, RATE, "FLOAT")
    with source_player(tmp_path / "x.wav") as at:
        at.source.set_stretch(1.0, 0.0)
        np.testing.assert_array_equal(at.play(30_000), x[:30_000])
        before = at.ask(lambda: at.source.set_stretch(0.8, 2.0))
        np.testing.assert_array_equal(at.play(before), x[30_000 : 30_000 + before])
        at.play(30_000)
        before = at.ask(lambda: at.source.set_stretch(1.0, 0.0))
        received = at.play(before + 50_000)[before:]
        place = round(at.source.place(at.now).position * RATE) - len(received)
        np.testing.assert_array_equal(received[2_000:], x[place + 2_000 : place + len(received)])


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 1.5])
def test_the_place_is_that_of_the_audible_sound(clicks, speed):
    with source_player(clicks) as at:
        at.play(20_000)
        start = at.now + at.ask(lambda: at.source.set_stretch(speed))
        begun = at.source.place(start).position
        assert begun == pytest.approx(start / RATE, abs=1e-4)
        first = at.now
        for attack in attacks(at.play(4 * RATE)):
            place = at.source.place(first + attack).position
            if first + attack > start + 2_000:
                assert place == pytest.approx(round(2 * place) / 2, abs=SHARP * max(1, speed))
        assert at.source.place(start + RATE).position == pytest.approx(begun + speed, abs=1e-4)
        assert at.rings.state[rings.SOURCE_STARVED] == 0


@pytest.mark.parametrize("speed", [0.5, 1.5])
def test_the_length_at_a_speed(clicks, speed):
    with source_player(clicks) as at:
        start = at.now + at.ask(lambda: at.source.set_stretch(speed))
        whole = start + round((10 - start / RATE) / speed * RATE)
        at.play(whole + 10_000)
        assert at.rings.state[rings.SOURCE_END] == pytest.approx(whole, abs=1)
        assert at.source.place(at.now).position == 10.0
        before = at.ask(lambda: at.source.seek(9.0))  # and it goes on with a seek, at that speed
        assert len(attacks(at.play(before + round(0.9 / speed * RATE))[before - 1 :])) == 2


def test_turning_the_speed_and_the_key_makes_no_click(sine):
    with source_player(sine, channels=(0,)) as at:
        received = [at.play(20_000)]
        for speed, key in ((0.9, 0), (0.8, 0), (0.8, 2), (1.2, 2), (1.5, -6), (1.0, 0), (0.5, 6), (1.0, 0)):
            before = at.ask(lambda speed=speed, key=key: at.source.set_stretch(speed, key))
            received.append(at.play(before + 9_000))
    highest = 0.5 * (2 * np.pi * 441 * 2 ** (6 / 12) / RATE) ** 2
    assert (
        sharpest(np.concatenate(received)) < 1.6 * highest
    )  # a jump by a fifth of the sine has 13 times that


def test_a_fader_that_is_drawn_follows_to_its_last_value(sine):
    with source_player(sine, channels=(0,)) as at:
        at.play(5_000)
        for step in range(30):
            at.source.set_stretch(1.0 - step / 100)
            at.play(BLOCK)
        until(lambda: not at.source.unsettled)
        at.play(RATE // 2)
        assert at.source.place(at.now).speed == 0.71
        first = at.source.place(at.now).position
        at.play(RATE)
        assert at.source.place(at.now).position - first == pytest.approx(0.71, abs=1e-3)


def test_a_seek_at_a_speed_begins_with_the_frame_that_was_named(clicks):
    with source_player(clicks) as at:
        at.ask(lambda: at.source.set_stretch(0.8, -3))
        at.play(40_000)
        before = at.ask(lambda: at.source.seek(6.25))
        start = at.now + before
        assert at.source.place(start).position == 6.25
        received = at.play(before + RATE)[before:]
        found = np.array([attack for attack in attacks(received) if attack > 1000])
        np.testing.assert_allclose(found / RATE, [0.25 / 0.8, 0.75 / 0.8], atol=SHARP)


def test_a_loop_at_a_speed_takes_its_time_again_and_again(clicks):
    with source_player(clicks) as at:
        at.play(RATE // 4)
        at.ask(lambda: at.source.set_stretch(1.25))
        at.ask(lambda: at.source.set_loop((1.0, 2.0)))
        at.ask(lambda: at.source.seek(1.25))
        at.play(RATE // 2)
        first = at.now
        found = [first + attack for attack in attacks(at.play(5 * RATE))]
        gaps = np.diff(found) / RATE
        np.testing.assert_allclose(gaps, 0.5 / 1.25, atol=2 * SHARP)
        assert len(found) >= 11
        for attack in found[1:-1]:
            place = at.source.place(attack).position
            assert min(abs(place - 1.0), abs(place - 1.5), abs(place - 2.0)) < 2 * SHARP


def test_a_pause_at_a_speed_goes_on_where_it_stood(clicks):
    with source_player(clicks) as at:
        at.ask(lambda: at.source.set_stretch(0.5))
        at.play(RATE)
        before = at.ask(lambda: at.source.pause(True))
        stood = at.source.place(at.now + before).position
        assert not at.play(before + RATE)[before:].any()
        at.source.set_stretch(1.5)  # turned while it stands still
        until(lambda: not at.source.unsettled)
        assert at.source.place(at.now).position == stood
        before = at.ask(lambda: at.source.pause(False))
        start = at.now + before
        at.play(before + RATE)
        assert at.source.place(start).position == pytest.approx(stood, abs=1 / RATE)
        assert at.source.place(at.now).position == pytest.approx(stood + 1.5, abs=1 / RATE)


def test_another_engine_goes_on_at_that_speed(clicks):
    with source_player(clicks) as at:
        at.ask(lambda: at.source.set_stretch(0.8, 1))
        at.play(RATE)
        stood = at.source.place(at.now - 8_000).position
        again = SourcePlayer.__new__(SourcePlayer)
        again.source, again.rings = at.source, Rings(RATE, 2, [0, 1], 2)
        at.source.stop()
        at.source.go_back(at.now - 8_000)
        at.source.start(again.rings.state, again.rings.input)
        for attack in attacks(again.play(2 * RATE)):
            place = at.source.place(attack).position
            assert place == pytest.approx(round(2 * place) / 2, abs=SHARP)
        assert at.source.place(0).position == pytest.approx(stood, abs=1 / RATE)
        assert at.source.place(again.now).position == pytest.approx(stood + 1.6, abs=1e-4)


def test_at_another_rate(tmp_path):
    x = (0.5 * np.sin(2 * np.pi * 441 * np.arange(6 * 48000) / 48000)).astype(np.float32)[:, None]
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    with source_player(tmp_path / "x.wav", channels=(0,)) as at:
        before = at.ask(lambda: at.source.set_stretch(0.5, -2))
        received = at.play(before + 2 * RATE)[-RATE:, 0]
        rising = np.flatnonzero((received[:-1] < 0) & (received[1:] >= 0))
        assert RATE / np.diff(rising).mean() == pytest.approx(441 * 2 ** (-2 / 12), rel=1e-3)
        expected = before / RATE + 1.0
        assert at.source.place(at.now).position == pytest.approx(expected, abs=1e-3)


def test_a_splice_has_the_sound_before_it(sine, monkeypatch):
    leads = []
    whole = Stretcher.__init__

    def noted(self, rate, speed, key, before):
        leads.append(len(before))
        whole(self, rate, speed, key, before)

    monkeypatch.setattr(Stretcher, "__init__", noted)
    with source_player(sine, channels=(0,)) as at:
        at.play(RATE)
        at.ask(lambda: at.source.set_stretch(0.8))
        assert leads[-1] == RATE // 4
        at.ask(lambda: at.source.seek(5.0))
        assert leads[-1] == 0  # what was read before has nothing to do with that place


def test_what_cannot_be_is_refused_and_changes_nothing(sine):
    with source_player(sine, channels=(0,)) as at:
        at.ask(lambda: at.source.set_stretch(0.8, 1))
        for speed, key in ((0.3, None), (None, 7), (0.9, 7)):
            with pytest.raises(UsageError):
                at.source.set_stretch(speed, key)
        assert at.source.place(0)[-2:] == (0.8, 1.0)
