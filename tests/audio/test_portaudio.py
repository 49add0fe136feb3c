"""PortAudio's border, with a stand-in for it: what it raises, and sessions that use it at the same time."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from rtsep.audio import portaudio
from rtsep.errors import DeviceError
from rtsep.realtime.foreign_calls import within


class PortAudioError(Exception):
    """As sounddevice's."""


class Sound:
    """As much of sounddevice as a look and a stream need."""

    def __init__(self) -> None:
        self._initialized, self.broken = 1, False
        self.looks = self.ends = 0
        self.opening = lambda: None  # called while a stream is being opened
        self._ffi = SimpleNamespace(cast=lambda kind, value: value)
        self._lib = SimpleNamespace(Pa_Initialize=self._look)
        self.default = SimpleNamespace(device=(0, 0))

    def _StreamBase(self, **_):
        assert self._initialized
        self.opening()
        return SimpleNamespace(start=lambda: None, close=lambda ignore_errors: None)

    def _check(self, code):
        if code < 0:
            raise PortAudioError("PortAudio not initialized")
        return code

    def _terminate(self):
        self._check(-1 if not self._initialized else 0)
        self._initialized -= 1
        self.ends += 1

    def _look(self):
        self.looks += 1
        return -1 if self.broken else 0

    def query_hostapis(self):
        self._check(-1 if not self._initialized else 0)
        return [{"name": "Some API"}]

    def query_devices(self):
        return [{"name": "Box", "hostapi": 0}]


@pytest.fixture
def sound(monkeypatch):
    sound = Sound()
    monkeypatch.setattr(portaudio, "_portaudio", sound)
    monkeypatch.setattr(portaudio, "_open", set())
    return sound


def open_stream() -> portaudio.Stream:
    return portaudio.Stream(None, np.zeros(1, np.int64), None, (0, 2), 44100, 64)


def test_a_look_at_the_devices_closes_no_open_stream(sound):
    stream = open_stream()
    portaudio.initialise()
    assert (sound.looks, sound.ends) == (0, 0)
    assert stream.close()
    portaudio.initialise()
    assert (sound.looks, sound.ends) == (1, 1)


def test_another_session_does_not_look_again_while_a_stream_is_being_opened(sound):
    looked = threading.Thread(target=portaudio.initialise)

    def open_slowly():
        looked.start()
        looked.join(0.3)  # time enough for it

    sound.opening = open_slowly
    stream = open_stream()
    looked.join()
    assert sound.looks == 0, "it would have closed the stream"
    assert stream.close()
    portaudio.initialise()
    assert sound.looks == 1


def test_what_it_raises_is_a_device_error_and_the_next_look_may_succeed(sound):
    sound.broken = True
    for _ in range(2):
        with pytest.raises(DeviceError, match="refused the request: PortAudio not initialized"):
            portaudio.initialise()
        with pytest.raises(DeviceError, match="refused the request: PortAudio not initialized"):
            portaudio.query_devices()
    sound.broken = False
    portaudio.initialise()
    assert portaudio.query_devices() == [("Some API", {"name": "Box", "hostapi": 0})]


def test_a_stream_that_does_not_open_names_the_device_even_where_that_has_gone(sound):
    def fail():
        raise PortAudioError("Device unavailable")

    sound.opening = fail
    with pytest.raises(DeviceError, match="cannot open Box: Device unavailable"):
        open_stream()

    def fail_for_all():
        sound._initialized = 0
        fail()

    sound.opening = fail_for_all
    with pytest.raises(DeviceError, match="cannot open the device: Device unavailable"):
        open_stream()
    assert portaudio.lists_new_devices()


def test_a_look_that_hangs_is_not_disturbed_by_the_next_one(sound):
    leaving = threading.Event()

    def hang():
        leaving.wait(60)
        return 0

    sound._lib.Pa_Initialize = hang
    assert not within(0.1, portaudio.initialise)
    with pytest.raises(DeviceError, match="does not answer any more"):
        portaudio.initialise()
    leaving.set()
    while portaudio._looking:
        time.sleep(0.01)
    portaudio.initialise()


def test_no_libjack_reaches_a_server_from_within_portaudio(sound, monkeypatch):
    """Read as libraries in C read it: PipeWire's libjack reads one name only, jackd's reads the other two."""
    names = ("PIPEWIRE_NOJACK", "JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "mine")
    monkeypatch.delenv("PIPEWIRE_NOJACK", raising=False)
    before = dict(os.environ)
    seen = []
    sound._lib.Pa_Initialize = lambda: seen.append([getenv(name.encode()) for name in names]) or 0
    portaudio.initialise()
    assert seen == [[b"1", b"rtsep-none", b"1"]]
    assert dict(os.environ) == before
    assert getenv(b"JACK_DEFAULT_SERVER") == b"mine"


SEARCHES = """
import ctypes
from rtsep.audio import portaudio

class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Memory

def in_use():
    memory = mallinfo()
    return memory.uordblks + memory.hblkhd

for _ in range(3):
    portaudio.initialise()
before = in_use()
for _ in range(20):
    portaudio.initialise()
print((in_use() - before) // 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallinfo2 is glibc's")
def test_a_search_leaves_no_memory_behind():
    """A lost device is searched for twice a second, perhaps all night."""
    told = subprocess.run([sys.executable, "-c", SEARCHES], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 2000, f"{told.stdout.strip()} bytes a search"
