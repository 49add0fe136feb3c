"""Devices are switched while it plays: a real client records all of it, and every sample is predicted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from rtsep.audio.engine_mixer import FADE_S
from tests.e2e.exact import ATTEMPTS, SUM_TOLERANCE, delayed, no_clean_take, noise
from tests.e2e.fades import FADE, TOLERANCE, assert_fits, ramp
from tests.e2e.room import PERIOD, RATE, Sound, long_enough
from tests.waiting import until

pytestmark = pytest.mark.jack

HOP = 256

QUIET = 1e-9
"""The transforms turn silence beside sound into much less than this."""


def silences(sound: Sound) -> list[tuple[int, int]]:
    """Return first frame and frame behind the last of all that is silent for longer than a fade."""
    audible = np.concatenate([[True], np.abs(sound).max(axis=1) > QUIET, [True]])
    (places,) = np.nonzero(audible)
    return [(int(a), int(b) - 1) for a, b in itertools.pairwise(places) if b - a > FADE]


def test_an_input_fades_out_and_another_one_fades_in(open_room, ones, tmp_path):
    path, song = tmp_path / "song.wav", noise(60 * RATE, seed=2)
    soundfile.write(path, song, RATE, subtype="FLOAT")
    room = open_room(model=ones)
    latency, cables = room.hand.latency, room.cables()
    played = noise(long_enough())
    take, (to_file, to_mic) = room.clean_take(played, {"input": path}, {"input": "mic"})
    assert to_file["said"] == [
        line for line in to_file["said"] if line.startswith("song.wav -> JACK server; lat")
    ]
    assert len(to_mic["said"]) == 1
    assert to_file["latency_samples"] == to_mic["latency_samples"] == latency
    assert 0 < to_file["hops"] < to_mic["hops"]  # counted on
    assert to_mic["model"] == to_file["model"]  # the same process
    assert room.cables() == cables  # also what was not there for a while

    assert np.abs(take.sound[:, 2:]).max() <= TOLERANCE
    recorded, dry = take.sound[:, :2], delayed(played, latency, len(take.sound))
    gaps = silences(recorded)
    assert len(gaps) == 2, gaps
    print(
        f"\nfades of {1000 * FADE_S:.0f} ms, silent for {[round(1000 * (b - a) / RATE) for a, b in gaps]} ms"
    )
    first, second = (begin + FADE // 2 for begin, _ in gaps)

    def fades_out(part: slice, sound: Sound, what: str) -> None:
        def foretold(start: int) -> NDArray[np.float64]:
            return (1 - ramp(start, len(sound))) * sound

        assert_fits(recorded[part], recorded[part] - sound, foretold, what)

    fades_out(slice(0, first), dry[:first], "the first input")

    def begins(start: int) -> NDArray[np.float64]:
        frames = second - FADE * 2 - first
        return ramp(start, frames) * delayed(song, start, frames)

    # Its first frame is the first audible one.
    start = first + assert_fits(
        recorded[first : second - FADE * 2], recorded[first : second - FADE * 2], begins, "the file"
    )
    middle = (start + FADE + second) // 2
    fades_out(slice(middle, second), song[middle - start : second - start], "the file")

    def returns(start: int) -> NDArray[np.float64]:
        return ramp(start, len(recorded) - second) * dry[second:]

    assert_fits(recorded[second:], recorded[second:], returns, "the first input again")


def test_missing_devices_are_refused_without_a_sound(open_room, ones, tmp_path):
    room = open_room(model=ones)
    latency, cables = room.hand.latency, room.cables()
    played = noise(long_enough())
    refusals = [
        ({"out_device": "nowhere"}, "DeviceError", "no output device is called 'nowhere'"),
        ({"input": "no one"}, "DeviceError", "no input device is called 'no one'"),
        ({"input": tmp_path / "none.wav"}, "InputFileError", "none.wav: no such file"),
        ({"input": "demo", "out_device": "nowhere"}, "DeviceError", "no output device is called 'nowhere'"),
    ]
    take, answers = room.clean_take(played, *(order for order, _, _ in refusals))
    for (_, kind, words), answer in zip(refusals, answers, strict=True):
        assert answer["kind"] == kind
        assert words in answer["error"]
        assert "\n" not in answer["error"]
        assert answer["said"] == []
    dry = delayed(played, latency, len(take.sound))
    assert np.abs(take.sound[:, :2] - dry).max() <= TOLERANCE
    assert np.abs(take.sound[:, 2:]).max() <= TOLERANCE
    assert room.cables() == cables


def test_a_recording_goes_on_in_takes_that_join_without_a_seam(open_room, ones, half_model, tmp_path):
    path = tmp_path / "song.wav"
    song = noise(100 * RATE, seed=3)
    soundfile.write(path, song, RATE, subtype="FLOAT")
    tried = []
    for attempt in range(ATTEMPTS):
        folder = tmp_path / f"takes of {attempt}"
        room = open_room(path, model=ones, record=folder, subtype="FLOAT")
        hand, cables = room.hand, room.cables()
        for order in ({"model": half_model}, {"out_device": "virtual"}, {"out_device": "JACK server"}):
            until(lambda hand=hand: hand.ask()["recording"]["seconds"] > 0.3, "it records")
            before = hand.now["hops"]
            assert hand.do(**order)["hops"] >= before
            assert hand.now["recording"]["failure"] is None
        assert room.cables() == cables
        until(lambda hand=hand: hand.ask()["recording"]["seconds"] > 0.3, "it records")
        hand.do(stop=True)
        lost, starved = hand.now["overruns"], hand.now["source_starved_frames"]
        if lost == starved == 0:
            break
        tried.append(f"{lost} overruns, {starved} frames read too late")
        room.close()
    else:
        no_clean_take(PERIOD / RATE, tried)
    takes = [folder, *(folder / f"take-{number}" for number in (2, 3, 4))]
    assert sorted(folder.glob("take-*")) == takes[1:]
    place = 0
    for take, share in zip(takes, (1.0, 0.5, 0.5, 0.5), strict=True):
        vocals, instrumental, mix = (
            soundfile.read(take / f"{stem}.wav", dtype="float32")[0]
            for stem in ("vocals", "instrumental", "mix")
        )
        assert len(mix) > 0.2 * RATE
        np.testing.assert_array_equal(mix, song[place : place + len(mix)])
        assert np.abs(vocals + instrumental - mix).max() <= SUM_TOLERANCE
        inner = slice(2 * HOP, -2 * HOP)  # a take cuts through the windows of analysis and synthesis
        assert np.abs(vocals - share * mix)[inner].max() <= TOLERANCE
        place += len(mix)
