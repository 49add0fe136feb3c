"""Models are switched while it plays: a real client records all of it, and every sample is predicted.

The masks of the test models are known, so the sound during a fade is known as well, except the frame at
which it begins: that one is looked for, and then every sample must fit. A gap, a step, a fade of another
length or shape, an engine that comes in a frame early or late all show as samples that do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from rtsep.model.catalog import find_model
from rtsep.offline.separator import Separator
from tests.e2e.exact import delayed, music, noise
from tests.e2e.fades import FADE, STEM_SUM_TOLERANCE, assert_fits, ramp
from tests.e2e.room import RATE, Sound, long_enough, place_in
from tests.models import FRAMINGS, make_model
from tests.waiting import until

if TYPE_CHECKING:  # needs libjack
    from tests.e2e.player_recorder import Take

pytestmark = pytest.mark.jack

CAPTURE = 0


def assert_one_fade(take: Take, played: Sound, before: int, after: int) -> int:
    """Assert that all goes from the vocals, `before` late, to the instrumental, `after` frames late."""
    frames = len(take.sound)
    first, second = delayed(played, before, frames), delayed(played, after, frames)

    def foretold(start: int) -> NDArray[np.float64]:
        gain = ramp(start, frames)
        return np.concatenate([(1 - gain) * first, gain * second], axis=1)

    start = assert_fits(take.sound, take.sound[:, :2] - first, foretold, "the stems")
    assert RATE / 10 < start < frames - RATE / 10 - FADE, "the switch was not within the take"
    if before == after:
        total = take.sound[:, :2] + take.sound[:, 2:]
        assert np.abs(total - first).max() <= STEM_SUM_TOLERANCE  # at every moment
    return start


def test_a_model_of_the_same_latency_takes_over_in_one_fade(open_room, ones, tmp_path):
    zeros = make_model(tmp_path / "zeros.pt", "zeros")
    room = open_room(model=ones)
    latency, cables = room.hand.latency, room.cables()
    played = noise(long_enough())
    take, (answer,) = room.clean_take(played, {"model": zeros}, first={"model": ones})
    assert "error" not in answer
    assert answer["model"]["name"] == "test-zeros"
    assert answer["latency_samples"] == latency
    (line,) = answer["said"]
    assert line.startswith("model test-zeros; latency: ")
    assert_one_fade(take, played, latency, latency)
    assert room.cables() == cables


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param({"profile": "stage"}, marks=pytest.mark.long),
        {"profile": "studio"},
        FRAMINGS["column-resnet"],
    ],
    ids=["stage", "studio", "another rate"],
)
def test_a_model_of_another_latency_takes_over_in_one_fade(open_room, ones, tmp_path, entries):
    other = make_model(tmp_path / "other.pt", "zeros", **entries)
    room = open_room(model=ones)
    before = room.hand.latency
    played = noise(long_enough())
    take, (answer,) = room.clean_take(played, {"model": other}, first={"model": ones})
    assert "error" not in answer
    after = answer["latency_samples"]
    assert after != before
    assert f"= {after} samples" in answer["said"][0]
    assert_one_fade(take, played, before, after)
    come = room.player_recorder.latency("rtsep:in_0", CAPTURE)
    told = tuple(frames + after for frames in come)
    until(lambda: room.player_recorder.latency("rtsep:vocals_L", CAPTURE) == told, "the server is told")


def a_song(path: Path, seconds: int) -> Sound:
    """Write music that is nowhere the same, and return it [frames, 2]."""
    frames = seconds * RATE
    sound = np.resize(music(10 * RATE), (frames, 2)) + 0.1 * noise(frames)
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    return sound


def offline(model: Path, song: Sound) -> Sound:
    """Return [frames, vocals then instrumental] as `rtsep file` has them."""
    vocals, instrumental = Separator(model, RATE, 2).separate(song.T)
    return np.concatenate([vocals, instrumental]).T


def test_the_model_that_took_over_plays_what_it_gives_offline(open_room, half_model, tmp_path):
    song = a_song(tmp_path / "song.wav", 100)
    room = open_room(tmp_path / "song.wav", model=half_model)
    silence = np.zeros((long_enough(), 2), np.float32)
    live = find_model("live")
    take, (answer,) = room.clean_take(silence, {"model": live}, first={"model": half_model})
    assert "error" not in answer
    frames, place = len(take.sound), place_in(song, take)
    original = song[place : place + frames]
    total = take.sound[:, :2] + take.sound[:, 2:]
    assert np.abs(total - original).max() <= STEM_SUM_TOLERANCE

    joined = answer["joined"]  # the model has the song from there on, and nothing before
    begins = joined - place
    assert 0 < begins < frames - RATE
    stems = offline(live, song[joined : place + frames + 4096])[: frames - begins]
    taken_over = np.zeros((frames, 4))
    taken_over[begins:] = stems
    before = np.concatenate([0.5 * original, 0.5 * original], axis=1)
    gain_at = {}

    def foretold(start: int) -> NDArray[np.float64]:
        gain_at[start] = ramp(start, frames)
        return (1 - gain_at[start]) * before + gain_at[start] * taken_over

    start = assert_fits(take.sound, take.sound[:, :2] - before[:, :2], foretold, "the stems")
    assert begins + RATE / 2 < start < frames - RATE / 10 - FADE
    assert np.abs(taken_over - before)[start:].max() > 0.05  # the answers of the two models differ


def missing(path: Path) -> None:
    assert not path.exists()


def cut_off(path: Path) -> None:
    path.write_bytes(find_model("live").read_bytes()[:100_000])


def no_model(path: Path) -> None:
    path.write_text("no model")


def wrong_golden(path: Path) -> None:  # whole as a file; its program is broken
    make_model(path, "nan")


def dying(path: Path) -> None:
    make_model(path, "raises-later")


def too_slow(path: Path) -> None:
    make_model(path, "slow", work=60)


@pytest.mark.parametrize(
    "refusals",
    [
        {
            missing: ("ModelError", "no such model file"),
            cut_off: ("ModelError", "not a model file, or a truncated one"),
            no_model: ("ModelError", "not a model file, or a truncated one"),
            wrong_golden: ("ModelError", "golden frames do not replay"),
        },
        {dying: ("ModelProcessError", "failed while it processed the input")},
        {too_slow: ("UsageError", "is too slow on this machine")},
    ],
    ids=["broken", "dying", "too slow"],
)
def test_a_model_that_cannot_play_is_refused_without_a_sound(open_room, tmp_path, refusals):
    song = a_song(tmp_path / "song.wav", 100)
    paths = {make: tmp_path / f"{make.__name__}.pt" for make in refusals}
    for make, path in paths.items():
        make(path)
    room = open_room(tmp_path / "song.wav")
    model, silence = room.hand.now["model"], np.zeros((long_enough(), 2), np.float32)
    take, answers = room.clean_take(silence, *({"model": path} for path in paths.values()))
    for (kind, words), answer in zip(refusals.values(), answers, strict=True):
        assert answer["kind"] == kind
        assert words in answer["error"]
        assert "\n" not in answer["error"]
        assert answer["said"] == []
        assert answer["model"] == model  # the same process, too
    place = place_in(song, take)
    assert len(take.sound) > RATE
    stems = offline(find_model("live"), song[: place + len(take.sound) + 4096])
    np.testing.assert_array_equal(take.sound, stems[place : place + len(take.sound)])  # to the last bit
