"""`rtsep.Session`: live from Python, on the virtual device, and on a JACK server that is killed under it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.streams import Streams
from rtsep.errors import DeviceError, InputFileError, ModelError, OutputError, UsageError
from rtsep.files.audiofile import AudioReader
from rtsep.session import device_swap, route
from rtsep.session.device_swap import LostDevices
from rtsep.session.endpoints import NotBackError
from rtsep.session.watchdog import Watchdog
from tests.cli.program import ROOT
from tests.e2e.conftest import start_server  # noqa: F401 (a fixture)
from tests.e2e.exact import noise
from tests.models import make_model

RATE = 44100


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-test-none")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "half.pt", "half")


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(RATE), RATE, subtype="FLOAT")
    return path


def read(path):
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def hop_loops() -> int:
    return sum(thread.name in ("hop-loop", "rtsep-session") for thread in threading.enumerate())


def test_two_play_side_by_side_each_with_controls_of_its_own(half, song, tmp_path):
    sound, silent = read(song), rtsep.Controls(vocals_mute=1)
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT"}
    first = rtsep.Session(song, **how, record=tmp_path / "first")
    second = rtsep.Session(str(song), **how, record=str(tmp_path / "second"), controls=silent)
    with first, second:
        assert first.rate == RATE
        assert first.latency == first.stats()["latency_samples"] == 512
        assert first.stats()["model"]["pid"] != second.stats()["model"]["pid"]
        assert first.controls is not second.controls is silent
        assert first.wait(timeout=60)
        assert second.wait(60)
    assert hop_loops() == 0
    for session, gain in ((first, 0.5), (second, 0.0)):
        assert session.stats()["hops"] >= RATE // 256
        (take,) = session.recordings
        assert np.array_equal(read(take["mix"]), sound)
        # While masks are late for long the dry signal is heard; not all of the time.
        off = np.abs(read(take["vocals"]) - gain * sound).max(axis=1)
        assert np.median(off) < 1e-6


def test_controls_and_takes_while_it_plays(half, tmp_path):
    with rtsep.Session("demo", out_device="virtual", model=half) as session:
        assert not session.wait(timeout=0)
        session.start_recording(str(tmp_path / "take"))
        with pytest.raises(UsageError):
            session.start_recording(tmp_path / "other")
        session.controls.vocals_mute = 1
        assert not session.wait(0.5)
        files = session.stop_recording()
        assert files and set(files) == {"vocals", "instrumental", "mix"}
        assert not session.stop_recording()
        assert not read(files["vocals"])[-2000:].any()
        session.end()
        assert session.wait(20)
        assert session.stats()["state"]


def test_what_cannot_start_raises_at_once_and_leaves_nothing_behind(half, song, tmp_path):
    (tmp_path / "file").write_text("")
    broken = make_model(tmp_path / "nan.pt", "nan")
    for session, kind, words in (
        (
            rtsep.Session("none.wav", out_device="virtual", model=half),
            InputFileError,
            "none.wav: no such file",
        ),
        (rtsep.Session(song, out_device="virtual", model="lve"), ModelError, "did you mean 'live'"),
        (rtsep.Session(song, out_device="virtual", model=broken), ModelError, "golden frames do not replay"),
        (
            rtsep.Session(song, out_device="virtual", model=half, record=tmp_path / "file"),
            OutputError,
            "file",
        ),
        (rtsep.Session(song, out_device="no such thing", model=half), DeviceError, "no such thing"),
    ):
        with pytest.raises(kind) as error:
            session.start()
        assert words in str(error.value)
        assert hop_loops() == 0
        session.close()  # once more does no harm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"out": "vocal"}, "out 'vocal': one of vocals, instrumental, mix, both; did you mean 'vocals'?"),
        ({"device": "gpu"}, "device 'gpu': one of cpu, cuda"),
        ({"subtype": "MP3"}, "subtype 'MP3': one of"),
        ({"rate": 44100.0}, "rate 44100.0: a whole number from 8000 to 384000"),
        ({"block": 1}, "block 1: a whole number from 16 to 8192"),
        ({"slack": -1}, "slack -1: a whole number from 0"),
        ({"in_channels": (0, 1)}, "in_channels: channel 0: a whole number from 1"),
        ({"out_channels": [1, 1]}, "out_channels (1, 1): name each channel once"),
        ({"seconds": 0}, "seconds 0: must be more than 0"),
        ({"seconds": float("nan")}, "seconds nan: must be more than 0"),
        ({"client_name": "a:b"}, "client_name 'a:b'"),
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_is_opened(arguments, words):
    with pytest.raises(UsageError) as error:
        rtsep.Session("demo", **arguments)
    assert words in str(error.value)


def test_it_plays_once_and_says_so(half, song):
    session = rtsep.Session(song, out_device="virtual", model=half, seconds=0.1)
    for early in (session.stats, session.wait, session.end, lambda: session.latency):
        with pytest.raises(UsageError, match="has not begun"):
            early()
    with session:
        with pytest.raises(UsageError, match="plays once"):
            session.start()
        assert session.wait()
    with pytest.raises(UsageError, match="plays once"):
        session.start()
    assert session.stats()["hops"] > 0  # what it was is still known


def test_an_error_while_it_plays_is_raised_once_and_masks_none(half, song, monkeypatch):
    whole = Watchdog.over

    def lost(self, engine):
        return "the device went up in smoke" if whole(self, engine) else None

    monkeypatch.setattr(Watchdog, "over", lambda *_: False)
    monkeypatch.setattr(Watchdog, "lost", lost)
    how = {"out_device": "virtual", "model": half, "seconds": 0.05, "reconnect": False}
    with pytest.raises(DeviceError, match="smoke"), rtsep.Session(song, **how) as session:
        assert session.is_over(20)  # by leaving
    with rtsep.Session(song, **how) as session, pytest.raises(DeviceError, match="smoke"):
        session.wait(20)  # by waiting, and not again by leaving
    with pytest.raises(ZeroDivisionError) as error, rtsep.Session(song, **how) as session:
        assert session.is_over(20)
        raise ZeroDivisionError
    (note,) = error.value.__notes__
    assert note == "(the session had ended, too: the device went up in smoke; ended (--no-reconnect))"
    assert hop_loops() == 0


@pytest.fixture
def long_song(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(60 * RATE), RATE, subtype="FLOAT")
    return path


def until(there):
    over = time.monotonic() + 60
    while not there():
        assert time.monotonic() < over
        time.sleep(0.01)


def test_a_model_is_switched_by_name_or_path_and_counted_on(half, long_song, tmp_path, caplog):
    other = make_model(tmp_path / "other.pt", "zeros", profile="stage")
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT", "record": tmp_path / "takes"}
    with rtsep.Session(long_song, **how) as session:
        latency, counted = session.latency, [session.stats()]
        counting = threading.Event()

        def count() -> None:
            while not counting.wait(0.001):
                counted.append(session.stats())

        counter = threading.Thread(target=count)
        counter.start()
        try:
            session.switch_model(str(other))
            session.switch_device(out_device="virtual")
            session.switch_model(half)
        finally:
            counting.set()
            counter.join()
        hops = [stats["hops"] for stats in counted]
        assert all(a <= b for a, b in itertools.pairwise(hops)), "a hop was counted twice"
        named = [stats["model"]["name"] for stats in counted]
        assert [name for name, _ in itertools.groupby(named)][:2] == ["test-half", "test-zeros"]
        assert {stats["latency_samples"] for stats in counted} > {latency}
        assert session.latency == latency
        with pytest.raises(ModelError, match="no model is called 'none'"):
            session.switch_model("none")
        assert hop_loops() == 2  # of one session: it, and one engine
    assert hop_loops() == 0
    said = [record.getMessage().split(";")[0] for record in caplog.records]
    assert said == ["model test-zeros", "long.wav -> virtual device", "model test-half"]
    takes = [read(take["mix"]) for take in session.recordings]
    assert len(takes) == 4
    played = np.concatenate(takes)
    np.testing.assert_array_equal(played, read(long_song)[: len(played)])  # without a seam


def test_other_devices_that_do_not_open_are_refused_and_the_file_plays_on(
    half, long_song, tmp_path, monkeypatch
):
    opened, whole = [], Streams.__init__

    def open_one(self, mixer, form, *further):
        opened.append(form.rate)
        if form.rate != RATE:
            raise DeviceError("it is used by another program")
        whole(self, mixer, form, *further)

    monkeypatch.setattr(Streams, "__init__", open_one)
    low = tmp_path / "low.wav"
    soundfile.write(low, noise(RATE), 22050)
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT", "record": tmp_path / "takes"}
    with rtsep.Session(long_song, **how) as session:
        until(lambda: session.stats()["recording"]["seconds"] > 0.1)
        with pytest.raises(DeviceError) as error:
            session.switch_device(input=low)
        assert str(error.value) == (
            "it is used by another program; playing on as before: long.wav -> virtual device"
        )
        assert opened == [RATE, 22050, RATE]
        session.switch_device(out_device="virtual")
        until(lambda: session.stats()["recording"]["seconds"] > 0.1)
        session.stop_recording()
        takes = [read(take["mix"]) for take in session.recordings]
    played = np.concatenate(takes)
    assert len(takes) == 3
    np.testing.assert_array_equal(played, read(long_song)[: len(played)])
    assert hop_loops() == 0


def test_devices_that_are_not_there_at_the_start_are_not_waited_for(half, song, monkeypatch):
    def open_none(self, *_):
        raise DeviceError("it is used by another program")

    monkeypatch.setattr(Streams, "__init__", open_none)
    with pytest.raises(DeviceError, match=r"used by another program$"):
        rtsep.Session(song, out_device="virtual", model=half).start()
    assert hop_loops() == 0


def test_a_lost_device_can_be_left_for_another(half, long_song, monkeypatch, caplog):
    lost = threading.Event()
    monkeypatch.setattr(Streams, "lost", property(lambda _: "it is unplugged" if lost.is_set() else None))
    monkeypatch.setattr(LostDevices, "_find", lambda _: "")
    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        lost.set()
        until(lambda: session.stats()["state"] == "waiting")
        lost.clear()
        session.switch_device(out_device="virtual")
        assert session.stats()["state"] == "playing"
    assert "it is unplugged; waiting for it to come back (Ctrl-C ends)" in caplog.messages


def test_a_device_that_is_found_and_does_not_open_is_told_of_once(half, long_song, monkeypatch, caplog):
    taken, tries, whole = threading.Event(), [], Streams.__init__

    def open_one(self, *given):
        tries.append(len(tries))
        if taken.is_set():
            raise DeviceError("it is used by another program")
        whole(self, *given)

    monkeypatch.setattr(Streams, "__init__", open_one)
    monkeypatch.setattr(Streams, "lost", property(lambda _: "it is unplugged" if taken.is_set() else None))
    monkeypatch.setattr(device_swap, "LOOK_AGAIN_S", 0.05)
    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        taken.set()
        until(lambda: len(tries) > 4)
        taken.clear()
        until(lambda: session.stats()["state"] == "playing")
        taken.set()
        until(lambda: session.stats()["state"] == "waiting")
    gone, refused = "it is unplugged; waiting", "it is used by another program; waiting"
    words = [message.partition(" for it")[0] for message in caplog.messages]
    assert words[:4] == [gone, refused, "long.wav -> virtual device is back; playing", gone]


def test_why_a_device_that_is_back_cannot_be_used_is_said_once_and_it_is_waited_for(
    half, long_song, monkeypatch, caplog, capsys
):
    reasons = itertools.cycle(
        [
            NotBackError("it is not back yet"),
            UsageError("--in-channels 3: it has 2 channels"),
            DeviceError("the sound system refuses"),
        ]
    )
    lost, tries, whole = threading.Event(), [], route.resolve_ends

    def resolve(options, before=None, missed=False):
        if not lost.is_set():
            return whole(options, before, missed)
        assert before and missed, "the lost devices are wanted, and no others"
        tries.append(next(reasons))
        raise tries[-1]

    monkeypatch.setattr(route, "resolve_ends", resolve)
    monkeypatch.setattr(Streams, "lost", property(lambda _: "it is unplugged" if lost.is_set() else None))
    monkeypatch.setattr(device_swap, "LOOK_AGAIN_S", 0.01)
    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        lost.set()
        until(lambda: len(tries) > 6)
        lost.clear()
        until(lambda: session.stats()["state"] == "playing")
    words = [message.partition(" for it")[0] for message in caplog.messages]
    assert words == [
        "it is unplugged; waiting",
        "--in-channels 3: it has 2 channels; waiting",
        "the sound system refuses; waiting",
        "long.wav -> virtual device is back; playing",
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_switches_that_make_no_sense_are_refused(half, long_song, tmp_path):
    session = rtsep.Session(long_song, out_device="virtual", model=half)
    with pytest.raises(UsageError, match="has not begun"):
        session.switch_model(half)
    with session:
        with pytest.raises(
            UsageError, match="nothing to switch to: name an input, an output device, or both"
        ):
            session.switch_device()
        with pytest.raises(InputFileError, match=r"none\.wav: no such file"):
            session.switch_device(input=tmp_path / "none.wav")
    for switch in (lambda: session.switch_model(half), lambda: session.switch_device(input=long_song)):
        with pytest.raises(UsageError, match="only while it plays"):
            switch()
    assert hop_loops() == 0


def test_a_switch_that_the_end_overtakes_is_given_up(half, long_song):
    refused = []

    def switch(session):
        try:
            session.switch_model(half)
        except rtsep.RtsepError as error:
            refused.append(error)

    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        hears_along = threading.Event()
        put = EngineMixer.add_incoming
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EngineMixer, "add_incoming", lambda *given: (put(*given), hears_along.set()))
            switching = threading.Thread(target=switch, args=(session,))
            switching.start()
            assert hears_along.wait(60)
        session.end()
        assert session.wait(20)
        switching.join(20)
    assert isinstance(refused[0], DeviceError)
    assert hop_loops() == 0


def test_a_file_that_is_damaged_further_on_plays_until_there_and_raises(half, long_song, monkeypatch):
    whole, given = AudioReader.read, []

    def read_a_second(self, frames):
        given.append(frames)
        if sum(given) > RATE:
            raise InputFileError(f"{self.path}: damaged")
        return whole(self, frames)

    monkeypatch.setattr(AudioReader, "read", read_a_second)
    session = rtsep.Session(long_song, out_device="virtual", model=half)
    with pytest.raises(InputFileError, match=r"long\.wav: damaged"), session:
        session.wait(60)
    assert session.stats()["hops"] * 256 >= 0.8 * RATE


# In a process of its own, which says "kill" and is then left without its server.
ON_JACK = """
import logging, sys
import rtsep
from rtsep.audio import jack_ports

logging.basicConfig(level=logging.INFO, format="log: %(message)s", stream=sys.stdout)
model = sys.argv[1]
with rtsep.Session("mic", model=model, client_name="other") as second:
    try:
        with rtsep.Session("mic", out="both", model=model, reconnect=False) as first:
            print("rates", first.rate, second.rate, flush=True)
            print("kill", flush=True)
            first.wait(60)
    except rtsep.RtsepError as error:
        print("raised:", error, flush=True)
    print("second is over:", second.wait(3), flush=True)
print("done", flush=True)
"""


@pytest.mark.jack
def test_a_server_that_goes_is_told_and_raised(half, start_server):  # noqa: F811
    server = start_server(rate=48000, period=256)
    run = subprocess.Popen(
        [sys.executable, "-c", ON_JACK, str(half)],
        env=server.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stdout
        said = []
        for line in run.stdout:
            said.append(line.strip())
            if said[-1] == "kill":
                looker = server.client("looker")
                ports = {port.name for port in looker.get_ports()}
                looker.close()
                server.stop(signal.SIGKILL)
        assert run.wait(30) == 0, said
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
    names = ("in_0", "in_1", "vocals_L", "vocals_R", "instrumental_L", "instrumental_R")
    assert {*(f"rtsep:{name}" for name in names), "other:in_0", "other:vocals_L"} <= ports
    assert "rates 48000 48000" in said
    assert sum(line.startswith("log: JACK server -> JACK server, model") for line in said) == 2
    raised = [line for line in said if line.startswith("raised: ")]
    assert len(raised) == 1
    assert "JACK server" in raised[0]
    assert raised[0].endswith("ended (--no-reconnect)")
    assert any("waiting for it to come back" in line for line in said)
    assert said[-2:] == ["second is over: False", "done"]
