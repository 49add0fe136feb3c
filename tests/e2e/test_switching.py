"""Models and devices are switched while it plays: a real client hears all of it, and foretells every sample.

The masks of the test models are known, so what is heard during a fade is known as well, but for the frame at
which it begins: that one is looked for, and then every sample must fit. A gap, a step, a fade of another
length or shape, an engine that comes in a frame early or late all show as samples that do not.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from rtsep.audio.engine_mixer import FADE_S
from rtsep.model.catalog import find_model
from rtsep.offline.separator import Separator
from tests.e2e.exact import ATTEMPTS, SUM_TOLERANCE, best_shift, delayed, music, no_clean_take, noise
from tests.e2e.liveprocess import ROOT, faults
from tests.e2e.rig import STEM_PORTS
from tests.models import FRAMINGS, make_model

if TYPE_CHECKING:
    from tests.e2e.jackserver import JackServer
    from tests.e2e.studio import Studio, Take

pytestmark = pytest.mark.jack

RATE, PERIOD = 44100, 1024
HOP, CAPTURE = 256, 0
FADE = round(FADE_S * RATE)
RISING = (np.arange(FADE) + 1) / FADE

TOLERANCE = 2e-6
"""What analysis and synthesis reconstruct: -120 dB of the peak. A wrong step of a fade is 4.5e-4 of it."""

QUIET = 1e-9
"""What the transforms make of silence beside sound stays far below this."""

STEM_SUM_TOLERANCE = 3 * SUM_TOLERANCE
"""Each stem of a fade is rounded three times more than one that just plays."""

HEAD_S, SWITCH_S, TAIL_S = 0.7, 40.0, 0.7
"""A take: what plays at first, the most that a switch may take (as the machine has it), what plays then."""

Sound = NDArray[np.float32]


class Hand:
    """`tests.e2e.switching`, told and asked."""

    def __init__(self, server: JackServer, **arguments: Any) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (until `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.switching", json.dumps(arguments, default=str)],
            cwd=ROOT, env=server.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self.now = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(10)
            self._errors.seek(0)
            raise AssertionError(f"the session has ended with {code}: {self._errors.read()}")
        return json.loads(line)

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()
        self.now = self._answer()
        return self.now

    def do(self, **order: Any) -> dict[str, Any]:
        """Ask for what cannot be refused."""
        answer = self.ask(**order)
        assert "error" not in answer, answer
        return answer

    @property
    def latency(self) -> int:
        return int(self.now["latency_samples"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe
            pipe.close()


class Room:
    """A server, a session that switches when told to, a player and a recorder, patched."""

    def __init__(self, server: JackServer, studio: Studio, hand: Hand) -> None:
        self.server, self.studio, self.hand = server, studio, hand
        studio.isolate("rtsep")
        inputs = [port for port in studio.ports("rtsep") if ":in_" in port]
        studio.patch(inputs, [f"rtsep:{name}" for name in STEM_PORTS])

    def cables(self) -> dict[str, list[str]]:
        return {port: self.studio.connections(port) for port in self.studio.ports("rtsep")}

    def take(self, played: Sound, *orders: dict[str, Any]) -> tuple[Take, list[dict[str, Any]]]:
        """Play, and give the orders, HEAD_S before each; return what came back and the answers."""
        over: list[float] = []

        def give() -> list[dict[str, Any]]:
            answers = []
            try:
                for order in orders:
                    time.sleep(HEAD_S)
                    answers.append(self.hand.ask(**order))
                return answers
            finally:
                over.append(time.monotonic() + TAIL_S)

        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(give)
            take = self.studio.take(played, 0, lambda: bool(over) and time.monotonic() > over[0])
            return take, answers.result()

    def clean_take(
        self, played: Sound, *orders: dict[str, Any], first: dict[str, Any] | None = None
    ) -> tuple[Take, list[dict[str, Any]]]:
        """Return the first take in which nothing was lost or late, and what was answered.

        `first` is the order that leads back to where a take begins.
        """
        tried = []
        for attempt in range(ATTEMPTS):
            if first and attempt > 0:
                self.hand.do(**first)
            before = self.hand.ask()
            take, answers = self.take(played, *orders)
            after = self.hand.ask()
            lost, late = faults(after) - faults(before), after["late_masks"] - before["late_masks"]
            if take.clean and lost == late == 0:
                return take, answers
            tried.append(f"{take.xruns} xruns of the server, {lost} of rtsep, {late} late masks")
        no_clean_take(PERIOD / RATE, tried)

    def close(self) -> None:
        """End all of it; another room may then be opened."""
        self.hand.close()
        self.studio.close()
        self.server.remove()


@pytest.fixture
def open_room(start_server: Any, open_studio: Any) -> Iterator[Callable[..., Room]]:
    """Opens a room: `open_room("mic", model=path)`."""
    with ExitStack() as stack:

        def open_one(input: Any = "mic", **arguments: Any) -> Room:
            server = start_server(rate=RATE, period=PERIOD)
            hand = Hand(server, input=input, out="both", **arguments)
            stack.callback(hand.close)
            return Room(server, open_studio(server), hand)

        yield open_one


@pytest.fixture
def ones(model_folder: Path) -> Path:
    return make_model(model_folder / "ones.pt", "ones")


def until(there: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 30
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def long_enough() -> int:
    return round((HEAD_S + SWITCH_S + TAIL_S) * RATE)


def ramp(start: int, frames: int) -> NDArray[np.float64]:
    """Return [frames, 1]: 0 before `start`, then rising to 1 over a fade."""
    gain = np.zeros((frames, 1))
    rising = RISING[: max(0, frames - start)]
    gain[start : start + len(rising), 0] = rising
    gain[start + len(rising) :] = 1
    return gain


def assert_fits(
    heard: Sound, changes: Sound, foretold: Callable[[int], NDArray[np.float64]], what: str
) -> int:
    """Assert that `heard` is what is foretold for a fade that begins where `changes` has its first frame.

    Its very first steps may be too small to be seen. Returns the frame.
    """
    (changed,) = np.nonzero(np.abs(changes).max(axis=1) > 5 * TOLERANCE)
    assert len(changed), f"{what}: nothing has changed"
    errors = {k: np.abs(heard - foretold(k)) for k in range(max(0, changed[0] - 4), changed[0] + 1)}
    start = min(errors, key=lambda k: float(errors[k].max()))
    worst = errors[start].max(axis=1)
    (wrong,) = np.nonzero(worst > TOLERANCE)
    assert not len(wrong), (
        f"{what}: a fade from frame {start} on is not what is heard: {len(wrong)} frames are off, by up to "
        f"{worst.max():.3g}, first {wrong[0]}, last {wrong[-1]} of {len(heard)}"
    )
    return start


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
    [{"profile": "stage"}, {"profile": "studio"}, FRAMINGS["column-resnet"]],
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
    come = room.studio.latency("rtsep:in_0", CAPTURE)
    told = tuple(frames + after for frames in come)
    until(lambda: room.studio.latency("rtsep:vocals_L", CAPTURE) == told, "the server is told")


def place_in(song: Sound, take: Take) -> int:
    """Return which frame of `song` the first frame of a take is, by what the stems add up to."""
    frames = 1 << 15
    heard = np.zeros_like(song)
    heard[:frames] = take.sound[:frames, :2] + take.sound[:frames, 2:]
    return -best_shift(heard, song)


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
    heard = song[place : place + frames]
    total = take.sound[:, :2] + take.sound[:, 2:]
    assert np.abs(total - heard).max() <= STEM_SUM_TOLERANCE

    joined = answer["joined"]  # from there on the model has heard the song, and nothing before
    begins = joined - place
    assert 0 < begins < frames - RATE
    stems = offline(live, song[joined : place + frames + 4096])[: frames - begins]
    taken_over = np.zeros((frames, 4))
    taken_over[begins:] = stems
    before = np.concatenate([0.5 * heard, 0.5 * heard], axis=1)
    gain_at = {}

    def foretold(start: int) -> NDArray[np.float64]:
        gain_at[start] = ramp(start, frames)
        return (1 - gain_at[start]) * before + gain_at[start] * taken_over

    start = assert_fits(take.sound, take.sound[:, :2] - before[:, :2], foretold, "the stems")
    assert begins + RATE / 2 < start < frames - RATE / 10 - FADE
    assert np.abs(stems[:, :2]).max() > 0.05  # the model does hear a voice


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
        {dying: ("ModelProcessError", "breaks down as it plays")},
        {too_slow: ("UsageError", "is too slow here")},
    ],
    ids=["broken", "dying", "too slow"],
)
def test_a_model_that_cannot_play_is_refused_and_nothing_is_heard_of_it(open_room, tmp_path, refusals):
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


def silences(sound: Sound) -> list[tuple[int, int]]:
    """Return first frame and frame behind the last of all that is silent for longer than a fade."""
    heard = np.concatenate([[True], np.abs(sound).max(axis=1) > QUIET, [True]])
    (places,) = np.nonzero(heard)
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
    heard, dry = take.sound[:, :2], delayed(played, latency, len(take.sound))
    gaps = silences(heard)
    assert len(gaps) == 2, gaps
    print(
        f"\nfades of {1000 * FADE_S:.0f} ms, silent for {[round(1000 * (b - a) / RATE) for a, b in gaps]} ms"
    )
    first, second = (begin + FADE // 2 for begin, _ in gaps)

    def fades_out(part: slice, sound: Sound, what: str) -> None:
        def foretold(start: int) -> NDArray[np.float64]:
            return (1 - ramp(start, len(sound))) * sound

        assert_fits(heard[part], heard[part] - sound, foretold, what)

    fades_out(slice(0, first), dry[:first], "the first input")

    def begins(start: int) -> NDArray[np.float64]:
        frames = second - FADE * 2 - first
        return ramp(start, frames) * delayed(song, start, frames)

    # Its first frame is the first that is heard at all.
    start = first + assert_fits(
        heard[first : second - FADE * 2], heard[first : second - FADE * 2], begins, "the file"
    )
    middle = (start + FADE + second) // 2
    fades_out(slice(middle, second), song[middle - start : second - start], "the file")

    def returns(start: int) -> NDArray[np.float64]:
        return ramp(start, len(heard) - second) * dry[second:]

    assert_fits(heard[second:], heard[second:], returns, "the first input again")


def test_devices_that_are_not_there_are_refused_and_nothing_is_heard_of_it(open_room, ones, tmp_path):
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
            time.sleep(0.3)
            before = hand.now["hops"]
            assert hand.do(**order)["hops"] >= before
            assert hand.now["recording"]["failure"] is None
        assert room.cables() == cables
        time.sleep(0.3)
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
