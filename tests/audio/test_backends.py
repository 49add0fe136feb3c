"""Back ends behind one protocol: the table, and one of a few lines that a whole engine plays through."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from rtsep.audio import devices
from rtsep.audio.backend import AudioStream, Backend, ClientOptions, Device, StreamRequest
from rtsep.audio.backends import BACKENDS, backend_of
from rtsep.audio.engine import StreamFormat
from rtsep.audio.engine_mixer import EngineMixer, process_input, process_output
from rtsep.audio.streams import Streams, compile_streams
from rtsep.audio.virtual import VIRTUAL_DEVICE
from rtsep.errors import DeviceError
from tests.audio.bench import Bench, noise

RATE, BLOCK = 44100, 256


@njit
def call(mixer, block, out):  # type: ignore[no-untyped-def]
    """The work of a back end's callback."""
    process_input(mixer, block.ctypes.data, block.shape[0], 0)
    process_output(mixer, out.ctypes.data, out.shape[0], 0)


class Loudspeaker:
    """A stream of the back end below: calls on request, as fast as the engine follows."""

    def __init__(self, request: StreamRequest, sound: NDArray[np.float32]) -> None:
        self._request, self._sound = request, sound
        self.played: list[NDArray[np.float32]] = []
        self.latency = request.latency
        self.unplugged = False
        self.settle: Callable[[], None] = lambda: None

    def start(self) -> None:
        for first in range(0, len(self._sound), self._request.block):
            block = np.ascontiguousarray(self._sound[first : first + self._request.block])
            out = np.full((len(block), self._request.outputs), np.nan, np.float32)
            call(self._request.mixer.state, block, out)
            self.played.append(out)
            self.settle()

    @property
    def lost(self) -> str | None:
        return "somebody has pulled the plug" if self.unplugged else None

    def report_latency(self, latency: int) -> None:
        self.latency = latency

    def close(self) -> bool:
        self._request.mixer.fade_out()
        return True


class Tiny:
    """A whole back end."""

    box = Device(7, "tiny box", "Tiny", 2, 4, RATE)

    def __init__(self, sound: NDArray[np.float32]) -> None:
        self._sound = sound
        self.compiled = threading.Event()
        self.opened: list[Loudspeaker] = []

    def devices(self) -> list[Device]:
        return [self.box]

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        if rate != RATE:
            raise DeviceError(f"{device.name} knows no {rate} Hz")

    def compile(self) -> None:
        self.compiled.set()

    def open(self, request: StreamRequest) -> AudioStream:
        self.opened.append(Loudspeaker(request, self._sound))
        return self.opened[-1]


@pytest.fixture
def tiny(monkeypatch) -> Tiny:
    """The back end, with a line in the table."""
    tiny = Tiny(noise(BLOCK * 40))
    monkeypatch.setitem(BACKENDS, "Tiny", tiny)
    return tiny


def test_a_new_back_end_is_listed_checked_and_compiled(tiny):
    assert devices.known().devices[-1] == tiny.box
    assert devices.known().find("tiny", "output") == tiny.box
    devices.check_format(tiny.box, "output", 4, RATE)
    with pytest.raises(DeviceError, match="tiny box knows no 48000 Hz"):
        devices.check_format(tiny.box, "output", 4, 48000)
    with pytest.raises(DeviceError, match="tiny box has 4 output channels, but 5 are needed"):
        devices.check_format(tiny.box, "output", 5, RATE)
    compile_streams(tiny.box, tiny.box)
    assert tiny.compiled.is_set()


def test_an_engine_plays_through_a_new_back_end_to_the_sample(tiny):
    format = StreamFormat(RATE, 2, (0, 1), (0, 1, 2, 3), BLOCK, RATE, BLOCK, two_clocks=False)
    with Bench(format, lambda number, column: 0.5) as bench:
        delay = bench.engine.latency.total
        mixer = EngineMixer(bench.engine, RATE, BLOCK, 4)
        streams = Streams(mixer, format, tiny.box, tiny.box, delay, ClientOptions())
        (stream,) = tiny.opened
        assert (stream.latency, streams.lost) == (delay, None)
        stream.settle = bench.settle
        streams.start()
        streams.report_latency(100)
        stream.unplugged = True
        assert (stream.latency, streams.lost) == (100, "somebody has pulled the plug")
        streams.close()
        assert streams.lost is None
    played = np.concatenate(stream.played)
    expected = tiny._sound[: len(played) - delay]
    np.testing.assert_allclose(played[delay:, :2] + played[delay:, 2:], expected, atol=1.2e-7)


def test_a_stream_that_does_not_open_closes_the_one_before_it(tiny, monkeypatch):
    closed = threading.Event()
    monkeypatch.setattr(Loudspeaker, "close", lambda self: closed.set() or True)

    def refuse(request: StreamRequest) -> AudioStream:
        if request.output:
            raise DeviceError("it is used by another program")
        return Loudspeaker(request, noise(BLOCK))

    monkeypatch.setattr(tiny, "open", refuse)
    format = StreamFormat(RATE, 2, (0, 1), (0, 1), BLOCK, RATE, BLOCK, two_clocks=True)
    with Bench(format, lambda number, column: 0.5) as bench:
        mixer = EngineMixer(bench.engine, RATE, BLOCK, 2)
        with pytest.raises(DeviceError, match="another program"):
            Streams(mixer, format, tiny.box, tiny.box, 0, ClientOptions())
    assert closed.is_set()


def test_every_device_has_its_back_end():
    def device(api: str) -> Device:
        return Device(0, "Box", api, 2, 2, RATE)

    assert backend_of(VIRTUAL_DEVICE) is BACKENDS["virtual"]
    assert backend_of(device("JACK")) is BACKENDS["JACK"]
    for system in ("ALSA", "Core Audio", "Windows WASAPI"):
        assert backend_of(device(system)) is BACKENDS["PortAudio"]


@pytest.mark.parametrize("name", BACKENDS)
def test_back_ends_keep_to_the_protocol(name):
    methods = {method for method in vars(Backend) if not method.startswith("_")}
    assert methods == {"devices", "check", "compile", "open"}
    assert methods <= set(dir(BACKENDS[name]))
