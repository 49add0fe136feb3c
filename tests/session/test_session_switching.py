"""Models and devices of a session are switched while it plays on the virtual device."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.audio.devices import Device
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.streams import Streams
from rtsep.errors import DeviceError, InputFileError, ModelError, UsageError
from rtsep.session import device_swap, route
from rtsep.session.device_swap import LostDevices
from rtsep.session.endpoints import NotBackError
from rtsep.session.named_devices import NOTHING_KEPT
from tests.e2e.exact import noise
from tests.models import make_model
from tests.session.playing import RATE, hop_loops, read, until

pytestmark = pytest.mark.usefixtures("no_server")


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

    def open_one(self, mixer, format, *further):
        opened.append(format.rate)
        if format.rate != RATE:
            raise DeviceError("it is used by another program")
        whole(self, mixer, format, *further)

    monkeypatch.setattr(Streams, "__init__", open_one)
    low = tmp_path / "low.wav"
    soundfile.write(low, noise(RATE), 22050)
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT", "record": tmp_path / "takes"}
    with rtsep.Session(long_song, **how) as session:
        until(lambda: session.stats()["recording"]["seconds"] > 0.1)
        with pytest.raises(DeviceError) as error:
            session.switch_device(input=low)
        assert str(error.value) == (
            "it is used by another program; playback continues as before: long.wav -> virtual device"
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
    assert words[:4] == [gone, refused, "long.wav -> virtual device is back; playback continues", gone]


def test_why_a_device_that_is_back_cannot_be_used_is_said_once_and_it_is_waited_for(
    half, long_song, monkeypatch, caplog, capsys
):
    reasons = itertools.cycle(
        [
            NotBackError("it is not back yet"),
            UsageError("--in-channels 3: it has 2 channels"),
            DeviceError("the sound system refused the request"),
        ]
    )
    lost, tries, whole = threading.Event(), [], route.resolve_io

    def resolve(options, before=None, missed=False, *further):
        if not lost.is_set():
            return whole(options, before, missed, *further)
        assert before and missed, "the lost devices are wanted, and no others"
        tries.append(next(reasons))
        raise tries[-1]

    monkeypatch.setattr(route, "resolve_io", resolve)
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
        "the sound system refused the request; waiting",
        "long.wav -> virtual device is back; playback continues",
    ]
    assert "Traceback" not in capsys.readouterr().err


def test_the_other_side_of_a_switch_keeps_its_current_device(half, long_song, monkeypatch):
    headset, moved, kept, whole = (
        Device(1, "Headset", "A", 0, 2, RATE),
        threading.Event(),
        [],
        route.resolve_io,
    )

    def resolve(options, before=None, missed=False, parts=(), stays=NOTHING_KEPT):
        kept.append(stays)
        return whole(options, before, missed, parts)

    monkeypatch.setattr(route, "resolve_io", resolve)
    where = property(lambda _: (None, headset if moved.is_set() else None))
    monkeypatch.setattr(Streams, "moved_to", where)
    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        moved.set()  # by the user, in the volume control
        until(lambda: session.io.output == headset)
        session.switch_device(input=long_song)
        until(lambda: session.io.output == headset)
        session.switch_device(out_device="virtual")
    assert [(each.input, each.output) for each in kept] == [(None, None), (None, headset), (None, None)]


def test_switches_that_make_no_sense_are_refused(half, long_song, tmp_path):
    session = rtsep.Session(long_song, out_device="virtual", model=half)
    with pytest.raises(UsageError, match="has not started"):
        session.switch_model(half)
    with session:
        with pytest.raises(
            UsageError, match="nothing to switch to: give an input, an output device, or both"
        ):
            session.switch_device()
        with pytest.raises(InputFileError, match=r"none\.wav: no such file"):
            session.switch_device(input=tmp_path / "none.wav")
    for switch in (lambda: session.switch_model(half), lambda: session.switch_device(input=long_song)):
        with pytest.raises(UsageError, match="only during playback"):
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
