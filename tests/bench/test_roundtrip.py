"""The round trip: what is measured is a delay that was put there on purpose, to the sample."""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

import numpy as np
import pytest
import soundfile
from numba import njit

from rtsep.audio.devices import Device
from rtsep.audio.engine import StreamFormat
from rtsep.audio.engine_mixer import process_input, process_output
from rtsep.audio.latency_budget import LatencyBudget
from rtsep.bench.arrival import clearest, find, sequences
from rtsep.bench.roundtrip import ATTEMPTS, DEVICE, DRY, EXACT, SUM, measure
from rtsep.bench.signal_paths import Take, by_cable
from rtsep.cli.main import main
from rtsep.errors import DeviceError, UsageError
from rtsep.model.package import read_package
from rtsep.session.endpoints import ResolvedIO, resolve_io
from rtsep.session.options import LiveOptions
from tests.cli.program import rtsep
from tests.e2e.conftest import start_server  # noqa: F401 (a fixture)
from tests.e2e.exact import worst_stall_s
from tests.models import make_model

RATE, BLOCK = 44100, 256
SIGNAL = sequences(-12)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "half.pt", "half")


# --- the signal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 1, 4321])
@pytest.mark.parametrize("gain", [1.0, -0.01])
def test_a_delayed_signal_is_found_where_it_is(delay, gain):
    captured = np.random.default_rng(1).normal(0, 0.01, len(SIGNAL) + 5000).astype(np.float32)
    captured[delay : delay + len(SIGNAL)] += gain * SIGNAL[:, 0]
    arrival = find(SIGNAL[:, 0], captured)
    assert arrival.found and arrival.frame == delay
    assert arrival.level_db == pytest.approx(20 * np.log10(abs(gain)), abs=1)
    assert arrival.inverted == (gain < 0)


def test_crossed_cables_are_found_and_the_channels_are_told_apart():
    crossed = np.zeros((len(SIGNAL) + 2000, 2), np.float32)
    crossed[1234 : 1234 + len(SIGNAL)] = SIGNAL[:, ::-1]
    assert clearest(SIGNAL, crossed).frame == 1234
    assert not find(SIGNAL[:, 0], crossed[:, 0]).found


def test_noise_and_silence_are_no_signal():
    noise = np.random.default_rng(2).normal(0, 0.2, (4 * len(SIGNAL), 2)).astype(np.float32)
    assert not clearest(SIGNAL, noise).found
    assert not clearest(SIGNAL, np.zeros_like(noise)).found


# --- the report ------------------------------------------------------------------------------------------


class SimulatedPath:
    """Takes that are late by `delay`, declared as 500; the first `lossy` of them have lost frames."""

    name, exact = "simulated path", True

    def __init__(self, delay: int, lossy: int = 0, gain: float = 1.0) -> None:
        self.format = StreamFormat(RATE, 2, (0, 1), (0, 1, 2, 3), BLOCK, RATE, BLOCK, False)
        self.latency = LatencyBudget(RATE, 400, 60, 40)
        self.notes: list[str] = []
        self.taken: list[bool] = []
        self._delay, self._lossy, self._gain = delay, lossy, gain

    def take(self, bypass: bool) -> Take:
        self.taken.append(bypass)
        reference = np.zeros((len(SIGNAL) + 4000, 2), np.float32)
        reference[100 : 100 + len(SIGNAL)] = SIGNAL
        dry = np.zeros_like(reference)
        dry[self._delay :] = self._gain * reference[: len(reference) - self._delay]
        vocals = dry if bypass else 0.25 * dry
        played = np.concatenate([vocals, dry - vocals], axis=1)
        return Take(reference, played, lost=int(len(self.taken) <= self._lossy))


def told(path: Any) -> tuple[dict[str, dict[str, Any]], list[str]]:
    rows, notes = measure(path, SIGNAL)
    return {row["feed"]: row for row in rows}, notes


def test_what_is_late_as_declared_agrees():
    rows, notes = told(SimulatedPath(500))
    assert list(rows) == ["vocals", "instrumental", SUM, DRY]
    assert {row["measured"] for row in rows.values()} == {500}
    assert {row["difference"] for row in rows.values()} == {0}
    assert rows["vocals"]["level_db"] == pytest.approx(-12.0, abs=0.1)
    assert rows["instrumental"]["level_db"] == pytest.approx(-2.5, abs=0.1)
    assert rows[SUM]["error"] == rows[DRY]["error"] == 0
    assert notes == ["measured = declared, to the sample"]


@pytest.mark.parametrize("delay", [499, 501, 1100])
def test_a_latency_that_is_not_the_declared_one_is_told(delay):
    rows, notes = told(SimulatedPath(delay))
    assert {row["difference"] for row in rows.values()} == {delay - 500}
    assert f"{delay - 500:+d} samples" in notes[-1]


def test_a_signal_that_came_out_changed_is_told():
    rows, notes = told(SimulatedPath(500, gain=0.9))
    assert rows[SUM]["error"] == pytest.approx(0.1 * np.abs(SIGNAL).max(), rel=1e-3)
    assert any("not the signal that went in" in note for note in notes)


def test_a_take_that_lost_frames_is_taken_again_but_not_for_ever():
    path = SimulatedPath(500, lossy=2)
    measure(path, SIGNAL)
    assert path.taken == [False, False, False, True]
    with pytest.raises(DeviceError, match=r"lost in each of .* longer block"):
        measure(SimulatedPath(500, lossy=2 * ATTEMPTS), SIGNAL)


# --- a cable -----------------------------------------------------------------------------------------------


@njit
def call(mixer: np.ndarray, captured: np.ndarray, played: np.ndarray) -> None:
    process_input(mixer, captured.ctypes.data, captured.shape[0], 0)
    process_output(mixer, played.ctypes.data, played.shape[0], 0)


class LoopedCard:
    """A sound card with a cable: it captures its outputs 1-2 `delay` frames later, `gain` times as loud."""

    lost = None

    def __init__(self, mixer: Any, format: StreamFormat, delay: int, gain: float) -> None:
        assert delay >= format.block, "a card cannot capture a frame before it is played"
        self._mixer, self._format, self._delay, self._gain = mixer, format, delay, gain
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        block, outputs = self._format.block, len(self._format.out_map)
        wire = np.zeros((self._delay, 2), np.float32)
        due = time.monotonic()
        while self._running:
            played = np.zeros((block, outputs), np.float32)
            call(self._mixer.state, np.ascontiguousarray(self._gain * wire[:block]), played)
            wire = np.concatenate([wire[block:], played[:, :2]])
            due += block / self._format.rate
            time.sleep(max(0, due - time.monotonic()))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._running = False
        self._thread.join()


def through_a_cable(model, delay: int, gain: float = 0.5) -> tuple[dict[str, dict[str, Any]], list[str], int]:
    """Return rows, notes and the engine's own part of the latency."""
    says = 100  # frames the card claims to take
    format = StreamFormat(RATE, 2, (0, 1), (0, 1, 2, 3), BLOCK, RATE, BLOCK, False, slack=2048, hardware=says)
    card = Device(0, "card", "test", 2, 4, RATE)
    arguments = argparse.Namespace(input="card", out=None, rate=None, block=None, slack=None, compute="cpu")
    with by_cable(
        read_package(model), arguments, SIGNAL,
        lambda mixer, format, *_: LoopedCard(mixer, format, delay, gain),
        lambda options: ResolvedIO(None, card, card, format),
    ) as path:  # fmt: skip
        return *told(path), path.latency.total - says


@pytest.mark.parametrize("delay", [pytest.param(BLOCK, marks=pytest.mark.long), 1537])
def test_a_cable_tells_the_device_from_the_engine(half, delay):
    rows, notes, inside = through_a_cable(half, delay)
    assert rows[DEVICE]["measured"] == delay
    assert rows[DEVICE]["difference"] == delay - 100
    for feed in ("vocals", "instrumental", SUM, DRY):
        assert rows[feed]["measured"] == delay + inside, feed
    assert rows[DRY]["level_db"] == pytest.approx(-6.0, abs=0.1)
    assert any(f"the engine takes {inside} samples, as declared" in note for note in notes)


def test_without_a_cable_it_says_what_to_do(half):
    with pytest.raises(DeviceError, match=r"no signal came back .* cable, .* --level"):
        through_a_cable(half, BLOCK, gain=0.0)


# --- as a user runs it -------------------------------------------------------------------------------------


@pytest.mark.long
def test_on_the_virtual_device_measured_is_declared(half):
    plain = rtsep("bench", "roundtrip", "--out", "virtual", "--model", half, "--json")
    assert plain.code == 0, plain.said
    (result,) = plain.json
    rows = {row["feed"]: row for row in result["rows"]}
    assert list(rows) == ["vocals", "instrumental", SUM, DRY]
    assert {row["difference"] for row in rows.values()} == {0}
    assert max(rows[SUM]["error"], rows[DRY]["error"]) <= EXACT
    for stem in ("vocals", "instrumental"):
        assert rows[stem]["level_db"] == pytest.approx(-6.0, abs=0.1)

    options = ("--slack", 300, "--block", 100, "--rate", 48000)
    slack = rtsep("bench", "roundtrip", "--out", "virtual", "--model", half, "--json", *options)
    (result,) = slack.json
    assert {(row["rate"], row["block"]) for row in result["rows"]} == {(48000, 100)}
    for row in result["rows"]:
        assert row["measured"] == row["declared"] > rows[SUM]["declared"] + 200


@pytest.mark.jack
@pytest.mark.parametrize("period", [64, 256])
def test_on_jack_measured_is_declared_to_the_sample(start_server, period):  # noqa: F811
    server = start_server(period=period, rate=RATE)
    run = rtsep("bench", "roundtrip", "--json", JACK_DEFAULT_SERVER=server.name)
    lost = run.code == DeviceError.exit_code and "frames were lost" in run.said[-1]
    if lost and (stall_s := worst_stall_s()) > period / RATE:
        pytest.skip(f"this machine stops a waiting thread for {1e3 * stall_s:.1f} ms by itself")
    assert run.code == 0, run.said
    (result,) = run.json
    rows = {row["feed"]: row for row in result["rows"]}
    for name in (SUM, DRY):
        assert rows[name]["way"] == "JACK server" and rows[name]["block"] == period
        assert rows[name]["difference"] == 0
        assert rows[name]["error"] <= EXACT
    # The default model leaves at least one stem enough of the noise to be found; where it is, it fits.
    stems = [rows[name] for name in ("vocals", "instrumental") if "measured" in rows[name]]
    assert stems and all(row["difference"] == 0 for row in stems)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--level", "3"], "--level 3"),
        (["--block", "3"], "16 to 8192"),
        (["--rate", "1"], "8000 to"),
        (["--slack", "-1"], "--slack -1"),
        (["--in", "card", "--out", "virtual"], "by a cable"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, options, said):
    assert main(["bench", "roundtrip", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_file_is_no_input_for_a_cable(tmp_path, half):
    path = tmp_path / "song.wav"
    soundfile.write(path, np.zeros(1000), RATE)
    arguments = argparse.Namespace(input=path, out="card", rate=None, block=None, slack=None, compute="cpu")
    io = resolve_io(LiveOptions(str(path), out_device="virtual"))
    with (
        pytest.raises(UsageError, match="a file; give the input"),
        by_cable(read_package(half), arguments, SIGNAL, find_io=lambda options: io),
    ):
        pass
